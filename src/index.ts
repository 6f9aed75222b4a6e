export { type ArrayOptions, arrayData, type ColumnChoice, type HeldArray } from "./data/arrays.js";
export { type Batch, type Batches, type BatchTensor, eachBatch, type LoadedBatch, type Numbers } from "./data/batch.js";
export type { BatchesOptions, EpochBatches } from "./data/batches.js";
export type { DataColumn, Dataset } from "./data/dataset.js";
export type { ImageOptions } from "./data/images.js";
export type { TypedNumbers } from "./data/numbers.js";
export { type DataOptions, openData } from "./data/open-data.js";
export { frameData, type TableLike, type TableOptions } from "./data/table.js";
export { type ExportOptions, exportStep, type StepNames } from "./export/export.js";
export { type ExportedStep, type ExportRunOptions, exportRun } from "./export/export-file.js";
export { formatBytes, formatMs } from "./format.js";
export type {
  Attribute,
  Attributes,
  Category,
  DType,
  Graph,
  GraphTrial,
  Node,
  Phase,
  Tensor,
  TensorType,
} from "./graph/graph.js";
export type { Module, OriginBasis, Origins, Source } from "./graph/origins.js";
export type { Value } from "./graph/values.js";
export type { ActivationRow } from "./memory/activation-rows.js";
export { type Layout, layout } from "./memory/layout.js";
export { type PeakHolder, peakBytes, type Timeline, timeline } from "./memory/liveness.js";
export type { Place, Storage, Storages } from "./memory/storages.js";
export type { BatchNormMode } from "./model/bind.js";
export type { Separated } from "./model/merged.js";
export type { Initializer, Model, ModelNode, ModelValue, Subgraph } from "./model/model.js";
export { type BoundModel, type ReadOptions, readModel } from "./model/read.js";
export type { Untrained } from "./model/roles.js";
export type { Scope } from "./model/scopes.js";
export { demoFile } from "./notebook/demo.js";
export type { AnyFigure } from "./notebook/figure.js";
export { batchesOf, fit, openTrainer, profileGraph, profileMany, profileModel, runSweep } from "./notebook/live.js";
export { type NotebookOptions, type NotebookResult, runNotebook } from "./notebook/notebook.js";
export { type ShownFigure, type ShownTable, show, showFigure, showTable } from "./notebook/show.js";
export type { Host } from "./ops/op.js";
export type {
  Action,
  BesidePlan,
  Constraints,
  Decision,
  Effort,
  Plan,
  PlannedRing,
  PlanProblem,
  StateDecision,
  StatePlacement,
  Steady,
  SwapPlacement,
  Variant,
} from "./plan/plan.js";
export { planGraph } from "./plan/planners/index.js";
export { rewrite } from "./plan/rewrite.js";
export * as charts from "./report/charts.js";
export type { Frame } from "./report/danfo.js";
export type {
  Axis,
  CellValue,
  CsvOptions,
  DataFrame,
  Groups,
  InPlace,
  Labelled,
  Operand,
  RowLabel,
  Series,
} from "./report/data-frame.js";
export { epochTable } from "./report/epoch-table.js";
export type { Figure } from "./report/figure.js";
export { readTables } from "./report/read-tables.js";
export { reportHtml } from "./report/report.js";
export { writeSweep } from "./report/sweep-page.js";
export { sweepTable } from "./report/sweep-table.js";
export { activationTable, moduleTable, nodeTable } from "./report/tables.js";
export { type WriteOptions, writeRun } from "./report/write.js";
export { writeTraining } from "./report/write-training.js";
export { type Advice, type AdviseOptions, adviseRun, type Basis, type Outcome, type Trial } from "./run/advise.js";
export type { Finding, Severity } from "./run/finding.js";
export { findingsOf, headFindings } from "./run/findings.js";
export { type Fit, type FittedBatch, fitRun } from "./run/fit.js";
export { type Lever, type LeverOptions, levers } from "./run/levers.js";
export {
  type LineCosts,
  type ModuleBranch,
  type ModuleCosts,
  type ModuleTree,
  moduleTree,
} from "./run/module-tree.js";
export { type Modules, modulesOf, type NodeModule, type Share } from "./run/modules.js";
export type { NodeRow } from "./run/node-rows.js";
export type { ProfileModelOptions } from "./run/options.js";
export { type PeakPart, peakParts } from "./run/peak-parts.js";
export { type Peak, plannedPeak, type Which } from "./run/planned-rows.js";
export type { Profile, ProfileOptions } from "./run/profile.js";
export { readRun } from "./run/read-run.js";
export { type PlanOptions, planRun, sweepRun } from "./run/replan.js";
export type {
  Environment,
  Equality,
  ModelInfo,
  PairedTimes,
  ProcessPeak,
  Run,
  SavedGraph,
  SavedTensor,
  Warning,
} from "./run/run.js";
export type { Samples } from "./run/samples.js";
export type {
  Arranged,
  Arrangement,
  FitCount,
  PartitionRow,
  RefusedRow,
  SameAsAlone,
  SimulatedRow,
  Together,
  TrialInfo,
  TrialOptions,
} from "./run/together.js";
export { arrangements } from "./run/together-options.js";
export type { TradeoffPoint } from "./run/tradeoff.js";
export type { Compared, Curve, Verification, WorstErrors } from "./run/verification.js";
export { type VerifyOptions, verifyModel } from "./run/verify.js";
export type { RuntimeOptions } from "./runtime/backends.js";
export { openRuntime } from "./runtime/open.js";
export type {
  Backend,
  CopyTime,
  Device,
  DeviceMemory,
  LoadedStep,
  Measurement,
  MeasureOptions,
  RunOptions,
  Runtime,
  StepResult,
} from "./runtime/runtime.js";
export { initialValues } from "./step/initial.js";
export type { LayoutKind } from "./step/layout-regions.js";
export { lower, type Target } from "./step/lower.js";
export type { Rates } from "./step/optimizer.js";
export { type Member, together } from "./step/together.js";
export { type Adapt, type StepOptions, type TrainingOptions, trainingStep } from "./step/training.js";
export { bestPoints, type PointCosts } from "./sweep/best.js";
export { type Manifest, type Point, readManifest, type Wanted, writeManifest } from "./sweep/manifest.js";
export type { Fault, Result } from "./sweep/result.js";
export type { RunnerOptions, RunnerProgress } from "./sweep/runner.js";
export { readSpec } from "./sweep/spec.js";
export { type PointState, readSweep, type SweepState } from "./sweep/state.js";
export { type Checkpoint, findCheckpoint, readCheckpoint } from "./train/checkpoint.js";
export type { MemoryCurve, StepCurve } from "./train/curve.js";
export type { CheckpointPlan, FitOptions, StepNews } from "./train/fit-options.js";
export type { Best, End, EpochRow, Stretch, TrainingLog } from "./train/log.js";
export {
  type Counted,
  checkMetric,
  isBetter,
  type Metric,
  type Metrics,
  type MetricsOptions,
  metricNames,
  metricOf,
  openMetrics,
} from "./train/metrics.js";
export { type NamedTrainer, openTrainers, type TrainersOptions } from "./train/open-trainers.js";
export { type TrainedModel, trainModel } from "./train/train.js";
export type { ModelLabel, TrainModelOptions } from "./train/train-courses.js";
export { type TrainedOfMany, type TrainManyOptions, trainMany } from "./train/train-many.js";
export type {
  Evaluated,
  OutputTensor,
  SaveOptions,
  StepOutcome,
  Trainer,
  TrainerOptions,
  TrainerState,
} from "./train/trainer.js";
export {
  type DataInfo,
  readTraining,
  type StepMemory,
  type TrainedTogether,
  type TrainedTrial,
  type Training,
} from "./train/training.js";
