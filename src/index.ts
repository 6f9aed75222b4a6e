export * as charts from "./charts.js";
export { formatBytes, formatMs } from "./format.js";
export type { Category, DType, Graph, Node, Phase, Tensor } from "./graph.js";
export { initialValues } from "./initial.js";
export { showFigure, showTable } from "./jupyter.js";
export { layout } from "./layout.js";
export { peakBytes, timeline } from "./liveness.js";
export { lower } from "./lower.js";
export { runNotebook } from "./notebook.js";
export {
  type BoundModel,
  openRuntime,
  type ProfileModelOptions,
  profileModel,
  readModel,
} from "./pipeline.js";
export { type Decision, type Plan, planGraph } from "./plan.js";
export { type ActivationRow, type NodeRow, type Profile, profileGraph, type Timeline } from "./profile.js";
export { planRun } from "./replan.js";
export { reportHtml } from "./report.js";
export { rewrite } from "./rewrite.js";
export { type Run, readRun } from "./run.js";
export { activationTable, nodeTable } from "./tables.js";
export { type TrainingOptions, trainingStep } from "./training.js";
export { type Verification, verifyModel } from "./verify.js";
export { type WriteOptions, writeRun } from "./write.js";
