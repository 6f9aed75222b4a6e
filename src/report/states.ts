import { formatBytes, formatMs } from "../format.js";
import { addTo } from "../graph/lists.js";
import type { Plan, StateDecision } from "../plan/plan.js";

/** What a model has on the host between its uses, for people. */
export interface StateRow {
  /** The model, of several in one step. */
  readonly owner: string;
  readonly states: string;
  readonly bytes: string;
  readonly idle: string;
  readonly copy: string;
  /** The reason of the largest. */
  readonly why: string;
}

/** More models than this are not named in a sentence. */
const mostNamed = 6;

/** States by the model of a joint step that they belong to; of a step of one model under "". */
function byOwner({ states = [] }: Pick<Plan, "states">): ReadonlyMap<string, readonly StateDecision[]> {
  const owners = new Map<string, StateDecision[]>();
  for (const one of states) addTo(owners, /^([\w.-]+)\//.exec(one.state)?.[1] ?? "", one);
  return owners;
}

const bytesOf = (states: readonly StateDecision[]): number => states.reduce((sum, { bytes }) => sum + bytes, 0);

/** The host memory that a plan's states take, bytes. */
export const stateBytes = ({ states = [] }: Pick<Plan, "states">): number => bytesOf(states);

/** Which states a plan has on the host, in words; undefined if none. */
export function statesLine(plan: Pick<Plan, "states">): string | undefined {
  const owners = byOwner(plan);
  if (!owners.size) return undefined;
  const size = formatBytes(stateBytes(plan));
  const own = owners.get("");
  if (own) return `${own.map(({ state }) => state).join(", ")} on the host between uses (${size})`;
  const names = [...owners.keys()];
  const more = names.length > mostNamed ? ` and ${names.length - mostNamed} more` : "";
  return `states of ${names.slice(0, mostNamed).join(", ")}${more} on the host between uses (${size})`;
}

/** What a plan has on the host between its uses, a row for each model. */
export const stateRows = (plan: Pick<Plan, "states">): StateRow[] =>
  [...byOwner(plan)].map(([owner, states]): StateRow => {
    const largest = states.reduce((a, z) => (z.bytes > a.bytes ? z : a));
    return {
      owner,
      states: states.map(({ state }) => (owner ? state.slice(owner.length + 1) : state)).join(", "),
      bytes: formatBytes(bytesOf(states)),
      idle: formatMs(Math.min(...states.map(({ idleMs }) => idleMs))),
      copy: formatMs(states.reduce((sum, { swapMs }) => sum + swapMs, 0)),
      why: largest.why,
    };
  });
