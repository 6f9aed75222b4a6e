import { Builder } from "../build/build.js";
import { bytesPerElement, elementCount, type Graph, int, type Node, producers, type Tensor } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import { reshape } from "../ops/shapes.js";

/** One parameter's share of a flat tensor. */
interface Part {
  readonly tensor: string;
  /** Name of the parameter. */
  readonly parameter: string;
  /** Elements before it. */
  readonly offset: number;
  readonly shape: readonly number[];
}

const sameCuts = (a: readonly Part[], z: readonly Part[]): boolean =>
  a.length === z.length && a.every(({ offset }, i) => offset === z[i]?.offset);

/**
 * The training step without flat buffers: the update is written out for each parameter, and each has an optimizer state
 * of its own, `NAME.velocity` beside `NAME`. Element for element the same numbers.
 *
 * Where a node needs a whole buffer (the norm over all gradients, say) its parts are concatenated for it.
 */
export function separate(graph: Graph): Graph {
  const b = new Builder(graph, false);
  const made = producers(graph);
  const parts = new Map<string, readonly Part[]>();
  /** Where in a flat buffer each tensor lies that nodes have written so far. */
  const written = new Map<string, Map<number, Part>>();
  const joins = new Map<string, string>();
  const labels = new Map<string, string>();

  const partOf = (tensor: Tensor): Part => {
    const offset = (tensor.within?.offsetBytes ?? 0) / bytesPerElement(tensor.dtype);
    const parameter = labels.get(`${tensor.dtype} ${offset}`) ?? tensor.name;
    return { tensor: tensor.name, parameter, offset, shape: tensor.shape };
  };
  for (const tensor of graph.tensors.values())
    if (tensor.within && !made.has(tensor.name)) {
      const part = { ...partOf(tensor), parameter: tensor.name };
      labels.set(`${tensor.dtype} ${part.offset}`, tensor.name);
      const whole = [...(parts.get(tensor.within.tensor) ?? []), part];
      parts.set(
        tensor.within.tensor,
        whole.sort((a, z) => a.offset - z.offset),
      );
    }
  const flats = [...parts.keys()];

  const partsOf = (name: string): readonly Part[] | undefined => {
    const places = written.get(name);
    return parts.get(name) ?? (places && [...places.values()].sort((a, z) => a.offset - z.offset));
  };
  const note = (node: Node): void => {
    for (const name of node.outputs) {
      const tensor = graph.tensors.get(name);
      // a node that reads the whole buffer writes a whole one
      if (!tensor?.within || node.inputs.includes(tensor.within.tensor)) continue;
      const places = written.get(tensor.within.tensor) ?? new Map<number, Part>();
      const part = partOf(tensor);
      written.set(tensor.within.tensor, places.set(part.offset, part));
    }
  };
  /** The flat buffer of parameters that a flat tensor is named after. */
  const flatOf = (whole: string): string | undefined =>
    flats.filter((name) => whole.startsWith(`${name}.`)).sort((a, z) => z.length - a.length)[0];
  /** `parameters.velocity.next` of parameter `w` is `w.velocity.next`. */
  const partName = (whole: string, { parameter }: Part): string => {
    const flat = flatOf(whole);
    return b.fresh(flat ? parameter + whole.slice(flat.length) : `${whole}/${parameter}`);
  };
  /** Whether a tensor has parts like these, or can be given them: a resident of that size. */
  const cutLike = (name: string, like: readonly Part[]): boolean => {
    const own = partsOf(name);
    if (own) return sameCuts(own, like);
    const tensor = b.type(name);
    const count = like.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    if (made.has(name) || tensor.shape.length !== 1 || tensor.shape[0] !== count) return false;
    const size = bytesPerElement(tensor.dtype);
    const cut = like.map((part): Part => {
      const begin = part.offset * size;
      const data = tensor.data?.subarray(begin, begin + elementCount(part.shape) * size);
      const { dtype, category } = tensor;
      const own = { name: partName(name, part), dtype, category, shape: part.shape, ...(data ? { data } : {}) };
      return { ...part, tensor: b.declare(own) };
    });
    parts.set(name, cut);
    return true;
  };
  const join = (name: string, pieces: readonly Part[]): string => {
    const key = pieces.map(({ tensor }) => tensor).join("\0");
    const flat = (): string =>
      b.op(
        "Concat",
        pieces.map(({ tensor, shape }) => (shape.length === 1 ? tensor : reshape(b, tensor, [elementCount(shape)]))),
        { axis: int(0) },
        { name: `${name}/Concat` },
      );
    const joined = joins.get(key) ?? flat();
    joins.set(key, joined);
    return joined;
  };
  const cut = (name: string, like: readonly Part[]): readonly Part[] =>
    like.map((part): Part => {
      const end = part.offset + elementCount(part.shape);
      const bounds = [[part.offset], [end], [0]].map((list) => b.vector(list));
      const slice = b.op("Slice", [name, ...bounds]);
      const outputs = [partName(name, part)];
      const [tensor = ""] = b.add("Reshape", [slice, b.vector(part.shape)], {}, { outputs });
      return { ...part, tensor };
    });

  for (const { name, category } of graph.tensors.values())
    if (category === "optimizer state") cutLike(name, parts.get(flatOf(name) ?? "") ?? []);
  for (const node of graph.nodes) {
    b.phase = node.phase;
    b.scope = node.name;
    b.category = "temporary";
    const like = node.inputs.map(partsOf).find((pieces) => pieces !== undefined);
    const output = node.outputs[0] ?? "";
    const fits = (name: string, pieces: readonly Part[]): boolean =>
      name !== "" && (cutLike(name, pieces) || (!partsOf(name) && elementCount(b.type(name).shape) === 1));
    if (!like) {
      b.append(node);
      note(node);
    } else if (opOf(node).pointwise && node.inputs.every((name) => fits(name, like))) {
      const { category } = b.type(output);
      const pieces = like.map((part, i): Part => {
        const inputs = node.inputs.map((name) => partsOf(name)?.[i]?.tensor ?? name);
        const own = { name: `${node.name}/${part.parameter}`, outputs: [partName(output, part)] };
        const [tensor = ""] = b.add(node.op, inputs, node.attributes, { domain: node.domain, ...own, category });
        return { ...part, tensor };
      });
      parts.set(output, pieces);
    } else {
      const inputs = node.inputs.map((name) => {
        const pieces = partsOf(name);
        return pieces ? join(name, pieces) : name;
      });
      b.append({ ...node, inputs });
      note(node);
    }
  }
  b.phase = "update";
  b.scope = "update";
  const state = graph.state.flatMap(({ before, after }) => {
    const like = partsOf(before) ?? partsOf(after);
    if (!like) return [{ before, after }];
    if (!cutLike(before, like)) throw new Error(`state without parts: ${before}`);
    const next = partsOf(after) ?? cut(after, like);
    return (partsOf(before) as readonly Part[]).map((part, i) => ({
      before: part.tensor,
      after: (next[i] as Part).tensor,
    }));
  });
  const tensors = new Map([...b.tensors].map(([name, { within: _, ...tensor }]): [string, Tensor] => [name, tensor]));
  return { ...graph, nodes: b.nodes, tensors, state };
}
