import { formatBytes, formatPercent } from "../format.js";
import { categories } from "../graph/graph.js";
import { moduleText } from "../run/modules.js";
import type { PeakPart } from "../run/peak-parts.js";
import { categoryColors, shorten } from "./figure.js";

/** A rectangle in shares of the whole. */
interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Divides a box into one for each size, as square as can be, in the order of the sizes, which should be falling (Bruls,
 * Huizing, van Wijk 2000, "Squarified treemaps"). Sizes are positive.
 */
export function squarify(sizes: readonly number[], box: Box): Box[] {
  const boxes: Box[] = [];
  let rest = box;
  let restSize = sizes.reduce((sum, size) => sum + size, 0);
  for (let from = 0; from < sizes.length; ) {
    const scale = (rest.width * rest.height) / restSize;
    const side = Math.min(rest.width, rest.height);
    /** The worst ratio of sides in a row along the shorter side that holds `sum`, of these extremes. */
    const worst = (sum: number, most: number, least: number): number => {
      const depth = (sum * scale) / side;
      return Math.max((depth * depth) / (least * scale), (most * scale) / (depth * depth));
    };
    const most = sizes[from] as number;
    let [to, sum] = [from + 1, most];
    while (to < sizes.length) {
      const next = sizes[to] as number;
      if (worst(sum + next, most, next) > worst(sum, most, sizes[to - 1] as number)) break;
      sum += next;
      to++;
    }
    const isWide = rest.width >= rest.height;
    const depth = (sum * scale) / side;
    let at = isWide ? rest.y : rest.x;
    for (const size of sizes.slice(from, to)) {
      const length = (side * size) / sum;
      boxes.push(
        isWide
          ? { x: rest.x, y: at, width: depth, height: length }
          : { x: at, y: rest.y, width: length, height: depth },
      );
      at += length;
    }
    rest = isWide
      ? { ...rest, x: rest.x + depth, width: rest.width - depth }
      : { ...rest, y: rest.y + depth, height: rest.height - depth };
    restSize -= sum;
    from = to;
  }
  return boxes;
}

/** More tiles than this in a category are too small to see: those beyond become one. */
const mostTiles = 200;

/** Width over height of the picture on a wide page. */
const aspect = 2.4;

const percent = (share: number): string => `${(100 * share).toFixed(3)}%`;

/** Black on light colours, white on dark ones: by relative luminance, for a contrast of 4.5 at least. */
export function textOn(color: string): string {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

/**
 * The holders of a peak as tiles of a treemap: a block a category, in it a tile a tensor; places are CSS lengths. Modules
 * are named where the file names any.
 */
export function tilesOf(holders: readonly Pick<PeakPart, "name" | "category" | "bytes" | "module">[], named: boolean) {
  const all = holders.reduce((sum, { bytes }) => sum + bytes, 0);
  const placeOf = (module: string): string => (named ? shorten(moduleText(module)) : "");
  const byCategory = new Map(categories.map((category) => [category, [] as (typeof holders)[number][]]));
  for (const holder of holders) if (holder.bytes > 0) byCategory.get(holder.category)?.push(holder);
  const groups = [...byCategory]
    .map(([category, own]) => {
      const rest = own.slice(mostTiles);
      const items = own.slice(0, mostTiles).map(({ name, bytes, module }) => ({ name, bytes, place: placeOf(module) }));
      if (rest.length)
        items.push({
          name: `${rest.length} others`,
          bytes: rest.reduce((sum, { bytes }) => sum + bytes, 0),
          place: "",
        });
      items.sort((a, z) => z.bytes - a.bytes);
      return { category, items, bytes: own.reduce((sum, { bytes }) => sum + bytes, 0) };
    })
    .filter(({ bytes }) => bytes > 0)
    .sort((a, z) => z.bytes - a.bytes);
  const blocks = squarify(
    groups.map(({ bytes }) => bytes),
    { x: 0, y: 0, width: aspect, height: 1 },
  );
  return groups.flatMap(({ category, items }, i) => {
    const boxes = squarify(
      items.map(({ bytes }) => bytes),
      blocks[i] as Box,
    );
    return items.map(({ name, bytes, place }, k) => {
      const { x, y, width, height } = boxes[k] as Box;
      return {
        name: shorten(name),
        place,
        category,
        size: formatBytes(bytes),
        share: formatPercent(bytes / all),
        isLabelled: width > 0.14 && height > 0.07,
        // has room for a label on a phone
        isLarge: width > 0.5 && height > 0.15,
        style: `left:${percent(x / aspect)};top:${percent(y)};width:${percent(width / aspect)};height:${percent(height)};background:${categoryColors[category]};color:${textOn(categoryColors[category])}`,
      };
    });
  });
}
