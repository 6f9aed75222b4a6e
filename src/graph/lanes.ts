import { NodeError } from "./errors.js";
import type { Node } from "./graph.js";
import { perObject } from "./memo.js";

/** The lane and the stage of a node. */
export const placeOf = ({ lane = 0, stage = 0 }: Pick<Node, "lane" | "stage">): { lane: number; stage: number } => ({
  lane,
  stage,
});

/** A node that is added to a schedule: in the lane of one node, and the stage of another, beside which it stands. */
export function placedWith<N extends Node>(node: N, ofLane: Node | undefined, ofStage: Node | undefined): N {
  const { lane: _, stage: __, ...rest } = node;
  const { lane } = placeOf(ofLane ?? {});
  const { stage } = placeOf(ofStage ?? {});
  return { ...rest, ...(lane ? { lane } : {}), ...(stage ? { stage } : {}) } as N;
}

/** The nodes of a stage: their ranks, and their lanes. */
export interface Stage {
  readonly first: number;
  readonly last: number;
  readonly lanes: ReadonlySet<number>;
}

/** The stages of a graph in their order. Throws `stage … after …` if a node's stage is before that of the node before it. */
export const stagesOf = perObject((nodes: readonly Node[]): readonly Stage[] => {
  const stages: { first: number; last: number; lanes: Set<number>; number: number }[] = [];
  nodes.forEach((node, rank) => {
    const { lane, stage } = placeOf(node);
    const current = stages.at(-1);
    if (current && stage < current.number) throw new NodeError(`stage ${stage} after stage ${current.number}`, node);
    if (!current || stage > current.number)
      stages.push({ first: rank, last: rank, lanes: new Set([lane]), number: stage });
    else {
      current.last = rank;
      current.lanes.add(lane);
    }
  });
  return stages;
});
