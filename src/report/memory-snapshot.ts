import { type Category, type Graph, type Node, producers, tensorOf } from "../graph/graph.js";
import { layout } from "../memory/layout.js";
import { type Storage, storages } from "../memory/storages.js";
import { moduleText } from "../run/modules.js";
import type { Run } from "../run/run.js";
import type { TimedStep } from "../run/timed-steps.js";
import { type Pickled, pickle, Tuple } from "./pickle.js";

/** A line of what PyTorch has Python's stack for; its viewers show `filename:line:name`. */
type Frame = { readonly filename: string; readonly line: number; readonly name: string };

/** What lies in a piece of the arena while it is of one category. */
interface Block {
  readonly offset: number;
  readonly bytes: number;
  readonly category: Category;
  /** The ranks between which it lives, both included; residents live from rank 0 on. */
  readonly first: number;
  readonly last: number;
  /** Tensors that hold it one after the other, each written over the one before. */
  readonly tensors: readonly string[];
}

/** Each step is a device of its own, whose arena begins here: offsets can be read off addresses. */
const arenaAddress = (device: number): number => (device + 1) * 2 ** 40;

/** The arena's stream, and that of all in it. */
const stream = 0;

/** What viewers call the category of what has none; they fail where there are categories and no event has this one. */
const noCategory = "unknown";

/**
 * Steps of a run as a snapshot of PyTorch's CUDA allocator (`torch.cuda.memory._dump_snapshot`), a pickle for
 * pytorch.org/memory_viz and `torch.cuda._memory_viz`: device 0 is the first step. Its one segment is the arena, with
 * what happens in it at the offsets of the layout; workspace of kernels is not in it. What lives when the step ends is
 * what the snapshot holds.
 */
export function memorySnapshot(run: Run, steps: readonly TimedStep[]): Uint8Array {
  const startUs = Date.parse(run.createdAt) * 1000 || 0;
  const devices = steps.map((step, device) => deviceOf(step, device, startUs));
  return pickle({
    segments: devices.map(({ segment }) => segment),
    device_traces: devices.map(({ trace }) => trace),
    allocator_settings: Object.fromEntries([
      ["mutwo run", run.id],
      ["model", run.model.file],
      ...steps.map(({ name, how }, device) => [`device ${device}`, `${name} step (${how})`]),
    ]),
    external_annotations: devices.flatMap(({ annotations }) => annotations),
  });
}

function deviceOf(step: TimedStep, device: number, startUs: number) {
  const { graph, reachedMs, totalMs } = step;
  const { arenaBytes, offsets } = layout(graph);
  const address = arenaAddress(device);
  const timeUs = (rank: number): number => startUs + Math.floor((reachedMs[rank] ?? totalMs) * 1000);
  const framesOf = frameMaker(step);
  const arenaFrames = [{ filename: `arena of the ${step.name} step`, line: 0, name: step.how }];
  const event = (action: string, rank: number, addr: number, size: number, frames: Pickled) => ({
    action,
    addr,
    size,
    stream,
    time_us: timeUs(rank),
    frames,
  });
  const trace: Pickled[] = [event("segment_alloc", 0, address, arenaBytes, arenaFrames)];
  const blocks = blocksOf(graph, offsets);
  const end = graph.nodes.length - 1;
  const [starting, ending] = [grouped(blocks, ({ first }) => first), grouped(blocks, ({ last }) => last)];
  const frames = new Map(blocks.map((block) => [block, framesOf(block)]));
  const live = new Set<Block>();
  const put = (action: string, rank: number, block: Block): void => {
    const { offset, bytes, category } = block;
    trace.push({ ...event(action, rank, address + offset, bytes, frames.get(block) as Pickled), category });
  };
  for (let rank = 0; rank <= end; rank++) {
    for (const block of starting.get(rank) ?? []) {
      put("alloc", rank, block);
      live.add(block);
    }
    if (rank < end)
      for (const block of ending.get(rank) ?? []) {
        for (const action of ["free_requested", "free_completed"]) put(action, rank + 1, block);
        live.delete(block);
      }
  }
  trace.push({ ...event("snapshot", end + 1, 0, 0, arenaFrames), category: noCategory });
  const held = [...live].sort((a, z) => a.offset - z.offset);
  const segment = segmentOf(held, frames, { device, address, total_size: arenaBytes, frames: arenaFrames });
  return { trace, segment, annotations: annotationsOf(graph, device, timeUs) };
}

function grouped(blocks: readonly Block[], rankOf: (block: Block) => number): ReadonlyMap<number, readonly Block[]> {
  const groups = new Map<number, Block[]>();
  for (const block of blocks) {
    const rank = rankOf(block);
    const known = groups.get(rank);
    if (known) known.push(block);
    else groups.set(rank, [block]);
  }
  return groups;
}

/** The arena when the step ends: what is live, and what is free between. */
function segmentOf(
  held: readonly Block[],
  frames: ReadonlyMap<Block, Pickled>,
  arena: { readonly device: number; readonly address: number; readonly total_size: number; readonly frames: Pickled },
): Pickled {
  const blocks: Pickled[] = [];
  let at = 0;
  const fill = (to: number): void => {
    const address = arena.address + at;
    if (to > at) blocks.push({ address, size: to - at, requested_size: 0, state: "inactive", frames: [] });
    at = Math.max(at, to);
  };
  for (const block of held) {
    fill(block.offset);
    const { bytes } = block;
    const address = arena.address + block.offset;
    blocks.push({
      address,
      size: bytes,
      requested_size: bytes,
      state: "active_allocated",
      frames: frames.get(block) as Pickled,
    });
    at += bytes;
  }
  fill(arena.total_size);
  const activeBytes = held.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    ...arena,
    allocated_size: activeBytes,
    active_size: activeBytes,
    requested_size: activeBytes,
    stream,
    segment_type: "large",
    segment_pool_id: new Tuple(0, 0),
    is_expandable: false,
    blocks,
  };
}

/** Every storage of the device, divided where its category changes. */
function blocksOf(graph: Graph, offsets: ReadonlyMap<string, number>): Block[] {
  return storages(graph)
    .all.filter(({ bytes }) => bytes > 0)
    .flatMap((storage) => blocksIn(graph, storage, offsets.get(storage.name) as number));
}

function blocksIn(graph: Graph, { bytes, end, tenants }: Storage, offset: number): Block[] {
  const runs: { category: Category; first: number; tensors: string[] }[] = [];
  for (const { tensor, from } of tenants) {
    const { category } = tensorOf(graph, tensor);
    const run = runs.at(-1);
    if (run?.category === category) run.tensors.push(tensor);
    else runs.push({ category, first: Math.max(0, from), tensors: [tensor] });
  }
  return runs
    .map((run, i) => ({ ...run, offset, bytes, last: (runs[i + 1]?.first ?? end + 1) - 1 }))
    .filter(({ first, last }) => first <= last);
}

/**
 * Makes the frames of blocks, innermost first as in PyTorch: each tensor and who makes it, then line of Python and module
 * of the first, phase and step.
 */
function frameMaker({ name: step, graph, reasons, modules }: TimedStep): (block: Block) => Frame[] {
  const made = producers(graph);
  const shared = new Map<string, Frame>();
  const frame = (filename: string, line: number, name: string): Frame => {
    const key = `${filename}:${line}:${name}`;
    const known = shared.get(key) ?? { filename, line, name };
    shared.set(key, known);
    return known;
  };
  const makerFrames = (node: Node, rank: number): Frame[] => [
    frame(node.name, rank, node.domain ? `${node.domain}.${node.op}` : node.op),
    ...(reasons.get(node.name) ?? []).map(({ action, why }) =>
      frame(action === "recompute" ? "made again" : "swapped", 0, why),
    ),
  ];
  const placeFrames = (tensor: string, node: Node | undefined): Frame[] => {
    if (!modules.basis) return [];
    const {
      module,
      class: type,
      source,
    } = node ? modules.ofNode(node.name) : { module: modules.ofTensor(tensor), class: null, source: null };
    return [
      ...(source ? [frame(source.file, source.line, source.code ?? "")] : []),
      frame(moduleText(module), 0, type ?? "module"),
    ];
  };
  return ({ tensors }) => {
    const holders = tensors.flatMap((tensor) => {
      const { dtype, shape, category } = tensorOf(graph, tensor);
      const rank = made.get(tensor);
      const own = frame(tensor, 0, `${dtype}[${shape}] ${category}`);
      return rank === undefined ? [own] : [own, ...makerFrames(graph.nodes[rank] as Node, rank)];
    });
    const first = tensors[0] as string;
    const maker = graph.nodes[made.get(first) ?? -1];
    const phase = maker ? `${maker.phase} phase` : "resident";
    return [...holders, ...placeFrames(first, maker), frame(phase, 0, `${step} step`)];
  };
}

/** When each stretch of nodes of one phase begins and ends. */
function annotationsOf(graph: Graph, device: number, timeUs: (rank: number) => number): Pickled[] {
  const { nodes } = graph;
  return nodes.flatMap(({ phase }, rank): Pickled[] => {
    const mark = (stage: string, at: number): Pickled => ({ stage, name: phase, device, time_us: timeUs(at) });
    const [begins, ends] = [nodes[rank - 1]?.phase !== phase, nodes[rank + 1]?.phase !== phase];
    return [...(begins ? [mark("START", rank)] : []), ...(ends ? [mark("END", rank + 1)] : [])];
  });
}
