import type { Node } from "./graph.js";

/** Whether a node is a recomputed copy, or of what one was written out as. */
export const isRecomputed = (node: Node): boolean => /@recompute\d*(\/|$)/.test(node.name);

/** Name of a recomputed copy; further copies of the same thing are numbered. */
export const copyName = (name: string, count: number): string => `${name}@recompute${count > 1 ? count : ""}`;

/** Name of the node or tensor that something is a recomputed copy or part of a swap of; its own name if it is none. */
export const originalName = (name: string): string => name.replace(/@(recompute|swap(\/(out|host|in))?)\d*$/, "");

/** Name of the gradient of a parameter in a training step. */
export const gradientName = (parameter: string): string => `${parameter}.grad`;

/** The name of something in the first micro-batch, and in later ones. */
export const suffixed = (name: string, micro: number): string => (micro === 1 ? name : `${name}@micro${micro}`);
