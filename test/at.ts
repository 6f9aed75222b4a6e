import path from "node:path";

/** A path inside test/. */
export const at = (...parts: string[]): string => path.join(__dirname, ...parts);
