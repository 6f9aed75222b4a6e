/** What a front end shows of one output, by kind: `text/html`, `text/plain`, … */
export type Bundle = Readonly<Record<string, unknown>>;

/** The cell that runs. */
export interface RunningCell {
  /** Its number, as in `[3]`. */
  readonly count: number;
  /** Its id in the notebook, where the front end tells it. */
  readonly id?: string;
  readonly code: string;
  /** Aborted when the cell is interrupted. */
  readonly signal: AbortSignal;
}

/** What the kernel (tslab.cjs) tells of itself to the code that runs in it. */
interface RunningKernel {
  readonly cell: RunningCell | null;
  readonly display:
    | ((message: { data: Bundle; metadata: object; transient: { display_id?: string } }, update: boolean) => void)
    | null;
  /** The cell whose output brought the chart library. */
  library?: Pick<RunningCell, "id" | "code" | "count">;
}

/** The symbol is shared: kernel and notebook may have their own copies of this file. */
export const runningKernel = (): RunningKernel | undefined =>
  (globalThis as { [key: symbol]: RunningKernel | undefined })[Symbol.for("mutwo.kernel")];

/** Shows an output below the cell; with an id it can be shown again, in place. Throws `not in a notebook: …`. */
export function display(data: Bundle, what: string, place?: { readonly id: string; readonly update: boolean }): void {
  const kernel = runningKernel();
  if (!kernel?.display) throw new Error(`not in a notebook: ${what}`);
  const transient = place ? { display_id: place.id } : {};
  kernel.display({ data, metadata: {}, transient }, place?.update ?? false);
}

/** A text that may stand in HTML, attributes too. */
export const escapeHtml = (text: string): string =>
  text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
