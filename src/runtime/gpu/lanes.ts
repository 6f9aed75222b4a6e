import { type Kernels, openKernels } from "../ort.js";
import type { Pointer } from "../ort-api.js";
import type { Lane, LaneOptions } from "./context.js";
import { Cudnn } from "./cudnn.js";
import type { Releases } from "./releases.js";
import { Workspace } from "./workspace.js";

/** Streams, handles of libraries, a session and a workspace for each lane of one GPU, opened when they are first asked for. */
export class LanePool {
  private readonly lanes: Lane[] = [];
  private calls = 0;
  private bytes = 0;

  /** All that is taken is given back with `releases`; `first` may hold what the first lane shares with that of another pool. */
  constructor(
    private readonly options: LaneOptions,
    private readonly releases: Releases,
    first?: Omit<Lane, "kernels">,
  ) {
    this.lanes.push(this.opened(first ?? this.parts()));
  }

  /** A lane, and those before it. */
  at(number: number): Lane {
    while (this.lanes.length <= number) {
      const { cuda } = this.options;
      const before = cuda.besideBytes();
      this.lanes.push(this.opened(this.parts()));
      this.bytes += Math.max(0, cuda.besideBytes() - before);
    }
    return this.lanes[number] as Lane;
  }

  /** What the lanes after the first took on the device when they were opened, bytes. */
  get openedBytes(): number {
    return this.bytes;
  }

  /** How often kernels of ONNX Runtime were called or captured, in any lane. */
  get kernelUses(): number {
    return this.calls;
  }

  private parts(): Omit<Lane, "kernels"> {
    const { releases } = this;
    const { cuda, cudnnFile } = this.options;
    const stream = (): Pointer => {
      const made = cuda.stream();
      releases.add(() => cuda.destroyStream(made));
      return made;
    };
    const own = stream();
    const copyStreams = { out: stream(), in: stream() };
    const workspace = new Workspace(cuda);
    releases.add(() => workspace.close());
    const cudnn = new Cudnn(cudnnFile, own);
    releases.add(() => cudnn.close());
    return { stream: own, copyStreams, workspace, cudnn, convolutions: new Map() };
  }

  /** A lane with ONNX Runtime's session, whose kernels run in its stream and take what they need from its workspace. */
  private opened(parts: Omit<Lane, "kernels">): Lane {
    const { cuda, scratch, tf32, deterministic } = this.options;
    const { stream, workspace } = parts;
    const kernels = openKernels({
      threads: 1,
      cuda: {
        device: cuda.device,
        stream,
        tf32,
        deterministic,
        allocate: (bytes) => workspace.take(bytes),
        free: (memory) => workspace.giveBack(memory),
        wait: () => cuda.wait(stream),
        scratch,
      },
    });
    this.releases.add(() => kernels.close());
    return { ...parts, kernels: this.counted(kernels) };
  }

  private counted(kernels: Kernels): Kernels {
    return {
      createOp: (request) => kernels.createOp(request),
      releaseOp: (op) => kernels.releaseOp(op),
      createValue: (address, bytes, type, place) => kernels.createValue(address, bytes, type, place),
      releaseValue: (value) => kernels.releaseValue(value),
      within: (work) => {
        this.calls++;
        return kernels.within(work);
      },
      allocations: () => kernels.allocations(),
      close: () => kernels.close(),
    };
  }
}
