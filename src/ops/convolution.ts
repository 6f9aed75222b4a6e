import type { OpTable } from "./op.js";

export const convolution: OpTable = {};
