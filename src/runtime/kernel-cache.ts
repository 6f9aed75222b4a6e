import { type Graph, type Node, tensorOf } from "../graph/graph.js";
import { opOf } from "../ops/index.js";
import { kernelKey, type OpRequest, requestOf } from "./kernel-key.js";
import type { Kernels } from "./ort.js";
import type { Pointer } from "./ort-api.js";

type OpMaker = Pick<Kernels, "createOp" | "releaseOp">;

/** Whether a session has a kernel for a node; each kernel is looked up once. */
export function kernelFinder(kernels: OpMaker): (node: Node, graph: Pick<Graph, "tensors">) => boolean {
  const known = new Map<string, boolean>();
  return (node, graph) => {
    const request = requestOf(node, graph);
    const key = kernelKey(request);
    const found = known.get(key) ?? exists(kernels, request);
    known.set(key, found);
    return found;
  };
}

function exists(kernels: OpMaker, request: OpRequest): boolean {
  try {
    kernels.releaseOp(kernels.createOp(request));
    return true;
  } catch {
    return false;
  }
}

/** A step's operators: nodes whose kernels are alike share one. */
export class Operators {
  private readonly made = new Map<string, Pointer>();

  /** `knowShapes`: kernels keep state that depends on shapes, so nodes share one only if their shapes are equal. */
  constructor(
    private readonly graph: Graph,
    private readonly kernels: OpMaker,
    private readonly knowShapes: boolean,
  ) {}

  /** The operator of the node at `index`, which asks for it by `request`. Throws `no kernel: …` with the node's name. */
  of(index: number, request: OpRequest): Pointer {
    const node = this.graph.nodes[index] as Node;
    const shapes = this.knowShapes ? [...node.inputs, "", ...node.outputs].map(this.shape).join(";") : "";
    // stateful kernels (packed weights, random generators) must not be shared between nodes
    const key = `${kernelKey(request)}${shapes}${opOf(node).random ? `#${index}` : ""}`;
    const op = this.made.get(key) ?? this.kernels.createOp(request);
    this.made.set(key, op);
    return op;
  }

  /** The operator of a node that draws random numbers made anew: it draws as if it had never been called. */
  renewed(index: number, request: OpRequest): Pointer {
    const key = `#${index}`;
    const [known] = [...this.made.keys()].filter((one) => one.endsWith(key));
    const op = this.kernels.createOp(request);
    if (known !== undefined) this.kernels.releaseOp(this.made.get(known) as Pointer);
    this.made.set(known ?? key, op);
    return op;
  }

  release(): void {
    for (const op of this.made.values()) this.kernels.releaseOp(op);
    this.made.clear();
  }

  private readonly shape = (name: string): string => (name ? tensorOf(this.graph, name).shape.join() : "-");
}
