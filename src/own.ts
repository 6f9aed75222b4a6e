/**
 * What a record holds by a name that comes from outside; undefined for one that it lacks, whatever all objects have by it
 * (`toString`, `__proto__`).
 */
export const own = <T>(record: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined;
