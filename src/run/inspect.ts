import { Builder } from "../build/build.js";
import { type DType, elementCount, type Graph, type Tensor, tensorBytes } from "../graph/graph.js";
import { greatest } from "../graph/lists.js";
import { namesOf } from "../graph/origins.js";
import { type Dims, symbolsOf } from "../model/dimensions.js";
import { openOnnx } from "../model/onnx.js";
import { type BoundModel, readModel } from "../model/read.js";
import type { Untrained } from "../model/roles.js";
import { own } from "../own.js";
import { appendLoss } from "../step/loss.js";
import { parseNamed } from "../step/settings.js";
import { trainingStep } from "../step/training.js";
import { isOutside, modulesIn } from "./modules.js";
import { commandOf } from "./option-forms.js";

/** An input or output of a model, as its file declares it. */
export interface InspectedValue {
  readonly name: string;
  readonly dtype: DType;
  /** A number, the name of a dimension without a size, or null for an output's unknown one. */
  readonly dims: readonly (number | string | null)[];
}

/** The parameters in one module of the model and below. */
export interface ModuleParameters {
  /** Names from the model down, joined by dots; "" where the file names no modules. */
  readonly path: string;
  readonly class: string | null;
  readonly tensors: number;
  readonly parameters: number;
  readonly bytes: number;
}

/** How a loss fits an output. */
export interface LossFit {
  /** As `--loss` takes it. */
  readonly loss: string;
  readonly output: string;
  /** Shape of the output with the sizes that were tried. */
  readonly shape: readonly number[];
  /** Why it does not fit; null if it does. */
  readonly problem: string | null;
}

/** What a model is, said before anything runs. */
export interface Inspection {
  readonly file: string;
  readonly producer: string;
  readonly opset: number;
  readonly nodes: number;
  readonly inputs: readonly InspectedValue[];
  readonly outputs: readonly InspectedValue[];
  /** The size of each dimension that the file leaves open: as given, else a guess by its name. */
  readonly dims: Dims;
  /** Of those, the ones that nobody gave. */
  readonly guessed: readonly string[];
  readonly parameters: number;
  readonly parameterBytes: number;
  readonly modules: readonly ModuleParameters[];
  readonly losses: readonly LossFit[];
  /** Float tensors of the file that are not trained, each with the reason. */
  readonly untrained: readonly Untrained[];
  readonly notes: readonly string[];
  /** Why no training step can be made of it; null if one can. */
  readonly problem: string | null;
  /** A command line that profiles it; null with a problem. */
  readonly command: string | null;
}

/** The most modules that are listed: the tree is cut at the depth that gives no more. */
const mostModules = 24;

/**
 * Says what a model is: inputs, dimensions, parameters by module, losses that fit its outputs. Runs nothing but the
 * folding of constants. What keeps a training step from being made is told, not thrown; throws one line for a file that is
 * no model, and for dimensions that it does not have.
 */
export function inspectModel(file: string, given: Dims = {}): Inspection {
  const model = openOnnx(file);
  const symbols = symbolsOf(model);
  const dims = { ...Object.fromEntries([...symbols].map(([name, axis]) => [name, likelySize(name, axis)])), ...given };
  const said = {
    file,
    producer: model.producer,
    opset: model.opset,
    nodes: model.nodes.length,
    outputs: model.outputs,
    dims,
    guessed: [...symbols.keys()].filter((name) => own(given, name) === undefined),
  };
  let bound: BoundModel;
  try {
    bound = readableOutputs(file, dims);
  } catch (error) {
    const problem = (error as Error).message;
    if (/^(unknown dimension|dimension is not)/.test(problem)) throw error;
    const inputs = model.inputs.filter(({ name }) => !model.initializers.has(name));
    return { ...said, inputs, ...nothingKnown, problem };
  }
  const { graph, untrained, notes } = bound;
  const data = new Set(graph.inputs);
  const parameters = [...graph.tensors.values()].filter(({ category }) => category === "parameter");
  const losses = graph.outputs.flatMap((name) => lossesOf(graph, name));
  const chosen = likelyLoss(losses);
  const problem = stepProblem(graph, chosen?.loss);
  return {
    ...said,
    inputs: model.inputs.filter(({ name }) => data.has(name)),
    parameters: count(parameters),
    parameterBytes: bytes(parameters),
    modules: parametersByModule(graph, parameters),
    losses,
    untrained,
    notes,
    problem,
    command:
      problem === null && chosen ? commandOf("profile", file, { loss: chosen.loss, optimizer: "adam", dims }) : null,
  };
}

/** A model with all of its outputs, or with the one that a loss would be of if that one can be read and others cannot. */
function readableOutputs(file: string, dims: Dims): BoundModel {
  try {
    return readModel(file, { dims });
  } catch (error) {
    try {
      return readModel(file, { dims, output: null });
    } catch {
      throw error;
    }
  }
}

const nothingKnown = {
  parameters: 0,
  parameterBytes: 0,
  modules: [],
  losses: [],
  untrained: [],
  notes: [],
  command: null,
} as const;

const count = (tensors: readonly Tensor[]): number => tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);

const bytes = (tensors: readonly Tensor[]): number => tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0);

/** A size for a dimension by its name and axis: what such a dimension often is, small enough for a first run. */
function likelySize(name: string, axis: number): number {
  if (/batch|^(n|b|bs)$/i.test(name)) return 8;
  if (/seq|len|time|token|^[tls]$/i.test(name)) return 128;
  if (/height|width|^[hw]$/i.test(name)) return 224;
  if (/chan|^c$/i.test(name)) return 3;
  return axis === 0 ? 8 : 32;
}

/** Losses that are tried on each output. */
const tried = ["ce", "ce:axis=1", "mse", "l1", "bce", "sum"] as const;

/** How each loss fits an output of a forward graph. */
function lossesOf(graph: Graph, name: string): LossFit[] {
  const output = graph.tensors.get(name) as Tensor;
  const isFirst = name === graph.outputs[0];
  // the last axis is the first one beside the batch
  const losses = output.shape.length === 2 ? tried.filter((loss) => loss !== "ce:axis=1") : tried;
  return losses.map((loss) => {
    const chosen = isFirst ? loss : `${loss}${loss.includes(":") ? "," : ":"}output=${name}`;
    return { loss: chosen, output: name, shape: output.shape, problem: fitProblem(output, loss) };
  });
}

/** Why a loss does not fit an output; null if it does. */
function fitProblem(output: Tensor, loss: string): string | null {
  // `sum` fits any output, and is a loss only of one that is one already
  if (loss === "sum" && elementCount(output.shape) > 1)
    return `loss sum is for an output that is the loss already: ${output.name} [${output.shape}]`;
  try {
    const b = new Builder();
    b.declare({ ...output, category: "input" });
    appendLoss(b, output, parseNamed(loss));
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The loss that an output of such a shape is usually trained with: the first output that any fits decides. */
function likelyLoss(losses: readonly LossFit[]): LossFit | undefined {
  const [first] = losses.filter(({ problem }) => problem === null);
  if (!first) return undefined;
  const fitting = losses.filter(({ output, problem }) => output === first.output && problem === null);
  const named = (name: string): LossFit | undefined =>
    fitting.find(({ loss }) => loss.replace(/,?:?output=.*$/, "") === name);
  // images of class scores have the classes behind the batch
  const isDense = first.shape.length >= 4;
  return named("sum") ?? (isDense ? named("ce:axis=1") : named("ce")) ?? named("mse") ?? first;
}

/** Why no training step can be made of a forward graph; null if one can. */
function stepProblem(graph: Graph, loss: string | undefined): string | null {
  if (loss === undefined) {
    const types = graph.outputs.map((name) => `${name} ${graph.tensors.get(name)?.dtype}`).join(", ");
    return `no loss fits any output: ${types}`;
  }
  try {
    trainingStep(graph, { loss, optimizer: "sgd" });
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Parameters by module, at the greatest depth that gives no more than `mostModules` rows. */
function parametersByModule(graph: Graph, parameters: readonly Tensor[]): ModuleParameters[] {
  const modules = modulesIn(graph);
  const placed = parameters.map((tensor) => {
    const path = modules.ofTensor(tensor.name);
    return { tensor, names: isOutside(path) ? [] : namesOf(path) };
  });
  const deepest = greatest(
    placed.map(({ names }) => names.length),
    0,
  );
  const at = (depth: number): Map<string, Tensor[]> => {
    const groups = new Map<string, Tensor[]>();
    for (const { tensor, names } of placed) {
      const path = names.slice(0, depth).join(".");
      const group = groups.get(path);
      if (group) group.push(tensor);
      else groups.set(path, [tensor]);
    }
    return groups;
  };
  let groups = at(Math.min(1, deepest));
  for (let depth = 2; depth <= deepest; depth++) {
    const finer = at(depth);
    if (finer.size > mostModules) break;
    groups = finer;
  }
  return [...groups].map(([path, tensors]) => ({
    path,
    class: modules.classes.get(path) ?? null,
    tensors: tensors.length,
    parameters: count(tensors),
    bytes: bytes(tensors),
  }));
}
