// Runs cases of ONNX's backend tests for test/onnx-tests.test.ts.
import { serve } from "../children.js";
import { problemOf } from "../message.js";
import { dataOf, forwardOf } from "./case.js";
import { checkGradient } from "./gradient.js";

/** What came of a case's values or gradients, and why. */
export interface Verdict {
  readonly kind: "equal" | "refused" | "differs" | "crashed" | "none";
  readonly why: string;
}

/** What came of one case. */
export interface CaseVerdict {
  readonly forward: Verdict;
  readonly gradient: Verdict;
}

/** A refusal in mutwo's own words; any other error counts as a crash. */
function verdictOf(error: unknown): Verdict {
  const why = error instanceof Error ? error.message : String(error);
  const problem = problemOf(error);
  return problem ? { kind: "crashed", why: `${problem}: ${why}` } : { kind: "refused", why };
}

serve(async ({ folder }: { folder: string }): Promise<CaseVerdict> => {
  const unchecked: Verdict = { kind: "none", why: "values are not equal" };
  try {
    const { model, reading, difference } = await forwardOf(folder);
    if (difference) return { forward: { kind: "differs", why: difference }, gradient: unchecked };
    const forward: Verdict = { kind: "equal", why: reading };
    try {
      const found = await checkGradient(model, dataOf(folder)[0]?.inputs ?? [], reading);
      if (found.none) return { forward, gradient: { kind: "none", why: found.none } };
      const { difference } = found;
      return { forward, gradient: difference ? { kind: "differs", why: difference } : { kind: "equal", why: "" } };
    } catch (error) {
      return { forward, gradient: verdictOf(error) };
    }
  } catch (error) {
    return { forward: verdictOf(error), gradient: unchecked };
  }
});
