import { InvalidArgumentError } from "commander";

/** A whole number from 0 on, as an option's value. */
export function wholeNumber(word: string): number {
  if (!/^\d{1,9}$/.test(word)) throw new InvalidArgumentError("use a whole number from 0 on");
  return Number(word);
}

/** A whole number from 1 on, as an option's value. */
export function countNumber(word: string): number {
  if (!/^[1-9]\d{0,8}$/.test(word)) throw new InvalidArgumentError("use a whole number from 1 on");
  return Number(word);
}

/** A number above 0, as an option's value. */
export function positiveNumber(word: string): number {
  const value = Number(word);
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError("use a number above 0");
  return value;
}

/** Different whole numbers with commas between them, as an option's value. */
export const numberList = (word: string): number[] => [...new Set(word.split(",").map(wholeNumber))];
