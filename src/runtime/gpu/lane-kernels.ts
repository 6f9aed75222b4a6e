import type { StepKernels } from "../interpreter.js";
import type { OpRequest } from "../kernel-key.js";
import type { Invoke, Kernels } from "../ort.js";
import type { Pointer } from "../ort-api.js";

/**
 * Kernels of several sessions, one a lane, as if they were one's: each session launches in a stream of its own, with cuBLAS
 * and cuDNN handles and memory of its own. `OpRequest.lane` says whose kernel is meant; values belong to none.
 */
export class LaneKernels implements StepKernels {
  private readonly laneOf = new Map<Pointer, number>();

  constructor(private readonly lanes: readonly StepKernels[]) {}

  createOp(request: OpRequest): Pointer {
    const lane = request.lane ?? 0;
    const op = this.at(lane).createOp(request);
    this.laneOf.set(op, lane);
    return op;
  }

  releaseOp(op: Pointer): void {
    this.at(this.laneOf.get(op) ?? 0).releaseOp(op);
    this.laneOf.delete(op);
  }

  createValue(...args: Parameters<Kernels["createValue"]>): Pointer {
    return this.at(0).createValue(...args);
  }

  releaseValue(value: Pointer): void {
    this.at(0).releaseValue(value);
  }

  /** Kernels of all sessions may be invoked in `work`: they are entered one inside the other. */
  within<T>(work: (invoke: Invoke) => T): T {
    const invokes: Invoke[] = [];
    const invoke: Invoke = (op, ...rest) => (invokes[this.laneOf.get(op) ?? 0] as Invoke)(op, ...rest);
    const enter = (lane: number): T =>
      lane === this.lanes.length
        ? work(invoke)
        : this.at(lane).within((own) => {
            invokes.push(own);
            return enter(lane + 1);
          });
    return enter(0);
  }

  private at(lane: number): StepKernels {
    return this.lanes[lane] as StepKernels;
  }
}
