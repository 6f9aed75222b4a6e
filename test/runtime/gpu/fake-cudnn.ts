import type { Cudnn } from "../../../src/runtime/gpu/cudnn.js";

/** An engine configuration that the fake's heuristics propose. */
export interface FakeEngine {
  readonly engine: number;
  readonly notes?: readonly number[];
  /** Whether its kernel is compiled first. */
  readonly compiles?: boolean;
  readonly workspaceBytes?: number;
  /** No plan can be made of it. */
  readonly refused?: boolean;
  /** Time of its plan, ms. */
  readonly ms?: number;
}

/** What the fake has, and what it refuses. */
export interface FakeCudnnOptions {
  /** Proposals of heuristic mode A, and of the fallback. */
  readonly A?: readonly FakeEngine[];
  readonly fallback?: readonly FakeEngine[];
  /** The n-th call of cudnnBackendFinalize that fails, counted from 1. */
  readonly failsAt?: number;
  /** Algorithms of the legacy interface: number, ms, bytes; default none. */
  readonly algorithms?: readonly (readonly [number: number, ms: number, bytes: number])[];
}

/** Numbers of cudnn_graph.h, written out again: the tests are to notice another one. */
const kinds = { engine: 2, configuration: 3, heuristics: 4, plan: 5 };
const names = {
  mode: 200,
  results: 202,
  engine: 300,
  configuration: 401,
  workspace: 402,
  text: 405,
  index: 1301,
  notes: 1303,
};

interface Descriptor {
  readonly kind: number;
  readonly attributes: Map<number, { readonly type: number; readonly bytes: Uint8Array }>;
  engine?: FakeEngine;
}

/**
 * A cuDNN that computes nothing: descriptors hold what is set in them, heuristics propose what they are told. `running`
 * is the engine whose plan was executed last, or the number of an algorithm.
 */
export function fakeCudnn({ A = [], fallback = [], failsAt, algorithms = [] }: FakeCudnnOptions = {}) {
  const held = new Map<bigint, Descriptor>();
  const lines: string[] = [];
  const state: { running?: number; ms: number; stream?: bigint | undefined } = { ms: 0 };
  const closing: (() => void)[] = [];
  let next = 1000n;
  let finalized = 0;
  const of = (made: unknown): Descriptor => {
    const found = held.get(made as bigint);
    if (!found) throw new Error(`cuDNN: no such descriptor ${made}`);
    return found;
  };
  const int64 = (bytes: Uint8Array): bigint[] => [...new BigInt64Array(bytes.buffer as ArrayBuffer)];
  const int32 = (bytes: Uint8Array): Int32Array => new Int32Array(bytes.buffer as ArrayBuffer);
  const values = (made: Descriptor, name: number): bigint[] => {
    const found = made.attributes.get(name);
    return found ? int64(found.bytes) : [];
  };
  const proposed = (heuristics: Descriptor): readonly FakeEngine[] =>
    int32(heuristics.attributes.get(names.mode)?.bytes as Uint8Array)[0] === 3 ? A : fallback;

  function get(made: Descriptor, name: number, asked: number, count: [number], bytes: Uint8Array): void {
    if (name === names.results) {
      count[0] = proposed(made).length;
      for (const [i, at] of (asked ? int64(bytes) : []).entries()) of(at).engine = proposed(made)[i];
    } else if (name === names.engine) {
      count[0] = 1;
      of(int64(bytes)[0]).engine = made.engine;
    } else if (name === names.text) {
      const written = Buffer.from(`engine ${made.engine?.engine}`);
      count[0] = written.length;
      if (asked) bytes.set(written);
    } else if (name === names.workspace) {
      count[0] = 1;
      new BigInt64Array(bytes.buffer as ArrayBuffer)[0] = BigInt(made.engine?.workspaceBytes ?? 0);
    } else if (name === names.index) {
      count[0] = 1;
      new BigInt64Array(bytes.buffer as ArrayBuffer)[0] = BigInt(made.engine?.engine ?? -1);
    } else {
      const notes = name === names.notes ? (made.engine?.notes ?? []) : made.engine?.compiles ? [0] : [];
      count[0] = notes.length;
      int32(bytes).set(notes);
    }
  }

  function finalize(made: Descriptor): void {
    if (++finalized === failsAt) throw new Error("cuDNN: CUDNN_STATUS_NOT_SUPPORTED (cudnnBackendFinalize)");
    if (made.kind !== kinds.plan) return;
    const text = made.attributes.get(names.text);
    const engine = text && Number(Buffer.from(text.bytes).toString().slice("engine ".length));
    made.engine = text
      ? [...A, ...fallback].find((one) => one.engine === engine)
      : of(values(made, names.configuration)[0]).engine;
    if (!made.engine) throw new Error("cuDNN: CUDNN_STATUS_BAD_PARAM (cudnnBackendFinalize)");
    if (made.engine?.refused) throw new Error("cuDNN: CUDNN_STATUS_NOT_SUPPORTED (cudnnBackendFinalize)");
  }

  const cudnn = {
    version: 91900,
    handle: 77n,
    supports: () => true,
    typeOf: (dtype: string) => ({ float32: 0, float64: 1, float16: 2, bfloat16: 9 })[dtype],
    tensor: () => 7n,
    filter: () => 8n,
    create: () => 9n,
    atClose: (work: () => void) => void closing.push(work),
    createBackend(kind: number) {
      held.set(++next, { kind, attributes: new Map() });
      return next;
    },
    destroyBackend: (made: bigint) => void (held.delete(made) || lines.push(`destroyed twice: ${made}`)),
    inStream(stream: bigint, work: () => void) {
      state.stream = stream;
      work();
      state.stream = undefined;
    },
    call(name: string, ...args: unknown[]) {
      if (name === "cudnnBackendSetAttribute") {
        const [made, attribute, type, count, bytes] = args as [bigint, number, number, number, Uint8Array];
        of(made).attributes.set(attribute, { type, bytes });
        lines.push(`${of(made).kind}: ${attribute} type ${type} × ${count}`);
      } else if (name === "cudnnBackendFinalize") finalize(of(args[0]));
      else if (name === "cudnnBackendGetAttribute") {
        const [made, attribute, , asked, count, bytes] = args as [bigint, number, number, number, [number], Uint8Array];
        get(of(made), attribute, asked, count, bytes);
      }
    },
    run(name: string, ...args: unknown[]) {
      if (name === "cudnnBackendExecute") {
        const [plan, pack] = [of(args[0]), of(args[1])];
        state.running = plan.engine?.engine ?? -1;
        state.ms = plan.engine?.ms ?? 1;
        const [ids, at, workspace] = [1000, 1001, 1003].map((attribute) => values(pack, attribute));
        lines.push(
          `execute ${state.running}: ids ${ids} at ${at}, workspace ${workspace}${state.stream ? `, stream ${state.stream}` : ""}`,
        );
      } else if (name.startsWith("cudnnFind")) {
        const [found, results] = args.slice(8, 10) as [[number], Uint8Array];
        const view = new DataView(results.buffer);
        algorithms.forEach(([number, ms, bytes], i) => {
          view.setInt32(48 * i, number, true);
          view.setFloat32(48 * i + 8, ms, true);
          view.setBigUint64(48 * i + 16, BigInt(bytes), true);
          view.setInt32(48 * i + 24, 1, true);
        });
        found[0] = algorithms.length;
        lines.push(name);
      } else {
        state.running = args[6] as number;
        state.ms = algorithms.find(([number]) => number === state.running)?.[1] ?? 1;
        lines.push(`${name} algorithm ${state.running}`);
      }
    },
  } as unknown as Cudnn;
  const close = (): void => {
    for (const work of closing.splice(0).reverse()) work();
  };
  return { cudnn, held, lines, state, close, finalized: () => finalized };
}

/** Does something with another folder for what is kept. */
export function withCache<Made>(folder: string, work: () => Made): Made {
  const before = process.env.MUTWO_CACHE;
  process.env.MUTWO_CACHE = folder;
  try {
    return work();
  } finally {
    if (before === undefined) delete process.env.MUTWO_CACHE;
    else process.env.MUTWO_CACHE = before;
  }
}
