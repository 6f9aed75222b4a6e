import type { Graph } from "../graph/graph.js";
import type { ProfileModelOptions } from "../run/options.js";
import * as pipeline from "../run/pipeline.js";
import * as profiling from "../run/profile.js";
import type { Run } from "../run/run.js";
import type { Runtime } from "../runtime/runtime.js";
import { withProgress } from "./progress.js";

/**
 * The whole path: reads the model, builds its training step, profiles it, plans for the budget, executes the plan and
 * compares. Writes nothing. In a notebook a bar shows how far it is, and interrupting the cell ends it. Throws one line
 * for wrong use or bad input; an infeasible budget is an answer, not an error.
 */
export const profileModel = (file: string, options: ProfileModelOptions): Promise<Run> =>
  withProgress(options, (own) => pipeline.profileModel(file, { ...options, ...own }));

/**
 * Measures a training step on a runtime and derives its tables. Every iteration is a real step: parameters change. In a
 * notebook a bar shows how far it is, and interrupting the cell ends it.
 */
export const profileGraph = (
  graph: Graph,
  runtime: Runtime,
  options: profiling.ProfileOptions,
): Promise<profiling.Profile> =>
  withProgress(options, ({ onProgress, signal }) =>
    profiling.profileGraph(graph, runtime, {
      ...options,
      ...(signal && { signal }),
      ...(onProgress && { onProgress: (done, total) => onProgress("measure", done, total) }),
    }),
  );
