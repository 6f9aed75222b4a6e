import type { Attributes, Category, DType, Graph, Node } from "./graph.js";
import type { Plan } from "./plan.js";
import type { Profile } from "./profile.js";

/** Version of run.json; a file of another version is refused. */
export const runFormatVersion = 1;

export interface SavedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly category: Category;
  readonly within?: { readonly tensor: string; readonly offsetBytes: number };
}

/** A graph without the values of its tensors: what planning needs. */
export interface SavedGraph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly tensors: readonly SavedTensor[];
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly state: Graph["state"];
  readonly loss?: string;
}

export interface ModelInfo {
  /** File name without folder. */
  readonly file: string;
  /** Path as given. */
  readonly path: string;
  readonly sha256: string;
  readonly opset: number;
  readonly producer: string;
  readonly dims: Readonly<Record<string, number>>;
  readonly loss: string;
  readonly optimizer: string;
  readonly parameters: number;
  readonly parameterBytes: number;
  /** Things the reader noticed and a user should know. */
  readonly notes: readonly string[];
}

export interface Environment {
  readonly mutwo: string;
  readonly node: string;
  readonly onnxruntime: string;
  readonly os: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
}

/** Whether the planned step computed the same as the unplanned one. */
export interface Equality {
  /** Tensors compared: the loss, every gradient, every updated state. */
  readonly compared: number;
  /** Names of those that differ in any bit. */
  readonly different: readonly string[];
}

/** One profiled training step, with its plan if there is one: the whole content of run.json. */
export interface Run {
  readonly format: "mutwo-run";
  readonly version: typeof runFormatVersion;
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** The command that makes this run again. */
  readonly command: string;
  readonly model: ModelInfo;
  readonly environment: Environment;
  readonly seed: number;
  readonly graph: SavedGraph;
  readonly before: Profile;
  readonly plan: Plan | null;
  /** The planned step, executed; null without a (feasible) plan or if it was not executed. */
  readonly after: Profile | null;
  readonly equality: Equality | null;
  /** What went wrong without losing the run (a NaN loss, a page that could not be printed). */
  readonly warnings: readonly string[];
}

export type { Attributes };
