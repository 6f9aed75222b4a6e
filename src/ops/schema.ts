import type { Attribute, Node } from "../graph/graph.js";
import { contribSchemas } from "./contrib.js";
import table from "./schemas.json";

/** What an input or output of an op is. */
export interface Parameter {
  readonly name: string;
  /** "variadic": from here on any number of tensors, `least` or more. */
  readonly kind: "required" | "optional" | "variadic";
  readonly least: number;
  /** Element types that it may have, by numpy's names; undefined: not checked. */
  readonly dtypes?: ReadonlySet<string>;
  /** Parameters of one constraint have one element type. */
  readonly constraint?: string;
}

/** An attribute of an op: its type, and whether a node may lack it. */
export interface AttributeSchema {
  readonly type: Attribute["type"] | "graph" | "sparse" | "type";
  readonly required: boolean;
  /** The default as text, if there is one. */
  readonly otherwise?: string;
}

/** What ONNX says of an op from some opset on. */
export interface Schema {
  readonly since: number;
  readonly inputs: readonly Parameter[];
  readonly outputs: readonly Parameter[];
  readonly attributes: ReadonlyMap<string, AttributeSchema>;
}

/** The opsets of the standard domain that can be read. */
export const opsetRange = { oldest: 7, newest: 24 } as const;

const words = (text: string): string[] => text.split(/\s+/).filter(Boolean);

function parameter(text: string, types: ReadonlyMap<string, ReadonlySet<string>>): Parameter {
  const [, name = "", mark = "", type = "-"] = /^([^?*:]+)(\?|\*\d+)?(?::(.+))?$/.exec(text) ?? [];
  const kind = mark === "?" ? "optional" : mark ? "variadic" : "required";
  const constrained = types.get(type);
  return {
    name,
    kind,
    least: kind === "variadic" ? Number(mark.slice(1)) : kind === "required" ? 1 : 0,
    ...(constrained ? { dtypes: constrained, constraint: type } : {}),
    ...(constrained || type === "-" ? {} : { dtypes: new Set([type]) }),
  };
}

function attributeSchema(text: string): readonly [string, AttributeSchema] {
  const [, name = "", required, type, otherwise] = /^(\w+)(!)?=(\w+)(?:\((.*)\))?$/.exec(text) ?? [];
  return [
    name,
    {
      type: type as AttributeSchema["type"],
      required: required === "!",
      ...(otherwise === undefined ? {} : { otherwise }),
    },
  ];
}

/** One line of schemas.json, or of an op's record: `since | inputs | outputs | attributes | types`; schemas.py says how. */
export function parseSchema(line: string): Schema {
  const [since = "", inputs = "", outputs = "", attributes = "", constraints = ""] = line.split("|");
  const types = new Map(
    words(constraints).map((word): [string, ReadonlySet<string>] => {
      const [name = "", list = ""] = word.split("=");
      return [name, new Set((list.startsWith("#") ? (table.types[Number(list.slice(1))] ?? "") : list).split(/[ ,]/))];
    }),
  );
  return {
    since: Number(since),
    inputs: words(inputs).map((text) => parameter(text, types)),
    outputs: words(outputs).map((text) => parameter(text, types)),
    attributes: new Map(words(attributes).map(attributeSchema)),
  };
}

const lines: ReadonlyMap<string, readonly string[]> = new Map(Object.entries(table.ops));

const contribLines: ReadonlyMap<string, string> = new Map(Object.entries(contribSchemas));

const contribParsed = new Map<string, Schema>();

/** The form of one of ONNX Runtime's own ops. */
function contribSchemaOf(op: string): Schema | undefined {
  const line = contribLines.get(op);
  if (line === undefined) return undefined;
  const schema = contribParsed.get(op) ?? parseSchema(line);
  contribParsed.set(op, schema);
  return schema;
}

const parsed = new Map<string, readonly Schema[]>();

/** All forms that an op of the standard domain had, the oldest first; none if ONNX does not know it. */
export function schemasOf(op: string): readonly Schema[] {
  const known = parsed.get(op);
  if (known) return known;
  const schemas = (lines.get(op) ?? []).map(parseSchema);
  parsed.set(op, schemas);
  return schemas;
}

/**
 * The form of a standard op at an opset; the oldest where the op came later, the newest where it has gone since. Of an op
 * that ONNX does not know, the one that ONNX Runtime gives it; undefined for others.
 */
export function schemaOf({ domain, op }: Pick<Node, "domain" | "op">, opset: number): Schema | undefined {
  if (domain && domain !== "com.microsoft") return undefined;
  const schemas = domain ? [] : schemasOf(op);
  return schemas.findLast(({ since }) => since <= opset) ?? schemas[0] ?? contribSchemaOf(op);
}
