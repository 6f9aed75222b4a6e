import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { installCommands, list, nvidiaFolders } from "../../../src/runtime/libraries/cuda-places.js";

const root = mkdtempSync(path.join(tmpdir(), "mutwo-places-"));

after(() => rmSync(root, { recursive: true }));

test("list(folder) is the names in order, none of a folder that is not there", () => {
  for (const name of ["b", "a"]) writeFileSync(path.join(root, name), "");
  assert.deepEqual(list(root), ["a", "b"]);
  assert.deepEqual(list(path.join(root, "none")), []);
});

test("nvidiaFolders(places) finds the folders of pip's packages, whatever their names", () => {
  const place = path.join(root, "python");
  for (const name of ["cu13/lib", "cudnn/lib", "cudnn/include", "noLibraries"])
    mkdirSync(path.join(place, "nvidia", name), { recursive: true });
  assert.deepEqual(nvidiaFolders(["", "relative", place, "/nowhere"]), [
    path.join(place, "nvidia/cu13/lib"),
    path.join(place, "nvidia/cudnn/lib"),
  ]);
});

test("installCommands(names, cuda) names each package once", () => {
  assert.deepEqual(installCommands(["libcublas.so.12", "libcublasLt.so.12", "libcudnn.so.9", "libfoo.so"], 12), [
    "pip install nvidia-cublas-cu12 nvidia-cudnn-cu12",
    "apt install libcublas-12-8 libcudnn9-cuda-12",
  ]);
  assert.deepEqual(installCommands(["libcuda.so.1"], 13), []);
});
