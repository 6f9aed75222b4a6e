import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import koffi from "koffi";
import { askForHugePages } from "../../src/runtime/huge-pages.js";
import type { Pointer } from "../../src/runtime/ort-api.js";

/** The flags of the mapping that holds an address, as Linux says. */
function flagsAt(address: bigint): string {
  let isInside = false;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? [];
    if (from && to) isInside = BigInt(`0x${from}`) <= address && address < BigInt(`0x${to}`);
    else if (isInside && line.startsWith("VmFlags:")) return line;
  }
  return "";
}

test("askForHugePages(address, bytes) marks the memory, which stays as it is; little memory is left alone", () => {
  const memory = new ArrayBuffer(2 ** 25 + 100);
  const address = koffi.address(memory) as Pointer;
  const asked = askForHugePages(address + 36n, memory.byteLength - 36);
  if (asked) assert.match(flagsAt(address + 2n ** 24n), / hg\b/);
  assert.ok(new Uint8Array(memory).every((byte) => byte === 0));
  assert.equal(askForHugePages(address, 2 ** 20), false);
});
