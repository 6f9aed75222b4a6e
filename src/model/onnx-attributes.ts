import type { Attribute } from "../graph/graph.js";
import { shortestFloat } from "../graph/values.js";
import { type ProtoAttribute, toNumber } from "./onnx-proto.js";
import { type ModelSource, readTensor, writeTensor } from "./onnx-tensor.js";

/** Text of a field; one that the file lacks reads as an empty list. */
const decodeText = (bytes: Uint8Array | undefined): string => (bytes?.length ? new TextDecoder().decode(bytes) : "");

/** ONNX's numbers of attribute types (AttributeProto.AttributeType). */
export const attributeTypes = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const;

/** An attribute of a node. Throws `unsupported: attribute …` for a kind that no op takes which mutwo knows. */
export function readAttribute(attribute: ProtoAttribute, node: string, from: ModelSource): Attribute {
  switch (attribute.type) {
    case attributeTypes.float:
      return { type: "float", value: shortestFloat(attribute.f ?? 0) };
    case attributeTypes.int:
      return { type: "int", value: toNumber(attribute.i) };
    case attributeTypes.string:
      return { type: "string", value: decodeText(attribute.s) };
    case attributeTypes.tensor:
      return { type: "tensor", value: readTensor(attribute.t ?? {}, `${node}.${attribute.name}`, from) };
    case attributeTypes.floats:
      return { type: "floats", value: (attribute.floats ?? []).map(shortestFloat) };
    case attributeTypes.ints:
      return { type: "ints", value: (attribute.ints ?? []).map(toNumber) };
    case attributeTypes.strings:
      return { type: "strings", value: (attribute.strings ?? []).map(decodeText) };
    default:
      throw new Error(`unsupported: attribute ${attribute.name} (node ${node})`);
  }
}

/** The inverse of `readAttribute`. */
export function writeAttribute(name: string, { type, value }: Attribute): ProtoAttribute {
  const base = { name, type: attributeTypes[type] };
  switch (type) {
    case "float":
      return { ...base, f: value };
    case "int":
      return { ...base, i: value };
    case "string":
      return { ...base, s: Buffer.from(value) };
    case "tensor":
      return { ...base, t: writeTensor("", value) };
    case "floats":
      return { ...base, floats: [...value] };
    case "ints":
      return { ...base, ints: [...value] };
    case "strings":
      return { ...base, strings: value.map((text) => Buffer.from(text)) };
  }
}
