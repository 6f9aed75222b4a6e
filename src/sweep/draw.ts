import { randomFrom } from "../graph/random.js";
import { shown } from "../schema.js";
import { isMap, type Setting, type Settings, settingsIn } from "./settings.js";

/** Numbers from one to another, both among them: `{from: 8, to: 64, step: 8}`, of sizes and shares `{from: 40%, to: 90%}`. */
interface Range {
  readonly from: number;
  readonly to: number;
  /** 0 for any number between. */
  readonly step: number;
  readonly unit: string;
  /** Whether each doubling is as likely as another. */
  readonly isLog: boolean;
}

/** The most numbers that a range of a grid has. */
const mostSteps = 100_000;

const rangeKeys = ["from", "to", "step", "scale"];

function amountOf(raw: unknown): { readonly amount: number; readonly unit: string } | undefined {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]*|%)$/i.exec(String(raw)) ?? [];
  return number === undefined ? undefined : { amount: Number(number), unit };
}

function rangeOf(raw: Readonly<Record<string, unknown>>, { where }: Setting): Range {
  const unknown = Object.keys(raw).find((key) => !rangeKeys.includes(key));
  if (unknown !== undefined) throw new Error(`unknown key: ${where}.${unknown} (a range has ${rangeKeys.join(", ")})`);
  const [from, to] = [amountOf(raw.from), amountOf(raw.to)];
  if (!from || !to || from.unit !== to.unit || from.amount > to.amount)
    throw new Error(`${where} is ${shown(raw)}, not a range: {from: 8, to: 64} or {from: 40%, to: 90%}`);
  const { scale = "linear", step } = raw;
  if (scale !== "linear" && scale !== "log")
    throw new Error(`${where}.scale is ${shown(scale)}, not one of linear, log`);
  if (scale === "log" && from.amount <= 0)
    throw new Error(`${where}.from is ${shown(raw.from)}, not above 0 for scale log`);
  const isWhole = Number.isInteger(from.amount) && Number.isInteger(to.amount);
  const steps = step === undefined ? { amount: isWhole ? 1 : 0 } : amountOf(step);
  if (!steps || (step !== undefined && steps.amount <= 0))
    throw new Error(`${where}.step is ${shown(step)}, not above 0`);
  return { from: from.amount, to: to.amount, step: steps.amount, unit: from.unit, isLog: scale === "log" };
}

/** A number of a range as it would be written; without digits that only binary fractions make. */
const written = (value: number, unit: string): unknown => {
  const plain = Number(value.toPrecision(12));
  return unit ? `${plain}${unit}` : plain;
};

/** The values of a grid's setting: a list, every number of a range, or the one value that is written. */
export function alternatives(raw: unknown, setting: Setting): readonly unknown[] {
  const { where } = setting;
  if (Array.isArray(raw)) {
    if (raw.length === 0) throw new Error(`${where} is an empty list: no combination would be left`);
    return raw;
  }
  if (!isMap(raw)) return [raw];
  const { from, to, step, unit, isLog } = rangeOf(raw, setting);
  if (isLog || step === 0 || (to - from) / step > mostSteps)
    throw new Error(`${where} is ${shown(raw)}: a range of a grid needs a step, and no scale (or list the values)`);
  const count = Math.floor((to - from) / step + 1e-9) + 1;
  return Array.from({ length: count }, (_, i) => written(from + i * step, unit));
}

/** What draws points at random: each setting from its list or range, all from one seed. */
export function draws(part: unknown, folder: string, seed: number): () => Settings {
  const random = randomFrom(seed);
  const drawers: [name: string, draw: () => unknown][] = [];
  settingsIn(part, "random", folder, (raw, setting) => {
    drawers.push([setting.name, drawer(raw, setting, random)]);
    return [];
  });
  return () => Object.fromEntries(drawers.map(([name, draw]) => [name, draw()]));
}

function drawer(raw: unknown, setting: Setting, random: () => number): () => unknown {
  if (isMap(raw)) {
    const range = rangeOf(raw, setting);
    for (const end of [range.from, range.to]) setting.parse(written(end, range.unit));
    return () => setting.parse(written(drawn(range, random()), range.unit));
  }
  const values = alternatives(raw, setting).map(setting.parse);
  return () => values[Math.floor(random() * values.length)];
}

/** The number of a range that a uniform one in [0, 1) stands for. */
function drawn({ from, to, step, isLog }: Range, uniform: number): number {
  // each step has the room that lies before the next
  const top = to + step;
  const value = isLog ? from * (top / from) ** uniform : from + (top - from) * uniform;
  return step === 0 ? value : Math.min(to, from + step * Math.floor((value - from) / step + 1e-9));
}
