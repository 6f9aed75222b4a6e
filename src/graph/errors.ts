import type { Node } from "./graph.js";
import { messageLine } from "./message.js";

export interface NodeErrorOptions {
  /** What somebody decides by: a node without a kernel may run in another way. */
  readonly kind?: "no kernel" | undefined;
  /** More about the node, behind its name: `MatMul of x float32[2,3], w float32[4,5]`. */
  readonly detail?: string;
  /** What to do about it; the message ends in it. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** What is wrong with one node: `<what> (node <name>)`, and what callers decide by as fields. */
export class NodeError extends Error {
  readonly what: string;
  /** Name of the node. */
  readonly node: string;
  readonly kind: NodeErrorOptions["kind"];

  constructor(what: string, { name }: Pick<Node, "name">, { kind, detail, hint, cause }: NodeErrorOptions = {}) {
    super(
      messageLine(`${what} (node ${name}${detail ? `: ${detail}` : ""})${hint ? `; ${hint}` : ""}`),
      cause === undefined ? {} : { cause },
    );
    this.what = what;
    this.node = name;
    this.kind = kind;
  }

  /** An error that came up at a node: itself if it says which node it is about, else with this one's name. */
  static of(error: unknown, node: Pick<Node, "name">): NodeError {
    return error instanceof NodeError ? error : new NodeError((error as Error).message, node, { cause: error });
  }
}
