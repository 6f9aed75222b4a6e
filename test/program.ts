import { pathToFileURL } from "node:url";
import { at } from "./at.js";

/** Options of Node that let it run TypeScript, from any folder. */
export const tsx: readonly string[] = ["--import", pathToFileURL(require.resolve("tsx")).href];

/** What Node is started with to run mutwo as a program: what `npm test` has just built; src/ where a test runs alone. */
export const program: readonly string[] = process.env.MUTWO_BUILT
  ? [at("../dist/cli.js")]
  : [...tsx, at("../src/cli.ts")];
