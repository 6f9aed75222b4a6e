import { flatBufferNames, flatParts } from "../graph/flat-parts.js";
import { consumers, elementCount, type Graph, type Node, producers, type Tensor } from "../graph/graph.js";
import { perObject } from "../graph/memo.js";
import { parseName, sliceName } from "../graph/names.js";
import { knownOriginal, moduleOfParameter, originOf } from "../graph/origin-of.js";
import { commonPath, type OriginBasis, type Source } from "../graph/origins.js";
import { originsOfStep } from "../model/origins.js";
import { loadGraph, type Run } from "./run.js";

/** What belongs to no module of the model, by what it is. */
export const outside = {
  loss: "(loss)",
  update: "(update)",
  inputs: "(inputs)",
  unknown: "(no module)",
} as const;

const outsiders: ReadonlySet<string> = new Set(Object.values(outside));

/** Whether a module's path stands for what belongs to none: the loss, the update of no parameter, inputs, unknown. */
export const isOutside = (path: string): boolean => outsiders.has(path);

/** A module's path for people: the model itself has no name of its own. */
export const moduleText = (path: string): string => path || modelText;

const modelText = "(model)";

/** The path that `moduleText` wrote. */
export const moduleOfText = (text: string): string => (text === modelText ? "" : text);

/** A part of something that belongs to one module. */
export interface Share {
  /** The module's path; one of `outside` where it is of none. */
  readonly module: string;
  /** Of the whole; parts add up to 1. */
  readonly share: number;
  /** The tensor that this part of a flat buffer is of. */
  readonly parameter?: string;
}

/** The module of a node, and the line of the user's code. */
export interface NodeModule {
  /** Path of the module that holds all of it: "" is the model itself, one of `outside` where it is of none. */
  readonly module: string;
  /** The module's class as the exporter noted it, or null. */
  readonly class: string | null;
  readonly source: Source | null;
}

/** Finds modules of a run's nodes and tensors, those of its planned step too. */
export interface Modules {
  /** What told them; null where the model file has no names of modules. */
  readonly basis: OriginBasis | null;
  /** Classes by path, where the exporter noted them. */
  readonly classes: ReadonlyMap<string, string>;
  /** The module of a node by its name. */
  ofNode(name: string): NodeModule;
  /** A node's work by module: of one, except for updates of flat buffers, which are divided by elements. */
  sharesOfNode(name: string): readonly Share[];
  /** The module that holds all of a tensor. */
  ofTensor(name: string): string;
  /** A tensor's bytes by module: a flat buffer, or a slice of one, divided into its parameters, in order. */
  sharesOfTensor(name: string): readonly Share[];
}

/** The modules of a run's nodes and tensors, found once for each run. */
export const modulesOf = ({ graph }: Pick<Run, "graph">): Modules => modulesIn(loadGraph(graph));

/** The modules of a graph's nodes and tensors. */
export const modulesIn = perObject((graph: Graph): Modules => new ModuleFinder(graph));

class ModuleFinder implements Modules {
  readonly basis: OriginBasis | null;
  readonly classes: ReadonlyMap<string, string>;
  private readonly graph: Graph;
  private readonly nodes: ReadonlyMap<string, Node>;
  private readonly made: ReadonlyMap<string, number>;
  private readonly read: ReadonlyMap<string, readonly number[]>;
  private readonly paths: ReadonlySet<string>;
  private readonly nodeShares = new Map<string, readonly Share[]>();
  private readonly nodeModules = new Map<string, NodeModule>();
  private readonly tensorModules = new Map<string, string>();
  private readonly tensorShares = new Map<string, readonly Share[]>();
  private readonly residentModules = new Map<string, string>();

  constructor(loaded: Graph) {
    const origins = loaded.origins ?? originsOfStep(loaded);
    this.graph = origins ? { ...loaded, origins } : loaded;
    this.basis = origins?.basis ?? null;
    this.classes = new Map(origins?.modules.flatMap(({ path, class: type }) => (type ? [[path, type]] : [])));
    this.paths = new Set(origins?.modules.map(({ path }) => path));
    this.nodes = new Map(loaded.nodes.map((node) => [node.name, node]));
    this.made = producers(loaded);
    this.read = consumers(loaded);
  }

  ofNode(name: string): NodeModule {
    const before = this.nodeModules.get(name);
    if (before) return before;
    const found = this.moduleOfNode(name);
    this.nodeModules.set(name, found);
    return found;
  }

  private moduleOfNode(name: string): NodeModule {
    const module = this.sharesOfNode(name)
      .map((one) => one.module)
      .reduce(wholeOf);
    const node = this.nodes.get(name);
    const { origins } = this.graph;
    const found = origins?.sources.length && node?.phase !== "update" ? originOf(origins, name) : undefined;
    return { module, class: this.classes.get(module) ?? null, source: found?.source ?? null };
  }

  sharesOfNode(name: string): readonly Share[] {
    const before = this.nodeShares.get(name);
    if (before) return before;
    const found = this.findNode(name);
    this.nodeShares.set(name, found);
    return found;
  }

  ofTensor(name: string): string {
    const before = this.tensorModules.get(name);
    if (before !== undefined) return before;
    const found = this.sharesOfTensor(name)
      .map((one) => one.module)
      .reduce(wholeOf);
    this.tensorModules.set(name, found);
    return found;
  }

  sharesOfTensor(name: string): readonly Share[] {
    const before = this.tensorShares.get(name);
    if (before) return before;
    // what reads a tensor may ask for it again: until then it is of none
    this.tensorShares.set(name, of(outside.unknown));
    const found = this.findTensor(name);
    this.tensorShares.set(name, found);
    return found;
  }

  private findNode(name: string): readonly Share[] {
    const original = knownOriginal(name, (one) => this.nodes.has(one));
    const node = this.nodes.get(original ?? "");
    if (node?.phase === "update") return this.updateShares(node);
    const found = this.graph.origins && originOf(this.graph.origins, name);
    if (found) return of(found.module);
    if (node) {
      const [flat] = node.outputs.flatMap((output) => this.flatShares(this.graph.tensors.get(output)) ?? []);
      return of(flat?.module ?? (isLoss(node) ? outside.loss : outside.unknown));
    }
    // a copy of a swap is named after a tensor
    const tensor = knownOriginal(name, (one) => this.graph.tensors.has(one));
    return tensor === undefined ? of(outside.unknown) : this.sharesOfTensor(tensor);
  }

  /** An update node's shares: of what it writes into flat buffers, of the slice that it is of, else of what it reads. */
  private updateShares({ name, inputs, outputs }: Node): readonly Share[] {
    const { tensors } = this.graph;
    const flat = (names: readonly string[]): readonly Share[] | undefined =>
      names
        .flatMap((one) => tensors.get(one) ?? [])
        .sort((a, z) => elementCount(z.shape) - elementCount(a.shape))
        .map((tensor) => this.flatShares(tensor))
        .find((shares) => shares !== undefined);
    return flat(outputs) ?? this.sliceShares(name, outputs) ?? flat(inputs) ?? of(outside.update);
  }

  /** Shares of the slice of a flat buffer that a node is of by its name, if its outputs are of that size. */
  private sliceShares(node: string, outputs: readonly string[]): readonly Share[] | undefined {
    const slice = sliceIn(node);
    if (slice === undefined) return undefined;
    const { tensors } = this.graph;
    const counts = new Set(outputs.map((name) => elementCount(tensors.get(name)?.shape ?? [0])));
    return flatBufferNames(this.graph, node)
      .flatMap((buffer) => tensors.get(sliceName(buffer, slice)) ?? [])
      .filter(({ shape }) => counts.has(elementCount(shape)))
      .map((tensor) => this.flatShares(tensor))
      .find((shares) => shares !== undefined);
  }

  private findTensor(name: string): readonly Share[] {
    const original = knownOriginal(name, (one) => this.graph.tensors.has(one));
    const tensor = this.graph.tensors.get(original ?? "");
    if (!tensor) return this.sharesOfNode(name);
    const maker = this.graph.nodes[this.made.get(tensor.name) ?? -1];
    const flat = this.flatShares(tensor);
    if (flat) return flat;
    if (maker) return this.sharesOfNode(maker.name);
    if (tensor.category === "input") return of(outside.inputs);
    if (tensor.category === "optimizer state") return of(outside.update);
    return of(this.residentModule(tensor));
  }

  /** The module of a parameter, buffer or constant. Each flat buffer asks for it again. */
  private residentModule(tensor: Tensor): string {
    const before = this.residentModules.get(tensor.name);
    if (before !== undefined) return before;
    const found = this.findResident(tensor);
    this.residentModules.set(tensor.name, found);
    return found;
  }

  /** By its name, else that of the first node that reads it. */
  private findResident({ name, category }: Tensor): string {
    if (!this.basis) return outside.unknown;
    const named = category === "constant" ? undefined : moduleOfParameter(name, this.paths);
    if (named !== undefined) return named;
    const reader = this.graph.nodes[this.read.get(name)?.[0] ?? -1];
    if (!reader) return outside.unknown;
    return reader.phase === "update" ? outside.update : this.ofNode(reader.name).module;
  }

  /** A flat tensor's shares, one for each parameter; undefined of any other. */
  private flatShares(tensor: Tensor | undefined): readonly Share[] | undefined {
    const parts = tensor && flatParts(this.graph, tensor);
    if (!tensor || !parts?.length) return undefined;
    const count = elementCount(tensor.shape);
    return parts.map(({ parameter, begin, end }) => {
      const resident = this.graph.tensors.get(parameter);
      return {
        module: resident ? this.residentModule(resident) : outside.unknown,
        share: (end - begin) / count,
        parameter,
      };
    });
  }
}

const of = (module: string): readonly Share[] => [{ module, share: 1 }];

/** The module that holds both, or the model. */
const wholeOf = (a: string, z: string): string => (a === z ? a : isOutside(a) || isOutside(z) ? "" : commonPath(a, z));

/** Which slice of a flat buffer a name is of; undefined if it is of none. */
function sliceIn(name: string): number | undefined {
  const parts = [name, ...name.split("/").slice(0, 4)];
  return parts.map((part) => parseName(part).slice).find((slice) => slice !== undefined);
}

/** What stands in the scope of the loss, in any phase. */
const isLoss = ({ name, phase }: Node): boolean =>
  phase === "loss" || knownOriginal(name, (one) => one === "loss") !== undefined;
