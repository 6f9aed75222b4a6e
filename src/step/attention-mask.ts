import { isFloat, type Tensor } from "../graph/graph.js";
import { perObject } from "../graph/memo.js";
import { numbersIn } from "../graph/values.js";

/** Scores from here on down are out of a softmax: their shares are 0 in float32. */
export const leastHidden = -1e4;

/** Which keys each query sees through a mask: all of them, or those up to its own place and `ahead`. */
export interface Seen {
  readonly ahead: number | undefined;
}

/** Whether a mask's element lets a score be seen as it is, or hides it. */
interface Reading {
  readonly isSeen: (value: number) => boolean;
  readonly isHidden: (value: number) => boolean;
}

const added: Reading = { isSeen: (x) => x === 0, isHidden: (x) => x <= leastHidden };

const seenIfTrue: Reading = { isSeen: (x) => x !== 0, isHidden: (x) => x === 0 };

const hiddenIfTrue: Reading = { isSeen: seenIfTrue.isHidden, isHidden: seenIfTrue.isSeen };

function seenOf({ dtype, shape, data }: Tensor, queries: number, keys: number, reading: Reading): Seen | undefined {
  if (!data) return undefined;
  const values = numbersIn(dtype, data);
  const { isSeen, isHidden } = reading;
  const at = (i: number): number => values[i] as number;
  let first = 0;
  while (first < values.length && isSeen(at(first))) first++;
  if (first === values.length) return { ahead: undefined };
  const [rows, columns] = [shape.at(-2) ?? 1, shape.at(-1) ?? 1];
  // what is hidden first is behind what the first query sees
  const ahead = first - 1;
  if (rows !== queries || columns !== keys || ahead < 0 || first >= columns) return undefined;
  for (let i = 0; i < values.length; i++) {
    const row = Math.floor(i / columns) % rows;
    if (!(i % columns <= row + ahead ? isSeen(at(i)) : isHidden(at(i)))) return undefined;
  }
  return { ahead };
}

const known = perObject((_: Tensor) => new Map<string, Seen | undefined>());

/**
 * What a constant mask of scores [queries, keys] lets be seen, as its values prove it: one that is added to them (0 or
 * hidden), or one of bools (`hides`: true stands for hidden). Undefined if that is neither everything nor a triangle in
 * which each query sees a key.
 */
export function seenThrough(mask: Tensor, queries: number, keys: number, hides = false): Seen | undefined {
  const answers = known(mask);
  const key = `${queries},${keys},${hides}`;
  if (!answers.has(key)) {
    const reading = isFloat(mask.dtype) ? added : hides ? hiddenIfTrue : seenIfTrue;
    answers.set(key, seenOf(mask, queries, keys, reading));
  }
  return answers.get(key);
}
