import { originOf } from "../graph/origin-of.js";
import { type Origins, type Source, sourceOf } from "../graph/origins.js";
import { isOutside, moduleOfText } from "../run/modules.js";
import { type Cells, isText } from "./cells.js";

/** `modeling_gpt2.py:549`, as a node table has it. */
function readSource(text: string): Source | undefined {
  const [, file, line] = /^(.*):(\d+)$/s.exec(text) ?? [];
  return file ? sourceOf(file, Number(line)) : undefined;
}

/** Where nodes come from, by the module and source columns of their table; undefined of a table without modules. */
export function originsOfRows(rows: readonly Cells[]): Origins | undefined {
  const modules = new Map<string, number>();
  const sources = new Map<string, { index: number; source: Source }>();
  const nodes: [string, number, number?][] = [];
  const later: [string, string][] = [];
  for (const { node_name, phase, module, source } of rows) {
    if (!isText(module) || !module || isOutside(module)) continue;
    const path = moduleOfText(module);
    if (phase !== "forward") {
      later.push([String(node_name), path]);
      continue;
    }
    const index = modules.get(path) ?? modules.size;
    modules.set(path, index);
    const line = isText(source) ? readSource(source) : undefined;
    if (!line) nodes.push([String(node_name), index]);
    else {
      const known = sources.get(String(source)) ?? { index: sources.size, source: line };
      sources.set(String(source), known);
      nodes.push([String(node_name), index, known.index]);
    }
  }
  if (nodes.length === 0) return undefined;
  const origins: Origins = {
    basis: "tables",
    modules: [...modules.keys()].map((path) => ({ path })),
    sources: [...sources.values()].map(({ source }) => source),
    nodes,
  };
  // what its name does not tell: fused of parts of several modules
  const fused = later.filter(([name, path]) => originOf(origins, name)?.module !== path);
  return fused.length ? { ...origins, fused } : origins;
}
