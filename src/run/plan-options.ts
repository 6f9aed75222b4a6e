import { missingBudget, parseBudget, parseFit, parseHostMemory, parseSlowdown } from "../plan/budget.js";
import { choice, count, flag, type Given, type OptionSpec, positive, text, texts } from "./option-kinds.js";

/** The planners, loaded when options are checked: help does without them. */
const planners = () => require("../plan/planners/index.js") as typeof import("../plan/planners/index.js");

/** Options that only say how something is planned, where nothing would be. */
const needsGoal =
  (name: string) =>
  (_value: unknown, { budget, planner, maxSlowdown, sweep, fit }: Given): void => {
    if ([budget, planner, maxSlowdown, fit].every((goal) => goal === undefined) && !sweep)
      throw new Error(`nothing is planned: ${name} (pass --budget 4GiB)`);
  };

/** The options that say what is planned for, and how: those of profile and plan alike. */
export const planOptions = {
  /** `4GiB`, `500MB` or a share of the baseline's peak, `60%`. Without one nothing is planned, unless a planner is named. */
  budget: {
    flag: "--budget",
    kind: text("size"),
    help: "4GiB, 500MB, or 60% of the baseline's peak",
    group: "planning",
    commands: ["profile", "plan", "train", "trainer"],
    check: (value: string) => void parseBudget(value),
  },
  /** `best`, `optimal`, `mutwo`, `capuchin`, `sqrt`, `checkmate`, `keepAll`, `recomputeAll` or `swapAll`; default `best`. */
  planner: {
    flag: "--planner",
    kind: text("name"),
    help: "best, optimal, mutwo, capuchin, sqrt, checkmate, keepAll, recomputeAll or swapAll",
    group: "planning",
    commands: ["profile", "plan", "train", "trainer"],
    default: "best",
    stated: ["plan"],
    check: (value: string, { budget, maxSlowdown, sweep, fit }: Given) =>
      void planners().checkPlanner(value, (budget ?? maxSlowdown ?? fit) !== undefined || sweep === true),
  },
  /** Which μ-TWO planner `mutwo` is: with the paper's defects mended (default), or as printed. */
  variant: {
    flag: "--variant",
    kind: choice("name", ["printed", "mended"]),
    help: "of planner mutwo: the paper's pseudo-code to the letter, or with its defects mended (default)",
    group: "planning",
    commands: ["profile", "plan", "train", "trainer"],
    check(value: string, { planner, budget, fit }: Given) {
      if (planner !== "mutwo") throw new Error(`only planner mutwo has variants: ${value} (pass --planner mutwo)`);
      if (value === "printed" && (budget ?? fit) === undefined) throw missingBudget("mutwo, variant printed");
    },
  },
  /** The most time that a plan may add, a share of the unplanned step's: `10%`. Without a budget, the least peak within it. */
  maxSlowdown: {
    flag: "--max-slowdown",
    kind: text("share"),
    help: "the most time that the plan may add: 10%; without a budget, the least peak within it",
    group: "planning",
    commands: ["profile", "plan", "train", "trainer"],
    check: (value: string) => void parseSlowdown(value),
  },
  /** Planners over the whole range of budgets instead of one plan: step time against peak. Not those that solve a program for each. */
  sweep: {
    flag: "--sweep",
    kind: flag(),
    help: "the planners over all budgets instead of one plan: step time against peak",
    group: "planning",
    commands: ["plan"],
    check(value: boolean, { budget, maxSlowdown, planner = "best" }: Given) {
      const others = {
        "--budget": budget,
        "--max-slowdown": maxSlowdown,
        "--planner": planner === "best" ? undefined : planner,
      };
      for (const [name, other] of Object.entries(others))
        if (value && other !== undefined)
          throw new Error(`--sweep takes every planner and budget: ${name} ${other} (leave one of them out)`);
    },
  },
  /** The largest batch within that much memory, with and without a plan: `24GiB`, or `batch=24GiB` where several dimensions could be the batch. */
  fit: {
    flag: "--fit",
    kind: text("[dim=]size"),
    help: "the largest batch within 24GiB, with and without a plan (batch=24GiB names the dimension)",
    group: "planning",
    commands: ["plan"],
    check(value: string, { budget, sweep }: Given) {
      parseFit(value);
      if (budget !== undefined || sweep)
        throw new Error(`--fit has a budget of its own: ${value} (leave --budget and --sweep out)`);
    },
  },
  /** Keep activations, whatever the budget: `*attention*`. */
  keep: {
    flag: "--keep",
    kind: texts("pattern"),
    help: "keep activations, whatever the budget: '*attention*' (repeat)",
    group: "planning",
    commands: ["profile", "plan", "train", "trainer"],
    check: needsGoal("keep"),
  },
  /** False: no activation is copied to host memory. So where copies are neither measured nor estimated (on the CPU, which is the host), unless `true` or `hostMemory` asks for it. */
  swap: {
    flag: "--no-swap",
    kind: flag(false),
    help: "copy no activation to host memory (on the CPU none is, but for swapAll or with --host-memory)",
    group: "planning",
    commands: ["profile", "plan", "train", "trainer"],
    check: needsGoal("swap"),
  },
  /** False: no activation is made again. */
  recompute: {
    flag: "--no-recompute",
    kind: flag(false),
    help: "make no activation again",
    group: "planning",
    commands: ["profile", "plan", "train", "trainer"],
    check: needsGoal("recompute"),
  },
  /** Host memory that swapped activations may take: `16GiB`. */
  hostMemory: {
    flag: "--host-memory",
    kind: text("size"),
    help: "host memory that swapped activations may take: 16GiB",
    group: "planning",
    commands: ["profile", "plan", "train", "trainer"],
    check(value: string, given: Given) {
      parseHostMemory(value);
      needsGoal("hostMemory")(value, given);
    },
  },
  /** Seconds that planner `best` searches, default 10; `optimal` solves its program as long, and goes on as long. */
  timeLimit: {
    flag: "--time-limit",
    kind: positive(),
    help: "seconds that planners best and optimal search (default 10)",
    group: "planning",
    commands: ["profile", "plan", "train", "trainer"],
  },
  /** Plans that planner `best` tries, default 30 000: the same plan each time if the time limit suffices for them. */
  moves: {
    flag: "--moves",
    kind: count(1),
    help: "plans that planners best and optimal try, if the time limit allows (default 30000)",
    group: "planning",
    commands: ["profile", "plan", "train", "trainer"],
  },
} as const satisfies Readonly<Record<string, OptionSpec>>;
