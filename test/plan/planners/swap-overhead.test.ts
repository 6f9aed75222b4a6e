import assert from "node:assert/strict";
import { test } from "node:test";
import { type Prompt, swapOverhead, type Timetable } from "../../../src/plan/planners/swap-overhead.js";

/** The order in which Figure 6 of μ-TWO ends: another model's forward nodes Z stand where they were put. */
const nodes = "dZ5 dW5 dZ4 dW4 dZ3 Z1 dW3 dZ2 Z2 Z3 dW2 dZ1 dW1".split(" ");
const rankOf = (name: string): number => nodes.indexOf(name);
const timetable: Timetable = {
  nodeMs: nodes.map(() => 1),
  recomputeMs: nodes.map(() => 0),
  firstBackward: 0,
  // dZ5 and dW5 are the peak interval
  peakEnd: 2,
};
const end: Prompt = { rank: nodes.length - 1, ms: 0 };
const swapMs = 2;

test("swapOverhead(…) goes through Figure 6, each prompt a node early as printed", () => {
  let last = end;
  const found = ["dW2", "dW3", "dW4", "dW5"].map((deadline) => {
    const found = swapOverhead({ swapMs }, rankOf(deadline), last, timetable);
    last = { rank: found.prompt, ms: swapMs };
    return [found.case, found.overheadMs, nodes[found.prompt]];
  });
  assert.deepEqual(found, [
    // hidden by Z3 and Z2; as printed the prompt is the node before
    ["2(b)", 0, "dZ2"],
    ["2(b)", 0, "dW4"],
    // dZ4 hides half of it, then the peak interval begins
    ["3", 1, "dW5"],
    // the figure has no copy in flight here, for there Z3's began at dZ4: 1(a), 2 ms
    ["1(b)", 4, "dW5"],
  ]);
});

test("swapOverhead(…) hides behind recomputation, waits for the copy in flight, keeps off the taken channel", () => {
  const recomputeMs = nodes.map((name) => (name === "dW3" ? 1.5 : 0));
  const again = { ...timetable, recomputeMs };
  // what is made again right before the deadline hides most of the copy
  assert.deepEqual(swapOverhead({ swapMs }, rankOf("dW3"), end, again), { overheadMs: 0, prompt: 4, case: "2(b)" });
  // a copy of 3 ms that began at dZ5 has 2 ms left at dW5
  const inFlight = { rank: 0, ms: 3 };
  assert.deepEqual(swapOverhead({ swapMs }, rankOf("dW5"), inFlight, timetable), {
    overheadMs: 4,
    prompt: 1,
    case: "1(b)",
  });
  // the channel is taken from Z1 on: the copy hides behind Z1 and dZ3, as printed
  assert.deepEqual(swapOverhead({ swapMs }, rankOf("dW1"), { rank: rankOf("Z1"), ms: 2 }, timetable), {
    overheadMs: 0,
    prompt: rankOf("dW4"),
    case: "2(b)",
  });
});
