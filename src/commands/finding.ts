/** A row of what `mutwo doctor` says. */
export interface Finding {
  readonly what: string;
  readonly works: boolean;
  /** Version or place if it works, the reason if not. */
  readonly detail: string;
  /** The command that mends it, or in words what does; absent where nothing is known. */
  readonly mend?: string;
}

/** Why something does not work, and what mends it. */
export class Broken extends Error {
  constructor(
    detail: string,
    readonly mend: string,
  ) {
    super(detail);
  }
}

/** A row: what `look` returns, or the first line of what it throws; `mend` is what mends whatever that is. */
export async function finding(what: string, look: () => string | Promise<string>, mend?: string): Promise<Finding> {
  try {
    return { what, works: true, detail: await look() };
  } catch (error) {
    const how = error instanceof Broken ? error.mend : mend;
    const detail = (error as Error).message.split("\n")[0] as string;
    return { what, works: false, detail, ...(how && { mend: how }) };
  }
}
