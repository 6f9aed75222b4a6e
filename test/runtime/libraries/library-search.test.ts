import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import type { Machine } from "../../../src/runtime/libraries/cuda-places.js";
import { LibrarySearch, neededCuda } from "../../../src/runtime/libraries/library-search.js";
import { elf } from "./elf-bytes.js";

const root = mkdtempSync(path.join(tmpdir(), "mutwo-search-"));

after(() => rmSync(root, { recursive: true }));

/** A folder with libraries: by name, what each needs. */
function folder(name: string, libraries: Readonly<Record<string, readonly string[]>>): string {
  const place = path.join(root, name);
  mkdirSync(place, { recursive: true });
  for (const [library, needed] of Object.entries(libraries))
    writeFileSync(path.join(place, library), elf(library, needed));
  return place;
}

const given = folder("given", { "libcublas.so.13": ["libcublasLt.so.13", "libc.so.6"] });
const system = folder("system", { "libcublas.so.13": [], "libcublasLt.so.13": ["libcudart.so.13"] });
const python = folder("python", { "libcudart.so.13": [], "libcurand.so.9": [] });

const search = (env: Machine["env"] = {}, byLoader: Machine["byLoader"] = () => undefined): LibrarySearch =>
  new LibrarySearch(
    { env, systemFolders: () => [system, given], pythonFolders: () => [python], byLoader },
    { "libcudart.so.13": "CUDART_LIBRARY" },
    [given],
  );

test("neededCuda(file) is what a library needs of CUDA, nothing of the system; nothing of what is no library", () => {
  assert.deepEqual(neededCuda(path.join(given, "libcublas.so.13")), ["libcublasLt.so.13"]);
  assert.deepEqual(neededCuda(path.join(root, "none")), []);
});

test("find(name) takes the first folder: given, the system's, Python's, and looks no further", () => {
  const one = search();
  assert.equal(one.find("libcublas.so.13").file, path.join(given, "libcublas.so.13"));
  assert.deepEqual(one.folders, [given]);
  assert.equal(one.find("libcudart.so.13").file, path.join(python, "libcudart.so.13"));
  assert.deepEqual(one.folders, [given, system, python]);
});

test("find(name) asks the loader where no folder has it, then says what there is of another version", () => {
  const loader = search({}, (name) => (name === "libcurand.so.10" ? "/loaded/libcurand.so.10.3" : undefined));
  assert.equal(loader.find("libcurand.so.10").file, "/loaded/libcurand.so.10.3");
  assert.deepEqual(search().find("libcurand.so.10"), {
    name: "libcurand.so.10",
    problem: `not found, only another version: ${path.join(python, "libcurand.so.9")}`,
  });
  assert.deepEqual(search().find("libcufft.so.12"), { name: "libcufft.so.12", problem: "not found" });
});

test("find(name) takes the file that a variable names, if it is that library", () => {
  const chosen = path.join(python, "libcudart.so.13");
  const name = "libcudart.so.13";
  assert.deepEqual(search({ CUDART_LIBRARY: chosen }).find(name), { name, file: chosen });
  const other = path.join(given, "libcublas.so.13");
  assert.deepEqual(search({ CUDART_LIBRARY: other }).find(name), {
    name,
    problem: `CUDART_LIBRARY is another library: libcublas.so.13 (${other})`,
  });
  assert.deepEqual(search({ CUDART_LIBRARY: "/none" }).find(name), {
    name,
    problem: "CUDART_LIBRARY is not there: /none",
  });
});

test("loadOrder(names) has each library once, after what it needs", () => {
  assert.deepEqual(search().loadOrder(["libcublas.so.13", "libcudart.so.13", "libcufft.so.12"]), [
    "libcudart.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcufft.so.12",
  ]);
});
