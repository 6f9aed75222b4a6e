import type { ProtoAttribute, ProtoFunction, ProtoGraph, ProtoNode } from "./onnx-proto.js";

/** The default domain has two names; here it is "". */
export const domainOf = (domain: string | undefined): string => (!domain || domain === "ai.onnx" ? "" : domain);

/** More nodes than any model has: functions that call functions can otherwise grow without bound. */
const maxNodes = 200_000;

/**
 * Nodes with the calls of model-local functions replaced by the functions' nodes, named `<call>/<node>`: those that the
 * outputs depend on (default: all); the others stay, and are left out later. A call of a function that calls itself, or
 * that makes too many nodes, is left out, and the reason is kept for what it makes: how many is known before.
 */
export function inlined(
  nodes: readonly ProtoNode[],
  functions: readonly ProtoFunction[],
  unreadable: Map<string, Error>,
  outputs?: readonly string[],
): readonly ProtoNode[] {
  if (functions.length === 0) return nodes;
  const bodies = new Map(functions.map((f) => [keyOf(f.domain, f.name), f]));
  const bodyOf = ({ domain, opType }: ProtoNode): ProtoFunction | undefined => bodies.get(keyOf(domain, opType ?? ""));
  const sizeOf = sizes(bodyOf);
  const needed = outputs && neededNodes(nodes, outputs);
  const made: ProtoNode[] = [];
  // functions may call functions to any depth
  const visit = (call: ProtoNode, at: number): void => {
    const open: [ProtoNode, number][] = [[call, at]];
    for (let next = open.pop(); next; next = open.pop()) {
      const [node, index] = next;
      const body = bodyOf(node);
      if (!body) made.push(node);
      else
        for (const inner of bound(body, node, `${node.name || `${node.opType}_${index}`}/`)
          .map(numbered)
          .reverse())
          open.push(inner);
    }
  };
  let visited = nodes.length;
  nodes.forEach((node, index) => {
    const body = needed && !needed.has(node) ? undefined : bodyOf(node);
    if (!body) {
      made.push(node);
      return;
    }
    const size = sizeOf(body);
    if (typeof size === "number" && visited + size <= maxNodes) {
      visited += size;
      visit(node, index);
      return;
    }
    const why =
      typeof size === "number"
        ? `functions make more than ${maxNodes} nodes: ${node.opType}`
        : `function calls itself: ${size.callsItself} (node ${node.name})`;
    for (const name of node.output ?? []) if (name) unreadable.set(name, new Error(why));
  });
  return made;
}

const numbered = (node: ProtoNode, index: number): [ProtoNode, number] => [node, index];

const keyOf = (domain: string | undefined, name: string): string => `${domainOf(domain)}:${name}`;

/** How many nodes a call of a function makes, calls included, or the name of a function in it that calls itself. */
type Size = number | { readonly callsItself: string };

/** Answers the size of functions; each is counted once, however often it is called. */
function sizes(bodyOf: (node: ProtoNode) => ProtoFunction | undefined): (body: ProtoFunction) => Size {
  const known = new Map<ProtoFunction, Size>();
  const called = ({ node = [] }: ProtoFunction): ProtoFunction[] => node.flatMap((one) => bodyOf(one) ?? []);
  return (wanted) => {
    const stack = [wanted];
    const open = new Set(stack);
    for (let body = stack.at(-1); body; body = stack.at(-1)) {
      const calls = called(body);
      const next = known.has(body) ? undefined : calls.find((one) => !known.has(one) && !open.has(one));
      if (next) {
        stack.push(next);
        open.add(next);
        continue;
      }
      if (!known.has(body))
        known.set(
          body,
          sum(
            body,
            calls.map((one) => known.get(one) ?? { callsItself: one.name }),
          ),
        );
      stack.pop();
      open.delete(body);
    }
    return known.get(wanted) as Size;
  };
}

function sum({ node = [] }: ProtoFunction, parts: readonly Size[]): Size {
  let total = node.length;
  for (const part of parts) {
    if (typeof part !== "number") return part;
    total += part;
  }
  return total;
}

/** The nodes that some tensors depend on; a graph that a node holds may read anything that its nodes name. */
function neededNodes(nodes: readonly ProtoNode[], outputs: readonly string[]): Set<ProtoNode> {
  const makers = new Map(nodes.flatMap((node) => (node.output ?? []).map((name): [string, ProtoNode] => [name, node])));
  const needed = new Set<ProtoNode>();
  const open = [...outputs];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const node = name ? makers.get(name) : undefined;
    if (!node || needed.has(node)) continue;
    needed.add(node);
    const inside = [node];
    for (let one = inside.pop(); one; one = inside.pop()) {
      for (const read of one.input ?? []) open.push(read);
      for (const { g } of one.attribute ?? []) {
        for (const inner of g?.node ?? []) inside.push(inner);
        for (const output of g?.output ?? []) open.push(output.name);
      }
    }
  }
  return needed;
}

/** A function's nodes with the call's tensors and attributes in place of the function's own. */
function bound(body: ProtoFunction, call: ProtoNode, scope: string): ProtoNode[] {
  const names = new Map<string, string>();
  for (const [i, name] of (body.input ?? []).entries()) names.set(name, call.input?.[i] ?? "");
  for (const [i, name] of (body.output ?? []).entries()) names.set(name, call.output?.[i] || `${scope}${name}`);
  const rename = (name: string): string => (name ? (names.get(name) ?? `${scope}${name}`) : "");
  const given = new Map([...(body.attributeProto ?? []), ...(call.attribute ?? [])].map((a) => [a.name, a]));
  return (body.node ?? []).map((node, i) => ({
    domain: node.domain ?? "",
    opType: node.opType ?? "",
    name: `${scope}${node.name || `${node.opType}_${i}`}`,
    input: (node.input ?? []).map(rename),
    output: (node.output ?? []).map(rename),
    docString: node.docString || call.docString,
    metadataProps: node.metadataProps?.length ? node.metadataProps : call.metadataProps,
    attribute: (node.attribute ?? []).flatMap((a) => boundAttribute(a, given, rename)),
  }));
}

/** An attribute in a function's body: the call's where it refers to one, its graphs with the call's names in place. */
function boundAttribute(
  a: ProtoAttribute,
  given: ReadonlyMap<string, ProtoAttribute>,
  rename: (name: string) => string,
): ProtoAttribute[] {
  if (a.refAttrName) {
    const value = given.get(a.refAttrName);
    return value ? [changed(value, { name: a.name })] : [];
  }
  return a.g ? [changed(a, { g: boundGraph(a.g, given, rename) })] : [a];
}

/** A graph in a function's body: what it reads from around it by the call's names, its own names as they are. */
function boundGraph(
  graph: ProtoGraph,
  given: ReadonlyMap<string, ProtoAttribute>,
  rename: (name: string) => string,
): ProtoGraph {
  const nodes = graph.node ?? [];
  const own = new Set([
    ...[...(graph.input ?? []), ...(graph.initializer ?? [])].map(({ name = "" }) => name),
    ...nodes.flatMap(({ output = [] }) => output),
  ]);
  const outer = (name: string): string => (own.has(name) ? name : rename(name));
  return changed(graph, {
    node: nodes.map((node) =>
      changed(node, {
        input: (node.input ?? []).map(outer),
        attribute: (node.attribute ?? []).flatMap((a) => boundAttribute(a, given, outer)),
      }),
    ),
    output: (graph.output ?? []).map((value) => changed(value, { name: outer(value.name) })),
  });
}

/** The same message with some fields changed; its other fields may be defaults that only the decoder's prototype has. */
const changed = <T extends object>(message: T, fields: Partial<T>): T =>
  Object.assign(Object.create(message) as T, fields);
