import { native, type Traits } from "./kinds.js";
import type { Op } from "./op.js";

/** A node that a rule writes out as others: its types, constants and inputs' names, and a builder. */
export type CompositeCall = Parameters<NonNullable<Op["normalize"]>>[0];

/** Writes a node out as others and names its results. */
export type Composition = (call: CompositeCall) => readonly string[];

/** An op that model files hold and mutwo never runs: written out as it is read, gradients come from what it becomes. */
export const composite = (infer: Op["infer"], write: Composition, traits: Traits = {}): Op =>
  native(infer, "none", { types: null, body: write, normalize: write, ...traits });
