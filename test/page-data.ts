import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import vm from "node:vm";
import { decompressed } from "../src/report/page-data.js";
import { at } from "./at.js";

/** A table as a page has it. */
interface ShownTable {
  readonly count: number;
  readonly columns: readonly { readonly name: string; readonly values: readonly unknown[] }[];
}

/** What a page's own scripts are given. */
export interface ShownData {
  readonly figures: Readonly<Record<string, { readonly data: readonly object[] } | null>>;
  readonly tables: Readonly<Record<string, ShownTable>>;
  readonly memory: { readonly steps: readonly Readonly<Record<string, readonly number[]>>[] };
}

/** The text of a page's data, as it was before it was compressed. */
export function dataText(html: string): string {
  const [, data] = /<script type="text\/plain" id="data">([^<]*)<\/script>/.exec(html) ?? [];
  assert.ok(data, "the page has no data");
  return decompressed(data);
}

/** Packed data as the page's own script reads it. */
export function unpacked(json: string): unknown {
  const window: { mutwo?: { unpack(texts: unknown, value: unknown): unknown } } = {};
  vm.runInNewContext(readFileSync(at("../templates/page/base.js"), "utf8"), { window });
  const { texts, value } = JSON.parse(json) as { texts: readonly string[]; value: unknown };
  // made in another context, its objects would equal none of this one
  return JSON.parse(JSON.stringify(window.mutwo?.unpack(texts, value)));
}

/** What a page shows of its run. */
export const shownData = (html: string): ShownData => unpacked(dataText(html)) as ShownData;
