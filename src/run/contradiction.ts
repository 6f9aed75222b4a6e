import { shown } from "../schema.js";

/*
 * What checks of a run are made of: each gives what does not fit, with its place in run.json, or nothing.
 */

/** The first answer there is. */
export function firstOf<T>(list: readonly T[], ask: (one: T, index: number) => string | false | undefined) {
  for (let index = 0; index < list.length; index++) {
    const answer = ask(list[index] as T, index);
    if (answer) return answer;
  }
  return undefined;
}

/** A second thing of a name that is one of a kind. */
export function repeated(place: string, names: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return firstOf(names, (name, i) => {
    if (seen.has(name)) return `${place}[${i}] is a second ${shown(name)}`;
    seen.add(name);
    return false;
  });
}

/** A name that is not among those there are. */
export const unknown = (
  place: string,
  names: readonly string[],
  known: { has(name: string): boolean },
  what: string,
): string | undefined =>
  firstOf(names, (name, i) => !known.has(name) && `${place}[${i}] is ${shown(name)}, which is no ${what}`);

/** A number that another one follows from. */
export const differs = (place: string, is: unknown, wanted: unknown): string | false =>
  is !== wanted && `${place} is ${shown(is)}, not ${shown(wanted)}`;

export const namesOf = (list: readonly { readonly name: string }[]): string[] => list.map(({ name }) => name);
