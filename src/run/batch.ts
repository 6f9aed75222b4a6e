import { formatCommand } from "../format.js";
import { type Graph, tensorOf } from "../graph/graph.js";
import type { ModelInfo } from "./run.js";

/** What a batch is called where several dimensions could be it. */
const batchNames = /^(batch|batch[_-]?size|n|b|bs)$/i;

/** The dimension that is the batch: the only one, or the only one that is called so; undefined where that is not clear. */
export function batchOf({ dims }: Pick<ModelInfo, "dims">): string | undefined {
  const names = Object.keys(dims);
  const [first, ...others] = names.length === 1 ? names : names.filter((name) => batchNames.test(name));
  return others.length === 0 ? first : undefined;
}

/** The dimension that is the batch, or the named one. Throws one line where there is none, or that is not clear. */
export function batchDim(model: Pick<ModelInfo, "dims" | "file">, named: string | undefined): string {
  const { dims, file } = model;
  const names = Object.keys(dims);
  if (named !== undefined) {
    if (!names.includes(named))
      throw new Error(`no such dimension: ${named} (${file} has ${names.join(", ") || "none"})`);
    return named;
  }
  const found = batchOf(model);
  if (found !== undefined) return found;
  if (names.length === 0)
    throw new Error(`no dimension to fit: ${file} has no symbolic one (export it with a symbolic batch)`);
  throw new Error(
    `which dimension is the batch? ${names.join(", ")} (${formatCommand(["--fit", `${names[0]}=24GiB`])})`,
  );
}

/** The size that all inputs of a step have first; undefined where they differ. */
export function commonBatch(graph: Graph): number | undefined {
  const sizes = new Set(graph.inputs.map((name) => tensorOf(graph, name).shape[0]));
  return sizes.size === 1 ? [...sizes][0] : undefined;
}
