import type { Invoke, Kernels } from "../../src/runtime/ort.js";

/** Kernels that compute nothing: what is asked of them is written down, a line each. */
export function writtenKernels(lacks: readonly string[] = []): Kernels & { readonly lines: string[] } {
  const lines: string[] = [];
  let made = 0n;
  const invoke: Invoke = (op, _inputs, n, _outputs, m) => void lines.push(`invoke ${op} ${n}→${m}`);
  return {
    lines,
    createOp({ op }) {
      if (lacks.includes(op)) throw new Error(`no kernel: ${op}`);
      lines.push(`op ${++made} ${op}`);
      return made;
    },
    releaseOp: (op) => void lines.push(`release op ${op}`),
    createValue(address, bytes, { dtype, shape }, place = "device") {
      lines.push(
        `value ${++made} ${dtype}[${shape}] ${bytes} bytes ${place === "host" ? "on the host" : `at ${address}`}`,
      );
      return made;
    },
    releaseValue: (value) => void lines.push(`release value ${value}`),
    within: (work) => work(invoke),
    allocations: () => null,
    close: () => void lines.push("close"),
  };
}
