import assert from "node:assert/strict";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { readDeviceSpec, specOfDevice } from "../../src/runtime/device-spec.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-spec-"));

const whole = {
  name: "A GPU",
  memoryBytes: 8 * 2 ** 30,
  memoryGBs: 500,
  float64Tflops: 0.5,
  float32Tflops: 20,
  tf32Tflops: 40,
  float16Tflops: 80,
  toHostGBs: 12,
  toDeviceGBs: 12,
  linkLatencyUs: 8,
  launchUs: 2,
};

let files = 0;

function written(text: string): string {
  const file = path.join(folder, `${++files}.json`);
  writeFileSync(file, text);
  return file;
}

/** What is said of a description with these fields changed. */
function problem(changes: object): string {
  const file = written(JSON.stringify({ ...whole, ...changes }));
  try {
    readDeviceSpec(file);
  } catch (error) {
    return (error as Error).message.replace(`device spec ${file}: `, "");
  }
  return "";
}

test("readDeviceSpec(name) knows devices; each has TF32 no slower than float32, and float16 no slower than TF32", () => {
  for (const name of ["h100", "h200", "a100", "l4", "rtx4090"]) {
    const spec = readDeviceSpec(name);
    assert.equal(problem(spec), "", name);
    assert.ok(spec.float32Tflops <= spec.tf32Tflops && spec.tf32Tflops <= spec.float16Tflops, name);
  }
  assert.throws(() => readDeviceSpec("h999"), {
    message: "unknown device: h999 (one of h100, h200, a100, l4, rtx4090, or a FILE.json)",
  });
  assert.throws(() => readDeviceSpec("toString"), /^Error: unknown device: toString/);
});

test("readDeviceSpec(FILE) takes what a file says, efficiencies too", () => {
  const given = { ...whole, efficiency: { product: { compute: 0.9 }, link: 0.5 } };
  assert.deepEqual(readDeviceSpec(written(JSON.stringify(given))), given);
});

for (const [changes, said] of [
  [{ memoryGBs: -3 }, "memoryGBs is not a positive number: -3"],
  [{ memoryGBs: 0 }, "memoryGBs is not a positive number: 0"],
  [{ launchUs: "2" }, 'launchUs is not a positive number: "2"'],
  [{ toHostGBs: null }, "toHostGBs is not a positive number: null"],
  [{ tf32Tflops: undefined }, "tf32Tflops is missing"],
  [{ name: undefined }, "name is missing"],
  [{ name: " " }, 'name is not a text: " "'],
  [{ efficiency: 0.5 }, "efficiency is not an object: 0.5"],
  [{ efficiency: { product: 1 } }, "efficiency.product is not an object: 1"],
  [{ efficiency: { rows: { memory: 0 } } }, "efficiency.rows.memory is not a positive number: 0"],
  [{ efficiency: { link: "fast" } }, 'efficiency.link is not a positive number: "fast"'],
] as const)
  test(`readDeviceSpec(FILE) refuses ${JSON.stringify(changes)}`, () => assert.equal(problem(changes), said));

test("readDeviceSpec(FILE) names unknown fields, and files that hold no description", () => {
  assert.match(problem({ cores: 3 }), /^unknown field: cores \(known: name, memoryBytes, /);
  assert.match(problem({ efficiency: { products: {} } }), /^unknown field: efficiency\.products \(known: product, /);
  assert.match(problem({ efficiency: { rows: { speed: 1 } } }), /^unknown field: efficiency\.rows\.speed \(known: /);
  const [list, broken, none] = [written("[1]"), written('{"name'), path.join(folder, "none.json")];
  assert.throws(() => readDeviceSpec(list), { message: `device spec ${list}: not a JSON object` });
  assert.throws(() => readDeviceSpec(broken), { message: `device spec is not JSON: ${broken}` });
  assert.throws(() => readDeviceSpec(none), { message: `cannot read device spec: ${none} (ENOENT)` });
});

test("specOfDevice(name) knows devices by what CUDA and data sheets call them, and no others", () => {
  assert.equal(specOfDevice("NVIDIA H100 80GB HBM3"), readDeviceSpec("h100"));
  assert.equal(specOfDevice("NVIDIA H200"), readDeviceSpec("h200"));
  assert.equal(specOfDevice("NVIDIA L4 24GB"), readDeviceSpec("l4"));
  assert.equal(specOfDevice("NVIDIA H100 PCIe"), undefined);
  assert.equal(specOfDevice("NVIDIA L40S"), undefined);
});
