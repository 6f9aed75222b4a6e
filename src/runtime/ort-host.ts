import koffi from "koffi";
import { callback, cString, kept, opStruct, type Pointer } from "./ort-api.js";

/** A model of one node, `Host(x) -> y` in domain mutwo.host, written out as protobuf. */
export function hostModel(): Buffer {
  const field = (tag: number, wire: number, bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([(tag << 3) | wire]), bytes]);
  const bytes = (tag: number, ...parts: Buffer[]): Buffer => {
    const all = Buffer.concat(parts);
    return field(tag, 2, Buffer.concat([Buffer.from([all.length]), all]));
  };
  const text = (tag: number, value: string): Buffer => bytes(tag, Buffer.from(value));
  const number = (tag: number, value: number): Buffer => field(tag, 0, Buffer.from([value]));
  const scalar = (tag: number, name: string): Buffer =>
    bytes(tag, text(1, name), bytes(2, bytes(1, number(1, 1), bytes(2, bytes(1, number(1, 1))))));
  const node = bytes(1, text(1, "x"), text(2, "y"), text(4, "Host"), text(7, "mutwo.host"));
  return Buffer.concat([
    number(1, 8),
    bytes(7, node, text(2, "host"), scalar(11, "x"), scalar(12, "y")),
    bytes(8, text(1, ""), number(2, 18)),
    bytes(8, text(1, "mutwo.host"), number(2, 1)),
  ]);
}

/** The one op of ours, for all sessions: calls arrive while a session is made or run, one at a time. */
export interface Host {
  readonly struct: unknown;
  /** Name of the provider that the op is to be placed on; null is the CPU's. */
  provider: Pointer | null;
  onKernel: (info: Pointer) => void;
  onCompute: (context: Pointer) => void;
}

let knownHost: Host | undefined;

export function hostOp(): Host {
  if (knownHost) return knownHost;
  const struct = koffi.alloc(opStruct, 1);
  const host: Host = { struct, provider: null, onKernel: () => {}, onCompute: () => {} };
  const name = cString("Host");
  koffi.encode(struct, opStruct, {
    ...Object.fromEntries(Object.keys(opStruct.members ?? {}).map((member) => [member, null])),
    version: 16,
    CreateKernel: callback("void *(void *op, void *api, void *info)", (_op: Pointer, _api: Pointer, info: Pointer) => {
      host.onKernel(info);
      return 1n;
    }),
    GetName: callback("void *(void *op)", () => name),
    GetExecutionProviderType: callback("void *(void *op)", () => host.provider),
    GetInputType: callback("int (void *op, size_t index)", () => 1),
    GetInputTypeCount: callback("size_t (void *op)", () => 1),
    GetOutputType: callback("int (void *op, size_t index)", () => 1),
    GetOutputTypeCount: callback("size_t (void *op)", () => 1),
    KernelCompute: callback("void (void *kernel, void *context)", (_kernel: Pointer, context: Pointer) =>
      host.onCompute(context),
    ),
    KernelDestroy: callback("void (void *kernel)", () => {}),
    GetInputCharacteristic: callback("int (void *op, size_t index)", () => 0),
    GetOutputCharacteristic: callback("int (void *op, size_t index)", () => 0),
    GetInputMemoryType: callback("int (void *op, size_t index)", () => 0),
    GetStartVersion: callback("int (void *op)", () => 1),
    GetEndVersion: callback("int (void *op)", () => 0x7fffffff),
  });
  kept.push(struct);
  knownHost = host;
  return host;
}
