/** One thing in which models that are trained together differ: `lr=1e-4,3e-4`. */
export interface Varied {
  readonly name: string;
  readonly values: readonly string[];
}

/** More values than anybody lists: a range is written out. */
const mostValues = 10_000;

/** Characters of what was given that an error repeats. */
const mostShown = 100;

const shown = (text: string): string => (text.length > mostShown ? `${text.slice(0, mostShown)}…` : text);

/**
 * Reads `lr=1e-4,3e-4` or `seed=0..7`. Settings stay with what they are of: `optimizer=sgd,adam:lr=1e-3,eps=1e-7` has two
 * values. Throws one line for anything else.
 */
export function parseVaried(text: string): Varied {
  const [, name, list = ""] = /^\s*([A-Za-z][\w.-]*)\s*=(.*)$/s.exec(text) ?? [];
  if (!name || !list.trim()) throw new Error(`not a variation: ${shown(text)} (use lr=1e-4,3e-4 or seed=0..7)`);
  const values: string[] = [];
  for (const piece of list.split(",").map((one) => one.trim())) {
    const last = values.at(-1);
    if (!piece) throw new Error(`a value is missing: ${shown(text)} (use lr=1e-4,3e-4)`);
    if (last?.includes(":") && /^[\w.]+=/.test(piece)) values[values.length - 1] = `${last},${piece}`;
    else values.push(...rangeOf(piece, name));
  }
  return { name, values };
}

/** The whole numbers of `0..7`; anything else is itself. */
function rangeOf(piece: string, name: string): string[] {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(piece) ?? [];
  if (from === undefined) return [piece];
  const [first, last] = [Number(from), Number(to)];
  if (first > last || last - first >= mostValues)
    throw new Error(
      `not a range from less to more, of at most ${mostValues} numbers: ${shown(piece)} (use ${shown(name)}=0..7)`,
    );
  return Array.from({ length: last - first + 1 }, (_, i) => String(first + i));
}

/** Reads several variations. Throws for a name that is given twice, and what `parseVaried` throws. */
export function parseVariations(texts: readonly string[]): Varied[] {
  const all = texts.map(parseVaried);
  const names = all.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Error(`varied twice: ${twice} (give all values at once: ${twice}=a,b)`);
  return all;
}

/** Every combination of the values, the first variation's changing slowest. Throws for a value that is given twice. */
export const everyCombination = (all: readonly Varied[]): ReadonlyMap<string, string>[] =>
  all.reduce<Map<string, string>[]>(
    (made, { name, values }) => {
      const twice = values.find((value, i) => values.indexOf(value) !== i);
      if (twice !== undefined) throw new Error(`a value is given twice: ${name}=${twice}`);
      return made.flatMap((one) => values.map((value) => new Map([...one, [name, value] as const])));
    },
    [new Map()],
  );

/**
 * So many combinations, each variation's values in turn; one that is shorter begins again. Throws for one with more values than
 * there are models.
 */
export function inTurn(all: readonly Varied[], count: number): ReadonlyMap<string, string>[] {
  const long = all.find(({ values }) => values.length > count);
  if (long)
    throw new Error(
      `${long.name} has ${long.values.length} values for ${count} ${count === 1 ? "model" : "models"}: with --copies or several models they are taken in turn (--copies ${long.values.length}, or leave some out)`,
    );
  return Array.from(
    { length: count },
    (_, i) => new Map(all.map(({ name, values }) => [name, values[i % values.length] as string] as const)),
  );
}
