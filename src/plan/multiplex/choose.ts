import { better, type Multiplexed, type MultiplexProblem, multiplex } from "./multiplex.js";
import { halving, type Share, sharings } from "./partitions.js";

/** Models that are to be trained together, and how to fuse and measure them. */
export interface PartitionProblem<J extends Joint> extends Omit<MultiplexProblem, "graph" | "nodeMs" | "members"> {
  /** How many models there are of each architecture. */
  readonly counts: readonly number[];
  /**
   * The joint graph of sub-arrays that hold so many models each, in turn, with the measured time of each node; or why
   * there is none. It is asked for one way to cut models into sub-arrays after the other.
   */
  readonly joint: (shares: readonly Share[]) => J | Refused | Promise<J | Refused>;
  /** Planner that plans what is chosen once more, if it is planned; the better plan is taken. Default none. */
  readonly refine?: string;
  /** Also all models of each architecture in one sub-array, beside nothing; default true. */
  readonly fused?: boolean;
  /** So many ways are simulated at most, of more those of sub-arrays of half, a quarter, … as many models; default all. */
  readonly most?: number;
}

/** A joint graph of sub-arrays in turn; what its lanes come to may be known for it alone. */
export type Joint = Pick<MultiplexProblem, "graph" | "nodeMs" | "members"> &
  Partial<Pick<MultiplexProblem, "capacity" | "stages" | "serial" | "constraints">>;

export interface Refused {
  readonly refused: string;
}

/** A way to cut models into sub-arrays that cannot be made, and why not. */
export interface RefusedPartition extends Refused {
  readonly subArrays: readonly Share[];
}

/** What one way to cut models into sub-arrays comes to by simulation: a row of a report. */
export interface SimulatedPartition {
  /** In the order in which they are executed, two and two beside each other. */
  readonly subArrays: readonly (Share & { readonly name: string })[];
  /** Whether it fits the budget. */
  readonly feasible: boolean;
  /** Time of one step of all models, ms, and what of it the plan adds. */
  readonly stepMs: number;
  readonly addedMs: number;
  /** The arena, that without a plan, and the host's. */
  readonly peakBytes: number;
  readonly unplannedBytes: number;
  readonly hostBytes: number;
  /** How late forward phases begin beside backward phases, from 0 to 1. */
  readonly lag: number;
  /** null where nothing had to be planned. */
  readonly planner: string | null;
  readonly recomputed: number;
  readonly swapped: number;
}

/** All ways that were simulated, and the best one. */
export interface PartitionChoice<J extends Joint> {
  readonly outcomes: readonly (SimulatedPartition | RefusedPartition)[];
  /** Number of the outcome that is to be executed; null if none fits. */
  readonly chosen: number | null;
  /** The same, to be executed; the smallest one if none fits, undefined if none can be made. */
  readonly best: Multiplexed | undefined;
  /** Its joint graph. */
  readonly joint: J | undefined;
}

/** A plan that adds less than such a share of the step's time is not planned once more. */
const leastAdded = 0.005;

const isWorthRefining = ({ feasible, addedMs, stepMs }: Multiplexed): boolean =>
  !feasible || addedMs > leastAdded * stepMs;

const key = (shares: readonly Share[]): string => shares.map(({ kind, size }) => `${kind}:${size}`).join(" ");

/** The ways to cut models into sub-arrays that are simulated. */
function waysOf({ counts, fused = true, most }: Pick<PartitionProblem<Joint>, "counts" | "fused" | "most">): Share[][] {
  const whole = counts.flatMap((size, kind) => (size ? [{ kind, size }] : []));
  const cut = halving(sharings(counts), most);
  return fused && !cut.some((shares) => key(shares) === key(whole)) ? [whole, ...cut] : cut;
}

function outcomeOf(shares: readonly Share[], { members }: Joint, found: Multiplexed): SimulatedPartition {
  const { feasible, stepMs, addedMs, peakBytes, unplannedBytes, hostBytes, lag, plan } = found;
  const count = (wanted: string): number => found.decisions.filter(({ action }) => action === wanted).length;
  return {
    subArrays: found.members.map((name) => ({ name, ...(shares[members.indexOf(name)] as Share) })),
    feasible,
    stepMs,
    addedMs,
    peakBytes,
    unplannedBytes,
    hostBytes,
    lag,
    planner: plan?.planner ?? null,
    recomputed: count("recompute"),
    swapped: count("swap"),
  };
}

/**
 * The best way to train models together within a budget: every partition is multiplexed and simulated, those over the
 * budget are dropped, and of the others the fastest one is taken (mutwo.md 12).
 */
export async function choosePartition<J extends Joint>(problem: PartitionProblem<J>): Promise<PartitionChoice<J>> {
  const { counts: _, joint: jointOf, refine, fused: __, most: ___, ...settings } = problem;
  const outcomes: (SimulatedPartition | RefusedPartition)[] = [];
  let best: { at: number; found: Multiplexed; shares: readonly Share[]; joint: J } | undefined;
  for (const shares of waysOf(problem)) {
    const joint = await jointOf(shares);
    if ("refused" in joint) {
      outcomes.push({ subArrays: shares, refused: joint.refused });
      continue;
    }
    const found = multiplex({ ...settings, ...joint });
    outcomes.push(outcomeOf(shares, joint, found));
    if (!best || better(best.found, found) === found) best = { at: outcomes.length - 1, found, shares, joint };
  }
  if (best?.found.plan && refine && isWorthRefining(best.found)) {
    const { joint, found, shares, at } = best;
    const { stages } = found.ring;
    const refined = multiplex({ ...settings, ...joint, planner: refine, lags: [found.lag], stages, serial: false });
    if (better(found, refined) === refined) {
      best = { ...best, found: refined };
      outcomes[at] = outcomeOf(shares, joint, refined);
    }
  }
  return { outcomes, chosen: best?.found.feasible ? best.at : null, best: best?.found, joint: best?.joint };
}
