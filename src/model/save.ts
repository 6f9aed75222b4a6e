import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import path from "node:path";
import { readFile } from "../files.js";
import { type DType, onnxNumbers } from "../graph/graph.js";
import { addTo } from "../graph/lists.js";
import { bytesOf, numbersIn, type Value } from "../graph/values.js";
import { isSameFile, writeTogether } from "../writing.js";
import { type CopiedFile, copyWith, writePieces } from "./copies.js";
import { inInference } from "./inference-edits.js";
import { type Edit, edited, lengthField, numberField } from "./onnx-edit.js";
import { type Frame, readWire, type WireModel, type WireTensor } from "./onnx-wire.js";
import type { BoundModel } from "./read.js";

/** A weight of a bound model, and where its elements lie in the file. */
export interface WeightPlace {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The byte of the file at which they begin; undefined where they lie in no one place of it. */
  readonly offset?: number;
  /** Of a tensor that shares its place with others of the same values (merged.ts): the initializer that stands for it. */
  readonly sharedWith?: string;
  /** Which nodes read it, by their first outputs, and at which input. */
  readonly readers?: readonly { readonly output: string; readonly slot: number }[];
}

/**
 * Where the weights and running statistics of a model lie in its file, by name: what `saveWeights` goes by. `fileBytes` is
 * the file's size.
 */
export function weightPlaces(
  { graph, separated }: Pick<BoundModel, "graph" | "separated">,
  fileBytes: number,
): ReadonlyMap<string, WeightPlace> {
  const shared = new Map(separated.map(({ name, from }) => [name, from]));
  const sharing = (name: string): Pick<WeightPlace, "sharedWith" | "readers"> => {
    const sharedWith = shared.get(name);
    if (sharedWith === undefined) return {};
    const readers = graph.nodes.flatMap(({ inputs, outputs }) =>
      inputs.flatMap((input, slot) => (input === name ? [{ output: outputs[0] as string, slot }] : [])),
    );
    return { sharedWith, readers };
  };
  return new Map(
    [...graph.tensors.values()].flatMap(({ name, dtype, shape, category, data }): [string, WeightPlace][] => {
      if (category !== "parameter" && category !== "buffer") return [];
      // the reader's tensors are views of the file
      const isView = data?.length && data.buffer.byteLength === fileBytes && data.byteOffset > 0;
      return [[name, { dtype, shape, ...(isView ? { offset: data.byteOffset } : {}), ...sharing(name) }]];
    }),
  );
}

/** What is saved, and from which file. */
export interface SaveRequest {
  /** The model file, and what its SHA-256 was when it was read. */
  readonly model: string;
  readonly sha256: string;
  readonly places: ReadonlyMap<string, WeightPlace>;
  /** The weights of now, by name. */
  readonly values: ReadonlyMap<string, Value>;
  /** Batch norms and dropouts that the file has in training mode are written in inference mode. */
  readonly inference?: boolean;
}

/**
 * Writes a model file with other weights; all else in it stays, byte for byte but for lengths. What lies in files of
 * external data is written beside the new file: under the same names in another folder, else under names of its own. A
 * weight that is a graph input becomes its initializer. All files whole or not at all.
 *
 * Throws one line if the model has changed since it was read, if the file is one that it is made of, and for a weight that
 * has no one place in the file.
 */
export function saveWeights(file: string, request: SaveRequest): void {
  const { model, sha256 } = request;
  if (isSameFile(file, model)) throw new Error(`the model itself is not written over: ${file} (name another file)`);
  const bytes = readFile("model", model);
  if (createHash("sha256").update(bytes).digest("hex") !== sha256)
    throw new Error(`the model has changed since it was opened: ${model}`);
  const save = new Save(file, request, bytes);
  const pieces = edited(bytes, save.edits);
  writeTogether(file, (place) => {
    for (const [target, data] of save.dataFiles()) copyWith(data, place(target));
    writePieces(place(file), pieces);
  });
}

/** What saving changes in a file, found before anything is written. */
class Save {
  readonly edits: Edit[] = [];
  private readonly wire: WireModel;
  private readonly folder: string;
  /** Files of external data by the locations that the model gives. */
  private readonly data = new Map<string, CopiedFile>();
  /** What external data files are called beside the new file, by what the model calls them. */
  private readonly names: ReadonlyMap<string, string>;
  /** For each tensor of the file, which weight was written to it. */
  private readonly written = new Map<WireTensor, string>();

  constructor(
    private readonly file: string,
    private readonly request: SaveRequest,
    private readonly bytes: Uint8Array,
  ) {
    this.wire = readWire(bytes);
    this.folder = path.dirname(path.resolve(request.model));
    for (const { external } of this.wire.tensors) {
      const location = external.get("location")?.value;
      if (location !== undefined) this.data.set(location, { source: path.resolve(this.folder, location), patches: [] });
    }
    const byOffset = new Map(this.wire.tensors.flatMap((one) => one.data.slice(0, 1).map(({ begin }) => [begin, one])));
    const byName = new Map(this.wire.tensors.flatMap((one) => (one.isOfModel ? [[one.name, one] as const] : [])));
    for (const [name, place] of request.places) {
      const value = request.values.get(name);
      if (!value || place.sharedWith !== undefined) continue;
      const tensor = byName.get(name) ?? byOffset.get(place.offset ?? -1);
      const data = inType(value, place.dtype);
      if (tensor) this.write(name, tensor, place, data);
      else this.add(name, place, data);
    }
    this.separate(byName);
    this.names = this.newNames();
    this.rename();
    if (request.inference) for (const node of this.wire.nodes) this.edits.push(...inInference(node));
  }

  /**
   * Gives initializers of their own to tensors that the file holds as one, where their values are not the same any more: a
   * node that made the name of one goes, or else its readers read it by its new name.
   */
  private separate(byName: ReadonlyMap<string, WireTensor>): void {
    const { places, values } = this.request;
    const groups = new Map<string, string[]>();
    for (const [name, { sharedWith }] of places) if (sharedWith !== undefined) addTo(groups, sharedWith, name);
    for (const [from, names] of groups) {
      const held = byName.get(from)?.data.map(({ begin, end }) => this.bytes.subarray(begin, end)) ?? [];
      const dataOf = (name: string): Uint8Array | undefined => {
        const [value, place] = [values.get(name), places.get(name)];
        return value && place && inType(value, place.dtype);
      };
      const first = dataOf(from) ?? Buffer.concat(held);
      const all = names.map((name) => dataOf(name) ?? first);
      if (all.every((data) => Buffer.compare(data, first) === 0)) continue;
      names.forEach((name, i) => {
        this.unshare(name, from);
        this.addInitializer(name, places.get(name) as WeightPlace, all[i] as Uint8Array);
      });
    }
  }

  /** Frees a tensor's name for an initializer: removes the node that makes it, or lets its readers read that name. */
  private unshare(name: string, from: string): void {
    const own = this.wire.nodes.filter(({ isOfModel }) => isOfModel);
    const maker = own.find(({ output }) => output === name);
    if (maker) {
      this.edits.push({ ...maker.field, bytes: Buffer.alloc(0), frames: maker.frames.slice(0, -1) });
      return;
    }
    for (const { output, slot } of this.request.places.get(name)?.readers ?? []) {
      const reader = own.find((node) => node.output === output);
      const input = reader?.inputs[slot];
      if (!reader || !input)
        throw new Error(`cannot save ${name}: the file holds it as ${from}, and no node of it reads it by itself`);
      this.edits.push({
        begin: input.begin,
        end: input.end,
        bytes: Buffer.from(name),
        frames: [...reader.frames, input],
      });
    }
  }

  /** The copies of external data, by where they are written. */
  dataFiles(): Map<string, CopiedFile> {
    const parent = path.dirname(path.resolve(this.file));
    return new Map(
      [...this.data].map(([location, one]) => [path.join(parent, this.names.get(location) as string), one]),
    );
  }

  /** Puts a weight where the file has it. */
  private write(name: string, tensor: WireTensor, { dtype, shape }: WeightPlace, data: Uint8Array): void {
    const other = this.written.get(tensor);
    this.written.set(tensor, name);
    if (other !== undefined) {
      const [one, two] = [other, name].map((which) => this.request.values.get(which)?.data ?? new Uint8Array());
      if (Buffer.compare(one as Uint8Array, two as Uint8Array) === 0) return;
      throw new Error(`cannot save ${name}: the file holds it and ${other} once, and they were trained apart`);
    }
    const location = tensor.external.get("location")?.value;
    if (location !== undefined) {
      const offset = Number(tensor.external.get("offset")?.value ?? 0);
      this.data.get(location)?.patches.push({ offset, bytes: data });
      return;
    }
    const held = tensor.data.reduce((sum, { begin, end }) => sum + end - begin, 0);
    if (held === data.length) {
      let at = 0;
      for (const { begin, end } of tensor.data) {
        const part = data.subarray(at, at + end - begin);
        at += end - begin;
        this.edits.push({ begin, end, bytes: part, frames: [] });
      }
      return;
    }
    // 16-bit floats as varints: written as raw bytes
    if (!tensor.dataFields.length) throw new Error(`cannot save ${name}: ${dtype}[${shape}] has no place in the file`);
    const { begin, end } = tensor.message;
    const kept: Uint8Array[] = [];
    let at = begin;
    for (const field of tensor.dataFields) {
      kept.push(this.bytes.subarray(at, field.begin));
      at = field.end;
    }
    kept.push(this.bytes.subarray(at, end), lengthField(9, data));
    this.edits.push({ begin, end, bytes: Buffer.concat(kept), frames: tensor.frames });
  }

  /** Adds an initializer for a weight that is given to the graph from outside. */
  private add(name: string, place: WeightPlace, data: Uint8Array): void {
    if (!this.wire.inputs.has(name))
      throw new Error(
        `cannot save ${name}: it is in no one place of the file (export the model without loops and functions around it)`,
      );
    this.addInitializer(name, place, data);
  }

  private addInitializer(name: string, { dtype, shape }: WeightPlace, data: Uint8Array): void {
    const graph = this.wire.graph as Frame;
    const message = Buffer.concat([
      ...shape.map((size) => numberField(1, size)),
      numberField(2, onnxNumbers[dtype]),
      lengthField(8, Buffer.from(name)),
      lengthField(9, data),
    ]);
    this.edits.push({ begin: graph.end, end: graph.end, bytes: lengthField(5, message), frames: [graph] });
  }

  private newNames(): ReadonlyMap<string, string> {
    const parent = path.dirname(path.resolve(this.file));
    const sources = [this.request.model, ...[...this.data.values()].map(({ source }) => source)];
    const isTaken = (name: string, source?: string): boolean => {
      const target = path.join(parent, name);
      if (sources.some((one) => isSameFile(one, target)) || isSameFile(this.file, target)) return true;
      // what an earlier save has left there is of the same size
      const there = source === undefined ? undefined : statSync(target, { throwIfNoEntry: false });
      return there !== undefined && there.size !== statSync(source as string, { throwIfNoEntry: false })?.size;
    };
    if ([...this.data].every(([location, { source }]) => !isTaken(location, source)))
      return new Map([...this.data.keys()].map((location) => [location, location]));
    const own = path.basename(this.file);
    const given = new Set<string>();
    return new Map(
      [...this.data.keys()].map((location) => {
        const wish = this.data.size === 1 ? `${own}.data` : `${own}.${location.replace(/[\\/]/g, "_")}`;
        let name = wish;
        for (let i = 2; given.has(name) || isTaken(name); i++) name = `${wish}.${i}`;
        given.add(name);
        return [location, name];
      }),
    );
  }

  /** Writes the new names of external data into the model. */
  private rename(): void {
    for (const { external } of this.wire.tensors) {
      const entry = external.get("location");
      const name = entry && this.names.get(entry.value);
      if (!entry || name === undefined || name === entry.value) continue;
      const { begin, end } = entry.at;
      this.edits.push({ begin, end, bytes: Buffer.from(name), frames: entry.frames });
    }
  }
}

/** A value in the element type that the file has. */
function inType({ dtype, data }: Value, wanted: DType): Uint8Array {
  return dtype === wanted ? data : bytesOf(wanted, numbersIn(dtype, data));
}
