import { parseGraph } from "../src/build/text.js";
import type { Graph, Node, Tensor } from "../src/graph/graph.js";

/** A step of two products; its nodes are named after what they make. */
const text = `graph step(float32[8,8] x, parameter float32[8,8] w) => (loss) {
  a = MatMul(x, w)
  b = Relu(a)
loss:
  loss = ReduceSum<keepdims=0>(b)
backward:
  db = Mul(b, loss)
  da = Mul(db, a)
update:
  w.next = Sub(w, da)
}`;

/** Two such steps as one graph, in turn, with the sum of their losses last. */
export function pairGraph(): Graph {
  const graph = parseGraph(text);
  const named = (member: string, name: string): string => `${member}/${name}`;
  const nodes = ["m0", "m1"].flatMap((member) =>
    graph.nodes.map(
      (node): Node => ({
        ...node,
        name: named(member, node.outputs[0] as string),
        inputs: node.inputs.map((name) => named(member, name)),
        outputs: node.outputs.map((name) => named(member, name)),
      }),
    ),
  );
  const tensors = new Map(
    ["m0", "m1"].flatMap((member) =>
      [...graph.tensors.values()].map((tensor): [string, Tensor] => {
        const name = named(member, tensor.name);
        return [name, { ...tensor, name }];
      }),
    ),
  );
  const loss = graph.tensors.get("loss") as Tensor;
  tensors.set("sum", { ...loss, name: "sum" });
  const sum: Node = {
    name: "sum",
    domain: "",
    op: "Add",
    inputs: ["m0/loss", "m1/loss"],
    outputs: ["sum"],
    attributes: {},
    phase: "loss",
  };
  return {
    ...graph,
    nodes: [...nodes, sum],
    tensors,
    inputs: ["m0/x", "m1/x"],
    outputs: ["m0/loss", "m1/loss", "sum"],
    state: ["m0", "m1"].map((member) => ({ before: named(member, "w"), after: named(member, "w.next") })),
    loss: "sum",
  };
}
