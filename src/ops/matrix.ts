import type { OpTable } from "./op.js";

export const matrix: OpTable = {};
