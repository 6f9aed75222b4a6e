import { Builder } from "../../src/build/build.js";
import { type Attribute, type DType, elementCount, type Graph, onnxNumbers, prune } from "../../src/graph/graph.js";
import { randomFrom } from "../../src/graph/random.js";
import { bytesOf, type Value, valuesOf } from "../../src/graph/values.js";
import type { Model } from "../../src/model/model.js";
import { opOf } from "../../src/ops/index.js";
import { backward } from "../../src/step/gradient.js";
import { boundCase, type Reading, ready } from "./case.js";
import { shiftsOf, slopeOf } from "./slope.js";

type Precision = "float32" | "float64";

/**
 * Step of the differences up to values of that size (beyond, it grows with them), rounding of a sum of outputs relative
 * to its terms, and how near a gradient has to be.
 */
const settings = {
  float64: { step: 1e-4, size: 1000, rounding: 1e-14, relative: 1e-4 },
  float32: { step: 1e-2, size: 30, rounding: 3e-7, relative: 1e-2 },
} as const;

/** Rounding of kernels that compute float64 in float32. */
const coarse = 1e-6;

/** Elements of each input at which the gradient is compared, and of all inputs together. */
const [perInput, perCase] = [10, 30];

const floats: readonly DType[] = ["float16", "bfloat16", "float32", "float64"];

const isFloat = (dtype: DType): boolean => floats.includes(dtype);

/** Attributes that name an element type. */
const naming = new Set(["to", "dtype", "output_datatype"]);

/** A value in another element type, if it is of floats. */
const widened = <V extends Value>(value: V, precision: Precision): V =>
  isFloat(value.dtype)
    ? { ...value, dtype: precision, data: bytesOf(precision, valuesOf(value.dtype, value.data)) }
    : value;

function widenedAttribute(name: string, attribute: Attribute, precision: Precision): Attribute {
  if (attribute.type === "tensor") return { type: "tensor", value: widened(attribute.value, precision) };
  const isNamed = attribute.type === "int" && naming.has(name);
  return isNamed && floats.some((dtype) => onnxNumbers[dtype] === attribute.value)
    ? { type: "int", value: onnxNumbers[precision] }
    : attribute;
}

/** The model with all its floats in one element type. */
function inPrecision(model: Model, precision: Precision): Model {
  const typed = <V extends { dtype: DType }>(value: V): V =>
    isFloat(value.dtype) ? { ...value, dtype: precision } : value;
  return {
    ...model,
    inputs: model.inputs.map(typed),
    outputs: model.outputs.map(typed),
    valueInfo: model.valueInfo.map(typed),
    initializers: new Map([...model.initializers].map(([name, value]) => [name, widened(value, precision)])),
    nodes: model.nodes.map((node) => ({
      ...node,
      attributes: Object.fromEntries(
        Object.entries(node.attributes).map(([name, value]) => [name, widenedAttribute(name, value, precision)]),
      ),
    })),
  };
}

/** The gradient of Σ w·Y over the float outputs, w fixed random weights that are inputs of the graph. */
function gradientGraph(forward: Graph, outputs: readonly string[], wanted: readonly string[]) {
  const b = new Builder(forward);
  const random = randomFrom(99);
  const weights = new Map<string, { input: string; values: number[] }>();
  b.phase = "backward";
  b.category = "temporary";
  for (const name of outputs) {
    const { dtype, shape } = b.type(name);
    const input = b.fresh(`weights of ${name}`);
    b.declare({ name: input, dtype, shape, category: "input" });
    weights.set(name, { input, values: Array.from({ length: elementCount(shape) }, () => random() + 0.2) });
  }
  const seeds = new Map([...weights].map(([name, { input }]) => [name, input]));
  const gradients = backward(b, [...b.nodes], seeds, new Set(wanted));
  const inputs = [...forward.inputs, ...seeds.values()];
  const graph: Graph = {
    ...forward,
    nodes: b.nodes,
    tensors: new Map(b.tensors),
    inputs,
    outputs: [...new Set(gradients.values())],
    state: [],
  };
  return { graph: prune(graph), gradients, weights };
}

/** What came of a comparison with differences. */
export interface Compared {
  /** Why nothing was to be compared; empty if something was. */
  readonly none: string;
  readonly difference: string;
}

const none = (why: string): Compared => ({ none: why, difference: "" });

/** Compares the gradient of a case in float64, or where kernels lack that in float32. Throws where mutwo refuses it. */
export async function checkGradient(model: Model, inputs: readonly Value[], reading: Reading): Promise<Compared> {
  try {
    return await checkIn("float64", model, inputs, reading);
  } catch {
    return checkIn("float32", model, inputs, reading);
  }
}

async function checkIn(
  precision: Precision,
  model: Model,
  inputs: readonly Value[],
  reading: Reading,
): Promise<Compared> {
  const { graph, values, given } = boundCase(
    inPrecision(model, precision),
    inputs.map((value) => widened(value, precision)),
    reading,
  );
  if (graph.nodes.some((node) => opOf(node).random)) return none("draws random numbers");
  const made = new Set(graph.nodes.flatMap((node) => node.outputs));
  const typeOf = (name: string): DType | undefined => graph.tensors.get(name)?.dtype;
  // running statistics are renewed, not trained
  const renewed = new Set(graph.state.map(({ after }) => after));
  const outputs = [...new Set(graph.outputs)].filter(
    (name) => made.has(name) && typeOf(name) === precision && !renewed.has(name),
  );
  const wanted = given.filter((name) => typeOf(name) === precision);
  if (outputs.length === 0 || wanted.length === 0) return none("no floats");
  const { graph: backwardGraph, gradients, weights } = gradientGraph(graph, outputs, wanted);
  const all = new Map(values);
  for (const { input, values: list } of weights.values()) all.set(input, bytesOf(precision, list));

  const found = new Map<string, number[]>();
  if (gradients.size) {
    const step = ready(backwardGraph, all);
    const results = await step.run();
    step.close();
    for (const [name, gradient] of gradients)
      found.set(name, valuesOf(precision, results.get(gradient) ?? (all.get(gradient) as Uint8Array)));
  }
  // what is never trained, by its readers' records, may have no gradient: RoiAlign's regions, as in torchvision
  const isUntrained = (name: string): boolean =>
    graph.nodes.every((node) =>
      node.inputs.every((input, i) => input !== name || opOf(node).buffers?.[i] !== undefined),
    );
  const compared = wanted.filter((name) => found.has(name) || !isUntrained(name));
  const forward = ready({ ...graph, outputs, state: [] }, values);
  try {
    return await compareWithDifferences(precision, forward, { values, wanted: compared, weights, gradients: found });
  } finally {
    forward.close();
  }
}

const unknown = (shift: number): never => {
  throw new Error(`slopeOf asks at ${shift}, which shiftsOf does not name`);
};

interface Comparison {
  readonly values: ReadonlyMap<string, Uint8Array>;
  readonly wanted: readonly string[];
  readonly weights: ReadonlyMap<string, { readonly values: readonly number[] }>;
  /** Gradients by input; an input without one has a gradient of zero. */
  readonly gradients: ReadonlyMap<string, readonly number[]>;
}

async function compareWithDifferences(
  precision: Precision,
  forward: ReturnType<typeof ready>,
  { values, wanted, weights, gradients }: Comparison,
): Promise<Compared> {
  const { step: h, size, rounding, relative } = settings[precision];
  const random = randomFrom(7);
  /** Σ w·Y, and Σ |w·Y|. */
  const lossAt = async (changed: ReadonlyMap<string, Uint8Array>): Promise<[number, number]> => {
    const results = await forward.run(changed);
    let [sum, terms] = [0, 0];
    for (const [name, { values: weight }] of weights)
      valuesOf(precision, results.get(name) as Uint8Array).forEach((y, i) => {
        sum += (weight[i] as number) * y;
        terms += Math.abs((weight[i] as number) * y);
      });
    return [sum, terms];
  };
  let compared = 0;
  for (const name of wanted) {
    const x = valuesOf(precision, values.get(name) as Uint8Array);
    const gradient = gradients.get(name);
    const count = Math.min(x.length, perInput, perCase - compared);
    const places =
      x.length <= perInput ? [...x.keys()] : Array.from({ length: perInput }, () => Math.floor(random() * x.length));
    const slopes: { at: number; slope: number; error: number }[] = [];
    for (const at of places.slice(0, count)) {
      const step = h * Math.max(1, Math.abs(x[at] as number) / size);
      const losses = new Map<number, number>();
      let terms = 0;
      for (const shift of shiftsOf(step)) {
        const moved = x.map((value, i) => (i === at ? value + shift : value));
        const [loss, size] = await lossAt(new Map([[name, bytesOf(precision, moved)]]));
        losses.set(shift, loss);
        terms = Math.max(terms, size);
      }
      const found = slopeOf((shift) => losses.get(shift) ?? unknown(shift), step, {
        least: rounding * terms,
        most: coarse * terms,
      });
      if (found) slopes.push({ at, ...found });
    }
    await lossAt(new Map([[name, values.get(name) as Uint8Array]]));
    compared += slopes.length;
    const scale = Math.sqrt(slopes.reduce((sum, { slope }) => sum + slope * slope, 0) / Math.max(1, slopes.length));
    for (const { at, slope, error } of slopes) {
      const actual = gradient ? (gradient[at] as number) : 0;
      if (!(Math.abs(actual - slope) <= error + relative * Math.max(Math.abs(slope), scale)))
        return { none: "", difference: `${precision} gradient of ${name} at ${at}: ${actual} for ${slope}` };
    }
  }
  return compared ? { none: "", difference: "" } : none("only kinks");
}
