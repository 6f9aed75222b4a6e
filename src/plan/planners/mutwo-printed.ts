import type { Planner } from "../plan.js";
export const mutwoPrinted: Planner = () => { throw new Error("todo"); };
