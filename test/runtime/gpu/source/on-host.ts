import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import koffi from "koffi";
import { type Launches, parts } from "../../../../src/runtime/gpu/source/channels.js";
import { type KernelSource, prelude } from "../../../../src/runtime/gpu/source/kernel.js";
import { at } from "../../../at.js";

// generated CUDA C, run on the host as C++, thread by thread (cuda-shim.h)

const hasCompiler = spawnSync("g++", ["--version"]).status === 0;

/** Options of a test that runs kernels here. */
export const onHost = hasCompiler ? {} : { skip: "no g++ here" };

let folder: string | undefined;

function folderHere(): string {
  if (folder) return folder;
  const made = mkdtempSync(path.join(os.tmpdir(), "mutwo-kernels-"));
  process.once("exit", () => rmSync(made, { recursive: true }));
  folder = made;
  return made;
}

/** Kernels compiled for the host; each is called with the memory of its parameters. */
export function compiled(
  sources: readonly KernelSource[],
): (source: KernelSource, operands: readonly Uint8Array[]) => void {
  const distinct = [...new Map(sources.map((one) => [one.name, one])).values()];
  const text = [
    `#include "${at("cuda-shim.h")}"`,
    prelude,
    ...distinct.map(({ source }) => source),
    ...distinct.map(
      ({ name, blocks, threads }) =>
        `extern "C" void go_${name}(void** arguments) { launch(${name}, ${blocks}, ${threads}, arguments); }`,
    ),
  ].join("\n");
  const stem = path.join(folderHere(), `kernels${Math.random().toString(36).slice(2)}`);
  writeFileSync(`${stem}.cpp`, text);
  // as on the GPU: no fused multiply-add
  const flags = ["-std=c++20", "-O1", "-ffp-contract=off", "-w", "-shared", "-fPIC", "-pthread"];
  const built = spawnSync("g++", [...flags, "-o", `${stem}.so`, `${stem}.cpp`], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr.split("\n").slice(0, 5).join("\n"));
  const library = koffi.load(`${stem}.so`);
  return (source, operands) => {
    const list = new BigUint64Array(new ArrayBuffer(8 * operands.length));
    list.set(operands.map((bytes) => koffi.address(bytes) as bigint));
    library.func(`void go_${source.name}(void *arguments)`)(list);
  };
}

/** Bytes that stay where they are, on a boundary of 16. */
export const place = (bytes: number): Uint8Array => {
  const memory = new ArrayBuffer(bytes + 16 + 8192);
  const shift = Number((16n - ((koffi.address(memory) as bigint) % 16n)) % 16n);
  return new Uint8Array(memory, shift, bytes);
};

/** A copy of these bytes that stays where it is. */
export const placed = (data: Uint8Array): Uint8Array => {
  const bytes = place(data.length);
  bytes.set(data);
  return bytes;
};

/** Runs the kernels of a fused node in turn, on operands by the names that they have inside. */
export function runLaunches(
  run: (source: KernelSource, operands: readonly Uint8Array[]) => void,
  { launches, partsBytes }: Launches,
  operands: ReadonlyMap<string, Uint8Array>,
): void {
  const all = new Map(operands).set(parts, place(partsBytes));
  for (const { source, operands: names } of launches)
    run(
      source,
      names.map((name) => all.get(name) as Uint8Array),
    );
}
