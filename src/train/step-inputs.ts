import type { Batch, BatchTensor, Numbers } from "../data/batch.js";
import { allowedIn, bytesIn, misfit, putNumbers, type TypedNumbers, typedZeros } from "../data/numbers.js";
import { few } from "../format.js";
import { type DType, elementCount, type Graph, tensorOf } from "../graph/graph.js";
import { placeLimits } from "../step/initial.js";
import { ignoredTarget } from "../step/loss.js";
import { parseNamed, takeSetting } from "../step/settings.js";

/** The element type of a typed array, where 16-bit floats are their bits; of a list float64. */
function typeOf(numbers: Numbers, wanted: DType): DType {
  if (numbers instanceof Float32Array) return "float32";
  if (numbers instanceof BigInt64Array) return "int64";
  if (numbers instanceof Int32Array) return "int32";
  if (numbers instanceof Uint8Array || numbers instanceof Uint8ClampedArray)
    return wanted === "bool" && isBits(numbers) ? "bool" : "uint8";
  if (numbers instanceof Uint16Array) return wanted === "float16" || wanted === "bfloat16" ? wanted : "uint16";
  if (numbers instanceof BigUint64Array) return "uint64";
  if (numbers instanceof Uint32Array) return "uint32";
  if (numbers instanceof Int16Array) return "int16";
  if (numbers instanceof Int8Array) return "int8";
  return "float64";
}

const isBits = (numbers: ArrayLike<number>): boolean => {
  for (let i = 0; i < numbers.length; i++) if ((numbers[i] as number) > 1) return false;
  return true;
};

const isNumbers = (value: unknown): value is Numbers =>
  (ArrayBuffer.isView(value) && !(value instanceof DataView)) || Array.isArray(value);

/** What a training step is given: its tensors as a batch has them, checked and turned into bytes. */
export class StepInputs {
  /** Shapes of whole steps: dimension 0 has the micro-batches one after the other. */
  readonly tensors: readonly BatchTensor[];
  /** For each tensor, what its micro-batches are called in the step. */
  private readonly names: readonly (readonly string[])[];
  /** What the model takes; the loss may not need all of it. */
  private readonly modelInputs: ReadonlySet<string>;
  /** Where numbers of another type than the tensor's are put, by the tensor's name. */
  private readonly converted = new Map<string, TypedNumbers>();

  /**
   * `step` is the graph that is executed, `model` the forward graph that it was made of, `loss` the option, `micros` how
   * many micro-batches a step has.
   */
  constructor(
    step: Graph,
    model: Graph,
    loss: string,
    readonly micros: number,
  ) {
    this.modelInputs = new Set(model.inputs);
    const count = step.inputs.length / micros;
    const limits = placeLimits(model);
    const ignoreIndex = ignoredTarget(takeSetting(parseNamed(loss), "output").rest);
    const first = step.inputs.slice(0, count);
    this.names = first.map((_, i) =>
      Array.from({ length: micros }, (_, micro) => step.inputs[micro * count + i] as string),
    );
    this.tensors = first.map((name): BatchTensor => {
      const { dtype, shape, range } = tensorOf(step, name);
      const isTarget = !model.inputs.includes(name);
      const limit = isTarget ? (dtype === "int64" ? range?.[1] : undefined) : limits.get(name);
      return {
        name,
        dtype,
        shape: micros > 1 ? [(shape[0] ?? 1) * micros, ...shape.slice(1)] : shape,
        ...(limit === undefined ? {} : { limit }),
        ...(isTarget && limit !== undefined && ignoreIndex !== undefined ? { ignoreIndex } : {}),
        isTarget,
      };
    });
  }

  /**
   * The bytes of a batch, handed to `take` tensor by tensor and micro-batch by micro-batch, with the names that those have
   * in the step. Nothing is handed over where anything is wrong: throws one line.
   */
  hand(batch: Batch, take: (name: string, bytes: Uint8Array, micro: number) => void, withTarget = true): void {
    const wanted = this.tensors.filter(({ isTarget }) => withTarget || !isTarget);
    const given = wanted.map((tensor) => this.bytesFor(tensor, this.numbersFor(batch, tensor)));
    this.checkNames(batch);
    wanted.forEach((tensor, i) => {
      const bytes = given[i] as Uint8Array;
      const size = bytes.length / this.micros;
      const names = this.names[this.tensors.indexOf(tensor)] as readonly string[];
      for (let micro = 0; micro < this.micros; micro++)
        take(names[micro] as string, bytes.subarray(micro * size, (micro + 1) * size), micro);
    });
  }

  /** Another name for the one input that the model has. */
  private aliasOf({ name, isTarget }: BatchTensor): string {
    const isOnly = !isTarget && this.tensors.filter((one) => !one.isTarget).length === 1;
    return isOnly && !this.tensors.some((one) => one.name === "input") ? "input" : name;
  }

  private numbersFor(batch: Batch, tensor: BatchTensor): Numbers {
    if (typeof batch !== "object" || batch === null || isNumbers(batch))
      throw new Error("a batch is no record of arrays by tensor names: give { input, target }");
    const key = Object.hasOwn(batch, tensor.name) ? tensor.name : this.aliasOf(tensor);
    const numbers = Object.hasOwn(batch, key) ? batch[key] : undefined;
    if (numbers === undefined && Object.hasOwn(batch, "tensors"))
      throw new Error(`the batch lacks ${tensor.name}: of what batchesOf gives, pass its tensors (batch.tensors)`);
    if (numbers === undefined) throw new Error(`the batch lacks ${tensor.name}: ${this.described()}`);
    if (!isNumbers(numbers))
      throw new Error(`the batch's ${tensor.name} is neither a typed array nor a list of numbers`);
    return numbers;
  }

  /** What a step takes, in words. */
  private described(): string {
    const words = this.tensors.map(({ name, dtype, shape }) => `${name} ${dtype}[${shape}]`);
    return `a step takes ${few(words)}`;
  }

  private checkNames(batch: Batch): void {
    for (const name of Object.keys(batch)) {
      const known = this.tensors.some((tensor) => tensor.name === name || this.aliasOf(tensor) === name);
      // inputs that the loss does not need may be there
      if (!known && !this.modelInputs.has(name) && name !== "target")
        throw new Error(`unknown name in the batch: ${name} (${this.described()})`);
    }
  }

  private bytesFor(tensor: BatchTensor, numbers: Numbers): Uint8Array {
    const { name, dtype, shape, limit } = tensor;
    const count = elementCount(shape);
    if (numbers.length !== count)
      throw new Error(`shape mismatch: ${name} has ${numbers.length} elements, ${dtype}[${shape}] has ${count}`);
    const from = typeOf(numbers, dtype);
    const allowed = allowedIn(from, tensor);
    const wrong = allowed && misfit(numbers, from, allowed);
    if (wrong) {
      const what = limit === undefined ? `${dtype} number` : tensor.isTarget ? "class number" : "index";
      const where = placeIn(shape, wrong.at);
      const beside = allowed.beside === undefined ? "" : `, or ${allowed.beside}`;
      throw new Error(
        `${what} out of range: ${wrong.value} at ${where} of ${name} (whole numbers from ${allowed.from} to ${allowed.most}${beside})`,
      );
    }
    if (from === dtype && !Array.isArray(numbers)) return bytesIn(numbers as TypedNumbers);
    const into = this.converted.get(name) ?? typedZeros(dtype, count);
    this.converted.set(name, into);
    putNumbers(numbers, from, into, dtype);
    return bytesIn(into);
  }
}

/** The place of an element of a tensor, in brackets: `[3, 7]`. */
function placeIn(shape: readonly number[], at: number): string {
  const place: number[] = [];
  for (let axis = shape.length - 1, rest = at; axis >= 0; axis--) {
    const size = shape[axis] as number;
    place.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `[${place.join(", ")}]`;
}
