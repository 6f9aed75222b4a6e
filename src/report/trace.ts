import { formatBytes } from "../format.js";
import { categories, type Node, type Phase } from "../graph/graph.js";
import { sourceText } from "../graph/origins.js";
import { timeline } from "../memory/liveness.js";
import { opOf } from "../ops/index.js";
import { moduleText } from "../run/modules.js";
import type { Run } from "../run/run.js";
import { swappedBy, type TimedStep } from "../run/timed-steps.js";

/** What a trace viewer shows of something. */
type Args = Readonly<Record<string, string | number>>;

/** An event of the Trace Event Format: a slice (X), a counter (C), an instant (i) or a name (M); times in µs. */
interface TraceEvent {
  readonly ph: "X" | "C" | "i" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
  readonly cat?: string;
  readonly ts: number;
  readonly dur?: number;
  readonly s?: "p";
  readonly args: Args;
}

/** The rows of a process. */
const threads = ["phases", "kernels", "copies to the host (simulated)", "copies back (simulated)"] as const;

const [phaseRow, kernelRow, outRow, inRow] = [0, 1, 2, 3];

/**
 * µs in parts of 1024: Perfetto cuts numbers off to whole nanoseconds, and slices whose begins and lengths are such
 * binary fractions do not overlap then.
 */
const micros = (ms: number): number => Math.round(ms * 1000 * 1024) / 1024;

/**
 * Steps of a run in the Trace Event Format, for ui.perfetto.dev and chrome://tracing: a process for each, with its
 * phases, kernels and copies as slices, live bytes by category as counters, and a mark at the peak. An event a line.
 */
export function traceJson(run: Run, steps: readonly TimedStep[]): string {
  const events = steps.flatMap((step, i) => stepEvents(step, i + 1));
  const { id, command, model, before } = run;
  const otherData = { run: id, command, model: model.file, device: before.device.name };
  const lines = events.map((event) => JSON.stringify(event)).join(",\n");
  return `{"traceEvents":[\n${lines}\n],\n"displayTimeUnit":"ms","otherData":${JSON.stringify(otherData)}}\n`;
}

function stepEvents(step: TimedStep, pid: number): TraceEvent[] {
  const used = step.copiesBeside ? threads : threads.slice(0, outRow);
  const named = (name: string, row: number, args: Args): TraceEvent => ({
    ph: "M",
    pid,
    tid: threadId(pid, row),
    name,
    ts: 0,
    args,
  });
  return [
    named("process_name", phaseRow, { name: `${step.name} step (${step.how})` }),
    named("process_sort_index", phaseRow, { sort_index: pid }),
    ...used.flatMap((name, row) => [
      named("thread_name", row, { name }),
      named("thread_sort_index", row, { sort_index: row }),
    ]),
    ...phaseEvents(step, pid),
    ...step.graph.nodes.flatMap((node, rank) => nodeEvents(step, pid, node, rank)),
    ...memoryEvents(step, pid),
  ];
}

/** Threads have numbers of their own in every process: Perfetto names them by number alone. */
const threadId = (pid: number, row: number): number => 10 * pid + row;

/** A slice from one time to another, ms; none where that is no time. */
function slice(
  pid: number,
  row: number,
  { beginMs, endMs }: { readonly beginMs: number; readonly endMs: number },
  what: Pick<TraceEvent, "name" | "cat" | "args">,
): TraceEvent[] {
  const ts = micros(beginMs);
  const dur = micros(endMs) - ts;
  return dur > 0 ? [{ ph: "X", pid, tid: threadId(pid, row), ts, dur, ...what }] : [];
}

/** A slice for each stretch of nodes of one phase. */
function phaseEvents({ graph, spans, totalMs }: TimedStep, pid: number): TraceEvent[] {
  const begins: { readonly phase: Phase; readonly beginMs: number }[] = [];
  graph.nodes.forEach((node, rank) => {
    // parts of swaps stand between the nodes of another phase
    if (opOf(node).swap || begins.at(-1)?.phase === node.phase) return;
    begins.push({ phase: node.phase, beginMs: begins.length ? (spans[rank]?.beginMs ?? 0) : 0 });
  });
  return begins.flatMap(({ phase, beginMs }, i) =>
    slice(
      pid,
      phaseRow,
      { beginMs, endMs: begins[i + 1]?.beginMs ?? totalMs },
      { name: phase, cat: "phase", args: {} },
    ),
  );
}

/** The slices of a node: of a kernel, of a copy beside the nodes, of what its beginning and its end cost them. */
function nodeEvents(step: TimedStep, pid: number, node: Node, rank: number): TraceEvent[] {
  const { swap } = opOf(node);
  const row = step.rows[rank];
  const span = step.spans[rank];
  if (!row || !span) return [];
  const reasons = step.reasons.get(node.name) ?? [];
  const why: Args = reasons.length ? { why: reasons.map((one) => one.why).join("; ") } : {};
  const head = { op: row.op, rank, phase: node.phase, ...placeArgs(step, node), live_bytes: row.liveBytes };
  const stream = { beginMs: step.reachedMs[rank] ?? 0, endMs: step.reachedMs[rank + 1] ?? step.totalMs };
  if (swap) {
    const [tensor, isOut] = [swappedBy(node), swap === "out" || swap === "outWait"];
    const what = isOut ? `${tensor} to the host` : `${tensor} back`;
    if (swap === "outWait" || swap === "inWait") {
      const name = `wait: ${what}${step.measuresWaits ? "" : " (simulated)"}`;
      return slice(pid, kernelRow, stream, { name, cat: "wait", args: { ...head, ...waitArgs(step, rank), ...why } });
    }
    const args = { ...head, bytes: row.inputBytes || row.outputBytes, ...why };
    if (!step.copiesBeside) return slice(pid, kernelRow, stream, { name: what, cat: "swap", args });
    return [
      ...slice(pid, kernelRow, stream, { name: `begin: ${what}`, cat: "wait", args }),
      ...slice(pid, isOut ? outRow : inRow, span, { name: what, cat: "swap", args }),
    ];
  }
  const isAgain = reasons.some(({ action }) => action === "recompute");
  const args = {
    ...head,
    input_bytes: row.inputBytes,
    output_bytes: row.outputBytes,
    flops: row.flops,
    ...(row.workspaceBytes === null ? {} : { workspace_bytes: row.workspaceBytes }),
    ...(isAgain ? { makes_again: reasons.map(({ activation }) => activation).join(", ") } : {}),
    ...(row.toDelete.length ? { freed_to_be_made_again: row.toDelete.join(", ") } : {}),
    ...(row.toOffload.length ? { leaves_for_the_host: row.toOffload.join(", ") } : {}),
    ...why,
  };
  return slice(pid, kernelRow, stream, { name: node.name, cat: isAgain ? "recompute" : node.phase, args });
}

/** Where a node comes from in the user's own code, where that is known. */
function placeArgs({ modules }: TimedStep, node: Node): Args {
  if (!modules.basis) return {};
  const { module, class: type, source } = modules.ofNode(node.name);
  return {
    module: moduleText(module),
    ...(type ? { class: type } : {}),
    ...(source ? { source: sourceText(source) } : {}),
    ...(source?.code ? { code: source.code } : {}),
  };
}

/** Of what a simulated wait consists: until the copy is complete, and what it has cost the kernels beside it. */
function waitArgs({ measuresWaits, waitedMs, spans }: TimedStep, rank: number): Args {
  const span = spans[rank];
  if (measuresWaits || !span) return {};
  const standing = micros(waitedMs.get(rank) ?? 0);
  return { standing_still_us: standing, slowdown_us: micros(span.endMs) - micros(span.beginMs) - standing };
}

/** Counters of live bytes where they change, and a mark at the peak. Of nodes at one time the one that needs most counts. */
function memoryEvents({ graph, reachedMs, rows }: TimedStep, pid: number): TraceEvent[] {
  const { byCategory, totalBytes, peakBytes, peakRank } = timeline(graph);
  const most = new Map<number, number>();
  reachedMs.forEach((ms, rank) => {
    const ts = micros(ms);
    const before = most.get(ts);
    if (before === undefined || (totalBytes[rank] as number) > (totalBytes[before] as number)) most.set(ts, rank);
  });
  const tid = threadId(pid, kernelRow);
  const shown = categories.filter((category) => byCategory[category].some((bytes) => bytes > 0));
  let last = "";
  const counters = [...most].flatMap(([ts, rank]): TraceEvent[] => {
    const args = Object.fromEntries(shown.map((category) => [category, byCategory[category][rank] as number]));
    const text = JSON.stringify(args);
    if (text === last) return [];
    last = text;
    const common = { ph: "C", pid, tid, ts } as const;
    return [
      { ...common, name: "live bytes", args },
      { ...common, name: "total", args: { "live bytes": totalBytes[rank] as number } },
    ];
  });
  const row = rows[peakRank];
  if (!row) return counters;
  const ts = micros(reachedMs[peakRank] ?? 0);
  const args = { live_bytes: peakBytes, node: row.name, rank: peakRank };
  return [...counters, { ph: "i", pid, tid, ts, s: "p", name: `peak: ${formatBytes(peakBytes)}`, args }];
}
