import type { OpTable } from "./op.js";

export const indexing: OpTable = {};
