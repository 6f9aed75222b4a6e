import type { OpTable } from "./op.js";

export const movement: OpTable = {};
