import { Builder } from "../build/build.js";
import { type Attributes, type Graph, int, type Node, onnxNumbers, type TensorType } from "../graph/graph.js";
import { recomputedNodes } from "../graph/names.js";
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
  const barriers = new Barriers(b);
  const inputs = hideShapes ? graph.inputs.filter((name) => b.type(name).shape.length) : [];
  const shapeless = new Map(inputs.map((name) => [name, barriers.held(name, barriers.signalOf([name], name))]));
  const gradients = new HeldGradients(graph, barriers);
  /** Nodes since the last block: a block runs when all of them have. */
  let since: Node[] = [];
  let block: Node[] = [];
  const flush = (): void => {
    if (block.length === 0) return;
    appendHeld(b, barriers, block, since);
    since = [];
    block = [];
  };
  const recomputed = recomputedNodes(graph);
  for (const given of graph.nodes) {
    const node = { ...given, inputs: given.inputs.map((name) => shapeless.get(name) ?? name) };
    if (recomputed.has(given)) {
      block.push(node);
      continue;
    }
    flush();
    b.append(isUpdate(node) ? { ...node, inputs: node.inputs.map((name) => gradients.held(name)) } : node);
    if (node.phase !== "forward") since.push(node);
  }
  flush();
  return { ...graph, nodes: b.nodes, tensors: b.tensors };
}

const isUpdate = (node: Node): boolean => node.phase === "update";

/** Appends a recomputed block; what it reads from outside is held until the nodes of `since` have run. */
function appendHeld(b: Builder, barriers: Barriers, block: readonly Node[], since: readonly Node[]): void {
  const read = new Set(since.flatMap((node) => node.inputs));
  const ends = since.filter((node) => node.outputs.every((name) => !read.has(name)));
  const after = ends.flatMap((node) => node.outputs.find((name) => name !== "") ?? []);
  const signal = after.length ? barriers.signalOf(after, (block[0] as Node).name) : undefined;
  const made = new Set(block.flatMap((node) => node.outputs).filter((name) => name !== ""));
  const held = new Map<string, string>();
  for (const node of block) {
    const { hostInputs } = opOf(node);
    const isConstant = (name: string): boolean => b.type(name).category === "constant";
    const slot = node.inputs.findIndex((name, i) => name !== "" && !hostInputs.includes(i) && !isConstant(name));
    if (signal === undefined || slot < 0 || node.inputs.some((name) => made.has(name))) {
      b.append(node);
      continue;
    }
    const name = node.inputs[slot] as string;
    const own = held.get(name) ?? barriers.held(name, signal);
    held.set(name, own);
    b.append({ ...node, inputs: node.inputs.map((input, i) => (i === slot ? own : input)) });
  }
}

/**
 * What updates read of the phases before them, held until all of it is there: an update waits for all gradients.
 *
 * ONNX Runtime walks back from what waits, the last node in the file first: the signals stand in the order opposite to
 * the gradients', so that it meets the gradients as the schedule makes them.
 */
class HeldGradients {
  private readonly awaited: readonly string[];
  private readonly known = new Map<string, string>();
  private allMade: string | undefined;

  constructor(
    graph: Graph,
    private readonly barriers: Barriers,
  ) {
    const made = graph.nodes.flatMap((node) => (isUpdate(node) ? [] : node.outputs));
    const read = new Set(graph.nodes.filter(isUpdate).flatMap((node) => node.inputs));
    this.awaited = made.filter((name) => name !== "" && read.has(name)).reverse();
  }

  /** The tensor that an update reads in place of this one: itself, where it does not wait. */
  held(name: string): string {
    if (!this.awaited.includes(name)) return name;
    this.allMade ??= this.barriers.signalOf(this.awaited, "update");
    const held = this.known.get(name) ?? this.barriers.held(name, this.allMade);
    this.known.set(name, held);
    return held;
  }
}

const empty: TensorType = { dtype: "int64", shape: [0] };

/** Writes nodes by which one tensor waits for others. */
class Barriers {
  constructor(private readonly b: Builder) {}

  /** An empty vector that exists once all these tensors do. */
  signalOf(after: readonly string[], block: string): string {
    const signals = after.map((name) => {
      const { dtype, shape } = this.b.type(name);
      const axis = { dtype, shape: [1] };
      const vector = shape.length ? name : this.put("Unsqueeze", `${name}/vector`, [name, this.b.vector([0])], axis);
      const source = this.compressible(vector);
      const never = this.b.constant("bool", [1], 0);
      const none = this.put("Compress", `${name}/none`, [source, never], {
        dtype: this.b.type(source).dtype,
        shape: [0],
      });
      return this.put("Cast", `${name}/made`, [none], empty, { to: int(onnxNumbers.int64) });
    });
    const [only] = signals;
    return only !== undefined && signals.length === 1
      ? only
      : this.put("Concat", `${block}/after`, signals, empty, { axis: int(0) });
  }

  /** The tensor in an element type that Compress of opset 18 takes. */
  private compressible(name: string): string {
    const { dtype, shape } = this.b.type(name);
    if (dtype !== "bfloat16") return name;
    return this.put("Cast", `${name}/wide`, [name], { dtype: "float32", shape }, { to: int(onnxNumbers.float32) });
  }

  /** A tensor itself, under another name, that cannot be read before the signal exists. */
  held(name: string, signal: string): string {
    const { dtype, shape } = this.b.type(name);
    return this.put("Unsqueeze", `${name}/held`, [name, signal], { dtype, shape });
  }

  private put(op: string, wish: string, inputs: readonly string[], type: TensorType, attributes: Attributes = {}) {
    const { b } = this;
    const output = b.fresh(wish);
    b.declare({ ...type, name: output, category: "temporary" });
    const name = b.fresh(`${output}/${op}`);
    b.append({ name, domain: "", op, inputs, outputs: [output], attributes, phase: "backward" });
    return output;
  }
}
