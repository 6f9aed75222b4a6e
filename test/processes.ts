import { readdirSync, readFileSync } from "node:fs";

/** Processes below one, by what the system says of their parents. */
export function descendants(pid: number): number[] {
  const parents = readdirSync("/proc").flatMap((name): [number, number][] => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      return [[Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1])]];
    } catch {
      return [];
    }
  });
  const below = (parent: number): number[] =>
    parents.flatMap(([child, of]) => (of === parent && child !== parent ? [child, ...below(child)] : []));
  return below(pid);
}

/** Whether a process runs; one that waits for its parent to look does not. */
export const isThere = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};
