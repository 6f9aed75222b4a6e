import { readText } from "../files.js";
import { fittedEfficiencies, type PartialEfficiencies, workKinds } from "./efficiency.js";

/** What an estimate knows of a GPU: peaks as a data sheet states them, dense, without sparsity. */
export interface DeviceSpec {
  readonly name: string;
  readonly memoryBytes: number;
  /** Bandwidth of the memory, 10⁹ bytes a second. */
  readonly memoryGBs: number;
  /** Operations per second, 10¹²; of products in float64 and float32, which other kernels are held to as well. */
  readonly float64Tflops: number;
  readonly float32Tflops: number;
  /** Of products and convolutions whose inputs are rounded to TF32. */
  readonly tf32Tflops: number;
  /** Of those in float16 and bfloat16, summed in float32. */
  readonly float16Tflops: number;
  /** Bandwidth of the link between host and device, 10⁹ bytes a second, in each direction. */
  readonly toHostGBs: number;
  readonly toDeviceGBs: number;
  /** What a copy takes beyond its bytes, µs. */
  readonly linkLatencyUs: number;
  /** Least time of a kernel in a captured step, µs. */
  readonly launchUs: number;
  /** Shares that are known of this device; the others are those of `fittedEfficiencies`. */
  readonly efficiency?: PartialEfficiencies;
}

/** No data sheet states these: measured on an H100 and an H200 (test/recordings), and assumed of the others. */
const assumed = { linkLatencyUs: 5, launchUs: 1.25 };

/** Before Hopper, tensor cores took TF32 operands in any layout. */
const anyLayout: PartialEfficiencies = { stridedProduct: fittedEfficiencies.product };

const pcie4 = { toHostGBs: 32, toDeviceGBs: 32 };
const pcie5 = { toHostGBs: 64, toDeviceGBs: 64 };

/** "NVIDIA H100 Tensor Core GPU Datasheet", H100 SXM; its tensor peaks are with sparsity, twice these. */
const hopper = { float64Tflops: 67, float32Tflops: 67, tf32Tflops: 494.7, float16Tflops: 989.4, ...pcie5, ...assumed };

/** The devices that are known by name. */
const known: Readonly<Record<string, DeviceSpec>> = {
  /** 80 GB of HBM3. Memory as CUDA reports it. */
  h100: { name: "NVIDIA H100 SXM 80GB", memoryBytes: 85_017_493_504, memoryGBs: 3350, ...hopper },
  /** "NVIDIA H200 Tensor Core GPU Datasheet": an H100 with 141 GB of HBM3e. Memory as CUDA reports it. */
  h200: { name: "NVIDIA H200 SXM 141GB", memoryBytes: 150_109_880_320, memoryGBs: 4800, ...hopper },
  /** "NVIDIA A100 Tensor Core GPU Datasheet", A100 80GB SXM; float64 on its tensor cores. */
  a100: {
    name: "NVIDIA A100 SXM 80GB",
    memoryBytes: 80 * 2 ** 30,
    memoryGBs: 2039,
    float64Tflops: 19.5,
    float32Tflops: 19.5,
    tf32Tflops: 156,
    float16Tflops: 312,
    ...pcie4,
    ...assumed,
    efficiency: anyLayout,
  },
  /** "NVIDIA L4 Tensor Core GPU Datasheet", halved from sparse; float64 at 1/64 of float32 ("NVIDIA Ada GPU Architecture"). */
  l4: {
    name: "NVIDIA L4 24GB",
    memoryBytes: 24 * 2 ** 30,
    memoryGBs: 300,
    float64Tflops: 0.47,
    float32Tflops: 30.3,
    tf32Tflops: 60,
    float16Tflops: 121,
    ...pcie4,
    ...assumed,
    efficiency: anyLayout,
  },
  /** "NVIDIA Ada GPU Architecture", table of the GeForce RTX 4090; float16 summed in float32. */
  rtx4090: {
    name: "NVIDIA GeForce RTX 4090",
    memoryBytes: 24 * 2 ** 30,
    memoryGBs: 1008,
    float64Tflops: 1.29,
    float32Tflops: 82.6,
    tf32Tflops: 82.6,
    float16Tflops: 165.2,
    ...pcie4,
    ...assumed,
    efficiency: anyLayout,
  },
};

/** What CUDA calls the devices that are known by name. */
const cudaNames: Readonly<Record<string, RegExp>> = {
  h100: /\bH100 80GB HBM3$/,
  h200: /\bH200$/,
  a100: /\bA100-SXM4-80GB$/,
  l4: /\bL4$/,
  rtx4090: /\bRTX 4090$/,
};

/** The device that CUDA, or its description, calls so; undefined where it is not known. */
export function specOfDevice(name: string): DeviceSpec | undefined {
  const found = Object.keys(known).find((key) => known[key]?.name === name || cudaNames[key]?.test(name));
  return found === undefined ? undefined : known[found];
}

const quantities = [
  "memoryBytes",
  "memoryGBs",
  "float64Tflops",
  "float32Tflops",
  "tf32Tflops",
  "float16Tflops",
  "toHostGBs",
  "toDeviceGBs",
  "linkLatencyUs",
  "launchUs",
] as const satisfies readonly (keyof DeviceSpec)[];

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Throws for the first field that is unknown, missing or not as it should be; `path` leads to the fields' names. */
function checkFields(
  fields: Fields,
  path: string,
  checks: Readonly<Record<string, (value: unknown) => string | false>>,
) {
  for (const name of Object.keys(fields))
    if (!Object.hasOwn(checks, name))
      throw new Error(`unknown field: ${path}${name} (known: ${Object.keys(checks).join(", ")})`);
  for (const [name, check] of Object.entries(checks)) {
    const problem = check(fields[name]);
    if (problem) throw new Error(problem.replace("%", `${path}${name}`));
  }
}

const positive = (value: unknown): string | false => {
  if (value === undefined) return "% is missing";
  return !(Number.isFinite(value) && (value as number) > 0) && `% is not a positive number: ${JSON.stringify(value)}`;
};

const optional =
  (check: (value: unknown) => string | false) =>
  (value: unknown): string | false =>
    value !== undefined && check(value);

const checksOf = (names: readonly string[], check: (value: unknown) => string | false) =>
  Object.fromEntries(names.map((name) => [name, check]));

const group = (value: unknown): string | false => !isFields(value) && `% is not an object: ${JSON.stringify(value)}`;

/** Throws `… is not a positive number: …`, `… is missing` or `unknown field: …`. */
function checkSpec(fields: unknown): asserts fields is DeviceSpec {
  if (!isFields(fields)) throw new Error("not a JSON object");
  const name = (value: unknown): string | false =>
    value === undefined
      ? "% is missing"
      : !(typeof value === "string" && value.trim() !== "") && `% is not a text: ${JSON.stringify(value)}`;
  checkFields(fields, "", { name, ...checksOf(quantities, positive), efficiency: optional(group) });
  const { efficiency } = fields;
  if (!isFields(efficiency)) return;
  const shares = checksOf(["unaligned", "link"], optional(positive));
  checkFields(efficiency, "efficiency.", { ...checksOf(workKinds, optional(group)), ...shares });
  for (const kind of workKinds)
    if (isFields(efficiency[kind]))
      checkFields(
        efficiency[kind],
        `efficiency.${kind}.`,
        checksOf(["launches", "compute", "memory"], optional(positive)),
      );
}

/** The names of the devices that are known. */
export const deviceNames: readonly string[] = Object.keys(known);

/**
 * The device that a name (`h100`) or a JSON file describes. Throws one line: `unknown device: …`, `cannot read device
 * spec: …`, or `device spec FILE: …` for what is missing or wrong in it.
 */
export function readDeviceSpec(nameOrFile: string): DeviceSpec {
  const named = Object.hasOwn(known, nameOrFile) ? known[nameOrFile] : undefined;
  if (named) return named;
  // a word without a dot or a slash is meant as a name
  if (!/[./\\]/.test(nameOrFile))
    throw new Error(`unknown device: ${nameOrFile} (one of ${deviceNames.join(", ")}, or a FILE.json)`);
  const text = readText("device spec", nameOrFile);
  let fields: unknown;
  try {
    fields = JSON.parse(text);
  } catch (error) {
    throw new Error(`device spec is not JSON: ${nameOrFile}`, { cause: error });
  }
  try {
    checkSpec(fields);
  } catch (error) {
    throw new Error(`device spec ${nameOrFile}: ${(error as Error).message}`, { cause: error });
  }
  return fields;
}
