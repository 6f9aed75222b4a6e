import type { Builder } from "../build/build.js";
import { type DType, elementCount, type Graph, type Node, type Tensor, tensorBytes, tensorOf } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { gradientName, microName } from "../graph/names.js";
import type { ModelRows } from "./coefficients.js";
import type { FlatParameters } from "./optimizer.js";

/** The flat buffers, and the nodes that add a micro-batch's gradients by the tensor that they wait for. */
export interface Trained {
  readonly flats: FlatParameters[];
  readonly accumulations: Map<string, Node[]>;
}

/** Fewest elements of a row of a flat buffer whose rows are told apart, where parameters of that size are there. */
const leastRow = 32;

/** Parameters of one flat buffer. */
interface Group {
  readonly dtype: DType;
  readonly parameters: readonly Tensor[];
}

/**
 * The groups with those of small or odd sizes (for one model) in groups of their own: rows that belong to one model each
 * have then `leastRow` elements or more in the others.
 */
const byRowLength = (groups: readonly Group[], models: number): readonly Group[] =>
  groups.flatMap(({ dtype, parameters }) => {
    const isEven = ({ shape }: Tensor): boolean => (elementCount(shape) / models) % leastRow === 0;
    const parts = [parameters.filter(isEven), parameters.filter((tensor) => !isEven(tensor))];
    return parts.flatMap((part) => (part.length ? [{ dtype, parameters: part }] : []));
  });

/** The longest row of which each parameter of each model has a whole number. */
const rowLength = (parameters: readonly Tensor[], models: number): number =>
  parameters.map(({ shape }) => elementCount(shape) / models).reduce(greatestCommonDivisor);

const greatestCommonDivisor = (a: number, z: number): number => (z === 0 ? a : greatestCommonDivisor(z, a % z));

/** Which model each row of that length belongs to: each parameter has the models' parts in turn. */
const modelsOfRows = (parameters: readonly Tensor[], models: number, length: number): number[] =>
  parameters.flatMap(({ shape }) => {
    const rows = elementCount(shape) / models / length;
    return Array.from({ length: models * rows }, (_, row) => Math.floor(row / rows));
  });

/** Trained parameters by element type, those first whose size keeps the next one aligned to 64 bytes in a flat buffer. */
function byType(model: Graph, gradients: ReadonlyMap<string, string>): readonly Group[] {
  const groups = new Map<DType, Tensor[]>();
  for (const name of model.tensors.keys()) {
    if (!gradients.has(name)) continue;
    const tensor = tensorOf(model, name);
    addTo(groups, tensor.dtype, tensor);
  }
  const alignment = (t: Tensor): number => [64, 32, 16, 8, 4].find((n) => tensorBytes(t) % n === 0) ?? 2;
  return [...groups].map(([dtype, group]) => {
    const aligned = group.map((tensor) => ({ tensor, to: alignment(tensor) }));
    return { dtype, parameters: aligned.sort((a, z) => z.to - a.to).map(({ tensor }) => tensor) };
  });
}

/** Into how many parts parameters are laid at most that are updated one after the other. */
const mostParts = 4;

/**
 * A group in parts, so that the parameters that are read last, whose gradients are there first, can be updated while the
 * other gradients are still computed.
 */
function inParts({ dtype, parameters }: Group, model: Graph, partsFrom: number): readonly Group[] {
  const bytes = parameters.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  if (bytes < partsFrom) return [{ dtype, parameters }];
  const firstRead = new Map<string, number>();
  model.nodes.forEach(({ inputs }, rank) => {
    for (const name of inputs) if (!firstRead.has(name)) firstRead.set(name, rank);
  });
  const rankOf = ({ name }: Tensor): number => firstRead.get(name) ?? 0;
  const parts: Tensor[][] = [[]];
  let held = 0;
  for (const tensor of [...parameters].sort((a, z) => rankOf(z) - rankOf(a))) {
    if (held >= bytes / mostParts) {
      parts.push([]);
      held = 0;
    }
    parts.at(-1)?.push(tensor);
    held += tensorBytes(tensor);
  }
  // in each of them the order in which alignment is kept
  const order = new Map(parameters.map((tensor, i) => [tensor, i]));
  const placed = (part: Tensor[]): Tensor[] => part.sort((a, z) => (order.get(a) as number) - (order.get(z) as number));
  return parts.map((part) => ({ dtype, parameters: placed(part) }));
}

/** Name of a parameter's gradient summed up to a micro-batch: the whole one after the last. */
const partialName = (parameter: string, micro: number, count: number): string =>
  micro === count ? gradientName(parameter) : microName(gradientName(parameter), micro);

/** Models whose updates differ: how many, and whether in a step one may be updated and another not. */
export type ApartUpdates = Pick<ModelRows, "models" | "isGuarded">;

/**
 * Lays the first micro-batch's gradients, of `count`, into flat buffers; returns their names by parameter. With `updates`
 * the buffers have rows that belong to one model each; from
 * `partsFrom` bytes of parameters on there are several (`inParts`).
 */
export function flatten(
  b: Builder,
  model: Graph,
  gradients: ReadonlyMap<string, string>,
  trained: Trained,
  {
    count,
    updates,
    partsFrom = Number.POSITIVE_INFINITY,
  }: { readonly count: number; readonly updates?: ApartUpdates | undefined; readonly partsFrom?: number | undefined },
): Map<string, string> {
  const names = new Map<string, string>();
  const { models, isGuarded = false } = updates ?? {};
  /** Names that gradients have now, by the names under which they were made. */
  const renamed = new Map<string, string>();
  const groups = byType(model, gradients);
  const apart = models ? byRowLength(groups, models) : groups;
  for (const group of apart) {
    let first: string | undefined;
    for (const part of inParts(group, model, partsFrom)) {
      const flat = flattenOne(part, first);
      first ??= flat.parameters;
      trained.flats.push(flat);
    }
  }
  return names;

  function flattenOne({ dtype, parameters }: Group, sharesWith: string | undefined): FlatParameters {
    const size = parameters.reduce((sum, t) => sum + elementCount(t.shape), 0);
    const length = models && rowLength(parameters, models);
    const shape = length ? [size / length, length] : [size];
    const suffix = dtype === "float32" ? "" : `.${dtype}`;
    const flat = {
      parameters: b.declare({ name: b.fresh(`parameters${suffix}`), dtype, shape, category: "parameter" }),
      gradients: b.declare({ name: b.fresh(`gradients${suffix}`), dtype, shape, category: "gradient" }),
      ...(models && length && { rows: { models, of: modelsOfRows(parameters, models, length), isGuarded } }),
      ...(sharesWith !== undefined && { sharesWith }),
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
    return flat;
  }
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
