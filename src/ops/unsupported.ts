import { NodeError } from "../graph/errors.js";
import type { Node } from "../graph/graph.js";

/** Why mutwo does not know an op, for messages; checked in order. */
const kinds: readonly (readonly [pattern: RegExp, what: string, hint?: string])[] = [
  [/^(If|Loop|Scan|SequenceMap)$/, "control flow"],
  [/^(Sequence|ConcatFromSequence$|SplitToSequence$)/, "sequence op"],
  [/^Optional/, "optional op"],
  [
    /QLinear|Integer(ToFloat|Bias)?$|[Qq]uantizeLinear|^DynamicQuantize|^Q(Attention|Gemm|EmbedLayerNormalization|OrderedMatMul)$|NBits|Bnb4/,
    "quantised op",
    "mutwo trains float models",
  ],
  [/^(String|RegexFullMatch$|TfIdfVectorizer$|LabelEncoder$|Tokenizer$)/, "string op"],
  [/^(Unique|NonMaxSuppression)$/, "output shape that depends on values:"],
];

/** What is wrong with a node whose op is not in the table: `unsupported: control flow Loop (node …)`, `unknown op: …`. */
export function unsupported(node: Pick<Node, "domain" | "op" | "name">): NodeError {
  const { domain, op } = node;
  const key = domain ? `${domain}:${op}` : op;
  const found = kinds.find(([pattern]) => pattern.test(op));
  if (!found) return new NodeError(`unknown op: ${key}`, node);
  const [, what, hint] = found;
  return new NodeError(`unsupported: ${what} ${key}`, node, hint ? { hint } : {});
}
