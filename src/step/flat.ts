import type { Builder } from "../build/build.js";
import { type DType, elementCount, type Graph, type Node, type Tensor, tensorBytes, tensorOf } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { gradientName, microName } from "../graph/names.js";

/** The flat buffers, and the nodes that add a micro-batch's gradients by the tensor that they wait for. */
export interface Trained {
  readonly flats: { readonly parameters: string; readonly gradients: string }[];
  readonly accumulations: Map<string, Node[]>;
}

/** Trained parameters by element type, those first whose size keeps the next one aligned to 64 bytes in a flat buffer. */
function byType(model: Graph, gradients: ReadonlyMap<string, string>): Map<DType, Tensor[]> {
  const groups = new Map<DType, Tensor[]>();
  for (const name of model.tensors.keys()) {
    if (!gradients.has(name)) continue;
    const tensor = tensorOf(model, name);
    addTo(groups, tensor.dtype, tensor);
  }
  const alignment = (t: Tensor): number => [64, 32, 16, 8, 4].find((n) => tensorBytes(t) % n === 0) ?? 2;
  return new Map(
    [...groups].map(([dtype, group]) => {
      const aligned = group.map((tensor) => ({ tensor, to: alignment(tensor) }));
      return [dtype, aligned.sort((a, z) => z.to - a.to).map(({ tensor }) => tensor)];
    }),
  );
}

/** Name of a parameter's gradient summed up to a micro-batch: the whole one after the last. */
const partialName = (parameter: string, micro: number, count: number): string =>
  micro === count ? gradientName(parameter) : microName(gradientName(parameter), micro);

/** Lays the first micro-batch's gradients into flat buffers; returns their names by parameter. */
export function flatten(
  b: Builder,
  model: Graph,
  gradients: ReadonlyMap<string, string>,
  trained: Trained,
  count: number,
): Map<string, string> {
  const names = new Map<string, string>();
  /** Names that gradients have now, by the names under which they were made. */
  const renamed = new Map<string, string>();
  for (const [dtype, parameters] of byType(model, gradients)) {
    const shape = [parameters.reduce((sum, t) => sum + elementCount(t.shape), 0)];
    const suffix = dtype === "float32" ? "" : `.${dtype}`;
    const flat = {
      parameters: b.declare({ name: b.fresh(`parameters${suffix}`), dtype, shape, category: "parameter" }),
      gradients: b.declare({ name: b.fresh(`gradients${suffix}`), dtype, shape, category: "gradient" }),
    };
    let offsetBytes = 0;
    for (const tensor of parameters) {
      b.redeclare({ ...tensor, within: { tensor: flat.parameters, offsetBytes } });
      const made = gradients.get(tensor.name) as string;
      const gradient = renamed.get(made) ?? made;
      const part = { tensor: flat.gradients, offsetBytes };
      // a gradient that another parameter has too (tied by a sum), or that no kernel writes, is copied into its place
      const own = b.placeWithin(gradient, part) ? gradient : b.op("Mul", [gradient, b.scalar(1, gradient)]);
      if (own !== gradient) b.placeWithin(own, part);
      b.redeclare({ ...b.type(own), category: "gradient", within: part });
      const name = b.fresh(partialName(tensor.name, 1, count));
      b.rename(own, name);
      if (own === gradient) renamed.set(made, name);
      names.set(tensor.name, name);
      offsetBytes += tensorBytes(tensor);
    }
    trained.flats.push(flat);
  }
  return names;
}

/** Adds a further micro-batch's gradients to the sums, where those lie; returns the new sums' names by parameter. */
export function accumulateGradients(
  b: Builder,
  sums: ReadonlyMap<string, string>,
  gradients: ReadonlyMap<string, string>,
  trained: Trained,
  micro: number,
  count: number,
): Map<string, string> {
  const names = new Map<string, string>();
  for (const [parameter, gradient] of gradients) {
    const before = sums.get(parameter) as string;
    const { within } = b.type(before);
    const name = b.fresh(partialName(parameter, micro, count));
    b.op("Add", [before, gradient], {}, { outputs: [name], category: "gradient" });
    b.redeclare({ ...b.type(name), ...(within ? { within } : {}) });
    if (b.producer(gradient)) addTo(trained.accumulations, gradient, b.nodes.at(-1) as Node);
    names.set(parameter, name);
  }
  return names;
}

/** The nodes with each accumulation right behind the node that makes what it adds, so that this can be freed. */
export function soon(nodes: readonly Node[], accumulations: ReadonlyMap<string, readonly Node[]>): readonly Node[] {
  if (accumulations.size === 0) return nodes;
  const moved = new Set([...accumulations.values()].flat().map((node) => node.name));
  return nodes.flatMap((node) => {
    if (moved.has(node.name)) return [];
    return [node, ...node.outputs.flatMap((name) => accumulations.get(name) ?? [])];
  });
}
