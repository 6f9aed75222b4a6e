/*
 * Where the elements of images lie for kernels that compute convolutions: in lines of padded positions.
 *
 * What is read lies in shared memory so that a window's tap is always as far from a position, whatever row it is in: after
 * each row and each image there are zeros, which pad what comes before and after. Positions that are padding are computed
 * and not written. With a stride there is one line for each remainder of rows and columns (a phase): of its own line every
 * tap reads consecutive elements. The gradient of a convolution with a stride makes one phase after the other.
 */

/** A convolution in groups; `image` is what it reads and `result` what it makes, [height, width]. */
export interface GroupedShape {
  readonly batch: number;
  readonly groups: number;
  /** Of a group: channels of what is read, and of what is made. */
  readonly channels: number;
  readonly made: number;
  readonly image: readonly [number, number];
  readonly result: readonly [number, number];
  readonly kernel: readonly [number, number];
  /** Of the convolution, also where its data gradient is meant. */
  readonly pads: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly dilations: readonly [number, number];
  /** The data gradient of a convolution: it reads the gradient of what that makes, and makes that of what it reads. */
  readonly transposed?: true;
}

/** Which rows and columns of an image one line has: those `stride` apart, from `row` and `column` on (below 0: padding). */
export interface Phase {
  readonly row: number;
  readonly column: number;
}

/** What a window's element reads and adds to. */
export interface Tap {
  /** Index of the element in the filter. */
  readonly filter: number;
  /** Index of the line that is read, and how far from the block's first element. */
  readonly line: number;
  readonly distance: number;
  /** Index of the phase that is made. */
  readonly phase: number;
}

/** Lines of padded positions. */
export interface Lines {
  /** Positions of a row and rows of an image, padding with them. */
  readonly pitch: number;
  readonly rows: number;
  /** All positions. */
  readonly count: number;
  /** How far before its own position a window begins, and how far its last element is from that. */
  readonly before: number;
  readonly span: number;
  readonly read: readonly Phase[];
  readonly made: readonly Phase[];
  readonly readStrides: readonly [number, number];
  readonly madeStrides: readonly [number, number];
  readonly taps: readonly Tap[];
}

const axes = [0, 1] as const;

type Pair = readonly [number, number];

const each = (of: (axis: 0 | 1) => number): Pair => [of(0), of(1)];

/** Elements of a window: row and column in the kernel. */
const elements = ({ kernel }: GroupedShape): Pair[] =>
  Array.from({ length: kernel[0] * kernel[1] }, (_, i): Pair => [Math.floor(i / kernel[1]), i % kernel[1]]);

/** Phases in the order in which they are first met. */
class Phases {
  readonly all: Pair[] = [];

  indexOf(phase: Pair): number {
    const known = this.all.findIndex((one) => one.join() === phase.join());
    return known >= 0 ? known : this.all.push(phase) - 1;
  }
}

/** Where elements lie for a convolution or a data gradient. */
export const linesOf = (shape: GroupedShape): Lines =>
  shape.transposed ? gradientLines(shape) : convolutionLines(shape);

function convolutionLines(shape: GroupedShape): Lines {
  const { batch, image, result, kernel, pads, strides, dilations } = shape;
  const reach = each((axis) => Math.floor(((kernel[axis] - 1) * dilations[axis]) / strides[axis]));
  // without a stride the padding behind a row is the one before the next as well
  const shared = each((axis) => (strides[axis] === 1 ? pads[axis] : 0));
  const [rows, pitch] = each((axis) =>
    Math.max(result[axis], strides[axis] === 1 ? image[axis] + pads[axis] : result[axis] + reach[axis]),
  );
  const phases = new Phases();
  const taps = elements(shape).map((element, filter): Tap => {
    const at = each((axis) => element[axis] * dilations[axis]);
    const line = phases.indexOf(each((axis) => at[axis] % strides[axis]));
    const [down, across] = each((axis) => Math.floor(at[axis] / strides[axis]));
    return { filter, line, distance: down * pitch + across, phase: 0 };
  });
  return {
    pitch,
    rows,
    count: batch * rows * pitch,
    before: shared[0] * pitch + shared[1],
    span: reach[0] * pitch + reach[1],
    read: phases.all.map(([row, column]) => ({
      row: row - pads[0] + shared[0],
      column: column - pads[1] + shared[1],
    })),
    made: [{ row: 0, column: 0 }],
    readStrides: strides,
    madeStrides: [1, 1],
    taps,
  };
}

/** Of a stride no dilation is known. */
function gradientLines(shape: GroupedShape): Lines {
  const { batch, image, result, kernel, pads, strides, dilations } = shape;
  const reach = each((axis) => Math.floor(((kernel[axis] - 1) * dilations[axis]) / strides[axis]));
  // rows of the result from the padding on, so many strides apart
  const positions = each((axis) =>
    strides[axis] === 1 ? result[axis] : Math.ceil((result[axis] + pads[axis]) / strides[axis]),
  );
  const behind = each((axis) => (strides[axis] === 1 ? reach[axis] - pads[axis] : reach[axis]));
  const [rows, pitch] = each((axis) => Math.max(positions[axis], image[axis] + behind[axis]));
  const phases = new Phases();
  for (const row of Array(strides[0]).keys())
    for (const column of Array(strides[1]).keys()) phases.indexOf([row, column]);
  const taps = elements(shape).map((element, filter): Tap => {
    const at = each((axis) => element[axis] * dilations[axis]);
    const phase = phases.indexOf(each((axis) => at[axis] % strides[axis]));
    const [up, back] = each((axis) => Math.floor(at[axis] / strides[axis]));
    return { filter, line: 0, distance: (reach[0] - up) * pitch + reach[1] - back, phase };
  });
  return {
    pitch,
    rows,
    count: batch * rows * pitch,
    before: behind[0] * pitch + behind[1],
    span: reach[0] * pitch + reach[1],
    read: [{ row: 0, column: 0 }],
    made: phases.all.map((phase) => {
      const [row, column] = each((axis) => (strides[axis] === 1 ? 0 : phase[axis] - pads[axis]));
      return { row, column };
    }),
    readStrides: [1, 1],
    madeStrides: strides,
    taps,
  };
}

/** Whether the lines of a shape hold all that its windows read. */
export const hasLines = ({ pads, kernel, strides, dilations }: GroupedShape): boolean =>
  axes.every((axis) => {
    const reach = (kernel[axis] - 1) * dilations[axis];
    return pads[axis] <= reach && (strides[axis] === 1 || dilations[axis] === 1);
  });

/** So few channels are read as colours of a picture are: all at once. */
const mostColours = 4;

/** Whether a group reads so few channels that products are as wide as those. */
export const isNarrow = ({ channels }: GroupedShape): boolean => channels <= mostColours;

/** The least number from n on that is so many more than a multiple. */
export const upTo = (n: number, rest: number, of: number): number => n + ((((rest - n) % of) + of) % of);

const constants = (all: Readonly<Record<string, number>>): string =>
  `constexpr int ${Object.entries(all)
    .map(([name, value]) => `${name} = ${value}`)
    .join(", ")};`;

/** A list of numbers as a function that is known when the program is compiled. */
const listed = (name: string, all: readonly number[]): string =>
  `__device__ __forceinline__ constexpr int ${name}(int i) {
  constexpr int all[${all.length}] = {${all.join(", ")}};
  return all[i];
}`;

/** CUDA C of what rounds elements in shared memory to TF32, and of reading one for a product. */
export const settling = `
__device__ __forceinline__ unsigned bits_of(float x) { return __float_as_uint(x); }
__device__ __forceinline__ void settled(float* p) { *(unsigned*)p = rounded(*p); }
__device__ __forceinline__ void settled4(float* p) {
  const float4 x = *(const float4*)p;
  *(uint4*)p = {rounded(x.x), rounded(x.y), rounded(x.z), rounded(x.w)};
}
`;

/** CUDA C of the constants of a shape, and of where positions of its lines lie; `line` is the length of a line in memory. */
export function placesSource(
  shape: GroupedShape,
  lines: Lines,
  line: number,
  more: Readonly<Record<string, number>>,
): string {
  const { groups, channels, made, image, result, batch } = shape;
  const values = {
    BATCH: batch,
    GROUPS: groups,
    CHANNELS: channels,
    MADE: made,
    HEIGHT: image[0],
    WIDTH: image[1],
    MADE_HEIGHT: result[0],
    MADE_WIDTH: result[1],
    PITCH: lines.pitch,
    ROWS: lines.rows,
    BEFORE: lines.before,
    TAPS: lines.taps.length,
    LINES: lines.read.length,
    PHASES: lines.made.length,
    ...more,
  };
  const of = (phases: readonly Phase[], of: keyof Phase): number[] => phases.map((one) => one[of]);
  return `${constants(values)}
${listed(
  "distance",
  lines.taps.map((tap) => tap.line * line + tap.distance),
)}
${listed(
  "filter_of",
  lines.taps.map((tap) => tap.filter),
)}
${listed(
  "phase_of",
  lines.taps.map((tap) => tap.phase),
)}
${listed("read_row", of(lines.read, "row"))}
${listed("read_column", of(lines.read, "column"))}
${listed("made_row", of(lines.made, "row"))}
${listed("made_column", of(lines.made, "column"))}
// where in a group's channel a position lies of what is read; -1: it is padding
__device__ __forceinline__ int read_at(int flat, int line) {
  if (flat < 0) return -1;
  const int image = flat / (PITCH * ROWS), row = flat / PITCH % ROWS * ${lines.readStrides[0]} + read_row(line);
  const int column = flat % PITCH * ${lines.readStrides[1]} + read_column(line);
  return image < BATCH && row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH
             ? image * (GROUPS * CHANNELS * HEIGHT * WIDTH) + row * WIDTH + column : -1;
}
// the same of what is made
__device__ __forceinline__ int made_at(int flat, int phase) {
  const int image = flat / (PITCH * ROWS), row = flat / PITCH % ROWS * ${lines.madeStrides[0]} + made_row(phase);
  const int column = flat % PITCH * ${lines.madeStrides[1]} + made_column(phase);
  return image < BATCH && row >= 0 && row < MADE_HEIGHT && column >= 0 && column < MADE_WIDTH
             ? image * (GROUPS * MADE * MADE_HEIGHT * MADE_WIDTH) + row * MADE_WIDTH + column : -1;
}`;
}
