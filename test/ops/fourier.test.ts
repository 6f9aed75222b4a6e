import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Builder } from "../../src/build/build.js";
import { type Attributes, int, type TensorType } from "../../src/graph/graph.js";
import { bytesOf } from "../../src/graph/values.js";
import { openCpu } from "../../src/runtime/cpu.js";
import { checkFile, file, graph, held, node } from "../written.js";

const cpu = openCpu({ threads: 1 });

after(() => cpu.close());

const thrown = (op: string, attributes: Attributes, ...shapes: readonly (readonly number[] | number)[]): string => {
  const b = new Builder();
  const names = shapes.map((shape, i) => {
    const type: TensorType = {
      dtype: typeof shape === "number" ? "int64" : "float32",
      shape: typeof shape === "number" ? [] : shape,
    };
    const data = typeof shape === "number" ? { data: bytesOf("int64", [shape]) } : {};
    return b.declare({ name: `x${i}`, ...type, category: "data" in data ? "constant" : "input", ...data });
  });
  try {
    b.op(op, names, attributes);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};

test("DFT and STFT say what is wrong with their inputs", () => {
  const onesided = { onesided: int(1) };
  assert.match(thrown("DFT", { axis: int(2) }, [2, 5, 1]), /shape mismatch: DFT along axis 2 of \[2,5,1\]/);
  assert.match(thrown("DFT", {}, [2, 5, 3]), /shape mismatch: .* real \(1\) or complex \(2\)/);
  assert.match(thrown("DFT", onesided, [2, 5, 2]), /onesided DFT of complex numbers/);
  assert.match(thrown("DFT", {}, [2, 5, 1], 0), /dft_length of DFT is 0/);
  assert.match(thrown("STFT", {}, [2, 16, 1], 4), /STFT lacks both window and frame_length/);
  assert.match(thrown("STFT", {}, [2, 16, 1], 0, [8]), /frame_step of STFT is 0/);
  assert.match(
    thrown("STFT", {}, [2, 16, 1], 4, [17]),
    /frames of 17 elements with a window \[17\] of a signal \[2,16,1\]/,
  );
  assert.match(thrown("STFT", {}, [2, 16, 1], 4, [8], 7), /frames of 7 elements with a window \[8\]/);
});

test("a log mel front end trains what stands before and behind it", async () => {
  const int = (n: string, v: number) => held(n, "int64", [], [v]);
  const f = (n: string, v: number) => held(n, "float32", [], [v]);
  const bytes = file(
    graph(
      ["x: float32[batch,32]"],
      [
        node("p = Mul(x, gain)"),
        node("win = HannWindow(len)"),
        node("s = STFT(p, step, win, len)"),
        node("sq = Mul(s, s)"),
        node("power = ReduceSum(sq, last)", { keepdims: 0 }),
        node("mel = MelWeightMatrix(bins, len, rate, lo, hi)"),
        node("m = MatMul(power, mel)"),
        node("e = Add(m, one)"),
        node("l = Log(e)"),
        node("y = MatMul(l, w)"),
      ],
      ["y: float32"],
      [
        int("len", 16),
        int("step", 4),
        int("bins", 4),
        int("rate", 8000),
        f("lo", 100),
        f("hi", 3500),
        f("one", 1),
        held("last", "int64", [1], [-1]),
        held(
          "gain",
          "float32",
          [32],
          Array.from({ length: 32 }, (_, i) => 1 + i / 40),
        ),
        held("w", "float32", [4, 2], [1, 2, -1, 0.5, 0.2, 0.4, -0.3, 0.6]),
      ],
    ),
    18,
  );
  const forward = await checkFile(bytes, cpu, { batch: 2 });
  // the window, the mel scale and the sines are constants
  assert.equal(
    forward.nodes.map(({ op }) => op).join(),
    "Mul,Reshape,Transpose,Conv,Transpose,Reshape,Mul,ReduceSum,MatMul,Add,Log,MatMul",
  );
});
