import { SingleBar } from "cli-progress";

export interface Progress {
  readonly update: (stage: string, done: number, total: number) => void;
  readonly stop: () => void;
}

/** Progress as a bar on a terminal, as one line a stage elsewhere. */
export function progressBar(stream: NodeJS.WriteStream): Progress {
  if (!stream.isTTY) {
    let last = "";
    return {
      update(stage) {
        if (stage !== last) stream.write(`${stage}\n`);
        last = stage;
      },
      stop() {},
    };
  }
  const bar = new SingleBar({
    stream,
    format: "{stage} {bar} {value}/{total}",
    hideCursor: true,
    clearOnComplete: true,
    stopOnComplete: false,
  });
  bar.start(1, 0, { stage: "start".padEnd(12) });
  return {
    update(stage, done, total) {
      bar.setTotal(total);
      bar.update(done, { stage: stage.padEnd(12) });
    },
    stop: () => bar.stop(),
  };
}
