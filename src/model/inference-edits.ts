import { ops } from "../ops/index.js";
import type { Edit } from "./onnx-edit.js";
import type { WireNode } from "./onnx-wire.js";

/**
 * What makes a node one in inference mode: no `training_mode`, no running statistics given out, no input that says that it
 * is in training. Of nodes that know no modes nothing.
 */
export function inInference({ op, domain, frames, inputs, outputs, numbers }: WireNode): Edit[] {
  const key = domain && domain !== "ai.onnx" ? `${domain}:${op}` : op;
  const { defaults, trainingInput } = ops.get(key) ?? {};
  const edits: Edit[] = [];
  if (defaults?.training_mode) {
    const mode = numbers.get("training_mode");
    // a whole number of one byte
    if (mode) edits.push({ ...mode, bytes: Buffer.from([0]), frames: [] });
    for (const { begin, end } of outputs.slice(1)) edits.push({ begin, end, bytes: Buffer.alloc(0), frames });
  }
  const told = trainingInput === undefined ? undefined : inputs[trainingInput];
  if (told) edits.push({ begin: told.begin, end: told.end, bytes: Buffer.alloc(0), frames: [...frames, told] });
  return edits;
}
