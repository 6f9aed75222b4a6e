import assert from "node:assert/strict";
import { test } from "node:test";
import { bestOf, type Candidate, Lineage } from "../../../src/plan/planners/lineage.js";

/** A chain A1, A2, … where each is recomputed from the one before; needed back in the opposite order. */
const chain = (recomputeMs: readonly number[], bytes: readonly number[]): Map<string, Candidate> =>
  new Map(
    recomputeMs.map((ms, i): [string, Candidate] => [
      `A${i + 1}`,
      {
        row: {
          name: `A${i + 1}`,
          memoryBytes: bytes[i] as number,
          createdRank: 2 * i + 1,
          firstBackwardAccess: 100 - 3 * i,
          lastBackwardAccess: 101 - 3 * i,
        },
        sources: new Set(i ? [`A${i}`] : []),
        recomputeMs: ms,
        totalMs: ms,
        ratio: (bytes[i] as number) / ms,
      },
    ]),
  );

/** Takes the best ratio so many times; tells the order, and what each one left costs then. */
function picks(variant: "printed" | "mended", remaining: Map<string, Candidate>, steps: number) {
  const lineage = new Lineage(remaining, variant);
  const order: string[] = [];
  for (let i = 0; i < steps; i++) {
    const best = bestOf(remaining.values()) as Candidate;
    lineage.recompute(best);
    order.push(best.row.name);
  }
  return { order, totalMs: (name: string) => remaining.get(name)?.totalMs };
}

test("Lineage reproduces the golden vectors of μ-TWO's Algorithms E and F, printed and mended", () => {
  const pick = (variant: "printed" | "mended", steps: number) =>
    picks(variant, chain([5, 4, 3, 2], [8, 8, 8, 8]), steps);
  assert.deepEqual(pick("printed", 4).order, ["A4", "A3", "A1", "A2"]);
  assert.equal(pick("printed", 1).totalMs("A3"), 3);
  assert.equal(pick("mended", 1).totalMs("A3"), 6);
  assert.equal(pick("printed", 2).totalMs("A2"), 8);
  // mended, the second pick is another one
  const remaining = chain([5, 4, 3, 2], [8, 8, 8, 8]);
  const lineage = new Lineage(remaining, "mended");
  for (const name of ["A4", "A3"]) lineage.recompute(remaining.get(name) as Candidate);
  assert.equal(remaining.get("A2")?.totalMs, 12);
  assert.equal(pick("printed", 3).totalMs("A2"), 27);
});

test("Lineage, second vector: the tie at the first pick goes to the one made first", () => {
  // products of 3, 2, 2, 1 ms and a relu of 1 ms each
  const pick = (variant: "printed" | "mended", steps: number) =>
    picks(variant, chain([4, 3, 3, 2], [8, 6, 4, 2]), steps);
  assert.deepEqual(pick("printed", 4).order, ["A1", "A3", "A2", "A4"]);
  assert.equal(pick("printed", 2).totalMs("A2"), 7);
  // A3's block runs A2 and A1 again, and A2 has a block of its own: twice 7
  assert.equal(picks("mended", chain([4, 3, 3, 2], [8, 6, 4, 2]), 2).totalMs("A2"), 14);
});

test("Lineage as printed keeps a source that is back when it is needed; mended it does not", () => {
  const remaining = (): Map<string, Candidate> => {
    const both = chain([5, 4], [8, 8]);
    const a1 = both.get("A1") as Candidate;
    // A1 is back before A2 is made again, and still there
    both.set("A1", { ...a1, row: { ...a1.row, firstBackwardAccess: 90, lastBackwardAccess: 120 } });
    return both;
  };
  assert.equal(picks("printed", remaining(), 0).totalMs("A2"), 4);
  for (const [variant, sources, totalMs] of [
    ["printed", ["A1"], 4],
    ["mended", [], 9],
  ] as const) {
    const left = remaining();
    new Lineage(left, variant).recompute(left.get("A1") as Candidate);
    assert.deepEqual([[...(left.get("A2") as Candidate).sources], left.get("A2")?.totalMs], [sources, totalMs]);
  }
});
