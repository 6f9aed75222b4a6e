import * as v from "valibot";

/*
 * What JSON that comes from outside must look like, in one place: the parts that schemas are made of (valibot), and the
 * one sentence that says where a value is not what it should be.
 */

export { v };

/** A text. */
export const text = v.string("a text");

/** true or false. */
export const flag = v.boolean("true or false");

/** A finite number, whatever its sign. */
export const number = v.pipe(v.number("a number"), v.finite("a finite number"));

/** A finite number from 0 on: a time, a share, a ratio. */
export const quantity = v.pipe(v.number("a number"), v.finite("a finite number"), v.minValue(0, "a number from 0 on"));

/** A finite number above 0. */
export const positive = v.pipe(
  v.number("a positive number"),
  v.finite("a positive number"),
  v.gtValue(0, "a positive number"),
);

/** A whole number from 0 on that float64 holds exactly: bytes, a rank, a count. */
export const count = v.pipe(
  v.number("a whole number"),
  v.safeInteger("a whole number"),
  v.minValue(0, "a whole number from 0 on"),
);

/** One of a few words. */
export const oneOf = <const T extends readonly string[]>(words: T) => v.picklist(words, `one of ${words.join(", ")}`);

/** Exactly that value. */
export const exactly = <const T extends string | number | boolean>(value: T) => v.literal(value, JSON.stringify(value));

/** A list. */
export const list = <T extends v.GenericSchema>(of: T) => v.array(of, "a list");

/** An object with these fields; others are let be. */
export const object = <T extends v.ObjectEntries>(entries: T) => v.object(entries, "an object");

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** An object by any names, `__proto__` too. */
export const record = <T>(of: v.GenericSchema<unknown, T>) =>
  v.pipe(
    v.custom<Record<string, T>>(isRecord, "an object"),
    v.rawCheck<Record<string, T>>(({ dataset, addIssue }) => {
      if (!dataset.typed) return;
      const input: Record<string, unknown> = dataset.value;
      for (const [key, value] of Object.entries(input)) {
        const issue = v.safeParse(of, value, { abortEarly: true }).issues?.[0];
        if (!issue) continue;
        const own = { type: "object", origin: "value", input, key, value } as const;
        addIssue({ message: issue.message, input: issue.input, path: [own, ...(issue.path ?? [])] });
        return;
      }
    }),
  );

/** A type without `readonly`, intersections made one, so that what a schema gives can be compared with it. */
type Plain<T> = T extends string | number | boolean | null | undefined | Uint8Array
  ? T
  : { -readonly [K in keyof T]: Plain<T[K]> };

/** Whether two types have the same fields of the same types, `readonly` aside: `true`, else a type that `true` is not of. */
export type Same<A, B> =
  (<X>() => X extends Plain<A> ? 1 : 2) extends <X>() => X extends Plain<B> ? 1 : 2
    ? true
    : { differ: [Plain<A>, Plain<B>] };

/** Of a long text so many characters. */
const cut = (value: string, most: number): string => (value.length > most ? `${value.slice(0, most - 1)}…` : value);

/** A value of a file as a short line: control characters escaped, as JSON does. */
export const shown = (value: unknown, most = 40): string =>
  cut(
    (JSON.stringify(value) ?? String(value)).replace(
      /[\p{Cc}\u2028\u2029]/gu,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
    ),
    most,
  );

/** Where something stands in a file: `before.nodes[3].time.medianMs`. */
const placeOf = (keys: readonly unknown[]): string =>
  keys
    .map((key, i) => {
      if (typeof key === "number") return `[${key}]`;
      const word = String(key);
      return /^\w{1,40}$/.test(word) ? `${i ? "." : ""}${word}` : `[${shown(word, 60)}]`;
    })
    .join("");

/**
 * What is wrong with a value: `before.nodes[3].time.medianMs is -1, not a number from 0 on`, `plan.planner is missing`;
 * undefined if it is as the schema says.
 */
export function problemIn(schema: v.GenericSchema, value: unknown): string | undefined {
  const issue = v.safeParse(schema, value, { abortEarly: true }).issues?.[0];
  if (!issue) return undefined;
  const path = issue.path ?? [];
  const place = placeOf(path.map(({ key }) => key));
  const last = path.at(-1);
  // a list where an object is wanted lacks the object's first field
  if (last && Array.isArray(last.input) && typeof last.key === "string")
    return `${placeOf(path.slice(0, -1).map(({ key }) => key)) || "it"} is ${shown(last.input)}, not an object`;
  if (last && isRecord(last.input) && !Object.hasOwn(last.input, last.key as string)) return `${place} is missing`;
  return `${place || "it"} is ${shown(issue.input)}, not ${issue.message}`;
}
