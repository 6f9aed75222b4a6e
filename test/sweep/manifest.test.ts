import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import {
  measuredOptions,
  modelFile,
  plannedOptions,
  readManifest,
  sayPoint,
  settingOf,
  variedNames,
  type Wanted,
  writeManifest,
} from "../../src/sweep/manifest.js";
import { dynamicModel, sweepFolder, wanted } from "../sweep-of.js";

const wants = [wanted(4, "60%"), wanted(2), wanted(4), wanted(4, "80%"), wanted(2, undefined, { seed: 0 })];

test("writeManifest(folder, wanted): the same point once, those that share a measurement together", () => {
  const folder = sweepFolder("manifest");
  const { points, file } = writeManifest(folder, wants);
  assert.deepEqual(
    points.map(({ index, options }) => [index, options.dims?.batch, options.budget]),
    [
      [0, 4, "60%"],
      [1, 4, undefined],
      [2, 4, "80%"],
      [3, 2, undefined],
    ],
  );
  assert.equal(new Set(points.map(({ id }) => id)).size, 4);
  assert.deepEqual(
    points.map(({ profile }) => profile === points[1]?.id),
    [true, true, true, false],
  );
  assert.deepEqual(readManifest(folder).points, points);
  assert.deepEqual(readManifest(file).points, points);
});

test("writeManifest(folder, wanted): of more than 1,000 measurements those are kept that points share", () => {
  const lone = Array.from({ length: 1000 }, (_, seed) => wanted(4, undefined, { seed }));
  const passing = (wants: readonly Wanted[]) =>
    writeManifest(sweepFolder("large"), wants, true).points.filter((point) => point.passing).length;
  assert.equal(passing(lone), 0);
  assert.equal(passing([...lone, wanted(2)]), 1001);
  assert.equal(passing([...lone, wanted(2), wanted(2, "60%")]), 1000);
});

test("writeManifest(folder, wanted): ids are by the model's bytes, wherever it lies", () => {
  const [one, other] = [sweepFolder("ids-a"), sweepFolder("ids-b")];
  const copy = path.join(other, "m.onnx");
  copyFileSync(dynamicModel, copy);
  const idOf = (folder: string, model: string) => writeManifest(folder, [{ ...wanted(4), model }], true).points[0]?.id;
  const id = idOf(one, dynamicModel);
  assert.equal(idOf(other, copy), id);
  appendFileSync(copy, "\0");
  assert.notEqual(idOf(other, copy), id);
});

test("writeManifest(folder, wanted): a model in its folder moves with it", () => {
  const folder = sweepFolder("moves");
  copyFileSync(dynamicModel, path.join(folder, "m.onnx"));
  const here = path.relative(process.cwd(), path.join(folder, "m.onnx"));
  const { points } = writeManifest(folder, [{ ...wanted(4), model: here }]);
  assert.equal(points[0]?.model, "m.onnx");
  renameSync(folder, `${folder}-moved`);
  const moved = readManifest(`${folder}-moved`);
  assert.equal(modelFile(moved, moved.points[0]!), path.join(`${folder}-moved`, "m.onnx"));
});

test("writeManifest(folder, wanted): other points take the place of those that are there only when asked", () => {
  const folder = sweepFolder("replace");
  const first = writeManifest(folder, wants);
  assert.deepEqual(writeManifest(folder, wants).points, first.points);
  assert.throws(() => writeManifest(folder, wants.slice(1)), {
    message: /^manifest with other points is there: .*--replace/,
  });
  assert.equal(readManifest(folder).points.length, 4);
  assert.equal(writeManifest(folder, wants.slice(1, 2), true).points.length, 1);
});

test("readManifest(place): one line for what is missing, cut off or damaged", () => {
  const folder = sweepFolder("damaged");
  const { file } = writeManifest(folder, wants);
  const text = readFileSync(file, "utf8");
  const saying = (content: string, message: RegExp): void => {
    writeFileSync(file, content);
    assert.throws(() => readManifest(folder), { message });
  };
  for (let at = text.indexOf("\n") + 1; at < text.length; at += 97)
    saying(text.slice(0, at), /^manifest is cut off: .* \(\d of 4 points; make it again/);
  saying(text.slice(0, 20), /^not a sweep's manifest: .*mutwo sweep plan SPEC\.yaml makes one/);
  saying("", /^not a sweep's manifest: /);
  saying('{"format":"mutwo-sweep","version":2}\n', /^not a sweep's manifest: /);
  const lines = text.split("\n");
  saying(text.replace('"loss"', '"loss'), /^manifest is damaged: line 2, it is undefined, not an object/);
  saying(text.replace(/"id":"\w+"/, '"id":7'), /^manifest is damaged: line 2, id is 7, not a text/);
  saying([...lines.slice(0, 2), ...lines.slice(1)].join("\n"), /^manifest is damaged: 5 points, its first line says 4/);
  saying(
    text.replaceAll('"model":"', '"model":"x'),
    /^manifest is damaged: line 2, its model is not in the first line/,
  );
  assert.throws(() => readManifest(path.join(folder, "none.jsonl")), {
    message: /^cannot read sweep's manifest: .*ENOENT\)$/,
  });
});

test("measuredOptions, plannedOptions: what is measured and what is planned, unless the plan is executed", () => {
  const point = wanted(4, "60%");
  assert.deepEqual(measuredOptions(point), wanted(4).options);
  assert.deepEqual(plannedOptions(point), { budget: "60%", planner: "mutwo" });
  assert.equal(plannedOptions(wanted(4)), undefined);
  const executed = { ...point, execute: true };
  assert.deepEqual(measuredOptions(executed), point.options);
  assert.equal(plannedOptions(executed), undefined);
});

test("variedNames, settingOf, sayPoint: what points differ in", () => {
  assert.deepEqual(variedNames(wants.slice(0, 4)), ["dims.batch", "budget", "planner"]);
  assert.deepEqual(variedNames([wanted(4)]), []);
  assert.equal(sayPoint(wanted(4, "60%"), ["dims.batch", "budget"]), "batch 4, budget 60%");
  assert.equal(sayPoint(wanted(4), []), path.basename(dynamicModel));
  assert.deepEqual(
    ["model", "dims.batch", "dims.none", "loss", "execute", "toString"].map((name) => settingOf(wanted(4), name)),
    [dynamicModel, 4, undefined, "ce", undefined, undefined],
  );
});
