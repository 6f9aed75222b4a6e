/** What this writer pickles: what Python has None, bool, int, float, str, list, tuple and dict for. */
export type Pickled =
  | null
  | boolean
  | number
  | string
  | readonly Pickled[]
  | Tuple
  | { readonly [key: string]: Pickled };

/** A tuple of two. */
export class Tuple {
  constructor(
    readonly first: Pickled,
    readonly second: Pickled,
  ) {}
}

/** The most items that one opcode takes, as CPython writes it. */
const batch = 1000;

/**
 * A value as a pickle of protocol 2, as CPython's `pickle.dumps(value, 2)` writes it. Equal strings are written once, and
 * so is a list or a dict that is in several places. Throws `cannot pickle: …` for a number that is none.
 */
export function pickle(value: Pickled): Uint8Array {
  const writer = new Writer();
  writer.bytes(0x80, 2);
  writer.value(value);
  writer.bytes(code("."));
  return writer.written();
}

const code = (letter: string): number => letter.charCodeAt(0);

/** The opcodes used, by the names of Python's `pickletools`. */
const op = {
  none: code("N"),
  newTrue: 0x88,
  newFalse: 0x89,
  binInt1: code("K"),
  binInt2: code("M"),
  binInt: code("J"),
  long1: 0x8a,
  binFloat: code("G"),
  binUnicode: code("X"),
  emptyList: code("]"),
  emptyDict: code("}"),
  mark: code("("),
  appends: code("e"),
  setItems: code("u"),
  tuple2: 0x86,
  binPut: code("q"),
  longBinPut: code("r"),
  binGet: code("h"),
  longBinGet: code("j"),
} as const;

class Writer {
  private buffer = Buffer.alloc(1 << 16);
  private length = 0;
  private readonly memo = new Map<Pickled, number>();

  written(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  bytes(...bytes: readonly number[]): void {
    this.reserve(bytes.length);
    for (const byte of bytes) this.buffer[this.length++] = byte;
  }

  value(value: Pickled): void {
    const known = this.memo.get(value);
    if (known !== undefined) this.numbered(op.binGet, op.longBinGet, known);
    else if (value === null) this.bytes(op.none);
    else if (typeof value === "boolean") this.bytes(value ? op.newTrue : op.newFalse);
    else if (typeof value === "number") this.number(value);
    else if (typeof value === "string") this.text(value);
    else if (value instanceof Tuple) this.tuple(value);
    else if (Array.isArray(value)) this.list(value);
    else this.dict(value as { readonly [key: string]: Pickled });
  }

  private tuple(tuple: Tuple): void {
    this.value(tuple.first);
    this.value(tuple.second);
    this.bytes(op.tuple2);
    this.remember(tuple);
  }

  private list(list: readonly Pickled[]): void {
    this.bytes(op.emptyList);
    this.remember(list);
    this.batches(list, op.appends, (item) => this.value(item));
  }

  private dict(dict: { readonly [key: string]: Pickled }): void {
    this.bytes(op.emptyDict);
    this.remember(dict);
    this.batches(Object.entries(dict), op.setItems, ([key, item]) => {
      this.value(key);
      this.value(item);
    });
  }

  private batches<T>(items: readonly T[], opcode: number, write: (item: T) => void): void {
    for (let from = 0; from < items.length; from += batch) {
      this.bytes(op.mark);
      for (const item of items.slice(from, from + batch)) write(item);
      this.bytes(opcode);
    }
  }

  private text(text: string): void {
    const bytes = Buffer.from(text, "utf8");
    this.bytes(op.binUnicode);
    this.reserve(4 + bytes.length);
    this.length = this.buffer.writeUInt32LE(bytes.length, this.length);
    this.length += bytes.copy(this.buffer, this.length);
    this.remember(text);
  }

  private number(value: number): void {
    if (!Number.isFinite(value)) throw new Error(`cannot pickle: ${value}`);
    if (!Number.isSafeInteger(value)) {
      this.bytes(op.binFloat);
      this.reserve(8);
      this.length = this.buffer.writeDoubleBE(value, this.length);
    } else if (value >= 0 && value < 1 << 8) this.bytes(op.binInt1, value);
    else if (value >= 0 && value < 1 << 16) this.bytes(op.binInt2, value & 255, value >> 8);
    else if (value === (value | 0)) {
      this.bytes(op.binInt);
      this.reserve(4);
      this.length = this.buffer.writeInt32LE(value, this.length);
    } else {
      this.bytes(op.long1, 8);
      this.reserve(8);
      this.length = this.buffer.writeBigInt64LE(BigInt(value), this.length);
    }
  }

  private remember(value: Pickled): void {
    this.numbered(op.binPut, op.longBinPut, this.memo.size);
    this.memo.set(value, this.memo.size);
  }

  /** An opcode with a number: the short form where it fits into a byte. */
  private numbered(short: number, long: number, number: number): void {
    if (number < 1 << 8) this.bytes(short, number);
    else {
      this.bytes(long);
      this.reserve(4);
      this.length = this.buffer.writeUInt32LE(number, this.length);
    }
  }

  private reserve(count: number): void {
    if (this.length + count <= this.buffer.length) return;
    const wider = Buffer.alloc(2 * (this.length + count));
    this.buffer.copy(wider, 0, 0, this.length);
    this.buffer = wider;
  }
}
