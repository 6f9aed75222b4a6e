import type { OpTable } from "./op.js";

export const elementwise: OpTable = {};
