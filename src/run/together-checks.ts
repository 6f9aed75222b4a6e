import { differs, firstOf, namesOf, repeated, unknown } from "./contradiction.js";
import type { Run } from "./run.js";

/** How what a run says of several models fits itself and the graph; undefined where it does, or of one model. */
export function togetherFits({ together, graph }: Pick<Run, "together" | "graph">): string | undefined {
  if (!together) return undefined;
  const { trials, arranged, executed } = together;
  const names = namesOf(trials);
  const known = new Set(names);
  const own = graph.trials && namesOf(graph.trials);
  const taken = arranged.filter((one) => one.executed);
  return (
    repeated("together.trials", names) ||
    (own && differs("together.trials", names.join(), own.join())) ||
    firstOf(arranged, ({ subArrays }, i) => {
      const place = `together.arranged[${i}].subArrays`;
      const all = subArrays.flat();
      return (
        unknown(place, all, known, "model") ||
        repeated(place, all) ||
        (all.length < names.length && `${place} has ${all.length} of ${names.length} models`)
      );
    }) ||
    (taken.length > 1 && `together.arranged has ${taken.length} that were executed`) ||
    firstOf(taken, ({ arrangement }) => differs("together.executed", executed, arrangement)) ||
    undefined
  );
}
