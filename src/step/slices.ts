import { Builder } from "../build/build.js";
import { bytesPerElement, elementCount, type Graph, type Node, producers, type Tensor } from "../graph/graph.js";
import { nextName, sliceName } from "../graph/names.js";
import { opOf } from "../ops/index.js";

/** Into how many slices a buffer is cut at most: two temporaries of a slice are then an eighth of the buffer. */
const mostSlices = 16;

/** Fewest elements of a slice: for fewer, calling the kernels costs more time than computing. */
const leastElements = 2 ** 14;

/** First element of each slice of a buffer, in equal parts that begin at multiples of 16 elements, and its end. */
function cutsOf(count: number): number[] {
  const slices = Math.min(mostSlices, Math.floor(count / leastElements));
  const size = Math.ceil(count / Math.max(slices, 1) / 16) * 16;
  return [...Array.from({ length: Math.ceil(count / size) }, (_, i) => i * size), count];
}

/** The nodes of an update that compute each element of the flat buffers of `count` elements by itself. */
interface Members {
  readonly count: number;
  readonly nodes: ReadonlySet<Node>;
  /** Tensors that they make. */
  readonly made: ReadonlySet<string>;
}

/**
 * The training step with the update of its flat buffers done slice by slice: what the update computes on the way is then
 * never as large as all parameters. The same ops on the same elements give the same bits. For runtimes that do not fuse
 * the update into one kernel, which has nothing on the way.
 */
export function sliceUpdate(graph: Graph): Graph {
  const renewed = new Set(graph.state.map(({ before }) => before));
  const counts = new Set(
    [...graph.tensors.values()]
      .filter(({ name, shape }) => renewed.has(name) && shape.length === 1 && (shape[0] as number) >= 2 * leastElements)
      .map(({ shape }) => shape[0] as number),
  );
  return [...counts].reduce((step, count) => sliced(step, membersOf(step, count)), graph);
}

/** Without those whose result a node reads that is none of them: it must be there as a whole. */
function membersOf(graph: Graph, count: number): Members {
  const isFlat = (name: string): boolean => graph.tensors.get(name)?.shape.join() === String(count);
  const fits = (name: string): boolean =>
    isFlat(name) || (name !== "" && elementCount((graph.tensors.get(name) as Tensor).shape) === 1);
  const nodes = new Set(
    graph.nodes.filter(
      (node) =>
        node.phase === "update" &&
        opOf(node).pointwise &&
        node.outputs.length === 1 &&
        isFlat(node.outputs[0] as string) &&
        !graph.tensors.get(node.outputs[0] as string)?.within &&
        node.inputs.every(fits),
    ),
  );
  for (let before = -1; before !== nodes.size; ) {
    before = nodes.size;
    const whole = new Set(graph.nodes.flatMap((node) => (nodes.has(node) ? [] : node.inputs)));
    for (const name of graph.outputs) whole.add(name);
    for (const node of nodes) if (whole.has(node.outputs[0] as string)) nodes.delete(node);
  }
  return { count, nodes, made: new Set([...nodes].flatMap(({ outputs }) => outputs)) };
}

/** The graph with the members once for each slice, where the last of them stood. */
function sliced(graph: Graph, members: Members): Graph {
  if (members.nodes.size === 0) return graph;
  const b = new Builder(graph, false);
  const last = [...members.nodes].at(-1);
  const made = producers(graph);
  // a flat buffer whose parts are made by nodes is no resident
  const parted = new Set(
    [...graph.tensors.values()].flatMap(({ name, within }) => (made.has(name) ? within?.tensor : [])),
  );
  const isResident = (name: string): boolean =>
    !made.has(name) && !parted.has(name) && !(graph.tensors.get(name) as Tensor).within;
  const isRenewal = ({ before, after }: Graph["state"][number]): boolean =>
    members.made.has(after) && isResident(before);
  const renewals = graph.state.filter(isRenewal);
  const state = graph.state.filter((pair) => !isRenewal(pair));
  const cuts = cutsOf(members.count);
  cuts.slice(1).forEach((end, i) => {
    state.push(...appendSlice(b, members, renewals, isResident, { number: i + 1, begin: cuts[i] as number, end }));
  });
  const at = graph.nodes.indexOf(last as Node);
  const others = (nodes: readonly Node[]): Node[] => nodes.filter((node) => !members.nodes.has(node));
  for (const name of members.made) b.tensors.delete(name);
  return {
    ...graph,
    nodes: [...others(graph.nodes.slice(0, at)), ...b.nodes, ...others(graph.nodes.slice(at))],
    tensors: b.tensors,
    state,
  };
}

interface Slice {
  /** From 1. */
  readonly number: number;
  readonly begin: number;
  readonly end: number;
}

/** Appends the members for one slice of the buffers; returns the slice's state. */
function appendSlice(
  b: Builder,
  members: Members,
  renewals: Graph["state"],
  isResident: (name: string) => boolean,
  { number, begin, end }: Slice,
): Graph["state"] {
  const names = new Map<string, string>();
  b.phase = "update";
  b.category = "temporary";
  b.scope = sliceName("update", number);
  /** The slice of a tensor; a resident's lies where it is, of others it is a copy. */
  const sliceOf = (name: string): string => {
    const known = names.get(name);
    if (known || !name) return known ?? "";
    const tensor = b.type(name);
    if (tensor.shape.join() !== String(members.count)) return name;
    const slice = isResident(name)
      ? b.declare({
          name: b.fresh(sliceName(name, number)),
          dtype: tensor.dtype,
          shape: [end - begin],
          category: "temporary",
          within: { tensor: name, offsetBytes: begin * bytesPerElement(tensor.dtype) },
        })
      : b.op("Slice", [name, b.vector([begin]), b.vector([end]), b.vector([0])]);
    names.set(name, slice);
    return slice;
  };
  const next = new Map(renewals.map(({ before, after }) => [after, b.fresh(nextName(sliceName(before, number)))]));
  for (const { name, op, domain, inputs, outputs, attributes } of members.nodes) {
    const [whole = ""] = outputs;
    const { category } = b.type(whole);
    const output = next.get(whole) ?? b.fresh(sliceName(whole, number));
    const options = { name: sliceName(name, number), domain, outputs: [output], category };
    b.add(op, inputs.map(sliceOf), attributes, options);
    names.set(whole, output);
  }
  return renewals.map(({ before, after }) => ({ before: sliceOf(before), after: names.get(after) as string }));
}
