import type { Source } from "../graph/origins.js";
import type { PeakHolder } from "../memory/liveness.js";
import { type Modules, modulesOf, type Share } from "./modules.js";
import type { NodeRow } from "./node-rows.js";
import { perStep, plannedPeak, plannedRows, type Which } from "./planned-rows.js";
import type { Run } from "./run.js";

/** A storage that is live at a step's peak, or a parameter's part of a flat one. */
export interface PeakPart extends PeakHolder {
  /** Path of its module, or one of `outside`. */
  readonly module: string;
  /** The line of the user's code whose node makes it, or null. */
  readonly source: Source | null;
  /** The flat buffer that it is a part of, or null. */
  readonly within: string | null;
}

/** The nodes of one of a run's steps, and who holds its peak. Throws `run has no plan: …` for the planned one of a run without. */
export function stepOf(run: Run, which: Which): { nodes: readonly NodeRow[]; holders: readonly PeakHolder[] } {
  if (which === "unplanned") return { nodes: run.before.nodes, holders: run.before.peakHolders };
  const planned = plannedRows(run);
  if (!planned) throw new Error("run has no plan: planned modules (plan with --budget 4GiB)");
  return { nodes: planned.nodes, holders: run.after?.peakHolders ?? plannedPeak(run)?.holders ?? [] };
}

/** A holder's bytes divided as its shares say, in whole bytes. */
function dividedBytes(bytes: number, shares: readonly Share[]): number[] {
  let done = 0;
  let share = 0;
  return shares.map((one, i) => {
    share += one.share;
    const end = i === shares.length - 1 ? bytes : Math.round(bytes * share);
    const own = end - done;
    done = end;
    return own;
  });
}

/**
 * Who holds a step's peak, with flat buffers divided into their parameters and each with its module, the largest first:
 * their bytes add up to the peak. Throws `run has no plan: …` for the planned step of a run without one.
 */
export const peakParts = (run: Run, which: Which = "unplanned"): readonly PeakPart[] => partsBy[which](run);

const partsBy = perStep((run, which) => partsOfHolders(run, stepOf(run, which).holders));

/** The same of holders that are known already. */
export function partsOfHolders(run: Pick<Run, "graph">, holders: readonly PeakHolder[]): readonly PeakPart[] {
  const modules = modulesOf(run);
  return holders
    .flatMap((holder) => partsOf(holder, modules))
    .sort((a, z) => z.bytes - a.bytes || (a.name < z.name ? -1 : 1));
}

function partsOf(holder: PeakHolder, modules: Modules): PeakPart[] {
  const { name, category, producer } = holder;
  const shares = modules.sharesOfTensor(name);
  const bytes = dividedBytes(holder.bytes, shares);
  const isWhole = shares.length === 1;
  const source = producer === null ? null : modules.ofNode(producer).source;
  const within = isWhole ? null : name;
  return shares.map(({ module, parameter }, i) => ({
    name: isWhole ? name : (parameter ?? name),
    category,
    bytes: bytes[i] as number,
    producer,
    module,
    source,
    within,
  }));
}
