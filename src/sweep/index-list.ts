/** Whole numbers as engines write them: `7`, `0-9,12`. Throws one line for what is no such list, or no point's index. */
export function parseIndexList(text: string, count: number): number[] {
  const indexes = new Set<number>();
  for (const part of text.split(",")) {
    const [, from, to = from] = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part) ?? [];
    if (from === undefined || Number(from) > Number(to))
      throw new Error(`not a list of indexes: ${text} (use 7, or 0-9,12)`);
    if (Number(to) >= count)
      throw new Error(`index out of range: ${to} (the manifest has ${count} points, 0 to ${count - 1})`);
    for (let index = Number(from); index <= Number(to); index++) indexes.add(index);
  }
  return [...indexes];
}

/** Such a list of indexes, in their order. */
export function formatIndexList(indexes: readonly number[]): string {
  const ranges: [from: number, to: number][] = [];
  for (const index of [...new Set(indexes)].sort((a, z) => a - z)) {
    const last = ranges.at(-1);
    if (last && last[1] === index - 1) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges.map(([from, to]) => (from === to ? String(from) : `${from}-${to}`)).join(",");
}
