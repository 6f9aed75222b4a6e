/**
 * The names that the patterns name (`*` any characters, `?` one). Throws `pattern matches no WHAT: …`, where `what` says
 * what the names are names of.
 */
export function matchingNames(names: readonly string[], patterns: readonly string[], what: string): Set<string> {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const literal = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&");
    const expression = new RegExp(`^${literal.replace(/\*/g, ".*").replace(/\?/g, ".")}$`, "s");
    const matched = names.filter((name) => expression.test(name));
    if (matched.length === 0)
      throw new Error(`pattern matches no ${what}: ${pattern} (the first is ${names[0] ?? "none"})`);
    for (const name of matched) found.add(name);
  }
  return found;
}
