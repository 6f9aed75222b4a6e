import path from "node:path";

/** A path inside mutwo's own folder: src/ and dist/ lie in it side by side. */
export const ownPath = (...parts: string[]): string => path.join(__dirname, "..", ...parts);

/** mutwo's version, as in package.json. */
export const ownVersion = (): string => (require(ownPath("package.json")) as { version: string }).version;
