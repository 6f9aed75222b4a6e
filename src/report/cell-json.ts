/** A record as JSON; empty where it holds nothing. */
export const json = (value: object): string => (Object.keys(value).length ? JSON.stringify(value) : "");

/** A text as JSON: most names stand there as they are. */
const textJson = (text: string): string => (/^[\w ./:@,()[\]-]*$/.test(text) ? `"${text}"` : JSON.stringify(text));

/** A list of names as JSON; empty where there are none. */
export const listJson = (names: readonly string[]): string => (names.length ? `[${names.map(textJson).join()}]` : "");

/** A record of a list's entries as JSON; empty where there are none. */
export function recordJson<T>(list: readonly T[], entry: (one: T) => [string, string]): string {
  if (list.length === 0) return "";
  if (list.length > 1) return JSON.stringify(Object.fromEntries(list.map(entry)));
  const [name, text] = entry(list[0] as T);
  return `{${textJson(name)}:${textJson(text)}}`;
}
