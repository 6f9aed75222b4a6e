import type { Attributes, DType, Node, TensorType } from "../graph/graph.js";
import type { Value } from "../graph/values.js";
import type { Emit } from "./emit.js";

/** A node as an op's functions see it: the types of its inputs, constant values, attributes with their defaults. */
export interface OpCall {
  readonly node: Node;
  /** Version of the default domain by which the node is to be read. */
  readonly opset: number;
  /** undefined for an optional input that is absent. */
  readonly inputs: readonly (TensorType | undefined)[];
  /** How many outputs the node names (trailing ones may be absent). */
  readonly outputCount: number;
  /** Type of input `index`; throws if it is absent. */
  input(index: number): TensorType;
  /** The values of a constant input as numbers; undefined if the input is absent or not a constant. */
  constant(index: number): readonly number[] | undefined;
  /** The values of a constant input; throws `<op> needs a constant input` if it is absent or not a constant. */
  need(index: number): readonly number[];
  /** The one value of a constant input; throws as `need`, and `<op> needs one value` for none or several. */
  needOne(index: number): number;
  int(name: string, otherwise: number): number;
  float(name: string, otherwise: number): number;
  text(name: string, otherwise: string): string;
  ints(name: string): readonly number[] | undefined;
}

/** What a rule sees that writes a node out as others: its types, constants and inputs' names, and a builder. */
export interface BodyCall extends OpCall {
  readonly b: Emit;
  /** Name of the node's input. */
  x(index: number): string;
}

/** Writes a node out as others. Gives a name for each output ("" for unwanted ones). */
export type Body = (call: BodyCall) => readonly string[];

/** The same, or undefined to leave the node alone. */
export type Normalize = (call: BodyCall) => readonly string[] | undefined;

/** What a form for a CPU depends on. */
export interface Host {
  /** Channels that the kernels of convolutions hold side by side (ops/blocked.ts); 1 where they have no such blocks. */
  readonly channelBlock: number;
}

/** Writes a node out in a form that takes less time on that CPU; undefined where there is none. */
export type HostForm = (call: BodyCall, host: Host) => readonly string[] | undefined;

/** What a gradient rule sees: the forward node, the gradients of its outputs, and a builder for the backward phase. */
export interface GradientCall extends BodyCall {
  /** Name of the forward node's output; asks the forward node for it if it was absent. */
  y(index: number): string;
  /** Name of the gradient of an output; undefined if nothing depends on that output. */
  dy(index: number): string | undefined;
  /** Whether the gradient of that input is wanted at all. */
  wants(index: number): boolean;
  /** Type of a forward output. */
  output(index: number): TensorType;
}

/** The places `start`, `start + step`, … along an axis, `count` of them; a negative step goes downward. */
export interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/** The gradient of some places of an input, which has the cuts' counts along their axes; that of all others is zero. */
export interface PartialGradient {
  readonly gradient: string;
  /** One for each axis at most. */
  readonly cuts: readonly Cut[];
}

/**
 * Gives the gradient of each input (undefined where it is zero or not wanted), emitting nodes through `call.b`. Several
 * of one input are parts that are added up.
 */
export type GradientRule = (call: GradientCall) => readonly (InputGradient | undefined)[];

/**
 * The gradient of an input: the name of the whole, or what is known of some of its places; or what emits either, told
 * whether the node alone reads the input.
 */
export type InputGradient =
  | string
  | PartialGradient
  | readonly PartialGradient[]
  | ((isOnly: boolean) => string | PartialGradient);

/**
 * What a node gives for several models at once: a tensor with a model axis before axis 0 or axis 1, under any shape that
 * keeps the order of its elements ([models·channels] for [models, channels]), or one tensor for all models.
 */
export interface OfModels {
  readonly name: string;
  /** The axis that the models stand before; undefined: all models have the one tensor. */
  readonly at: ModelAxis | undefined;
}

/** The axis of a tensor before which its models stand: with 1 they are one axis with the channels, [batch, models·channels, …]. */
export type ModelAxis = 0 | 1;

/** A node of several models as its op's rule sees it: types, constants and attributes are those of one model. */
export interface ModelsCall extends OpCall {
  readonly b: Emit;
  /** How many models. */
  readonly models: number;
  /** Where the models of an input stand as it is now; undefined: one tensor for all models, or no input. */
  at(index: number): ModelAxis | undefined;
  /** Name of an input that all models have. Throws for one with a model axis. */
  x(index: number): string;
  /**
   * Name of an input with its models before an axis, under a shape that keeps the order of its elements; default: the
   * models' axis in its place, [models, …] or [batch, models, …].
   */
  joint(index: number, at: ModelAxis, shape?: readonly number[]): string;
  /** Type of an output of one model. */
  output(index: number): TensorType;
  /**
   * The same op on those inputs, its outputs under the node's own names; `attributes` take the place of the node's. Once
   * for each node.
   */
  again(inputs: readonly (string | undefined)[], attributes?: Attributes): string[];
}

/** Writes a node of several models as one for all of them; undefined: it is done for each by itself. */
export type ModelsRule = (call: ModelsCall) => readonly OfModels[] | undefined;

/** Everything mutwo knows of an op. */
export interface Op {
  /** Types and shapes of the outputs. Throws `shape mismatch: …` for inputs that do not fit. */
  readonly infer: (call: OpCall) => readonly TensorType[];
  /**
   * "zero": the derivative is zero or undefined everywhere (comparisons, shapes, rounding): the backward walk stops.
   * "none": it has one that mutwo cannot build: a clear error on the path to the loss.
   */
  readonly gradient: GradientRule | "zero" | "none";
  /** Floating-point operations of one execution. */
  readonly flops: (call: OpCall, outputs: readonly TensorType[]) => number;
  /**
   * First opset whose form of the op is the one that graphs hold, where that is later than theirs (18); "none": ONNX
   * lacks it, ONNX Runtime keeps it in the standard domain. Default: opset 18 has it. Standard domain only.
   */
  readonly since?: number | "none";
  /** Each output element depends on the inputs' elements in its place alone, as they are broadcast. Default: no. */
  readonly pointwise?: true;
  /**
   * How the op can be a part of a fused node: each element by itself (a pointwise op, or one with `channelInputs`), one
   * value for each row of trailing axes, or sums over all axes but the channel's of input 0. The GPU's generator
   * has an expression for it. Default: it cannot.
   */
  readonly fusible?: "elements" | "rows" | "channels";
  /** Inputs with one number for each channel of input 0 (axis 1 or the last), which all elements of the channel meet. */
  readonly channelInputs?: readonly number[];
  /** An element of this value changes nothing in what a reduction makes of its row. Default: there is none. */
  readonly neutral?: number;
  /** A reduction that divides the sum by the number of elements. Default: it does not. */
  readonly averages?: true;
  /**
   * The inputs and outputs that are images, [N, C, …], or filters, [M, C, …]: for the op there is another one, whose images
   * have their channels last, [N, …, C] (channels-last.ts). `bias`: an input with a number for each channel of output 0,
   * which is added. Default: there is none.
   */
  readonly images?: { readonly inputs: readonly number[]; readonly outputs: readonly number[]; readonly bias?: number };
  /** The op of which this is the one for channels last. Default: channels are axis 1. */
  readonly channelsFirst?: Pick<Node, "domain" | "op">;
  /**
   * What names axes of input 0, so that the same op does the same with their order changed: attribute `axis`; constant
   * inputs with a list of axes, or, without it, with one number for each axis (pads: two); "body": the op's body, one node
   * that can do it. Default: nothing does that could be changed; ops that are pointwise need nothing.
   */
  readonly axesIn?: "axis" | "body" | { readonly axes?: number; readonly each?: number };
  /**
   * A sum of products of inputs 0 and 1, and so what mixed precision runs in 16 bits: of matrices (whose operands
   * attributes transA and transB may exchange), of windows, or by an equation; or several in turn, as an attention
   * computes. Default: none.
   */
  readonly product?: "matrices" | "windows" | "equation" | "attention";
  /** The same of an op that is the gradient of such a one, with products of its own. */
  readonly productGradient?: "windows";
  /** The last input, where it is added to a product as it is: which one it is. Default: none is. */
  readonly addend?: (node: Node) => number | undefined;
  /**
   * Mixed precision runs it in 16 bits where what it reads was made in 16 bits, as PyTorch's autocast does: it moves or
   * compares elements, or computes little with each. "data": of its inputs the first alone. "moves": of what it moves, no
   * element is changed, and what computes with them afterwards does so in float32. Default: it runs in float32.
   */
  readonly in16Bits?: "all" | "data" | "moves";
  /**
   * Its outputs hold the elements of its float inputs as they are, each once, in other places: a cast may as well stand
   * before it as behind it. Default: no.
   */
  readonly rearranges?: true;
  /**
   * Which element types may stand beside each other: "equal": one for all inputs; "any": what the kernel says. Default:
   * one for all float inputs.
   */
  readonly inputTypes?: "equal" | "any";
  /** The strings that an attribute may be, by its name; auto_pad is the same for all. Default: the op's rules tell. */
  readonly choices?: Readonly<Record<string, readonly string[]>>;
  /** How many axes more than input 0 has attribute `axis` may name. Default: none. */
  readonly axisRoom?: number;
  /** Its kernels take tensors without elements, as those of pointwise ops and views do. Default: they are refused. */
  readonly empty?: true;
  /** Output 0 is input 0's storage, or a part of it, under another name or shape: costs nothing, no kernel is called. */
  readonly view: boolean;
  /** Where in input 0 a view begins that shows a part of it, elements. Default: it shows all. */
  readonly viewStart?: (call: OpCall) => number;
  /** Which places of input 0 each output holds, and nothing else; undefined where they are not known. Default: none. */
  readonly takes?: (call: OpCall) => readonly (readonly Cut[])[] | undefined;
  /** Inputs whose storage output 0 may overwrite, if this is their last use and the sizes are equal. */
  readonly inPlace: readonly number[];
  /** The same for each output of one node, where it depends on the node; instead of `inPlace`. */
  readonly inPlaceOf?: (node: Node) => readonly (readonly number[])[];
  /** Element types whose kernels can do that; all if absent. */
  readonly inPlaceTypes?: readonly DType[];
  /** Same inputs, same bits. False also for ops that draw random numbers. */
  readonly deterministic: boolean;
  /** Input that says whether the op is in training: without it, input 0 is handed on. Default: there is none. */
  readonly trainingInput?: number;
  /**
   * Draws random numbers, so never run a second time: the type of its attribute `seed`. A kernel of ONNX Runtime's CPU
   * provider draws one sequence, call after call ("float"), or in each call what the next greater seed begins with ("int").
   * Default: draws none.
   */
  readonly random?: "int" | "float";
  /**
   * Part of a swap: the copy to the host begins, is complete, the copy back begins, is complete. Runtimes move the bytes
   * themselves.
   */
  readonly swap?: "out" | "outWait" | "in" | "inWait";
  /** Inputs that are never trained (running statistics, states, places), and what each holds. */
  readonly buffers?: Readonly<Record<number, string>>;
  /** Those of `buffers` that are trained where the file holds different numbers for them: learned initial states. */
  readonly learnable?: readonly number[];
  /** Running statistics that the op renews: input index, and the output that takes its place in the next step. */
  readonly state?: readonly (readonly [input: number, output: number])[];
  /**
   * What a float tensor that a model file holds is for at an input, whatever its values are: "weight": what the op learns
   * (a kernel, the scale of a norm); "setting": what somebody chose (an exponent, a bound); "standard": what is taken away
   * from input 0 or divides it, as the mean and deviation of a data set do. Default: "weight" for all of a `product`,
   * else its values say (model/roles.ts).
   */
  readonly holds?: Readonly<Record<number, "weight" | "setting" | "standard">>;
  /** What it computes, where norms are written out with it (model/statistics.ts); "bound": the greater or smaller. Default: no such thing. */
  readonly arithmetic?:
    | "add"
    | "subtract"
    | "multiply"
    | "divide"
    | "power"
    | "root"
    | "reciprocal"
    | "negate"
    | "bound";
  /** Inputs that multiply or divide by what they hold (scales, variances): seeded with 1. Default: none. */
  readonly scales?: readonly number[];
  /**
   * How many numbers an output element sums over for each weight of that shape: seeded weights have variance 1/fanIn.
   * Default: all of the shape but its first axis.
   */
  readonly fanIn?: (node: Node, shape: readonly number[]) => number;
  /** Input that holds places along attribute `axis` of input 0, of which the op picks elements. Default: none. */
  readonly picks?: number;
  /** Output 0 is made of elements of input 0 as they are, clipped or cast: its readers say what input 0 is for. */
  readonly passes?: true;
  /** Output 0 is input 0 under another name, shape and all. */
  readonly alias?: true;
  /** Inputs that kernels read on the host (shapes, axes, ratios). */
  readonly hostInputs: readonly number[];
  /** The same of CUDA's kernels, where they differ. */
  readonly gpuHostInputs?: readonly number[];
  /**
   * ONNX Runtime's CUDA kernel passes addresses or shapes through pinned host memory, which later kernels may write
   * over: always, or where the axes before the last two differ between inputs 0 and 1. Default: never.
   */
  readonly pins?: "always" | "batches";
  /** ONNX Runtime has a CPU kernel for nodes that it then refuses to run, given the type of input 0. Default: never. */
  readonly cpuRefuses?: (node: Node, dtype: DType) => boolean;
  /**
   * Type-constraint names of ONNX Runtime's kernels, each with the input (number) or output ("y0") that has its type,
   * or the only type that there is.
   * null: there is no native kernel (ops of our own), the body is used.
   */
  readonly types: Readonly<Record<string, number | `y${number}` | DType>> | null;
  /** What ONNX Runtime calls its kernel, where that is not the op's own name, and attributes of ours that are none of its. */
  readonly kernel?: { readonly domain: string; readonly op: string; readonly without?: readonly string[] };
  /** ONNX's defaults of attributes that kernels called by themselves insist on being given. */
  readonly defaults?: Attributes;
  /** The op in standard ops, for runtimes without a kernel. */
  readonly body?: Body;
  /** The op as others that take less time with the kernels of a CPU; undefined where they do not. */
  readonly onHost?: HostForm;
  /**
   * The op in fusible ops and ops of our own that have generated kernels, or undefined to leave the node alone: preferred to
   * a kernel of its own where a runtime fuses. `joins`: only if input 0 is made by a fusible node, for alone it is no gain.
   */
  readonly parts?: { readonly of: Normalize; readonly joins?: true };
  /**
   * The op for several models at once (horizontal fusion). Default: pointwise ops that draw nothing are done at once, all
   * others for each model by itself.
   */
  readonly overModels?: ModelsRule;
  /** The outputs' values where they follow from the types alone (Shape, Size, Constant). */
  readonly value?: (call: OpCall) => readonly Value[];
  /**
   * Rewrites a node that a model file holds into the form that the rest of mutwo works with (CastLike to Cast, say).
   * What it writes is not normalised again.
   */
  readonly normalize?: Normalize;
}

/** A family's table: "Op" for the standard domain, "domain:Op" for others. */
export type OpTable = Readonly<Record<string, Op>>;
