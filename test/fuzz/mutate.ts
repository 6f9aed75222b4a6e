import { randomFrom } from "../../src/graph/random.js";
import {
  decodeModel,
  encodeModel,
  type ProtoAttribute,
  type ProtoModel,
  type ProtoNode,
  type ProtoTensor,
} from "../../src/model/onnx-proto.js";
import { ops } from "../../src/ops/index.js";
import type { Seed } from "./seeds.js";

/** A model made wrong, and the options that it is profiled with. */
export interface Mutant {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly options: Readonly<Record<string, unknown>> & { readonly dims: Readonly<Record<string, number>> };
}

/** Seeded choices. */
class Dice {
  private readonly random: () => number;

  constructor(seed: number) {
    this.random = randomFrom(seed);
  }

  below = (n: number): number => Math.floor(this.random() * n);

  chance = (share: number): boolean => this.random() < share;

  of = <T>(list: readonly T[]): T => list[this.below(list.length)] as T;
}

const integers = [
  ...[0, -1, 1, 2, -2, 3, 4, 5, -3, -4, 7, 8, 16, 17, 100, -100, 1000, 65_537, 1e6, 1e9],
  ...["2147483647", "-2147483648", "2147483648", "4294967296", "1099511627776"],
  ...["9007199254740993", "9223372036854775807", "-9223372036854775808", "4611686018427387904"],
];

const numbers = [0, -0, 1, -1, 0.5, -0.5, 1e-45, 1e38, -1e38, 1e-7, 2, 1e9, Number.NaN, Infinity, -Infinity];

const longName = "n".repeat(10_000);

const texts = [
  ...["", "bad", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "reflect", "edge", "wrap", "constant", "nearest"],
  ...["linear", "cubic", "bilinear", "half_pixel", "align_corners", "tf_crop_and_resize", "floor", "ceil", "mean"],
  ...["sum", "none", "add", "mul", "max", "min", "tanh", "Tanh", "Relu", "bidirectional", "reverse", "ij,jk->ik"],
  ...["...ii->i", "i,i,i->", "->", "ij", ",", "DCR", "CRD", "zeros", "border", "\u001b[31mred\u001b[0m", "a\nb"],
];

const names = [
  ...["", "X:0", "W.grad", "const.float32.-1", "loss", "a@recompute", "x@swap/in", "__proto__", "toString"],
  ...["constructor", "\u001b[2J", "line\nbreak", "null\u0000byte", "\u202ertl", "ü 🙂", "../../etc/passwd", longName],
  ...["<a href=x>", "=1+1", "\u2028", "x0", "y0", "scale", "scaled", "batch"],
];

const attributeNames = [
  ...["axis", "axes", "perm", "group", "pads", "strides", "dilations", "kernel_shape", "to", "mode", "keepdims"],
  ...["alpha", "beta", "transA", "transB", "epsilon", "momentum", "training_mode", "auto_pad", "ceil_mode"],
  ...["output_shape", "output_padding", "num_outputs", "split", "k", "value", "batch_dims", "block_size", "size"],
  ...["num_heads", "hidden_size", "direction", "equation", "reduction", "seed", "shape", "dtype", "count_include_pad"],
];

type Mutation = (model: ProtoModel, dice: Dice) => void;

const nodesOf = (model: ProtoModel): ProtoNode[] => model.graph?.node ?? [];

const initializersOf = (model: ProtoModel): ProtoTensor[] => model.graph?.initializer ?? [];

/** Names of the graph's tensors. */
const tensorsOf = (model: ProtoModel): string[] => [
  ...nodesOf(model).flatMap((node) => [...(node.input ?? []), ...(node.output ?? [])]),
  ...initializersOf(model).map(({ name }) => name ?? ""),
];

const anyName = (model: ProtoModel, dice: Dice): string => {
  const known = tensorsOf(model);
  return known.length && dice.chance(0.5) ? dice.of(known) : dice.of(names);
};

/** A mutation of one node, if there is one. */
const ofNode =
  (change: (node: ProtoNode, dice: Dice, model: ProtoModel) => void): Mutation =>
  (model, dice) => {
    const nodes = nodesOf(model);
    if (nodes.length) change(dice.of(nodes), dice, model);
  };

/** Changes one list of names in place. */
function changeNames(list: string[], dice: Dice, model: ProtoModel): void {
  const at = dice.below(list.length + 1);
  const change = dice.below(7);
  if (change === 0) list.pop();
  else if (change === 1 && at < list.length) list[at] = "";
  else if (change === 2 && at < list.length) list.splice(at, 1);
  else if (change === 3) list.splice(at, 0, anyName(model, dice));
  else if (change === 4 && list.length > 1) [list[0], list[1]] = [list[1] as string, list[0] as string];
  else if (change === 5) list.push(list[0] ?? "", list[0] ?? "");
  else list[at] = anyName(model, dice);
}

const changeInputs = ofNode((node, dice, model) => {
  node.input ??= [];
  changeNames(node.input, dice, model);
});

const changeOutputs = ofNode((node, dice, model) => {
  node.output ??= [];
  changeNames(node.output, dice, model);
});

const cycle = ofNode((node, dice, model) => {
  const later = dice.of(nodesOf(model)).output?.[0] ?? node.output?.[0] ?? "";
  node.input = [...(node.input ?? [])];
  node.input[dice.below(node.input.length || 1)] = later;
});

const changeOp = ofNode((node, dice) => {
  const [domain = "", op = ""] = dice.of(
    [...ops.keys()].map((key) => (key.includes(":") ? key.split(":") : ["", key])),
  );
  if (dice.chance(0.8)) [node.domain, node.opType] = [domain, op];
  else if (dice.chance(0.5)) node.opType = dice.of(["", "Loop", "If", "Scan", "Unknown", ...names]);
  else node.domain = dice.of(["", "ai.onnx", "com.microsoft", "mutwo", "ai.onnx.ml", ...names]);
});

/** Numbers of ONNX's attribute types that mutants are given. */
const [floatType, intType, stringType, tensorType, floatsType, intsType, stringsType] = [1, 2, 3, 4, 6, 7, 8];

function randomValue(type: number | undefined, dice: Dice): Partial<ProtoAttribute> {
  const some = <T>(make: () => T): T[] => Array.from({ length: dice.below(7) }, make);
  switch (type) {
    case floatType:
      return { f: dice.of(numbers) };
    case intType:
      return { i: dice.of(integers) };
    case stringType:
      return { s: Buffer.from(dice.of(texts)) };
    case tensorType:
      return {
        t: { dims: some(() => dice.of(integers)), dataType: dice.below(24), rawData: Buffer.alloc(dice.below(64)) },
      };
    case floatsType:
      return { floats: some(() => dice.of(numbers)) };
    case intsType:
      return { ints: some(() => dice.of(integers)) };
    default:
      return { strings: some(() => Buffer.from(dice.of(texts))) };
  }
}

const types = [floatType, intType, stringType, tensorType, floatsType, intsType, stringsType];

const changeAttribute = ofNode((node, dice) => {
  node.attribute ??= [];
  const attribute = node.attribute.length ? dice.of(node.attribute) : undefined;
  const change = attribute ? dice.below(8) : 7;
  if (!attribute || change === 7) {
    const type = dice.of(types);
    node.attribute.push({ name: dice.of(attributeNames), type, ...randomValue(type, dice) });
  } else if (change === 0) node.attribute.splice(node.attribute.indexOf(attribute), 1);
  else if (change === 1) attribute.type = dice.of([0, 5, 9, 10, 11, 99, ...types]);
  else if (change === 2 && attribute.ints?.length)
    attribute.ints[dice.below(attribute.ints.length)] = dice.of(integers);
  else if (change === 3 && attribute.ints?.length) attribute.ints = attribute.ints.slice(1);
  else if (change === 4) attribute.name = dice.of([...attributeNames, ...names]);
  else Object.assign(attribute, randomValue(attribute.type, dice));
});

const changeTensor: Mutation = (model, dice) => {
  const tensors = [
    ...initializersOf(model),
    ...nodesOf(model).flatMap((node) => (node.attribute ?? []).flatMap(({ t }) => (t ? [t] : []))),
  ];
  if (!tensors.length) return;
  const tensor = dice.of(tensors);
  const dims = [...(tensor.dims ?? [])];
  const change = dice.below(8);
  if (change === 0) tensor.dims = [...dims.slice(0, -1), dice.of(integers)];
  else if (change === 1) tensor.dims = dims.slice(1);
  else if (change === 2) tensor.dims = [...dims, dice.of([0, 1, 2])];
  else if (change === 3) tensor.dataType = dice.below(27);
  else if (change === 4) tensor.rawData = (tensor.rawData ?? Buffer.alloc(0)).slice(0, dice.below(16));
  else if (change === 5) {
    // the same bytes in another shape, or none at all
    tensor.dims = dice.chance(0.5) ? [...dims].reverse() : [0, ...dims.slice(1)];
    if (tensor.dims[0] === 0) tensor.rawData = Buffer.alloc(0);
  } else if (change === 6) {
    const location = dice.of(["../../etc/passwd", "/dev/zero", "no.data", ""]);
    Object.assign(tensor, { dataLocation: 1, externalData: [{ key: "location", value: location }] });
  } else Object.assign(tensor, { dims: [1e5, dice.of([1e5, 1e10])], rawData: Buffer.alloc(0) });
};

/** Other values in a tensor of integers: axes, pads, shapes, indices. */
const changeIntegers: Mutation = (model, dice) => {
  const found = initializersOf(model).filter(({ dataType }) => dataType === 7);
  if (!found.length) return;
  const tensor = dice.of(found);
  const count = (tensor.rawData?.length ?? 0) / 8;
  const data = Buffer.from(tensor.rawData ?? []);
  if (!Number.isInteger(count) || count === 0) return;
  data.writeBigInt64LE(BigInt(dice.of(integers)), 8 * dice.below(count));
  tensor.rawData = data;
};

const changeInput: Mutation = (model, dice) => {
  const values = [...(model.graph?.input ?? []), ...(model.graph?.output ?? []), ...(model.graph?.valueInfo ?? [])];
  if (!values.length) return;
  const value = dice.of(values);
  const tensor = value.type?.tensorType;
  const dim = tensor?.shape?.dim;
  const change = dice.below(7);
  if (change === 0) delete (value as { type?: unknown }).type;
  else if (change === 1 && tensor) tensor.elemType = dice.below(27);
  else if (change === 2 && tensor) delete tensor.shape;
  else if (change === 3) value.name = anyName(model, dice);
  else if (dim && change === 4) dim.splice(dice.below(dim.length + 1), dice.below(2), { dimValue: dice.of(integers) });
  else if (dim?.length && change === 5) dim[dice.below(dim.length)] = { dimValue: dice.of(integers) };
  else if (dim?.length) dim[dice.below(dim.length)] = { dimParam: dice.of(names) };
};

const changeOutputsOfGraph: Mutation = ({ graph }, dice) => {
  if (!graph?.output?.length) return;
  const change = dice.below(3);
  if (change === 0) graph.output.pop();
  else if (change === 1) graph.output.push(...graph.output);
  else graph.output = [{ name: dice.of(tensorsOf({ graph })), type: graph.output[0]?.type ?? {} }];
};

const changeOpset: Mutation = (model, dice) => {
  const imports = model.opsetImport ?? [];
  const change = dice.below(4);
  if (change === 0) imports.pop();
  else if (change === 1) imports.push({ domain: dice.of(names), version: dice.of(integers) });
  else if (imports[0])
    imports[0].version = dice.of([...integers, 6, 9, 10, 11, 12, 13, 15, 19, 20, 21, 22, 23, 24, 25]);
};

const changeNodes: Mutation = ({ graph }, dice) => {
  const nodes = graph?.node;
  if (!nodes?.length) return;
  const at = dice.below(nodes.length);
  const change = dice.below(4);
  if (change === 0) nodes.splice(at, 1);
  else if (change === 1) nodes.splice(at, 0, nodes[at] as ProtoNode);
  else if (change === 2) nodes.reverse();
  else nodes.splice(at, 0, { ...nodes[dice.below(nodes.length)], output: ["another"] });
};

/** Another name for a node, or everywhere for one tensor. */
const rename: Mutation = (model, dice) => {
  if (dice.chance(0.3)) return ofNode((node) => Object.assign(node, { name: dice.of(names) }))(model, dice);
  const [from, to] = [dice.of([...tensorsOf(model), ""]), dice.of(names)];
  const renamed = (name: string): string => (name === from ? to : name);
  for (const node of nodesOf(model)) {
    node.input = node.input?.map(renamed) ?? [];
    node.output = node.output?.map(renamed) ?? [];
  }
  const { graph } = model;
  for (const value of [...(graph?.initializer ?? []), ...(graph?.input ?? []), ...(graph?.output ?? [])])
    value.name = renamed(value.name ?? "");
};

/** A function that the first node calls: of itself, of nothing, or of many. */
const addFunction: Mutation = (model, dice) => {
  const [first] = nodesOf(model);
  if (!first) return;
  const { opType = "", domain = "", input = [], output = [] } = first;
  const call = { opType: dice.chance(0.3) ? opType : "Relu", domain, input: ["in0"], output: ["out0"], name: "call" };
  const body = Array.from({ length: dice.of([0, 1, 2, 50]) }, () => ({ ...call }));
  model.functions = [
    {
      name: opType,
      domain,
      input: input.map((_, i) => `in${i}`),
      output: output.map((_, i) => `out${i}`),
      node: body,
    },
  ];
};

/** Mutations of what a file says; those of nodes count more. */
const mutations: readonly Mutation[] = [
  ...[changeInputs, changeInputs, changeInputs, changeOutputs, cycle, changeOp, changeOp],
  ...[changeAttribute, changeAttribute, changeAttribute, changeAttribute, changeTensor, changeTensor, changeIntegers],
  ...[changeIntegers, changeInput, changeInput, changeOutputsOfGraph, changeOpset, changeNodes, rename, addFunction],
];

/** Cut, changed, removed, doubled or added bytes. */
function changeBytes(bytes: Uint8Array, dice: Dice): Uint8Array {
  const from = dice.below(bytes.length);
  const to = Math.min(bytes.length, from + dice.below(64));
  const change = dice.below(5);
  if (change === 0) return bytes.slice(0, from);
  if (change === 1) return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  if (change === 2) return Buffer.concat([bytes.subarray(0, to), bytes.subarray(from)]);
  const changed = Uint8Array.from(bytes);
  if (change === 3) changed[from] = (changed[from] as number) ^ (1 << dice.below(8));
  else for (let i = from; i < to; i++) changed[i] = dice.below(256);
  return changed;
}

const extremeSizes = [1, 3, 1000, 100_000, 1e9, 2 ** 31, 2 ** 53 - 1, 0, -1, 0.5];

/** Bytes up to which a model is planned: an unrolled recurrence's plan takes long, and may. */
const smallEnough = 4000;

/** Options of a run: mostly plain ones. */
function optionsOf(seed: Seed, dice: Dice): Mutant["options"] {
  const dims = Object.fromEntries(
    Object.entries(seed.dims).map(([name, size]) => [name, dice.chance(0.05) ? dice.of(extremeSizes) : size]),
  );
  const loss = dice.of(["mse", "mse", "mse", "ce", "l1", "sum", "ce:axis=1", "bce"]);
  return {
    loss,
    optimizer: dice.of(["sgd", "adam"]),
    dims,
    ...(dice.chance(0.05) && seed.bytes.length < smallEnough
      ? { budget: "50%", planner: dice.of(["mutwo", "sqrt", "checkmate"]) }
      : {}),
    ...(dice.chance(0.01) ? { accumulate: dice.of([2, 10, 1e6, 2 ** 31]) } : {}),
    ...(dice.chance(0.05) ? { precision: dice.of(["mixed", "mixed:type=bfloat16", "float64"]) } : {}),
    ...(dice.chance(0.002) ? { threads: dice.of([1e9, 65_536, 1000]) } : {}),
  };
}

/** The mutant of that number: the same for the same seed and number. */
export function mutantOf(seeds: readonly Seed[], seed: number, index: number): Mutant {
  const dice = new Dice(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b));
  const chosen = dice.of(seeds);
  const options = optionsOf(chosen, dice);
  let { bytes } = chosen;
  if (dice.chance(0.95)) {
    const model = decodeModel(bytes);
    for (let left = dice.of([1, 1, 1, 1, 1, 1, 2, 2, 2, 3]); left > 0; left--) dice.of(mutations)(model, dice);
    try {
      bytes = encodeModel(model);
    } catch {
      // what protobuf does not write stays as it was
    }
  }
  if (dice.chance(0.08)) bytes = changeBytes(bytes, dice);
  return { name: `${seed}-${index} of ${chosen.name}`, bytes, options };
}
