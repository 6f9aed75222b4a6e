import { NodeError } from "../graph/errors.js";
import { type Attribute, onnxNumbers } from "../graph/graph.js";
import type { OpRequest } from "./kernel-key.js";
import { type Api, cString, made, type Pointer, plainWords } from "./ort-api.js";

/** Since-versions to try: those of opset 18 first, newest first, then the newer ones. */
const versions = [...Array.from({ length: 18 }, (_, i) => 18 - i), 19, 20, 21];

/** Version of each kernel that was found, by provider. */
const knownVersions = { cpu: new Map<string, number>(), cuda: new Map<string, number>() };

/**
 * An operator with the provider's own kernel; `info` is what the session says of its provider. Throws `no kernel: …`
 * with ONNX Runtime's reason, for the node that asks.
 */
export function createOp(api: Api, info: Pointer, request: OpRequest, provider: keyof typeof knownVersions): Pointer {
  const attributes: Pointer[] = [];
  try {
    for (const [name, attribute] of Object.entries(request.attributes))
      attributes.push(createAttribute(api, name, attribute));
    return newestOp(api, info, request, BigUint64Array.from(attributes), knownVersions[provider]);
  } catch (error) {
    throw NodeError.of(error, { name: request.node });
  } finally {
    for (const attribute of attributes) api.releaseOpAttr(attribute);
  }
}

/** The operator at the first since-version for which there is a kernel; that version is known from then on. */
function newestOp(
  api: Api,
  info: Pointer,
  { node, op, domain, types, inputCount, outputCount, since }: OpRequest,
  attributes: BigUint64Array,
  knownVersion: Map<string, number>,
): Pointer {
  const names = BigUint64Array.from([...types.keys()].map(cString));
  const values = Int32Array.from([...types.values()].map((dtype) => onnxNumbers[dtype]));
  const constraints = [names, values, values.length];
  const counts = [inputCount, outputCount];
  const key = `${domain}:${op}(${[...types].join(";")})`;
  const known = knownVersion.get(key);
  let reason = "";
  for (const version of known ? [known] : [...(since ? [since] : []), ...versions]) {
    const out: [null] = [null];
    const status = api.createOp(
      info,
      op,
      domain,
      version,
      ...constraints,
      attributes,
      attributes.length,
      ...counts,
      out,
    );
    if (!status) {
      knownVersion.set(key, version);
      return out[0] as unknown as Pointer;
    }
    const message = api.getErrorMessage(status) as string;
    api.releaseStatus(status);
    if (!reason || !/not found/i.test(message)) reason = message;
  }
  const asked = [...types].map(([name, dtype]) => `${name}=${dtype}`).join(" ");
  const what = `no kernel: ${op} ${asked}: ${plainWords(reason)}`;
  throw new NodeError(what, { name: node }, { kind: "no kernel" });
}

/** OrtOpAttrType: int 1, ints 2, float 3, floats 4, string 5, strings 6. */
function createAttribute(api: Api, name: string, attribute: Attribute): Pointer {
  const make = (data: unknown, length: number, type: number): Pointer =>
    made(api, (out) => api.createOpAttr(name, data, length, type, out));
  switch (attribute.type) {
    case "int":
      return make(BigInt64Array.of(BigInt(attribute.value)), 1, 1);
    case "ints":
      return make(BigInt64Array.from(attribute.value.map(BigInt)), attribute.value.length, 2);
    case "float":
      return make(Float32Array.of(attribute.value), 1, 3);
    case "floats":
      return make(Float32Array.from(attribute.value), attribute.value.length, 4);
    case "string": {
      const bytes = Buffer.from(attribute.value);
      return make(bytes, bytes.length, 5);
    }
    case "strings":
      return make(BigUint64Array.from(attribute.value.map(cString)), attribute.value.length, 6);
    case "tensor":
      throw new Error(`a kernel cannot take a tensor attribute: ${name}`);
  }
}
