import type { OpTable } from "./op.js";

export const reduction: OpTable = {};
