import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGraph } from "../../../src/build/text.js";
import { layout } from "../../../src/memory/layout.js";
import { rewrite } from "../../../src/plan/rewrite.js";
import { StepMemory } from "../../../src/runtime/gpu/memory.js";
import { Releases } from "../../../src/runtime/gpu/releases.js";
import { FakeMemory } from "./fake-memory.js";

const graph = parseGraph("graph(float32[3,4] x) => (y) { h = Exp(x) y = Tanh(h) }");

const loaded = (freeBytes = 2 ** 30, step = graph) => {
  const memory = new FakeMemory();
  const written: [bigint, number][] = [];
  const read: bigint[] = [];
  const cuda = {
    name: "Fake GPU",
    freeBytes: () => freeBytes,
    malloc: memory.malloc,
    free: memory.free,
    hostAlloc: memory.malloc,
    hostFree: memory.free,
    wait: () => {},
    read: () => {},
    write: (to: bigint, { length }: Uint8Array) => void written.push([to, length]),
    readHost: (_: Uint8Array, from: bigint) => void read.push(from),
    writeHost: (to: bigint, { length }: Uint8Array) => void written.push([to, length]),
  };
  const releases = new Releases();
  const loadedStep = new StepMemory(step, layout(step), { cuda, stream: 1n }, releases);
  return { memory, written, read, releases, step: loadedStep };
};

test("address(tensor) lies in the arena; write puts its bytes there", () => {
  const { step, written, memory, releases } = loaded();
  assert.equal(memory.held.get(step.arena), layout(graph).arenaBytes);
  const at = step.address("x");
  assert.equal(at, step.arena + BigInt(layout(graph).offsets.get("x") as number));
  step.write("x", new Uint8Array(48));
  assert.deepEqual(written, [[at, 48]]);
  assert.equal(step.read("y").length, 48);
  releases.close();
  assert.equal(memory.held.size, 0);
});

test("the value between steps of a state that comes from the host, and of its slices, is written and read there", () => {
  const hosted = rewrite(
    parseGraph(`graph(float32[2] x, parameter float32[6] all, parameter float32[2] w within all+8) => (y) {
  y = Mul(x, w)
update:
  parameter all.next = Exp(all)
  state all -> all.next
}`),
    [],
    [{ state: "all" }],
  );
  const { step, written, read } = loaded(2 ** 30, hosted);
  const home = step.address("all@swap/host");
  step.write("w", new Uint8Array(8));
  step.write("all", new Uint8Array(24));
  assert.deepEqual(written, [
    [home + 8n, 8],
    [home, 24],
  ]);
  step.readValue("w");
  step.read("w");
  assert.deepEqual(read, [home + 8n]);
  assert.equal(step.address("w"), step.address("all") + 8n);
});

test("what is wrong is one line: no room, a value of another size, no such tensor", () => {
  assert.throws(() => loaded(10), /^Error: out of memory: the step's values need .+, Fake GPU has 10 B free$/);
  const { step } = loaded();
  assert.throws(() => step.write("x", new Uint8Array(4)), /^Error: value of x has 4 bytes, not 48$/);
  assert.throws(() => step.address("z"), /^Error: no place for tensor: z$/);
});
