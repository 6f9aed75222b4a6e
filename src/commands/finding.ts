/** A row of what `mutwo doctor` says. */
export interface Finding {
  readonly what: string;
  readonly works: boolean;
  /** Version or place if it works, the reason if not. */
  readonly detail: string;
}

/** A row: what `look` returns, or the first line of what it throws. */
export async function finding(what: string, look: () => string | Promise<string>): Promise<Finding> {
  try {
    return { what, works: true, detail: await look() };
  } catch (error) {
    return { what, works: false, detail: (error as Error).message.split("\n")[0] as string };
  }
}
