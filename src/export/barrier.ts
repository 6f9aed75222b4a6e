import { Builder } from "../build/build.js";
import { type Attributes, type Graph, int, type Node, onnxNumbers, type TensorType } from "../graph/graph.js";
import { isRecomputed } from "../graph/names.js";
import { opOf } from "../ops/index.js";

/**
 * The step with barriers that keep what matters for its memory where the schedule has it, whatever order a runtime would
 * choose by itself. A recomputed block depends on forward tensors only, so it would run early and save nothing. The
 * update of a parameter could run as soon as its gradient is there, and the next state would fill the memory early.
 *
 * `s = Cast(Compress(after, [false]))` is an empty vector that depends on `after`, a tensor of the backward phase that
 * is made before the block; `x' = Unsqueeze(x, s)` is x itself, which cannot be read before `after` exists. Nothing of
 * it is constant, so optimizers neither fold it nor merge the copies with what they are copies of.
 *
 * With `hideShapes` the same on the step's inputs keeps ONNX Runtime from knowing shapes: where it knows them, it keeps the
 * buffer of a tensor that is not needed any more for a later one of that shape, over the gap that recomputing frees.
 */
export function holdBack(graph: Graph, hideShapes = false): Graph {
  const b = new Builder(graph, false);
  const put = (op: string, name: string, inputs: readonly string[], type: TensorType, attributes: Attributes = {}) => {
    const output = b.fresh(name);
    b.declare({ ...type, name: output, category: "temporary" });
    b.append({
      name: b.fresh(`${output}/${op}`),
      domain: "",
      op,
      inputs,
      outputs: [output],
      attributes,
      phase: "backward",
    });
    return output;
  };
  const empty: TensorType = { dtype: "int64", shape: [0] };
  const never = (): string => b.constant("bool", [1], 0);
  /** An empty vector that exists once all these tensors do. */
  const signalOf = (after: readonly string[], block: string): string => {
    const signals = after.map((name) => {
      const { dtype, shape } = b.type(name);
      const axis = { dtype, shape: [1] };
      const source = shape.length ? name : put("Unsqueeze", `${name}/vector`, [name, b.vector([0])], axis);
      const none = put("Compress", `${name}/none`, [source, never()], { dtype, shape: [0] });
      return put("Cast", `${name}/made`, [none], empty, { to: int(onnxNumbers.int64) });
    });
    return signals.length === 1
      ? (signals[0] as string)
      : put("Concat", `${block}/after`, signals, empty, { axis: int(0) });
  };

  const shapeless = new Map<string, string>();
  if (hideShapes)
    for (const name of graph.inputs) {
      const type = b.type(name);
      if (type.shape.length)
        shapeless.set(name, put("Unsqueeze", `${name}/held`, [name, signalOf([name], name)], type));
    }

  /** Nodes since the last block: a block runs when all of them have. */
  let since: Node[] = [];
  let block: Node[] = [];
  const flush = (): void => {
    if (block.length === 0) return;
    const read = new Set(since.flatMap((node) => node.inputs));
    const ends = since.filter((node) => node.outputs.every((name) => !read.has(name)));
    const after = ends.flatMap((node) => node.outputs.find((name) => name !== "") ?? []);
    const made = new Set(block.flatMap((node) => node.outputs).filter((name) => name !== ""));
    const signal = after.length ? signalOf(after, (block[0] as Node).name) : undefined;
    const held = new Map<string, string>();
    for (const node of block) {
      const { hostInputs } = opOf(node);
      const slot = node.inputs.findIndex((name, i) => name !== "" && !hostInputs.includes(i) && !isConstant(name));
      if (signal === undefined || slot < 0 || node.inputs.some((name) => made.has(name))) {
        b.append(node);
        continue;
      }
      const name = node.inputs[slot] as string;
      const own = held.get(name) ?? put("Unsqueeze", `${name}/held`, [name, signal], b.type(name));
      held.set(name, own);
      b.append({ ...node, inputs: node.inputs.map((input, i) => (i === slot ? own : input)) });
    }
    since = [];
    block = [];
  };

  // an update waits for all gradients. ONNX Runtime walks back from what waits, the last node in the file first: the
  // signals stand in the order opposite to the gradients', so that it meets the gradients as the schedule makes them
  const isUpdate = (node: Node): boolean => node.phase === "update";
  const madeBefore = graph.nodes.flatMap((node) => (isUpdate(node) ? [] : node.outputs));
  const readByUpdate = new Set(graph.nodes.filter(isUpdate).flatMap((node) => node.inputs));
  const awaited = madeBefore.filter((name) => name !== "" && readByUpdate.has(name)).reverse();
  const released = new Map<string, string>();
  let allMade: string | undefined;
  const release = (name: string): string => {
    if (!awaited.includes(name)) return name;
    allMade ??= signalOf(awaited, "update");
    const known = released.get(name) ?? put("Unsqueeze", `${name}/held`, [name, allMade], b.type(name));
    released.set(name, known);
    return known;
  };
  const isConstant = (name: string): boolean => b.type(name).category === "constant";
  for (const given of graph.nodes) {
    const node = { ...given, inputs: given.inputs.map((name) => shapeless.get(name) ?? name) };
    if (isRecomputed(node)) {
      block.push(node);
      continue;
    }
    flush();
    b.append(isUpdate(node) ? { ...node, inputs: node.inputs.map(release) } : node);
    if (node.phase !== "forward") since.push(node);
  }
  flush();
  return { ...graph, nodes: b.nodes, tensors: b.tensors };
}
