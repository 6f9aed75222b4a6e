import { randomFrom } from "../src/graph/random.js";

/** A JSON text with one field changed, and what was changed in words. */
export interface Mutant {
  readonly what: string;
  readonly text: string;
}

/** What takes the place of a field, by name; `deleted` leaves it out. */
const changes: readonly (readonly [name: string, of: (value: unknown) => unknown])[] = [
  ["deleted", () => undefined],
  ["null", () => null],
  ["a text", () => "x"],
  ["NaN as text", () => "NaN"],
  ["true", () => true],
  ["negative", (value) => (typeof value === "number" && value > 0 ? -value : -1)],
  ["one more", (value) => (typeof value === "number" ? value + 1 : 1)],
  ["half", (value) => (typeof value === "number" ? value + 0.5 : 0.5)],
  ["huge", () => 1e300],
  ["a list", () => []],
  ["an object", () => ({})],
  ["a list of null", () => [null]],
  ["__proto__", () => "__proto__"],
  ["constructor", () => "constructor"],
  ["toString", () => "toString"],
  ["another word", (value) => (typeof value === "string" ? `${value}x` : "explode")],
];

type Place = readonly (string | number)[];

/** The fields of a value at any depth; of a list its first, its last and a middle element. */
function placesIn(value: unknown, place: Place = []): Place[] {
  if (typeof value !== "object" || value === null) return [place];
  const keys = Array.isArray(value)
    ? [...new Set([0, value.length >> 1, value.length - 1])].filter((i) => i >= 0 && i < value.length)
    : Object.keys(value);
  const inner = keys.flatMap((key) => placesIn((value as Record<string | number, unknown>)[key], [...place, key]));
  return place.length ? [place, ...inner] : inner;
}

/** A value with another one in a place of it; the rest is shared. */
function changed(value: unknown, [key, ...rest]: Place, by: (old: unknown) => unknown): unknown {
  if (key === undefined) return by(value);
  const old = (value as Record<string | number, unknown>)[key];
  const inner = changed(old, rest, by);
  if (Array.isArray(value)) return value.flatMap((one, i) => (i !== key ? [one] : inner === undefined ? [] : [inner]));
  return { ...(value as object), [key]: inner };
}

/** So many of a JSON value's mutants, each with one field changed, by a seed; all of them if there are no more. */
export function* mutants(value: unknown, { seed, count }: { seed: number; count: number }): Generator<Mutant> {
  const all = placesIn(value).flatMap((place) => changes.map((change) => ({ place, change })));
  const random = randomFrom(seed);
  for (let i = 0; i < Math.min(count, all.length); i++) {
    const other = i + Math.floor(random() * (all.length - i));
    const [a, z] = [all[i], all[other]] as [(typeof all)[number], (typeof all)[number]];
    all[i] = z;
    all[other] = a;
    const { place, change } = z;
    yield { what: `${place.join(".")}: ${change[0]}`, text: JSON.stringify(changed(value, place, change[1])) };
  }
}

/** Whether a message is JavaScript's own, not a line of ours. */
export const isOfJavaScript = (error: unknown): boolean => {
  const { name, message } = error as Error;
  return (
    /^(Type|Range|Reference|Syntax)Error$/.test(name) ||
    /Cannot read propert|is not a function|is not iterable|undefined \(reading|Maximum call stack|Invalid array length|Cannot convert|Cannot mix BigInt/.test(
      message,
    )
  );
};
