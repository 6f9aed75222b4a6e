import { homedir } from "node:os";
import path from "node:path";

/** Where mutwo keeps what it fetches or unpacks once: MUTWO_CACHE, or `mutwo` in the user's cache folder. */
export const cacheFolder = (...parts: readonly string[]): string =>
  path.join(
    process.env.MUTWO_CACHE ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache"), "mutwo"),
    ...parts,
  );
