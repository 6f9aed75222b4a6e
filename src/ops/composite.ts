import { native, type Traits } from "./kinds.js";
import type { Body, Op } from "./op.js";

/** An op that model files hold and mutwo never runs: written out as it is read, gradients come from what it becomes. */
export const composite = (infer: Op["infer"], write: Body, traits: Traits = {}): Op =>
  native(infer, "none", { types: null, body: write, normalize: write, ...traits });
