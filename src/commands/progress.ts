export interface Progress {
  /** Says how many of a stage's parts are done; called at will, drawn a few times a second. */
  readonly update: (stage: string, done: number, total: number) => void;
  /** Takes the bar away and shows the cursor; to be called before results are printed. Again: nothing. */
  readonly stop: () => void;
}

/** Least time between two drawings of one stage, ms. */
const redrawMs = 100;

const hideCursor = "\x1b[?25l";
const showCursor = "\x1b[?25h";
const clearLine = "\r\x1b[K";

/** Progress as one line in place on a terminal, as one line a stage elsewhere. */
export const progressBar = (stream: NodeJS.WriteStream): Progress => (stream.isTTY ? barOn(stream) : linesOn(stream));

function linesOn(stream: NodeJS.WriteStream): Progress {
  let last = "";
  return {
    update(stage) {
      if (stage !== last) stream.write(`${stage}\n`);
      last = stage;
    },
    stop() {},
  };
}

function barOn(stream: NodeJS.WriteStream): Progress {
  let current = "";
  let beganMs = 0;
  let drawnMs = 0;
  let isShown = false;
  const stop = (): void => {
    process.removeListener("exit", stop);
    if (isShown) stream.write(`${clearLine}${showCursor}`);
    isShown = false;
  };
  return {
    update(stage, done, total) {
      const now = performance.now();
      const isNew = stage !== current || !isShown;
      if (!isNew && done < total && now - drawnMs < redrawMs) return;
      if (stage !== current) beganMs = now;
      current = stage;
      drawnMs = now;
      if (!isShown) process.once("exit", stop); // leaving by process.exit gives the cursor back too
      const leftMs = done > 0 && done < total ? ((now - beganMs) / done) * (total - done) : undefined;
      stream.write(
        `${isShown ? "" : hideCursor}${clearLine}${barText({ stage, done, total, leftMs }, stream.columns)}`,
      );
      isShown = true;
    },
    stop,
  };
}

/** A time as people say it, at least 1 s: no more is known of what is to come. */
const roughly = (ms: number): string =>
  ms < 90_000 ? `${Math.max(1, Math.round(ms / 1000))} s` : `${Math.round(ms / 60_000)} min`;

/** What a bar says. */
interface Drawn {
  readonly stage: string;
  readonly done: number;
  readonly total: number;
  /** Undefined where nothing tells. */
  readonly leftMs?: number | undefined;
}

/**
 * A bar as text, at most `columns − 1` characters, so that no terminal wraps it: stage, bar, count, time left. Where there
 * is no room the bar goes first, then the time, then the end of the rest.
 */
export function barText({ stage, done, total, leftMs }: Drawn, columns = 80): string {
  const room = columns - 1;
  const name = stage.padEnd(12);
  const count = `${done}/${total}`;
  const left = leftMs === undefined ? "" : `, ${roughly(leftMs)} left`;
  const width = Math.min(40, room - name.length - count.length - left.length - 2);
  if (width >= 5) {
    const filled = Math.round((width * Math.min(done, total)) / Math.max(1, total));
    return `${name} ${"█".repeat(filled)}${"░".repeat(width - filled)} ${count}${left}`;
  }
  const short = `${stage} ${count}`;
  return (short.length + left.length <= room ? short + left : short).slice(0, Math.max(0, room));
}
