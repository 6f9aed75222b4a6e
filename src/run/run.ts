import { randomBytes } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import path from "node:path";
import type { Category, DType, Graph, Node, Tensor } from "../graph/graph.js";
import { inheritAnswers, perObject } from "../graph/memo.js";
import type { Untrained } from "../model/roles.js";
import type { Plan } from "../plan/plan.js";
import type { ModelOptions } from "./options.js";
import type { Profile } from "./profile.js";
import type { Samples } from "./samples.js";
import type { Together } from "./together.js";
import type { TradeoffPoint } from "./tradeoff.js";

/**
 * Version of run.json; a file of another version is refused. What can be read without doubt needs no new version:
 * warnings were plain sentences once, and `readRun` (read-run.ts) says what those are about.
 */
export const runFormatVersion = 1;

/** What went wrong without losing the run (a NaN loss, a page that could not be printed). */
export interface Warning {
  /** Which step, or the run as a whole: another plan leaves behind what is said of the planned step. */
  readonly about: "unplanned" | "planned" | "run";
  /** What somebody decides by: that a run was replayed says more of one whose planned step was; what was estimated. */
  readonly kind?: "replayed" | "estimated";
  /** One sentence without a full stop. */
  readonly text: string;
}

/** A tensor as run.json holds it: large values are left out. */
export interface SavedTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly category: Category;
  readonly within?: { readonly tensor: string; readonly offsetBytes: number };
  readonly host?: true;
  /** Of a setting of the optimizer that is a tensor: what the learning rate is multiplied by. Trainers' steps have them. */
  readonly rate?: number | readonly number[];
  /** Elements of a small constant. */
  readonly dataBase64?: string;
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
  /** The models that a joint step trains. */
  readonly trials?: Graph["trials"];
  /** Absent from runs of versions that did not read them, and where the model file tells nothing. */
  readonly origins?: Graph["origins"];
}

/** What a run says of its model: the file, and the options that decided what its training step is. */
export interface ModelInfo extends ModelOptions {
  /** File name without folder. */
  readonly file: string;
  /** Path as given. */
  readonly path: string;
  readonly sha256: string;
  readonly opset: number;
  readonly producer: string;
  readonly dims: Readonly<Record<string, number>>;
  readonly parameters: number;
  readonly parameterBytes: number;
  /** Every float tensor of the file that the step leaves as it is, with the reason; absent from runs of older versions. */
  readonly untrained?: readonly Untrained[];
  /** Things the reader noticed and a user should know. */
  readonly notes: readonly string[];
}

/** The machine and the versions with which a run was made. */
export interface Environment {
  readonly mutwo: string;
  readonly node: string;
  readonly onnxruntime: string;
  readonly os: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
}

/** Both steps, run in turn on the same machine at the same time: what a comparison of their times goes by. */
export interface PairedTimes {
  readonly unplanned: Samples;
  readonly planned: Samples;
}

/** Whether the planned step computed the same as the unplanned one. */
export interface Equality {
  /** Tensors compared: the loss, every gradient, every updated state. */
  readonly compared: number;
  /** Names of those that differ in any bit, with the step in which they do; of an unstable one by more than its limit. */
  readonly different: readonly string[];
  /** Whether all of them are equal in every bit. */
  readonly bitwise: boolean;
  /** Greatest relative difference of one tensor, ‖planned − unplanned‖ / ‖unplanned‖; null where it is no finite number. */
  readonly worstRelativeError: number | null;
  /**
   * The same, of loss and gradients, between two runs of the unplanned step with the kernels that are timed, for
   * information; null where they are those of the comparison, or where it is not finite.
   */
  readonly runToRun: number | null;
  /**
   * Both steps ran under kernels that give the same bits each time, whichever are timed. Absent from runs of older
   * versions, in which a difference counted from ten times `runToRun` on.
   */
  readonly deterministic?: true;
  /**
   * Names of those that differ between two runs of the unplanned step even so (sums by atomics, for which there is no
   * other kernel): one of them counts as different from ten times its own difference on. Absent where there are none.
   */
  readonly unstable?: readonly string[];
}

/** What a process held on its device at most, as the driver sees it from outside. */
export interface ProcessPeak {
  readonly bytes: number;
  /** What was done then: the first steps try algorithms with memory that they give back; two steps are timed in turn. */
  readonly stage: "profile" | "execute plan" | "compare";
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
  /** null without a planned step that was executed. */
  readonly paired: PairedTimes | null;
  /** When this process held most on the device while the run was made; absent where nothing was executed on one. */
  readonly processPeak?: ProcessPeak;
  /** Of several models that were trained in one step; absent where it is one. */
  readonly together?: Together;
  /** Plans of every planner over the range of budgets; absent where none was asked for. */
  readonly tradeoff?: readonly TradeoffPoint[];
  readonly warnings: readonly Warning[];
}

/** The graph as run.json holds it; what has been computed of it so far is known of the graph that it is read as. */
export function saveGraph(graph: Graph): SavedGraph {
  const saved: SavedGraph = {
    name: graph.name,
    nodes: graph.nodes,
    tensors: [...graph.tensors.values()].map((one) => {
      if (!one.data) return one;
      const { data, ...tensor } = one;
      // small constants decide shapes (axes, pads), so they are kept
      return tensor.category === "constant" && data.length <= 1024
        ? { ...tensor, dataBase64: Buffer.from(data).toString("base64") }
        : tensor;
    }),
    inputs: graph.inputs,
    outputs: graph.outputs,
    state: graph.state,
    loss: graph.loss,
    ...(graph.trials && { trials: graph.trials }),
    ...(graph.origins && { origins: graph.origins }),
  };
  inheritAnswers(loadGraph(saved), graph);
  return saved;
}

/** The graph of a run, without the values of its large tensors: enough to plan, not to execute. */
export const loadGraph = perObject((saved: SavedGraph): Graph => {
  const tensors = new Map(
    saved.tensors.map((one): [string, Tensor] => {
      if (one.dataBase64 === undefined) return [one.name, one];
      const { dataBase64, ...tensor } = one;
      return [one.name, { ...tensor, data: new Uint8Array(Buffer.from(dataBase64, "base64")) }];
    }),
  );
  return { ...saved, tensors };
});

/** The run.json that a path names: the file itself, or the one in a run's folder. */
export const runFile = (place: string): string =>
  existsSync(place) && statSync(place).isDirectory() ? path.join(place, "run.json") : place;

/** A new run's name: UTC date and time, model, and four random letters so that two runs in one second differ. */
export function newRunId(model: string, now = new Date()): string {
  const stamp = now.toISOString().replace(/[-:]/g, "").replace("T", "-").slice(0, 15);
  const stem = path
    .basename(model)
    .replace(/\.onnx$/, "")
    .replace(/[^\w.-]+/g, "_");
  return `${stamp}-${stem}-${randomBytes(2).toString("hex")}`;
}
