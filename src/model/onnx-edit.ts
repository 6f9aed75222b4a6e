import type { Frame } from "./onnx-wire.js";

/** Part of a file that other bytes take the place of; `frames` are those around it, outermost first. */
export interface Edit {
  readonly begin: number;
  readonly end: number;
  readonly bytes: Uint8Array;
  readonly frames: readonly Frame[];
}

/** A number in protobuf's variable length. */
function varintOf(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    const more = rest >= 128;
    bytes.push((rest % 128) | (more ? 0x80 : 0));
    if (!more) return Buffer.from(bytes);
  }
}

/** A length-delimited field. */
export const lengthField = (number: number, content: Uint8Array): Buffer =>
  Buffer.concat([varintOf(8 * number + 2), varintOf(content.length), content]);

/** A field of a whole number. */
export const numberField = (number: number, value: number): Buffer =>
  Buffer.concat([varintOf(8 * number), varintOf(value)]);

/**
 * A file's bytes with edits made, piece by piece: between them views of the file as it was. Lengths of the frames around an
 * edit of another size are written anew. Edits may not overlap.
 */
export function edited(bytes: Uint8Array, edits: readonly Edit[]): Uint8Array[] {
  const grown = new Map<number, { readonly frame: Frame; by: number }>();
  const grow = (frames: readonly Frame[], by: number): void => {
    for (const frame of frames) {
      const known = grown.get(frame.lengthAt);
      if (known) known.by += by;
      else grown.set(frame.lengthAt, { frame, by });
    }
  };
  for (const { begin, end, bytes: other, frames } of edits)
    if (other.length !== end - begin) grow(frames, other.length - (end - begin));
  const all: Omit<Edit, "frames">[] = [...edits];
  // a length that takes more bytes itself lengthens the frames around it: innermost first
  const chains = new Map(
    edits.flatMap(({ frames }) => frames.map((frame, i) => [frame.lengthAt, frames.slice(0, i)] as const)),
  );
  for (const { frame, by } of [...grown.values()].sort(
    (a, z) => a.frame.end - a.frame.begin - (z.frame.end - z.frame.begin),
  )) {
    const { lengthAt, begin, end } = frame;
    const length = varintOf(end - begin + by);
    if (length.length !== begin - lengthAt) grow(chains.get(lengthAt) ?? [], length.length - (begin - lengthAt));
    all.push({ begin: lengthAt, end: begin, bytes: length });
  }
  all.sort((a, z) => a.begin - z.begin || a.end - z.end);
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const edit of all) {
    if (edit.begin < at) throw new RangeError(`edits overlap at ${edit.begin}`);
    pieces.push(bytes.subarray(at, edit.begin), edit.bytes);
    at = edit.end;
  }
  pieces.push(bytes.subarray(at));
  return pieces.filter(({ length }) => length > 0);
}
