import { type DType, elementCount } from "../../graph/graph.js";
import { toFirst, toLast } from "../../ops/channels-last.js";
import { type NativeCall, NativeLibrary, pointerFrom } from "../native-library.js";
import type { Pointer } from "../ort-api.js";

const findSignature =
  "int (uintptr_t handle, uintptr_t aType, uintptr_t a, uintptr_t bType, uintptr_t b, uintptr_t convolution, uintptr_t outType, uintptr_t out, int asked, _Out_ int *found, _Out_ uint8_t *results, uintptr_t workspace, size_t bytes)";

const runSignature =
  "int (uintptr_t handle, void *alpha, uintptr_t aType, uintptr_t a, uintptr_t bType, uintptr_t b, uintptr_t convolution, int algorithm, uintptr_t workspace, size_t bytes, void *beta, uintptr_t outType, uintptr_t out)";

/** Functions of cuDNN 9 that return a status (cudnn_cnn.h, cudnn_ops.h, cudnn_graph.h). */
const functions = {
  cudnnCreate: "int (_Out_ uintptr_t *handle)",
  cudnnDestroy: "int (uintptr_t handle)",
  cudnnSetStream: "int (uintptr_t handle, uintptr_t stream)",
  cudnnCreateTensorDescriptor: "int (_Out_ uintptr_t *made)",
  cudnnDestroyTensorDescriptor: "int (uintptr_t made)",
  cudnnSetTensorNdDescriptor: "int (uintptr_t made, int type, int rank, int *dims, int *strides)",
  cudnnCreateFilterDescriptor: "int (_Out_ uintptr_t *made)",
  cudnnDestroyFilterDescriptor: "int (uintptr_t made)",
  cudnnSetFilterNdDescriptor: "int (uintptr_t made, int type, int format, int rank, int *dims)",
  cudnnCreateConvolutionDescriptor: "int (_Out_ uintptr_t *made)",
  cudnnDestroyConvolutionDescriptor: "int (uintptr_t made)",
  cudnnSetConvolutionNdDescriptor:
    "int (uintptr_t made, int axes, int *pads, int *strides, int *dilations, int mode, int type)",
  cudnnSetConvolutionGroupCount: "int (uintptr_t made, int groups)",
  cudnnSetConvolutionMathType: "int (uintptr_t made, int type)",
  cudnnFindConvolutionForwardAlgorithmEx: findSignature,
  cudnnFindConvolutionBackwardDataAlgorithmEx: findSignature,
  cudnnFindConvolutionBackwardFilterAlgorithmEx: findSignature,
  // the forward function alone has the filter's and the convolution's arguments in another order of names only
  cudnnConvolutionForward: runSignature,
  cudnnConvolutionBackwardData: runSignature,
  cudnnConvolutionBackwardFilter: runSignature,
  cudnnBackendCreateDescriptor: "int (int kind, _Out_ uintptr_t *made)",
  cudnnBackendDestroyDescriptor: "int (uintptr_t made)",
  cudnnBackendSetAttribute: "int (uintptr_t made, int name, int type, int64_t count, const void *elements)",
  cudnnBackendGetAttribute:
    "int (uintptr_t made, int name, int type, int64_t asked, _Out_ int64_t *count, void *elements)",
  cudnnBackendFinalize: "int (uintptr_t made)",
  cudnnBackendExecute: "int (uintptr_t handle, uintptr_t plan, uintptr_t pack)",
  cudnnAddTensor:
    "int (uintptr_t handle, void *alpha, uintptr_t addedType, uintptr_t added, void *beta, uintptr_t type, uintptr_t to)",
} as const;

type Name = keyof typeof functions;

/** cudnnDataType_t. */
const types: Partial<Record<DType, number>> = { float32: 0, float64: 1, float16: 2, bfloat16: 9 };

/** Whether cuDNN has kernels for elements of that type. */
export const cudnnSupports = (dtype: DType): boolean => types[dtype] !== undefined;

/** cuDNN wants at least two spatial axes; axes of size 1 come first. */
export const widened = (values: readonly number[], filler: number): number[] =>
  values.length >= 2 ? [...values] : [...new Array<number>(2 - values.length).fill(filler), ...values];

/** A shape with at least two spatial axes. */
export const widenedShape = (shape: readonly number[]): number[] => [
  ...shape.slice(0, 2),
  ...widened(shape.slice(2), 1),
];

/** Strides of a tensor without gaps, the last axis first, in elements. */
const contiguous = (dims: readonly number[]): number[] => dims.map((_, axis) => elementCount(dims.slice(axis + 1)));

/** Strides of a tensor of these dimensions, the channels' second, in elements: in their order, or with channels last. */
export const stridesOf = (dims: readonly number[], channelsLast?: true): number[] =>
  channelsLast ? toFirst(contiguous(toLast(dims))) : contiguous(dims);

/** An array of C's ints, which stays where it is. */
export const ints = (values: readonly number[]): Int32Array => {
  const array = new Int32Array(new ArrayBuffer(4 * values.length));
  array.set(values);
  return array;
};

/** The scaling factors 1 and 0, in the type that they are read in. */
export const factors = (dtype: DType): [Uint8Array, Uint8Array] => {
  const array = dtype === "float64" ? Float64Array : Float32Array;
  const bytes = (value: number): Uint8Array => new Uint8Array(array.of(value).buffer);
  return [bytes(1), bytes(0)];
};

/** What `work` makes; undefined where cuDNN refuses. Throws what else goes wrong. */
export function unlessRefused<Made>(work: () => Made): Made | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("cuDNN: ")) return undefined;
    throw error;
  }
}

/** cuDNN on a stream, and the descriptors made for it. Every call throws `cuDNN: <what it says> (<call>)` if it fails. */
export class Cudnn {
  /** 91002 is 9.10.2. */
  readonly version: number;
  private readonly functions: Readonly<Record<Name, NativeCall>>;
  private readonly errorString: (status: number) => string;
  readonly handle: Pointer;
  private readonly closing: (() => void)[] = [];
  private readonly tensors = new Map<string, Pointer>();
  private current: Pointer;

  /** Opens cuDNN from the library in `file`, for work in `stream`. */
  constructor(
    file: string,
    private readonly own: Pointer,
  ) {
    const library = new NativeLibrary(file);
    this.functions = library.functions(functions);
    this.current = own;
    this.errorString = library.function("const char *cudnnGetErrorString(int status)");
    this.version = Number(library.function<() => number | bigint>("size_t cudnnGetVersion()")());
    this.handle = pointerFrom((out) => this.call("cudnnCreate", out));
    this.call("cudnnSetStream", this.handle, own);
  }

  /** The stream that calls launch in. */
  get stream(): Pointer {
    return this.current;
  }

  /** Runs calls that launch in another stream. */
  inStream(stream: Pointer, work: () => void): void {
    this.turnTo(stream);
    try {
      work();
    } finally {
      this.turnTo(this.own);
    }
  }

  private turnTo(stream: Pointer): void {
    this.call("cudnnSetStream", this.handle, stream);
    this.current = stream;
  }

  /** Whether cuDNN has kernels for elements of that type. */
  readonly supports = cudnnSupports;

  /** cuDNN's number of an element type. Throws if there are no kernels for it. */
  typeOf(dtype: DType): number {
    const type = types[dtype];
    if (type === undefined) throw new Error(`cuDNN: no kernels for element type ${dtype}`);
    return type;
  }

  call(name: Name, ...args: unknown[]): void {
    const status = this.functions[name](...args);
    if (status !== 0) throw new Error(`cuDNN: ${this.errorString(status)} (${name})`);
  }

  /** Calls a function whose first parameter is the handle. */
  run(name: Name, ...args: unknown[]): void {
    this.call(name, this.handle, ...args);
  }

  /** A new descriptor, which lives as long as this does. */
  create(what: "Tensor" | "Filter" | "Convolution"): Pointer {
    const made = pointerFrom((out) => this.call(`cudnnCreate${what}Descriptor`, out));
    this.atClose(() => this.call(`cudnnDestroy${what}Descriptor`, made));
    return made;
  }

  /** What is done when this is closed, the last first. */
  atClose(work: () => void): void {
    this.closing.push(work);
  }

  /** A new descriptor of the graph interface, the caller's to destroy. */
  createBackend(kind: number): Pointer {
    return pointerFrom((out) => this.call("cudnnBackendCreateDescriptor", kind, out));
  }

  /** Whether that works says nothing of use. */
  destroyBackend(made: Pointer): void {
    this.functions.cudnnBackendDestroyDescriptor(made);
  }

  /** The descriptor of contiguous tensors of a type. */
  tensor(dtype: DType, shape: readonly number[], channelsLast?: true): Pointer {
    const key = `${dtype} ${shape.join()}${channelsLast ? " last" : ""}`;
    const known = this.tensors.get(key);
    if (known) return known;
    const dims = widenedShape(shape);
    const strides = stridesOf(dims, channelsLast);
    const made = this.create("Tensor");
    this.call("cudnnSetTensorNdDescriptor", made, this.typeOf(dtype), dims.length, ints(dims), ints(strides));
    this.tensors.set(key, made);
    return made;
  }

  /** A descriptor of a convolution's weights. */
  filter(dtype: DType, shape: readonly number[], channelsLast?: true): Pointer {
    const dims = widenedShape(shape);
    const made = this.create("Filter");
    this.call("cudnnSetFilterNdDescriptor", made, this.typeOf(dtype), channelsLast ? 1 : 0, dims.length, ints(dims));
    return made;
  }

  close(): void {
    for (const destroy of this.closing.reverse()) destroy();
    this.closing.length = 0;
    this.tensors.clear();
    this.call("cudnnDestroy", this.handle);
  }
}
