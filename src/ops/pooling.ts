import type { OpTable } from "./op.js";

export const pooling: OpTable = {};
