import koffi from "koffi";
import { type DType, elementCount } from "../../graph/graph.js";
import type { Pointer } from "../ort-api.js";

/** Functions of cuDNN 9 that return a status (cudnn_cnn.h, cudnn_ops.h). */
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
  cudnnDeriveBNTensorDescriptor: "int (uintptr_t derived, uintptr_t of, int mode)",
  cudnnBatchNormalizationForwardTraining:
    "int (uintptr_t handle, int mode, void *alpha, void *beta, uintptr_t xType, uintptr_t x, uintptr_t yType, uintptr_t y, uintptr_t vectorType, uintptr_t scale, uintptr_t bias, double factor, uintptr_t runningMean, uintptr_t runningVariance, double epsilon, uintptr_t mean, uintptr_t inverse)",
  cudnnBatchNormalizationBackward:
    "int (uintptr_t handle, int mode, void *alpha, void *beta, void *alphaVector, void *betaVector, uintptr_t xType, uintptr_t x, uintptr_t dyType, uintptr_t dy, uintptr_t dxType, uintptr_t dx, uintptr_t vectorType, uintptr_t scale, uintptr_t dScale, uintptr_t dBias, double epsilon, uintptr_t mean, uintptr_t inverse)",
} as const;

/** The three convolutions; operands in the order in which cuDNN names them: two inputs, then the output. */
const convolutions = {
  /** x, w → y */
  forward: "Forward",
  /** w, dy → dx */
  input: "BackwardData",
  /** x, dy → dw */
  filter: "BackwardFilter",
} as const;

export type ConvolutionKind = keyof typeof convolutions;

const findSignature =
  "int (uintptr_t handle, uintptr_t aType, uintptr_t a, uintptr_t bType, uintptr_t b, uintptr_t convolution, uintptr_t outType, uintptr_t out, int asked, _Out_ int *found, _Out_ uint8_t *results, uintptr_t workspace, size_t bytes)";

const runSignature =
  "int (uintptr_t handle, void *alpha, uintptr_t aType, uintptr_t a, uintptr_t bType, uintptr_t b, uintptr_t convolution, int algorithm, uintptr_t workspace, size_t bytes, void *beta, uintptr_t outType, uintptr_t out)";

/** cudnnDataType_t. */
const types: Partial<Record<DType, number>> = { float32: 0, float64: 1, float16: 2, bfloat16: 9 };

/** cudnnMathType_t: products in the type itself, or with inputs rounded to TF32 where the hardware has it. */
const fmaMath = 3;

const defaultMath = 0;

export interface ConvolutionSpec {
  readonly kind: ConvolutionKind;
  readonly dtype: DType;
  /** Shapes of x, w and y, whichever of them is made. */
  readonly x: readonly number[];
  readonly w: readonly number[];
  readonly y: readonly number[];
  readonly pads: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly groups: number;
  readonly tf32: boolean;
  readonly deterministic: boolean;
}

/** One algorithm for a convolution. */
export interface Convolution {
  readonly workspaceBytes: number;
  /** Time when it was tried, ms. */
  readonly ms: number;
  run(a: Pointer, b: Pointer, out: Pointer, workspace: Pointer): void;
}

export interface BatchNorm {
  forward(args: {
    x: Pointer;
    scale: Pointer;
    bias: Pointer;
    y: Pointer;
    mean: Pointer;
    inverse: Pointer;
    epsilon: number;
  }): void;
  backward(args: {
    x: Pointer;
    dy: Pointer;
    scale: Pointer;
    mean: Pointer;
    inverse: Pointer;
    dx: Pointer;
    dScale: Pointer;
    dBias: Pointer;
    epsilon: number;
  }): void;
}

/** cuDNN on one stream. Every call throws `cuDNN: <what it says> (<call>)` if it fails. */
export interface Cudnn {
  /** 91002 is 9.10.2. */
  readonly version: number;
  /** Whether cuDNN has kernels for elements of that type. */
  supports(dtype: DType): boolean;
  /**
   * Times the algorithms on the operands (their bytes may be anything, the output is overwritten) and returns those
   * whose workspace fits, fastest first. Throws if none does.
   */
  convolutions(
    spec: ConvolutionSpec,
    a: Pointer,
    b: Pointer,
    out: Pointer,
    workspace: Pointer,
    bytes: number,
  ): readonly Convolution[];
  /** Batch norm in training over all axes but the second. */
  batchNorm(dtype: DType, shape: readonly number[], deterministic: boolean): BatchNorm;
  close(): void;
}

/** cuDNN wants at least two spatial axes; axes of size 1 come first. */
const widened = (values: readonly number[], filler: number): number[] =>
  values.length >= 2 ? [...values] : [...new Array<number>(2 - values.length).fill(filler), ...values];

const widenedShape = (shape: readonly number[]): number[] => [...shape.slice(0, 2), ...widened(shape.slice(2), 1)];

const ints = (values: readonly number[]): Int32Array => {
  const array = new Int32Array(new ArrayBuffer(4 * values.length));
  array.set(values);
  return array;
};

/** What must outlive every call into the library: koffi unloads what the collector takes. */
const kept: unknown[] = [];

/** Opens cuDNN from the library in `file`, for work in `stream`. */
export function openCudnn(file: string, stream: Pointer): Cudnn {
  const library = koffi.load(file);
  const bind = (name: string, signature: string) =>
    library.func(signature.replace("(", `${name}(`)) as (...args: unknown[]) => number;
  const api = Object.fromEntries(
    Object.entries(functions).map(([name, signature]) => [name, bind(name, signature)]),
  ) as Record<keyof typeof functions, (...args: unknown[]) => number>;
  const find = Object.fromEntries(
    Object.entries(convolutions).map(([kind, name]) => [
      kind,
      bind(`cudnnFindConvolution${name}AlgorithmEx`, findSignature),
    ]),
  ) as Record<ConvolutionKind, (...args: unknown[]) => number>;
  const execute = Object.fromEntries(
    Object.entries(convolutions).map(([kind, name]) => [
      kind,
      bind(
        `cudnnConvolution${name}`,
        // the forward function alone has the filter's and the convolution's arguments in another order of names only
        runSignature,
      ),
    ]),
  ) as Record<ConvolutionKind, (...args: unknown[]) => number>;
  const errorString = library.func("const char *cudnnGetErrorString(int status)") as (status: number) => string;
  const version = Number((library.func("size_t cudnnGetVersion()") as () => number | bigint)());
  kept.push(library, api, find, execute, errorString);

  const check = (status: number, call: string): void => {
    if (status !== 0) throw new Error(`cuDNN: ${errorString(status)} (${call})`);
  };
  const call = (name: keyof typeof functions, ...args: unknown[]): void => check(api[name](...args), name);
  const created: (() => void)[] = [];
  const create = (what: "Tensor" | "Filter" | "Convolution"): Pointer => {
    const value: [unknown] = [null];
    call(`cudnnCreate${what}Descriptor`, value);
    const made = BigInt(value[0] as number | bigint);
    created.push(() => call(`cudnnDestroy${what}Descriptor`, made));
    return made;
  };
  const handleOut: [unknown] = [null];
  call("cudnnCreate", handleOut);
  const handle = BigInt(handleOut[0] as number | bigint);
  call("cudnnSetStream", handle, stream);

  const typeOf = (dtype: DType): number => {
    const type = types[dtype];
    if (type === undefined) throw new Error(`cuDNN: no kernels for element type ${dtype}`);
    return type;
  };
  const tensors = new Map<string, Pointer>();
  const tensor = (dtype: DType, shape: readonly number[]): Pointer => {
    const key = `${dtype} ${shape.join()}`;
    const known = tensors.get(key);
    if (known) return known;
    const dims = widenedShape(shape);
    const strides = dims.map((_, axis) => elementCount(dims.slice(axis + 1)));
    const made = create("Tensor");
    call("cudnnSetTensorNdDescriptor", made, typeOf(dtype), dims.length, ints(dims), ints(strides));
    tensors.set(key, made);
    return made;
  };
  const filter = (dtype: DType, shape: readonly number[]): Pointer => {
    const dims = widenedShape(shape);
    const made = create("Filter");
    call("cudnnSetFilterNdDescriptor", made, typeOf(dtype), 0, dims.length, ints(dims));
    return made;
  };
  /** The scaling factors 1 and 0, in the type that they are read in. */
  const factors = (dtype: DType): [Uint8Array, Uint8Array] => {
    const array = dtype === "float64" ? Float64Array : Float32Array;
    const bytes = (value: number): Uint8Array => new Uint8Array(array.of(value).buffer);
    return [bytes(1), bytes(0)];
  };

  return {
    version,
    supports: (dtype) => types[dtype] !== undefined,
    convolutions(spec, a, b, out, workspace, bytes) {
      const { kind, dtype } = spec;
      const [one, zero] = factors(dtype);
      const made = create("Convolution");
      const pads = widened(spec.pads, 0);
      // 16-bit types compute in float32
      const computeType = dtype === "float64" ? typeOf("float64") : typeOf("float32");
      call(
        "cudnnSetConvolutionNdDescriptor",
        made,
        pads.length,
        ints(pads),
        ints(widened(spec.strides, 1)),
        ints(widened(spec.dilations, 1)),
        1, // cross-correlation
        computeType,
      );
      call("cudnnSetConvolutionGroupCount", made, spec.groups);
      call("cudnnSetConvolutionMathType", made, dtype === "float32" && !spec.tf32 ? fmaMath : defaultMath);
      const [x, w, y] = [tensor(dtype, spec.x), filter(dtype, spec.w), tensor(dtype, spec.y)];
      const [aType, bType, outType] = kind === "forward" ? [x, w, y] : kind === "input" ? [w, y, x] : [x, y, w];
      const found = tried(kind, spec, [aType, a, bType, b, made, outType, out], workspace, bytes);
      return found.map(({ number, math, bytes, ms }) => ({
        workspaceBytes: bytes,
        ms,
        run(a, b, out, workspace) {
          call("cudnnSetConvolutionMathType", made, math);
          const status = (execute[kind] as (...args: unknown[]) => number)(
            handle,
            one,
            aType,
            a,
            bType,
            b,
            made,
            number,
            workspace,
            bytes,
            zero,
            outType,
            out,
          );
          check(status, `cudnnConvolution${convolutions[kind]}`);
        },
      }));
    },
    batchNorm(dtype, shape, deterministic) {
      const x = tensor(dtype, shape);
      // persistent: one pass over what fits on the chip; it synchronises its blocks through memory
      const mode = deterministic ? 1 : 2;
      const vector = create("Tensor");
      call("cudnnDeriveBNTensorDescriptor", vector, x, mode);
      const [one, zero] = factors(dtype);
      return {
        forward({ x: input, scale, bias, y, mean, inverse, epsilon }) {
          call(
            "cudnnBatchNormalizationForwardTraining",
            handle,
            mode,
            one,
            zero,
            x,
            input,
            x,
            y,
            vector,
            scale,
            bias,
            1,
            0n,
            0n,
            epsilon,
            mean,
            inverse,
          );
        },
        backward({ x: input, dy, scale, mean, inverse, dx, dScale, dBias, epsilon }) {
          call(
            "cudnnBatchNormalizationBackward",
            handle,
            mode,
            one,
            zero,
            one,
            zero,
            x,
            input,
            x,
            dy,
            x,
            dx,
            vector,
            scale,
            dScale,
            dBias,
            epsilon,
            mean,
            inverse,
          );
        },
      };
    },
    close() {
      for (const destroy of created.reverse()) destroy();
      created.length = 0;
      tensors.clear();
      call("cudnnDestroy", handle);
    },
  };

  /** The algorithms that may be taken, fastest first: cudnnConvolution…AlgoPerf_t is 48 bytes long. */
  function tried(
    kind: ConvolutionKind,
    spec: ConvolutionSpec,
    operands: readonly Pointer[],
    workspace: Pointer,
    bytes: number,
  ): { number: number; bytes: number; math: number; ms: number }[] {
    const asked = 16;
    const results = new Uint8Array(new ArrayBuffer(asked * 48));
    const found = [0];
    const status = (find[kind] as (...args: unknown[]) => number)(
      handle,
      ...operands,
      asked,
      found,
      results,
      workspace,
      bytes,
    );
    check(status, `cudnnFindConvolution${convolutions[kind]}AlgorithmEx`);
    const view = new DataView(results.buffer);
    const algorithms = Array.from({ length: found[0] as number }, (_, i) => ({
      number: view.getInt32(48 * i, true),
      status: view.getInt32(48 * i + 4, true),
      ms: view.getFloat32(48 * i + 8, true),
      bytes: Number(view.getBigUint64(48 * i + 16, true)),
      deterministic: view.getInt32(48 * i + 24, true) === 1,
      math: view.getInt32(48 * i + 28, true),
    }));
    const usable = algorithms
      .filter((one) => one.status === 0 && one.bytes <= bytes && (one.deterministic || !spec.deterministic))
      .sort((p, q) => p.ms - q.ms);
    if (!usable.length)
      throw new Error(
        `cuDNN: no ${kind} convolution for x [${spec.x}], w [${spec.w}] in a workspace of ${bytes} bytes`,
      );
    return usable;
  }
}
