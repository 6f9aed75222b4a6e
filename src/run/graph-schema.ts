import { categories, dtypes, phases } from "../graph/graph.js";
import { count, exactly, list, number, object, oneOf, record, text, v } from "../schema.js";

/* What stands in the graph of a run.json: see run-schema.ts. */

const dtype = oneOf(dtypes as readonly ["float32", ...typeof dtypes]);
const category = oneOf(categories);
const phase = oneOf(phases);
const names = list(text);
const shape = list(count);

// of 64 bits: some are beyond what float64 holds exactly
const integer = v.pipe(number, v.integer("a whole number"));

const attribute = v.variant(
  "type",
  [
    object({ type: exactly("int"), value: integer }),
    object({ type: exactly("float"), value: number }),
    object({ type: exactly("string"), value: text }),
    object({ type: exactly("ints"), value: list(integer) }),
    object({ type: exactly("floats"), value: list(number) }),
    object({ type: exactly("strings"), value: names }),
    object({
      type: exactly("tensor"),
      value: object({ dtype, shape, data: v.custom<Uint8Array>((data) => typeof data === "object", "an object") }),
    }),
  ],
  "an attribute of type int, float, string, ints, floats, strings or tensor",
);

const node = object({
  name: text,
  domain: text,
  op: text,
  inputs: names,
  outputs: names,
  attributes: record(attribute),
  phase,
  lane: v.optional(count),
  stage: v.optional(count),
});

const tensor = object({
  name: text,
  dtype,
  shape,
  category,
  within: v.optional(object({ tensor: text, offsetBytes: count })),
  host: v.optional(exactly(true)),
  renewed: v.optional(exactly(true)),
  rate: v.optional(v.union([number, list(number)])),
  dataBase64: v.optional(text),
});

const origins = object({
  basis: oneOf(["exporter", "names", "parameters", "tables"]),
  modules: list(object({ path: text, class: v.optional(text) })),
  sources: list(object({ file: text, line: count, code: v.optional(text) })),
  nodes: list(
    v.custom<readonly [name: string, module: number, source?: number]>(
      (entry) =>
        Array.isArray(entry) &&
        (entry.length === 2 || entry.length === 3) &&
        entry.every((part, i) => (i ? Number.isSafeInteger(part) && part >= 0 : typeof part === "string")),
      "a name and one or two indices",
    ),
  ),
  fused: v.optional(list(v.strictTuple([text, text], "a name and a path"))),
});

/** A training step without the values of its tensors. */
export const graphSchema = object({
  name: text,
  nodes: list(node),
  tensors: list(tensor),
  inputs: names,
  outputs: names,
  state: list(object({ before: text, after: text })),
  loss: v.optional(text),
  trials: v.optional(list(object({ name: text, array: text, index: v.optional(count), loss: text }))),
  origins: v.optional(origins),
});
