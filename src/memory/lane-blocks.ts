import { Assembly, type Block } from "./assembly.js";
import type { Content, Life, Packed } from "./pack-content.js";
import { aligned } from "./packing.js";

/** Lanes of which all that several use is one. */
const shared = -1;

/** An arena with a block for each lane, one after the other, and one for what several lanes use; `pack` packs a block. */
export function inBlocks(content: Content, pack: (content: Content) => Packed): Packed {
  const assembly = new Assembly(content, pack);
  let end = content.base;
  for (const block of blocksOf(content).values()) end = aligned(assembly.put(block, end));
  return assembly.arena(end);
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
