import { NodeError } from "../graph/errors.js";
import { ops } from "../ops/index.js";
import type { ModelNode, Subgraph } from "./model.js";
import { type Instance, instanceOf, readsOf } from "./subgraphs.js";

/** A node's body that is written out several times. */
export interface RepeatedBody {
  /** What the names of its tensors start with: followed by `once/`, `run/`, and free for others. */
  readonly scope: string;
  /** What does not depend on the run, weights above all: written once. */
  readonly once: Instance;
  /** One run with its inputs under the names given; runs are told apart by their number. */
  run(index: number, inputs: readonly string[]): Instance;
}

/** Whether a node makes the same each time, given the same inputs, and does nothing else. */
const isPlain = ({ domain, op, subgraphs }: ModelNode): boolean => {
  const record = ops.get(domain ? `${domain}:${op}` : op);
  return !subgraphs && record !== undefined && !record.random && !record.state;
};

/** Names and nodes of a body that depend on none of its inputs. */
function invariant({ initializers, inputs, nodes }: Subgraph): { names: Set<string>; plain: Set<ModelNode> } {
  const names = new Set(initializers.keys());
  const varying = new Set([...inputs, ...nodes.flatMap(({ outputs }) => outputs)]);
  const plain = new Set<ModelNode>();
  for (const node of nodes) {
    if (!isPlain(node) || readsOf(node).some((name) => varying.has(name))) continue;
    plain.add(node);
    for (const name of node.outputs) {
      varying.delete(name);
      if (name) names.add(name);
    }
  }
  return { names, plain };
}

/** A run's node is called as in the body, with the run's number: modules are told by the scopes before. */
const runName = (node: ModelNode, { name }: ModelNode, index: number): string =>
  `${name.includes("/") ? "" : node.name.slice(0, node.name.lastIndexOf("/") + 1)}${name}.${index}`;

/** The body of a Loop, Scan or SequenceMap, for runs under a scope. Throws if the node has none. */
export function repeatedBody(node: ModelNode, scope: string): RepeatedBody {
  const body = node.subgraphs?.body;
  if (!body) throw new NodeError(`${node.op} lacks its body`, node);
  const { names, plain } = invariant(body);
  const shared: Subgraph = { ...body, inputs: [], outputs: [], nodes: body.nodes.filter((inner) => plain.has(inner)) };
  const fixed = [...names];
  const varying: Subgraph = {
    inputs: [...body.inputs, ...fixed],
    outputs: body.outputs,
    initializers: new Map(),
    nodes: body.nodes.filter((inner) => !plain.has(inner)),
    unreadable: body.unreadable,
  };
  const given = fixed.map((name) => `${scope}once/${name}`);
  return {
    scope,
    once: instanceOf(shared, `${scope}once/`),
    run: (index, inputs) => {
      const missing = body.inputs.length - inputs.length;
      if (missing !== 0)
        throw new NodeError(`shape mismatch: ${inputs.length} inputs for a body of ${body.inputs.length}`, node);
      const made = instanceOf(varying, `${scope}run/${index}/`, [...inputs, ...given]);
      return {
        ...made,
        nodes: made.nodes.map((inner, i) => ({ ...inner, name: runName(node, varying.nodes[i] as ModelNode, index) })),
      };
    },
  };
}
