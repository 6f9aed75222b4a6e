import { randomUUID } from "node:crypto";
import { formatMs } from "../format.js";
import { type Bundle, display, escapeHtml, runningKernel } from "./cell.js";

/** Between two updates of a bar passes so much time at least, ms: a measurement is under way. */
const pauseMs = 250;

/** What long work tells of itself. */
type OnProgress = (stage: string, done: number, total: number) => void;

/** A bar of twenty letters. */
function barText(done: number, total: number): string {
  const full = total > 0 ? Math.round((20 * done) / total) : 0;
  return `${"█".repeat(full)}${"░".repeat(20 - full)}`;
}

const barBundle = (stage: string, done: number, total: number): Bundle => ({
  "text/html": `<progress value="${done}" max="${Math.max(1, total)}"></progress> ${escapeHtml(stage)}${total > 1 ? ` ${done}/${total}` : ""}`,
  "text/plain": `${barText(done, total)} ${stage}${total > 1 ? ` ${done}/${total}` : ""}`,
});

/** The stages that took a while, with their times. */
function doneBundle(stages: readonly { readonly stage: string; readonly ms: number }[], end: string): Bundle {
  const text = `${stages
    .filter(({ ms }) => ms >= 10)
    .map(({ stage, ms }) => `${stage} ${formatMs(ms)}`)
    .join(" · ")}${end}`;
  return { "text/html": `<small>${escapeHtml(text)}</small>`, "text/plain": text };
}

/**
 * Does long work with a bar below the cell that moves in place, and ends it when the cell is interrupted; outside of
 * notebooks, and where the caller listens himself, it does the work alone.
 */
export async function withProgress<T>(
  options: { readonly onProgress?: unknown; readonly signal?: AbortSignal },
  work: (own: { readonly onProgress?: OnProgress; readonly signal?: AbortSignal }) => Promise<T>,
): Promise<T> {
  const cell = runningKernel()?.cell;
  if (!cell) return work({});
  const signal = options.signal ? AbortSignal.any([options.signal, cell.signal]) : cell.signal;
  if (options.onProgress) return work({ signal });
  const id = randomUUID();
  const stages: { stage: string; ms: number }[] = [];
  let begun = performance.now();
  let shown = begun;
  const close = (): void => {
    const last = stages.at(-1);
    if (last) last.ms += performance.now() - begun;
    begun = performance.now();
  };
  display(barBundle("start", 0, 1), "progress", { id, update: false });
  const onProgress: OnProgress = (stage, done, total) => {
    const isNew = stages.at(-1)?.stage !== stage;
    if (isNew) {
      close();
      stages.push({ stage, ms: 0 });
    }
    if (!isNew && performance.now() - shown < pauseMs) return;
    shown = performance.now();
    display(barBundle(stage, done, total), "progress", { id, update: true });
  };
  let end = " · failed";
  try {
    const result = await work({ onProgress, signal });
    end = "";
    return result;
  } finally {
    close();
    display(doneBundle(stages, signal.aborted ? " · interrupted" : end), "progress", { id, update: true });
  }
}
