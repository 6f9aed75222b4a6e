import { createHash } from "node:crypto";
import type { Content, FlatBuffer, Life, Packed } from "./pack-content.js";

/** Some of the free storages and of the flat buffers of an arena, by their numbers. */
export interface Block {
  readonly free: number[];
  readonly flat: number[];
}

/** How a block is packed: the same one always alike. */
type Pack = (content: Content) => Packed;

/** Blocks that are kept packed, of all arenas: of each way of packing the last ones that were asked for. */
const mostKnown = 500;

const knownOf = new WeakMap<Pack, Map<string, Packed>>();

/** A packed block: models of one architecture are packed alike, and a plan changes the block of one model at a time. */
function packedOf(block: Content, pack: Pack): Packed {
  const known = knownOf.get(pack) ?? new Map<string, Packed>();
  knownOf.set(pack, known);
  const parts = block.flat.map(({ bytes, parts }) => [bytes, parts]);
  const key = createHash("sha256")
    .update(JSON.stringify([block.free, parts]))
    .digest("base64");
  const packed = known.get(key) ?? pack(block);
  known.delete(key);
  known.set(key, packed);
  for (const oldest of known.keys()) {
    if (known.size <= mostKnown) break;
    known.delete(oldest);
  }
  return packed;
}

/** An arena that is put together of blocks, each packed by itself; `pack` packs one. */
export class Assembly {
  private readonly starts: Float64Array;
  private readonly flatStarts: number[];

  constructor(
    private readonly content: Content,
    private readonly pack: Pack,
  ) {
    this.starts = new Float64Array(content.free.length);
    this.flatStarts = content.flat.map(() => 0);
  }

  /** Puts a block from an offset on; returns where it ends. */
  put(block: Block, at: number): number {
    const packed = packedOf(contentOf(this.content, block), this.pack);
    block.free.forEach((one, i) => {
      this.starts[one] = at + (packed.starts[i] as number);
    });
    block.flat.forEach((one, i) => {
      this.flatStarts[one] = at + (packed.flatStarts[i] as number);
    });
    return at + packed.end;
  }

  /** The arena, which ends there. */
  arena(end: number): Packed {
    return { end, starts: this.starts, flatStarts: this.flatStarts };
  }
}

/** A block as if it were alone, from byte 0 on, in a schedule of the ranks at which something of it begins or ends. */
function contentOf({ free, flat }: Content, block: Block): Content {
  const lifeOf = ({ bytes, start, end, wide, away, aside }: Life): Life => {
    const own = aside ? { bytes, aside } : { bytes };
    return wide && wide.lane < 0
      ? { ...own, start: wide.from, end: wide.until, away: wide.away }
      : { ...own, start, end, away };
  };
  const lives = block.free.map((one) => lifeOf(free[one] as Life));
  const buffers = block.flat.map((one): FlatBuffer => {
    const buffer = flat[one] as FlatBuffer;
    return {
      ...buffer,
      parts: buffer.parts.map(({ storage, offsetBytes }) => ({ storage: lifeOf(storage), offsetBytes })),
    };
  });
  const parts = buffers.flatMap((buffer) => buffer.parts.map(({ storage }) => storage));
  // before and after what is away
  const turns = ({ start, end, away }: Life): number[] =>
    away ? [start, away.from - 1, away.until + 1, end] : [start, end];
  const ranks = new Int32Array([...new Set([...lives, ...parts].flatMap(turns))]).sort();
  const number = new Map([...ranks].map((rank, i) => [rank, i]));
  const dense = ({ bytes, start, end, away, aside }: Life): Life => ({
    bytes,
    ...(aside && { aside }),
    start: number.get(start) as number,
    end: number.get(end) as number,
    ...(away && {
      away: { from: (number.get(away.from - 1) as number) + 1, until: (number.get(away.until + 1) as number) - 1 },
    }),
  });
  return {
    free: lives.map(dense),
    flat: buffers.map((buffer) => ({
      ...buffer,
      parts: buffer.parts.map(({ storage, offsetBytes }) => ({ storage: dense(storage), offsetBytes })),
    })),
    base: 0,
    count: ranks.length,
  };
}
