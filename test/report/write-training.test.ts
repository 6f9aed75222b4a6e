import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { rewriteTraining, writeTraining } from "../../src/report/write-training.js";
import { readTraining } from "../../src/train/training.js";
import { goldenRun } from "../golden-run.js";
import { toyTogether, toyTraining } from "../train/toy-training.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-write-training-"));

test("writeTraining writes one folder with the record, tables, page, and the run's own folder in it", async () => {
  const run = goldenRun("mlp-cpu");
  const given = await toyTraining({ epochs: 1 }, { run: run.id });
  const { folder: place, training } = await writeTraining(given, run, { folder, pictures: false });
  assert.equal(place, path.join(folder, given.id));
  assert.deepEqual(
    readdirSync(place).sort(),
    [run.id, "epochs.csv", "report.html", "steps.csv", "training.json"].sort(),
  );
  assert.ok(statSync(path.join(place, run.id, "report.html")).size > 0);
  assert.deepEqual(readTraining(place), training);
  const before = readFileSync(path.join(place, "report.html"), "utf8");
  writeFileSync(path.join(place, "report.html"), "");
  assert.deepEqual(await rewriteTraining(readTraining(place), place, false), [path.join(place, "report.html")]);
  assert.equal(readFileSync(path.join(place, "report.html"), "utf8"), before);
  // without the run's folder its page still is made
  rmSync(path.join(place, run.id), { recursive: true });
  await rewriteTraining(readTraining(place), place, false);
  assert.ok(statSync(path.join(place, "report.html")).size > 0);
});

test("writeTraining prints the page as a PDF", async () => {
  const given = await toyTraining({ epochs: 1 }, { id: "with-pdf" });
  const { folder: place, training } = await writeTraining(given, null, { folder });
  assert.deepEqual(training.log.warnings, []);
  assert.equal(readFileSync(path.join(place, "report.pdf"), "latin1").slice(0, 5), "%PDF-");
  assert.ok(readFileSync(path.join(place, "report.html"), "utf8").includes('href="report.pdf"'));
});

test("writeTraining says that a folder cannot be written", async () => {
  const given = await toyTraining({ epochs: 1 });
  const file = path.join(folder, "a file");
  writeFileSync(file, "");
  await assert.rejects(
    writeTraining(given, null, { folder: file, pictures: false }),
    /^Error: output folder not writable: /,
  );
});

test("writeTraining of several models gives each a folder that is a training of its own", async () => {
  const given = { ...(await toyTogether()), id: "several" };
  const { folder: place } = await writeTraining(given, null, { folder, pictures: false });
  assert.deepEqual(readdirSync(place).sort(), ["m0", "m1", "m2", "models.csv", "report.html", "training.json"]);
  assert.deepEqual(readdirSync(path.join(place, "m2")).sort(), ["epochs.csv", "steps.csv", "training.json"]);
  assert.deepEqual(readTraining(place), given);
  const own = path.join(place, "m0");
  assert.equal(readTraining(own).log.epochs.length, 2);
  assert.deepEqual(await rewriteTraining(readTraining(own), own, false), [path.join(own, "report.html")]);
  const [head, ...rows] = readFileSync(path.join(place, "models.csv"), "utf8").trimEnd().split("\n");
  assert.equal(
    head,
    "model,file,lr,epochs,steps,last_loss,validation_loss,validation_mae,validation_mse,best_loss,best_epoch,best,end,out",
  );
  assert.match(rows[1] as string, /^m1,toy\.onnx,0\.05,6,300,.*,1,6 epochs done,m1\/trained\.onnx$/);
});
