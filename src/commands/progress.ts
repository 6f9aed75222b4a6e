/** What a stage tells of itself beside how much of it is done. */
export interface Telling {
  /** A few words: `loss 0.31`. */
  readonly note: string;
  /** The time left as the stage knows it; absent where it does not. */
  readonly leftMs?: number;
}

export interface Progress {
  /** Says how many of a stage's parts are done; called at will, drawn a few times a second. */
  readonly update: (stage: string, done: number, total: number, telling?: Telling) => void;
  /** Writes a line that stays. */
  readonly say: (line: string) => void;
  /** Takes the bar away and shows the cursor; to be called before results are printed. Again: nothing. */
  readonly stop: () => void;
}

/** Least time between two drawings of one stage, ms. */
const redrawMs = 100;

/** Where there is no terminal, least time between two lines of a stage that tells of itself, ms. */
const relineMs = 10_000;

const hideCursor = "\x1b[?25l";
const showCursor = "\x1b[?25h";
const clearLine = "\r\x1b[K";

/** Progress as one line in place on a terminal, as one line a stage elsewhere. */
export const progressBar = (stream: NodeJS.WriteStream): Progress => (stream.isTTY ? barOn(stream) : linesOn(stream));

function linesOn(stream: NodeJS.WriteStream): Progress {
  const said = new Set<string>();
  let saidMs = performance.now();
  return {
    update(stage, done, total, telling) {
      if (!said.has(stage)) {
        if (!telling) said.clear(); // a stage that tells of itself comes back between others
        said.add(stage);
        stream.write(`${stage}\n`);
      }
      const now = performance.now();
      if (!telling || now - saidMs < relineMs) return;
      saidMs = now;
      stream.write(`${stage} ${tail({ done, total, ...telling })}\n`);
    },
    say(line) {
      stream.write(`${line}\n`);
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
    update(stage, done, total, telling) {
      const now = performance.now();
      const isNew = stage !== current || !isShown;
      if (!isNew && done < total && now - drawnMs < redrawMs) return;
      if (stage !== current) beganMs = now;
      current = stage;
      drawnMs = now;
      if (!isShown) process.once("exit", stop); // leaving by process.exit gives the cursor back too
      const leftMs = done > 0 && done < total ? ((now - beganMs) / done) * (total - done) : undefined;
      const drawn = { stage, done, total, ...(telling ?? { leftMs }) };
      stream.write(`${isShown ? "" : hideCursor}${clearLine}${barText(drawn, stream.columns)}`);
      isShown = true;
    },
    say(line) {
      stop();
      stream.write(`${line}\n`);
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
  readonly note?: string;
}

/** What stands behind a bar: `3/12, loss 0.31, 41 s left`. */
const tail = ({ done, total, leftMs, note }: Omit<Drawn, "stage">): string =>
  `${done}/${total}${note ? `, ${note}` : ""}${leftMs === undefined ? "" : `, ${roughly(leftMs)} left`}`;

/**
 * A bar as text, at most `columns − 1` characters, so that no terminal wraps it: stage, bar, count, what the stage tells,
 * time left. Where there is no room the bar goes first, then the time, then the end of the rest.
 */
export function barText({ stage, ...drawn }: Drawn, columns = 80): string {
  const room = columns - 1;
  const name = stage.padEnd(12);
  const behind = tail(drawn);
  const width = Math.min(40, room - name.length - behind.length - 2);
  if (width >= 5) {
    const filled = Math.round((width * Math.min(drawn.done, drawn.total)) / Math.max(1, drawn.total));
    return `${name} ${"█".repeat(filled)}${"░".repeat(width - filled)} ${behind}`;
  }
  const whole = `${stage} ${behind}`;
  const short = `${stage} ${tail({ ...drawn, leftMs: undefined })}`;
  return (whole.length <= room ? whole : short).slice(0, Math.max(0, room));
}
