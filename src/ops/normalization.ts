import type { OpTable } from "./op.js";

export const normalization: OpTable = {};
