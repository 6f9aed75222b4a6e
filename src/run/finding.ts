import { formatCount } from "../format.js";
import type { Facts } from "./finding-facts.js";
import type { OptionsOf } from "./options.js";

/** How much a finding matters: something is wrong, something can be won, or something should be known. */
export type Severity = "problem" | "advice" | "note";

/** The gravest first. */
export const severities: readonly Severity[] = ["problem", "advice", "note"];

/** Something that a run shows, and what to do about it. */
export interface Finding {
  /** Name of the rule that found it. */
  readonly rule: string;
  readonly severity: Severity;
  readonly title: string;
  /** The numbers of the run that show it. */
  readonly evidence: string;
  /** What to do, in a sentence. */
  readonly todo: string;
  /** The command line that does it, where one does. */
  readonly command?: string;
  /** Where `adviseRun` can try it: by which flags it differs from the run's own, and all its options. */
  readonly flags?: string;
  readonly options?: OptionsOf<"profile">;
  /** What it is expected to take off the peak, bytes, and off the step's time, ms (negative: it adds). */
  readonly gainBytes?: number;
  readonly gainMs?: number;
  /** Whether the gains are estimated, or the numbers that show it. */
  readonly estimated: boolean;
  /** Path of the module that it is about: "" is the model itself. */
  readonly module?: string;
  readonly node?: string;
}

/** What a rule says of what it found: a finding without what the rule's entry states. */
export type Words = Omit<Finding, "rule" | "severity" | "estimated"> & { readonly estimated?: boolean };

/** A limit beyond which a rule fires, and what it is a limit of, with its unit. */
export interface Threshold {
  readonly value: number;
  readonly of: string;
}

/** A rule as its entry in a table: `test` gives what it found, once for each finding, and `say` the words for it. */
export interface Rule<T = unknown> {
  readonly name: string;
  readonly severity: Severity;
  /** null: what it looks for is there or not. */
  readonly threshold: Threshold | null;
  readonly test: (facts: Facts, limit: number) => T | readonly T[] | null | undefined | false;
  readonly say: (found: T, facts: Facts) => Words;
}

/** `1 node`, `1,200 nodes`. */
export const counted = (count: number, one: string): string => `${formatCount(count)} ${one}${count === 1 ? "" : "s"}`;

/** An entry of a table of rules, with the type of what its test finds forgotten. */
export const rule = <T extends object>(entry: Rule<T>): Rule => entry as unknown as Rule;
