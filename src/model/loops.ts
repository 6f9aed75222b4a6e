import { NodeError } from "../graph/errors.js";
import type { DType } from "../graph/graph.js";
import { type Decided, type Expansion, type Knowledge, Writer } from "./expansion.js";
import { alwaysGoesOn, checkTripsInside } from "./made-nodes.js";
import type { ModelNode } from "./model.js";
import { type RepeatedBody, repeatedBody } from "./repeated-body.js";
import type { Instance } from "./subgraphs.js";

/** Most trips of one loop that are written out. */
const mostTrips = 4096;

const hint = "mutwo writes a loop out trip by trip: bind a smaller dimension (--dim), or export the model without it";

/** What keeps one from knowing how often a loop runs. */
const unknownHint =
  "how often it runs must follow from dimensions and constants: export what runs for one input, with loops of a fixed length";

/** A loop that is written out in part: its trips so far, the last of which may not run. */
interface Trips {
  readonly body: RepeatedBody;
  /** For each trip the condition behind it, what it hands on, and its scan outputs. */
  readonly made: readonly Trip[];
  /** How many of them are known to run. */
  readonly sure: number;
}

interface Trip {
  readonly condition: string;
  readonly carried: readonly string[];
  readonly scanned: readonly string[];
}

/** Where loops stand that stay in the model for another round, by the node. */
const unfinished = new WeakMap<ModelNode, Trips>();

const loopParts: Readonly<Partial<Record<DType, string>>> = { int64: "trip count", bool: "condition" };

function checkTrips(node: ModelNode, trips: number): void {
  if (trips <= mostTrips) return;
  // exporters of `while` give the largest int64
  const many = trips < 2 ** 53 ? `${trips} trips` : "trips without end";
  throw new NodeError(`${node.op} of ${many}: at most ${mostTrips} are written out`, node, { hint });
}

/** A trip count or a condition. Throws for another element type than ONNX has there, and where it is not known. */
const numberOf = (name: string, dtype: DType, known: Knowledge, node: ModelNode): number => {
  const given = known.type(name)?.dtype;
  if (given && given !== dtype)
    throw new NodeError(`${name} is ${given}, not ${dtype}: ${node.op} takes it for its ${loopParts[dtype]}`, node);
  const [value, ...more] = known.value(name) ?? [];
  if (value === undefined || more.length)
    throw new NodeError(`unsupported: control flow ${node.op}`, node, { hint: unknownHint });
  return value;
};

/** Nodes and constants of runs, and what is left for the outputs. */
const gathered = (parts: readonly Pick<Instance, "nodes" | "initializers" | "unreadable">[]) => ({
  nodes: parts.flatMap(({ nodes }) => nodes),
  initializers: new Map(parts.flatMap(({ initializers }) => [...initializers])),
  unreadable: new Map(parts.flatMap(({ unreadable }) => [...unreadable])),
});

const none: Pick<Instance, "nodes" | "initializers" | "unreadable"> = {
  nodes: [],
  initializers: new Map(),
  unreadable: new Map(),
};

/** The outputs of a loop that has ended: what the last trip handed on, and what all trips made, along new axes. */
function finished(
  node: ModelNode,
  writer: Writer,
  carried: readonly string[],
  scanned: readonly { axis: number; parts: readonly string[] }[],
): Map<string, Error> {
  const unreadable = new Map<string, Error>();
  node.outputs.forEach((name, i) => {
    const [last, list] = [carried[i], scanned[i - carried.length]];
    if (!name) return;
    if (last !== undefined) writer.identity(last, name);
    else if (list?.parts.length) writer.joined(list.parts, list.axis, true, name);
    else unreadable.set(name, new NodeError(`${node.op} makes no output ${i}: it runs for no trip`, node));
  });
  return unreadable;
}

/** Writes out more trips of a Loop, or ends it. */
function loop(node: ModelNode, known: Knowledge): Expansion {
  const graph = node.subgraphs?.body;
  const [limit = "", condition = "", ...initial] = node.inputs;
  const before = unfinished.get(node);
  const scope = before ? "" : known.freeScope(`${node.name}/`);
  const trips = before ?? { body: repeatedBody(node, scope), made: [], sure: 0 };
  const most = limit ? numberOf(limit, "int64", known, node) : Number.POSITIVE_INFINITY;
  const goesOn = graph !== undefined && alwaysGoesOn(graph);
  const starts = condition ? numberOf(condition, "bool", known, node) !== 0 : true;
  // the first trip behind which the condition does not hold is the last
  const ends = trips.made.findIndex(
    (trip, i) => i >= trips.sure && i + 1 < most && numberOf(trip.condition, "bool", known, node) === 0,
  );
  const total = !starts ? 0 : ends >= 0 ? ends + 1 : most;
  if (goesOn) {
    checkTrips(node, total);
    if (!before) checkTripsInside(node, total, known);
  }
  const writer = new Writer(known.model.opset, node, `${trips.body.scope}made/${trips.made.length}/`);
  const fresh = trips.made.length ? none : trips.body.once;
  if (trips.made.length >= total) {
    const run = trips.made.slice(0, Math.max(0, total));
    const outputs = run[0]?.scanned.map((_, i) => ({ axis: 0, parts: run.map(({ scanned }) => scanned[i] as string) }));
    const unreadable = finished(node, writer, run.at(-1)?.carried ?? initial, outputs ?? []);
    return gathered([fresh, { nodes: writer.nodes, initializers: writer.initializers, unreadable }]);
  }
  const guess = goesOn ? total : known.mayGuess ? Math.max(4, trips.made.length) : 1;
  checkTrips(node, trips.made.length + 1);
  const count = Math.min(guess, total - trips.made.length, mostTrips - trips.made.length);
  const made = [...trips.made];
  const runs: Instance[] = [];
  for (let i = 0; i < count; i++) {
    const last = made.at(-1);
    const held = last?.condition || condition || writer.constant([1], "bool");
    const inputs = [writer.constant(made.length), held, ...(last?.carried ?? initial)];
    const run = trips.body.run(made.length, inputs);
    runs.push(run);
    const [next = "", ...rest] = run.outputs;
    made.push({ condition: next, carried: rest.slice(0, initial.length), scanned: rest.slice(initial.length) });
  }
  const rest: ModelNode = { ...node };
  unfinished.set(rest, { body: trips.body, made, sure: goesOn ? made.length : trips.made.length });
  const parts = [fresh, { ...none, nodes: writer.nodes, initializers: writer.initializers }, ...runs];
  return { ...gathered([...parts, { ...none, nodes: [rest] }]), isGuess: !goesOn && count > 1 };
}

/** What a Loop must know next: how often it may run, and the conditions behind the trips that are written out. */
function loopNeeds(node: ModelNode): readonly string[] {
  const { made, sure } = unfinished.get(node) ?? { made: [], sure: 0 };
  return [...node.inputs.slice(0, 2), ...made.slice(sure).map(({ condition }) => condition)].filter(Boolean);
}

const intsOf = (node: ModelNode, name: string): readonly number[] => {
  const attribute = node.attributes[name];
  return attribute?.type === "ints" ? attribute.value : [];
};

const scanCount = (node: ModelNode): number => {
  const attribute = node.attributes.num_scan_inputs;
  return attribute?.type === "int" ? attribute.value : 0;
};

/** Writes a Scan out: one trip for each place along the axes that it scans. */
function scan(node: ModelNode, known: Knowledge): Expansion {
  if (known.model.opset < 9)
    throw new NodeError("unsupported: control flow Scan of opset 8", node, { hint: "export it at opset 9 or later" });
  const states = node.inputs.length - scanCount(node);
  const initial = node.inputs.slice(0, states);
  const [inAxes, inWays] = [intsOf(node, "scan_input_axes"), intsOf(node, "scan_input_directions")];
  const [outAxes, outWays] = [intsOf(node, "scan_output_axes"), intsOf(node, "scan_output_directions")];
  const scope = known.freeScope(`${node.name}/`);
  const body = repeatedBody(node, scope);
  const writer = new Writer(known.model.opset, node, `${scope}made/`);
  const lengths = node.inputs.slice(states).map((name, i) => known.type(name)?.shape.at(inAxes[i] ?? 0));
  const [length] = lengths;
  if (length === undefined || lengths.some((other) => other !== length))
    throw new NodeError(`shape mismatch: scanned axes of [${lengths.map((n) => n ?? "?")}] elements`, node);
  checkTrips(node, length);
  checkTripsInside(node, length, known);
  const pieces = node.inputs.slice(states).map((name, i) => {
    const parts = writer.pieces(name, inAxes[i] ?? 0, new Array<number>(length).fill(1), false);
    return inWays[i] ? parts.reverse() : parts;
  });
  let carried: readonly string[] = initial;
  const scanned: string[][] = [];
  const runs = Array.from({ length }, (_, i) => {
    const run = body.run(i, [...carried, ...pieces.map((parts) => parts[i] as string)]);
    carried = run.outputs.slice(0, states);
    run.outputs.slice(states).forEach((name, k) => {
      scanned[k] = [...(scanned[k] ?? []), name];
    });
    return run;
  });
  const outputs = scanned.map((parts, k) => ({ axis: outAxes[k] ?? 0, parts: outWays[k] ? parts.reverse() : parts }));
  const unreadable = finished(node, writer, carried, outputs);
  return gathered([body.once, ...runs, { nodes: writer.nodes, initializers: writer.initializers, unreadable }]);
}

/** Loops, each written out trip by trip. */
export const loopOps: Readonly<Record<string, Decided>> = {
  Loop: { needs: loopNeeds, expand: loop },
  Scan: { needs: (node) => node.inputs.slice(node.inputs.length - scanCount(node)), expand: scan },
};
