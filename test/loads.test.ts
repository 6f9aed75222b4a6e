import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { at } from "./at.js";
import { tsx } from "./program.js";

/** Folders that know graphs and nothing of devices, files or pages. */
const light = ["graph", "ops", "build", "memory", "step", "plan"];

/** Loads every file of the light folders, then the command line for its help; says which packages came along each time. */
const probe = `
const { readdirSync } = require("node:fs");
const path = require("node:path");
const packages = () => {
  const places = Object.keys(require.cache).map((file) => file.replaceAll(path.sep, "/").split("/node_modules/")[1]);
  const names = new Set(places.filter(Boolean).map((place) => /^(@[^/]+[/])?[^/]+/.exec(place)[0]));
  return [...names].filter((name) => name !== "tsx" && name !== "esbuild").sort(); // they run this
};
const src = ${JSON.stringify(at("../src"))};
const loaded = Object.fromEntries(${JSON.stringify(light)}.map((folder) => {
  const files = readdirSync(path.join(src, folder), { recursive: true }).filter((file) => file.endsWith(".ts"));
  for (const file of files) require(path.join(src, folder, file));
  return [folder + "/", packages()];
}));
process.argv.push("mutwo", "--help");
process.on("exit", () => process.stderr.write(JSON.stringify({ ...loaded, "mutwo --help": packages() })));
require(path.join(src, "cli.ts"));
`;

test("graph, ops, build, memory, step and plan load no package at all; mutwo --help loads commander alone", () => {
  const { stdout, stderr } = spawnSync(process.execPath, [...tsx, "--eval", probe], { encoding: "utf8" });
  assert.match(stdout, /^Usage: mutwo /);
  const none = Object.fromEntries(light.map((folder) => [`${folder}/`, []]));
  assert.deepEqual(JSON.parse(stderr), { ...none, "mutwo --help": ["commander"] });
});
