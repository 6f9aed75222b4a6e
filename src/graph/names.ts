import type { Graph, Node } from "./graph.js";

/*
 * The marks of names that mutwo makes from other names, and the one parser that reads them:
 *
 *     NAME             of the model
 *     …@micro2         in the second micro-batch, and so on; a sum of gradients after the first is …@micro1
 *     ….grad           the gradient of a parameter; scope of the nodes that a node's gradient is made of
 *     ….next           what takes the place of a state
 *     ….velocity …     optimizer state of a parameter, or of a flat buffer of them
 *     …@chunk2         of the second slice of rows that the loss is computed in
 *     …@slice2         the second slice of a flat buffer, what is made of it
 *     …@again3         made again inside fused nodes: the third such copy in the step
 *     …@last           the image with its channels as its last axis; …@first as axis 1, where … has them last
 *     …@recompute      made again as planned; …@recompute2 is a second copy
 *     …@swap/out       on its way to the host, …@swap/host there, …@swap/in on its way back, …@swap back again
 *     …@ahead          of the next step, made in this one; …@carried is what the step before has made of this one
 *
 * Marks follow one another, the last one made stands last: `x@micro2@recompute`. What is made of a name has one mark
 * more, so the last mark of a name that mutwo made says how. A name of the model may end like a mark: whether mutwo made
 * it, only the graph says (`knownName`, `recomputedNodes`).
 *
 * Marks are written here alone. Other names are made where they are needed, and say nothing about what they name:
 * `…/OP`, `…:0` and `…_2` are what a rule writes in the scope of …, its outputs, and a further thing of that name
 * (build/build.ts); `…/held` and the like are an exported step's (export/).
 */

/** What a part of a swap is: leaving, on the host, coming back, back. */
export type SwapPart = "out" | "host" | "in" | "back";

/** A name without its last mark, and that mark; no mark if the name is nothing that mutwo made. */
export interface ParsedName {
  readonly original: string;
  /** Which recomputed copy it is, from 1. */
  readonly recompute?: number;
  readonly swap?: SwapPart;
  /** Which node of several with the same swap mark it is, from 1; with `swap` only. */
  readonly count?: number;
  /** Which micro-batch it belongs to, from 1. */
  readonly micro?: number;
  /** Which copy made inside fused nodes it is, from 1. */
  readonly again?: number;
  /** Which slice of rows of the loss it belongs to, from 1. */
  readonly chunk?: number;
  /** Which slice of a flat buffer it is or is made of, from 1. */
  readonly slice?: number;
  /** It is `original` with its axes in another order: channels first or last. */
  readonly order?: "first" | "last";
  /** It is the gradient of `original`. */
  readonly gradient?: true;
  /** It takes the place of `original`. */
  readonly next?: true;
  /** It belongs to the next step, or was made by the one before. */
  readonly shift?: "ahead" | "carried";
}

const numbered = (mark: string, count: number): string => `${mark}${count > 1 ? count : ""}`;

/** Name of a recomputed copy; further copies of the same thing are numbered. */
export const copyName = (name: string, count = 1): string => numbered(`${name}@recompute`, count);

/** Name of a part of a swap; further nodes of the same name are numbered. */
export const swapName = (name: string, part: SwapPart, count = 1): string =>
  numbered(`${name}@swap${part === "back" ? "" : `/${part}`}`, count);

/** Name of what a micro-batch makes. */
export const microName = (name: string, micro: number): string => `${name}@micro${micro}`;

/** The name of something in the first micro-batch, and in later ones. */
export const suffixed = (name: string, micro: number): string => (micro === 1 ? name : microName(name, micro));

/** Name of a copy that is made again inside fused nodes; copies are numbered through the step. */
export const againName = (name: string, count: number): string => `${name}@again${count}`;

/** Name of what is made of a slice of rows. */
export const chunkName = (name: string, chunk: number): string => `${name}@chunk${chunk}`;

/** Name of a slice of a flat buffer, and of what is made of it. */
export const sliceName = (name: string, slice: number): string => `${name}@slice${slice}`;

/** Name of an image with its axes in another order. */
export const orderName = (name: string, order: "first" | "last"): string => `${name}@${order}`;

/** Name of the gradient of a parameter in a training step, and scope of the nodes that make a node's gradient. */
export const gradientName = (name: string): string => `${name}.grad`;

/**
 * Name of the gradient that a training step makes of a parameter: numbered where the model has a tensor of the plain
 * name. undefined if the step makes none.
 */
export function gradientOf({ tensors }: Pick<Graph, "tensors">, parameter: string): string | undefined {
  const plain = gradientName(parameter);
  for (let count = 1, name = plain; ; name = `${plain}_${++count}`) {
    const tensor = tensors.get(name);
    if (!tensor || (tensor.category === "gradient" && tensor.within)) return tensor && name;
  }
}

/** Name of what takes the place of a state. */
export const nextName = (state: string): string => `${state}.next`;

/** Name of an optimizer's state (`velocity`, `m`, `v`) of a parameter or a flat buffer of them. */
export const stateName = (parameter: string, state: string): string => `${parameter}.${state}`;

/** Name of what is made for the next step, or was made by the one before. */
export const shiftedName = (name: string, shift: "ahead" | "carried"): string => `${name}@${shift}`;

const marks =
  /^(.*)(?:@recompute(\d*)|@swap(?:\/(out|host|in))?(\d*)|@micro(\d+)|@again(\d+)|@slice(\d+)|@chunk(\d+)|@(first|last)|(\.grad)|(\.next)|@(ahead|carried))$/s;

/** Takes the last mark off a name. Marks inside a scope's name are the scope's: `parseName` of each part reads those. */
export function parseName(name: string): ParsedName {
  const [, original, recompute, part, count, micro, again, slice, chunk, order, gradient, next, shift] =
    marks.exec(name) ?? [];
  if (original === undefined) return { original: name };
  if (recompute !== undefined) return { original, recompute: Number(recompute || 1) };
  if (count !== undefined) return { original, swap: (part as SwapPart) ?? "back", count: Number(count || 1) };
  if (micro !== undefined) return { original, micro: Number(micro) };
  if (again !== undefined) return { original, again: Number(again) };
  if (slice !== undefined) return { original, slice: Number(slice) };
  if (chunk !== undefined) return { original, chunk: Number(chunk) };
  if (order !== undefined) return { original, order: order as "first" | "last" };
  if (shift) return { original, shift: shift as "ahead" | "carried" };
  return gradient ? { original, gradient: true } : { original, ...(next ? { next: true } : {}) };
}

/**
 * Name of the node or tensor that something is a recomputed copy or part of a swap of, in whichever step; its own name if
 * it is none.
 */
export function originalName(name: string): string {
  const { original, recompute, swap, shift } = parseName(name);
  if (shift) return originalName(original);
  return recompute !== undefined || swap ? original : name;
}

/** Name of the tensor that something is a part of a swap of, also where that part is a copy: what is made again may be copied in again. */
export function swappedName(name: string): string {
  const part = originalName(name);
  return parseName(part).swap ? originalName(part) : part;
}

/** By which of the known names something goes: its own, or that of what it is a copy or part of a swap of. */
export const knownName = (name: string, known: { has(name: string): boolean }): string =>
  known.has(name) ? name : originalName(name);

/** A name after those of the scopes that it stands in: `a`, `a/b` of `a/b`. */
const scopesOf = (name: string): string[] =>
  name.split("/").map((_, last, parts) => parts.slice(0, last + 1).join("/"));

/**
 * The nodes that are recomputed copies, or what one was written out as: marked nodes of the backward phase, unless the
 * mark is of the model, whose own nodes are in other phases too.
 */
export function recomputedNodes({ nodes }: Pick<Graph, "nodes">): ReadonlySet<Node> {
  const own = new Set(nodes.flatMap(({ name, phase }) => (phase === "backward" ? [] : scopesOf(name))));
  const isCopy = (scope: string): boolean => !own.has(scope) && parseName(scope).recompute !== undefined;
  return new Set(nodes.filter(({ name, phase }) => phase === "backward" && scopesOf(name).some(isCopy)));
}

/** Which of these nodes a node stands in the scope of, marks of what mutwo made of them left out; undefined if in none. */
export function ownerOf(name: string, nodes: ReadonlySet<string>): string | undefined {
  for (let end = name.length; end > 0; end = name.lastIndexOf("/", end - 1)) {
    let scope = name.slice(0, end);
    for (;;) {
      if (nodes.has(scope)) return scope;
      const { original } = parseName(scope);
      if (original === scope) break;
      scope = original;
    }
  }
  return undefined;
}
