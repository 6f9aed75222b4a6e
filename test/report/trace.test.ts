import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "../../src/graph/graph.js";
import { timeline } from "../../src/memory/liveness.js";
import { opOf } from "../../src/ops/index.js";
import { traceJson } from "../../src/report/trace.js";
import { planRun } from "../../src/run/replan.js";
import type { Run } from "../../src/run/run.js";
import { samplesOf } from "../../src/run/samples.js";
import { type TimedStep, timedSteps } from "../../src/run/timed-steps.js";
import { goldenRun, withOrigins } from "../golden-run.js";

interface Event {
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur?: number;
  readonly name: string;
  readonly cat?: string;
  readonly s?: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** A run as if its planned step had been measured on a GPU: each part of a swap takes the nodes 3 µs. */
function measured(run: Run): Run {
  const rows = (timedSteps(run)[1] as TimedStep).rows;
  const nodes = rows.map((row) => (row.op.startsWith("mutwo.Swap") ? { ...row, time: samplesOf([0.003]) } : row));
  return { ...run, after: { ...run.before, backend: "cuda", nodes } };
}

const swapped = planRun(goldenRun("resnet-h100"), { planner: "swapAll" });

const runs: Readonly<Record<string, Run>> = {
  recomputed: goldenRun("resnet-h100"),
  swapped,
  "swapped, measured": measured(swapped),
  "swapped, measured on a CPU": measured({ ...swapped, before: { ...swapped.before, copies: null } }),
  "swapped, copies assumed": goldenRun("gpt2-h100"),
  "on a CPU": goldenRun("mlp-cpu"),
  unplanned: { ...goldenRun("mlp-cpu"), plan: null, after: null },
};

/** What the Trace Event Format demands of each kind of event besides ph, pid, tid, ts, name and args. */
const fields: Readonly<Record<string, readonly string[]>> = { X: ["cat", "dur"], C: [], i: ["s"], M: [] };

/** What Perfetto makes of a number of µs: whole ns, cut off. */
const nanos = (us: number): number => Math.trunc(us * 1000);

/** Checks all that the format says of single events. */
function checkEvent(event: Event): void {
  const told = JSON.stringify(event);
  const own = fields[event.ph];
  assert.ok(own, told);
  const keys = ["ph", "pid", "tid", "ts", "name", "args", ...own];
  assert.deepEqual(Object.keys(event).sort(), keys.sort(), told);
  // process 0 is the idle one
  for (const id of [event.pid, event.tid]) assert.ok(Number.isInteger(id) && id > 0, told);
  assert.ok(Number.isFinite(event.ts) && event.ts >= 0, told);
  assert.ok(event.name.length > 0, told);
  for (const value of Object.values(event.args))
    assert.ok(typeof value === "string" || Number.isFinite(value), `${told}: only strings and numbers are shown`);
  if (event.ph === "X") assert.ok((event.dur as number) > 0 && event.cat, told);
  if (event.ph === "i") assert.equal(event.s, "p");
  if (event.ph === "C") {
    const values = Object.values(event.args);
    assert.ok(values.length > 0 && values.every((value) => (value as number) >= 0), told);
  }
}

/** The events of a trace, each checked. */
function eventsOf(run: Run): Event[] {
  const trace = JSON.parse(traceJson(run, timedSteps(run))) as Record<string, unknown>;
  // readers that take the file as it comes skip what stands before
  assert.deepEqual(Object.keys(trace), ["traceEvents", "displayTimeUnit", "otherData"]);
  assert.equal(trace.displayTimeUnit, "ms");
  const events = trace.traceEvents as Event[];
  for (const event of events) checkEvent(event);
  return events;
}

const grouped = <T>(list: readonly T[], key: (one: T) => string): T[][] => {
  const groups = new Map<string, T[]>();
  for (const one of list) groups.set(key(one), [...(groups.get(key(one)) ?? []), one]);
  return [...groups.values()];
};

for (const [what, run] of Object.entries(runs)) {
  const events = eventsOf(run);
  const steps = timedSteps(run);

  test(`traceJson(run): ${what}: every process and thread has a name, threads one of their own`, () => {
    const named = (name: string): Event[] => events.filter((event) => event.ph === "M" && event.name === name);
    const processes = named("process_name");
    assert.deepEqual(
      processes.map(({ args }) => args.name),
      steps.map(({ name, how }) => `${name} step (${how})`),
    );
    const threads = named("thread_name");
    assert.equal(new Set(threads.map(({ tid }) => tid)).size, threads.length, "Perfetto finds threads by tid alone");
    for (const { ph, pid, tid } of events) {
      assert.ok(processes.some((one) => one.pid === pid));
      if (ph === "X") assert.ok(threads.some((one) => one.pid === pid && one.tid === tid));
    }
  });

  test(`traceJson(run): ${what}: slices of a thread come in order and do not overlap, in whole ns either`, () => {
    for (const slices of grouped(
      events.filter(({ ph }) => ph === "X"),
      ({ tid }) => `${tid}`,
    ))
      slices.slice(1).forEach((event, i) => {
        const before = slices[i] as Event;
        const [end, nanosEnd] = [before.ts + (before.dur ?? 0), nanos(before.ts) + nanos(before.dur ?? 0)];
        assert.ok(end <= event.ts && nanosEnd <= nanos(event.ts), `${before.name} and ${event.name}`);
      });
  });

  test(`traceJson(run): ${what}: counters come in order, with the same series each time, and reach the timeline's peak`, () => {
    for (const counters of grouped(
      events.filter(({ ph }) => ph === "C"),
      ({ pid, name }) => `${pid} ${name}`,
    )) {
      const series = Object.keys(counters[0]?.args ?? {}).join();
      counters.forEach(({ ts, args }, i) => {
        assert.ok(i === 0 || ts > (counters[i - 1] as Event).ts);
        assert.equal(Object.keys(args).join(), series);
      });
    }
    steps.forEach(({ graph }, i) => {
      const own = events.filter(({ pid }) => pid === i + 1);
      const sum = ({ args }: Event): number => Object.values(args as Record<string, number>).reduce((a, z) => a + z, 0);
      const of = (name: string): number[] => own.filter((one) => one.ph === "C" && one.name === name).map(sum);
      assert.deepEqual(of("live bytes"), of("total"), "categories add up to the total");
      const { peakBytes } = timeline(graph);
      assert.equal(Math.max(...of("total")), peakBytes);
      assert.deepEqual(
        own.filter(({ ph }) => ph === "i").map(({ args }) => args.live_bytes),
        [peakBytes],
      );
    });
  });

  test(`traceJson(run): ${what}: phases fill the step, kernels and waits its time`, () => {
    steps.forEach(({ totalMs }, i) => {
      const of = (row: number): Event[] => events.filter((one) => one.ph === "X" && one.tid === 10 * (i + 1) + row);
      const filled = (list: readonly Event[]): number => list.reduce((sum, { dur = 0 }) => sum + dur, 0) / 1000;
      for (const row of [0, 1]) assert.ok(Math.abs(filled(of(row)) - totalMs) < 1e-5, `row ${row}: ${filled(of(row))}`);
      assert.deepEqual([...new Set(of(0).map(({ name }) => name))], ["forward", "loss", "backward", "update"]);
    });
  });
}

/** The slices of the planned step, of one category. */
const slices = (run: Run, cat: string): Event[] => eventsOf(run).filter((one) => one.pid === 2 && one.cat === cat);

test("traceJson(run) marks what is made again, with the plan's reason", () => {
  const run = goldenRun("resnet-h100");
  const again = slices(run, "recompute");
  assert.ok(again.length > 0);
  const whys = run.plan?.decisions.map(({ why }) => why) ?? [];
  for (const { args } of again) assert.ok(whys.some((why) => `${args.why}`.includes(why)) && args.makes_again);
  const freed = eventsOf(run).flatMap(({ args }) => (args.freed_to_be_made_again ? [args.freed_to_be_made_again] : []));
  assert.equal(freed.join(", ").split(", ").length, run.plan?.decisions.length);
});

const names = (run: Run, cat: string): string[] =>
  slices(run, cat)
    .map(({ name }) => name)
    .sort();

const ways = (prefix: string, suffix: string): string[] =>
  (swapped.plan?.decisions ?? [])
    .flatMap(({ activation }) => ["to the host", "back"].map((way) => `${prefix}${activation} ${way}${suffix}`))
    .sort();

/** Names of the threads of the planned step. */
const threadsOf = (run: Run): unknown[] =>
  eventsOf(run).flatMap(({ pid, name, args }) => (pid === 2 && name === "thread_name" ? [args.name] : []));

const copyThreads = ["copies to the host (simulated)", "copies back (simulated)"];

test("traceJson(run) has both copies of a swap and both waits, called simulated", () => {
  assert.ok(ways("", "").length > 20);
  assert.deepEqual(names(swapped, "swap"), ways("", ""));
  assert.deepEqual(names(swapped, "wait"), ways("wait: ", " (simulated)"));
  for (const { args, dur } of slices(swapped, "wait"))
    assert.equal((args.standing_still_us as number) + (args.slowdown_us as number), dur);
  assert.deepEqual(threadsOf(swapped), ["phases", "kernels", ...copyThreads]);
});

test("traceJson(run) of an executed step has the measured waits, and copies simulated beside them", () => {
  const run = runs["swapped, measured"] as Run;
  assert.deepEqual(names(run, "wait"), [...ways("begin: ", ""), ...ways("wait: ", "")].sort());
  for (const { args, dur = 0 } of slices(run, "wait")) assert.ok(Math.abs(dur - 3) < 0.01 && !("slowdown_us" in args));
  assert.deepEqual(names(run, "swap"), ways("", ""));
  assert.deepEqual(threadsOf(run), ["phases", "kernels", ...copyThreads]);
});

test("traceJson(run) of a step executed on a CPU has copies among the nodes", () => {
  const run = runs["swapped, measured on a CPU"] as Run;
  assert.deepEqual(names(run, "swap"), ways("", ""));
  assert.deepEqual(threadsOf(run), ["phases", "kernels"]);
});

test("traceJson(run) says of which module and line of Python a node is, where that is known", () => {
  const base = goldenRun("mlp-cpu");
  const [node] = base.graph.nodes as [Node];
  const graph = withOrigins(base.graph, node.name);
  const [event] = eventsOf({ ...base, graph }).filter(({ name }) => name === node.name);
  const { module, class: type, source, code } = event?.args ?? {};
  assert.deepEqual([module, type, source, code], ["net.fc", "torch.nn.Linear", "net.py:7", "x = self.fc(x)"]);
});

test("traceJson(run) keeps names as they are, and leaves out what takes no time", () => {
  const base = goldenRun("mlp-cpu");
  const text = JSON.stringify(base);
  const hostile = '</script>\\"\\u0000ü';
  const run = JSON.parse(text.replaceAll("/mod/mod.1/Relu", hostile)) as Run;
  const named = eventsOf(run).filter(({ name }) => name.startsWith('</script>"\0ü'));
  assert.ok(named.length > 0);
  const [step] = timedSteps(base) as [TimedStep];
  const still = step.graph.nodes.filter((node) => opOf(node).view).map(({ name }) => name);
  const times = new Map(step.rows.map(({ name, time }) => [name, time.medianMs]));
  for (const name of still)
    if (times.get(name) === 0) assert.ok(!eventsOf(base).some((one) => one.name === name), name);
});
