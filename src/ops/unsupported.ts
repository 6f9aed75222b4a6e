import { NodeError } from "../graph/errors.js";
import type { Node } from "../graph/graph.js";
import { opsetRange } from "./schema.js";

/** What to change where a model decides while it runs what is run. */
export const controlFlowHint =
  "export what runs for one input: torch.jit.trace or dynamo=True unrolls loops of a fixed length";

/** What to do about an op that nothing is known of, by its domain. */
const unknownHint = (domain: string): string =>
  domain === "com.microsoft"
    ? "take the file as it was before ONNX Runtime optimised it, of standard ONNX ops"
    : `export it as standard ONNX ops, of opset ${opsetRange.oldest} to ${opsetRange.newest}`;

/** Why mutwo does not know an op, for messages; checked in order against the op, "domain:Op" if it has one. */
const kinds: readonly (readonly [pattern: RegExp, what: string, hint: string])[] = [
  [
    /^com\.microsoft\.nchwc:/,
    "memory layout of one processor:",
    "let ONNX Runtime optimise the file with graphOptimizationLevel extended, not all",
  ],
  [/^(If|Loop|Scan|SequenceMap)$/, "control flow", controlFlowHint],
  [
    /^(Sequence|ConcatFromSequence$|SplitToSequence$)/,
    "sequence op",
    "let the model take and return tensors, and reach those in lists by indices that do not depend on data",
  ],
  [/^Optional/, "optional op", "give every optional input of the model a tensor in the export"],
  [
    /QLinear|Integer(ToFloat|Bias)?$|[Qq]uantizeLinear|^DynamicQuantize|^Q(Attention|Gemm|EmbedLayerNormalization|OrderedMatMul)$|NBits|Bnb4/,
    "quantised op",
    "mutwo trains float models: export the model before it is quantised",
  ],
  [
    /^(String|RegexFullMatch$|TfIdfVectorizer$|LabelEncoder$|Tokenizer$)/,
    "string op",
    "leave text processing out of the export",
  ],
  [
    /:(BeamSearch|GreedySearch|Sampling|WhisperBeamSearch|DecoderMasked\w*|PagedAttention)$/,
    "op of text generation",
    "export the model without the search: training sees whole sequences",
  ],
  [
    /:(Packed(MultiHead)?Attention|(Remove|Restore)Padding)$/,
    "sequences packed without their padding:",
    "leave the packing out when the file is optimised",
  ],
  [
    /^(Unique|NonMaxSuppression)$/,
    "output shape that depends on values:",
    "name an output that does not need it (--loss …:output=NAME), or export it with a mask of fixed shape",
  ],
];

/** What is wrong with a node whose op is not in the table: `unsupported: control flow Loop (node …)`, `unknown op: …`. */
export function unsupported(node: Pick<Node, "domain" | "op" | "name">): NodeError {
  const { domain, op } = node;
  const key = domain ? `${domain}:${op}` : op;
  const found = kinds.find(([pattern]) => pattern.test(op) || pattern.test(key));
  if (!found) return new NodeError(`unknown op: ${key}`, node, { hint: unknownHint(domain) });
  const [, what, hint] = found;
  return new NodeError(`unsupported: ${what} ${key}`, node, { hint });
}
