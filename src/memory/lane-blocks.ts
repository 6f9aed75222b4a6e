import type { Content, FlatBuffer, Life, Packed } from "./pack-content.js";
import { aligned } from "./packing.js";

/** What one lane holds: which of the free storages and of the flat buffers, by their numbers. */
interface Block {
  readonly free: number[];
  readonly flat: number[];
}

/** Lanes of which all that several use is one. */
const shared = -1;

/** An arena with a block for each lane, one after the other, and one for what several lanes use; `pack` packs a block. */
export function inBlocks(content: Content, pack: (content: Content) => Packed): Packed {
  const { free, flat } = content;
  const starts = new Float64Array(free.length);
  const flatStarts: number[] = [];
  const known = new Map<string, Packed>();
  let end = content.base;
  for (const block of blocksOf(content).values()) {
    const alone = contentOf(content, block);
    const key = keyOf(alone);
    // models of one architecture are packed alike
    const packed = known.get(key) ?? pack(alone);
    known.set(key, packed);
    block.free.forEach((one, i) => {
      starts[one] = end + (packed.starts[i] as number);
    });
    block.flat.forEach((one, i) => {
      flatStarts[one] = end + (packed.flatStarts[i] as number);
    });
    end = aligned(end + packed.end);
  }
  return { end, starts, flatStarts: flat.map((_, i) => flatStarts[i] as number) };
}

function blocksOf({ free, flat }: Content): Map<number, Block> {
  const blocks = new Map<number, Block>();
  const blockOf = (life: Life | undefined): Block => {
    const lane = Math.max(shared, life?.wide?.lane ?? 0);
    const block = blocks.get(lane) ?? { free: [], flat: [] };
    blocks.set(lane, block);
    return block;
  };
  free.forEach((one, i) => void blockOf(one).free.push(i));
  // all parts of a buffer are used by one lane, or by several
  flat.forEach(({ parts }, i) => void blockOf(parts[0]?.storage).flat.push(i));
  return blocks;
}

/** A block as if it were alone, from byte 0 on, in a schedule of the ranks at which something of it begins or ends. */
function contentOf({ free, flat }: Content, block: Block): Content {
  const lifeOf = ({ bytes, start, end, wide }: Life): Life =>
    wide && wide.lane < 0 ? { bytes, start: wide.from, end: wide.until } : { bytes, start, end };
  const lives = block.free.map((one) => lifeOf(free[one] as Life));
  const buffers = block.flat.map((one): FlatBuffer => {
    const buffer = flat[one] as FlatBuffer;
    return {
      ...buffer,
      parts: buffer.parts.map(({ storage, offsetBytes }) => ({ storage: lifeOf(storage), offsetBytes })),
    };
  });
  const parts = buffers.flatMap((buffer) => buffer.parts.map(({ storage }) => storage));
  const ranks = new Int32Array([...new Set([...lives, ...parts].flatMap(({ start, end }) => [start, end]))]).sort();
  const number = new Map([...ranks].map((rank, i) => [rank, i]));
  const dense = ({ bytes, start, end }: Life): Life => ({
    bytes,
    start: number.get(start) as number,
    end: number.get(end) as number,
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

const keyOf = ({ free, flat }: Content): string =>
  JSON.stringify([free, flat.map(({ bytes, parts }) => [bytes, parts])]);
