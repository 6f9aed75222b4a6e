/** A name with settings, as the command line takes it: `adam:lr=1e-3,betas=0.9/0.999`. */
export interface Named {
  readonly name: string;
  readonly settings: ReadonlyMap<string, string>;
}

/** Splits `name:key=value,key=value`. Throws for a part that is not key=value. */
export function parseNamed(text: string): Named {
  const colon = text.indexOf(":");
  if (colon < 0) return { name: text, settings: new Map() };
  const settings = new Map<string, string>();
  for (const part of text.slice(colon + 1).split(",")) {
    const equals = part.indexOf("=");
    if (equals < 1) throw new Error(`not a setting (key=value): ${part || text}`);
    settings.set(part.slice(0, equals).trim(), part.slice(equals + 1).trim());
  }
  return { name: text.slice(0, colon), settings };
}

/** Takes one setting out: its text, undefined if it is not given, and the rest. */
export function takeSetting(what: Named, key: string): { value: string | undefined; rest: Named } {
  const settings = new Map(what.settings);
  settings.delete(key);
  return { value: what.settings.get(key), rest: { name: what.name, settings } };
}

/** Checks settings against their defaults and gives all of them as numbers. Throws for an unknown key or a non-number. */
export function numericSettings<K extends string>(
  what: Named,
  defaults: Readonly<Record<K, number>>,
): Record<K, number> {
  const values: Record<K, number> = { ...defaults };
  for (const [key, text] of what.settings) {
    if (!Object.hasOwn(defaults, key)) {
      const known = Object.keys(defaults);
      throw new Error(
        `unknown setting of ${what.name}: ${key} (${known.length ? `one of ${known.join(", ")}` : "it has none"})`,
      );
    }
    const value = text === "true" ? 1 : text === "false" ? 0 : Number(text);
    if (text === "" || !Number.isFinite(value))
      throw new Error(`setting ${key} of ${what.name} is not a number: ${text}`);
    values[key as K] = value;
  }
  return values;
}
