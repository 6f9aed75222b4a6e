import assert from "node:assert/strict";
import { homedir } from "node:os";
import path from "node:path";
import { afterEach, test } from "node:test";
import { cacheFolder } from "../src/cache.js";

const { MUTWO_CACHE, XDG_CACHE_HOME } = process.env;

afterEach(() => {
  for (const [name, value] of Object.entries({ MUTWO_CACHE, XDG_CACHE_HOME }))
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
});

test("cacheFolder(…parts) is below MUTWO_CACHE, else mutwo in XDG_CACHE_HOME, else in the home's .cache", () => {
  process.env.MUTWO_CACHE = path.resolve("/own");
  process.env.XDG_CACHE_HOME = path.resolve("/caches");
  assert.equal(cacheFolder("cuda", "13"), path.resolve("/own/cuda/13"));
  delete process.env.MUTWO_CACHE;
  assert.equal(cacheFolder("cuda"), path.resolve("/caches/mutwo/cuda"));
  delete process.env.XDG_CACHE_HOME;
  assert.equal(cacheFolder(), path.join(homedir(), ".cache/mutwo"));
});
