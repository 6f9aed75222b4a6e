import { InvalidArgumentError, Option } from "commander";

export const collectDim = (text: string, before: Record<string, number>): Record<string, number> => {
  const [, name, size] = /^([^=]+)=(\d+)$/.exec(text) ?? [];
  if (!name || !Number(size)) throw new InvalidArgumentError("use NAME=N with a positive whole number, batch=32");
  if (before[name] !== undefined && before[name] !== Number(size))
    throw new InvalidArgumentError(`contradicting dimension: ${name} is ${before[name]} and ${size}`);
  return { ...before, [name]: Number(size) };
};

export const collect = (text: string, before: readonly string[] | undefined): string[] => [...(before ?? []), text];

export const positive = (text: string): number => {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError("use a positive number");
  return value;
};

export const count =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`use a whole number from ${least} on`);
    return value;
  };

export const batchNormOption = (): Option =>
  new Option("--batch-norm <mode>", "run batch norm so, whatever the file says").choices(["training", "inference"]);

export const lossHelp =
  "ce, mse, l1, bce or sum, with settings: ce:axis=1,label_smoothing=0.1,ignore_index=-100,output=NAME";
