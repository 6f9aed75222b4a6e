import { formatBytes, formatMs, formatPercent } from "../format.js";
import { sayFigure } from "../run/assertion.js";
import type { Difference, Differences, FigureRow } from "../run/differences.js";
import type { TextTable } from "./text-tables.js";

/** What a comparison shows: figures first, then of each run against the base its nodes and activations, then the settings. */
export function differenceTables(differences: Differences, rows: number): TextTable[] {
  const { runs, settings, figures, modules, holders, nodes, activations } = differences;
  const [base, ...others] = runs.map((_, i) => (i === 0 ? "base" : `run ${i + 1}`)) as [string, ...string[]];
  return [
    {
      title: "runs",
      head: ["", "id", "model"],
      rows: runs.map(({ id, model }, i) => [i === 0 ? "base" : `run ${i + 1}`, id, model.file]),
    },
    { title: "figures", head: ["", base, ...others], rows: figures.map(figureCells) },
    ...others.flatMap((other, i) => {
      const against = others.length > 1 ? `, ${other} against ${base}` : "";
      return [
        rowTable(`modules, largest difference in time first${against}`, modules[i] ?? [], rows, timeCells),
        rowTable(`modules, largest difference at the peak first${against}`, holders[i] ?? [], rows, byteCells),
        rowTable(`nodes, largest difference in time first${against}`, nodes[i] ?? [], rows, timeCells),
        rowTable(`saved activations, largest difference first${against}`, activations[i] ?? [], rows, byteCells),
      ].filter((table) => table.rows.length > 0);
    }),
    ...(settings.length
      ? [
          {
            title: "settings that differ",
            head: ["", base, ...others],
            rows: settings.map(({ name, values }) => [name, ...values.map((value) => value || "none")]),
          },
        ]
      : []),
  ];
}

/** A figure of the base, then of each other run with how much more that is. */
function figureCells({ figure, values: [base = null, ...others] }: FigureRow): string[] {
  const say = (value: number | null): string => (value === null ? "–" : sayFigure(figure, value));
  return [
    figure.what,
    say(base),
    ...others.map((value) =>
      base === null || value === null || base === 0 ? say(value) : `${say(value)} (${signedPercent(value / base - 1)})`,
    ),
  ];
}

const signedPercent = (share: number): string => `${share > 0 ? "+" : ""}${formatPercent(share)}`;

const signed = (value: number, say: (value: number) => string): string => `${value > 0 ? "+" : ""}${say(value)}`;

function rowTable(
  title: string,
  list: readonly Difference[],
  count: number,
  cells: (row: Difference) => readonly string[],
): TextTable {
  const shown = list.slice(0, count);
  const more = list.length > count ? ` (${count} of ${list.length})` : "";
  return {
    title: `${title}${more}`,
    head: ["", "base", "there", "difference"],
    rows: shown.map((row) => [row.what ? `${row.name} (${row.what})` : row.name, ...cells(row)]),
  };
}

const timeCells = ({ base, other, difference, isClear }: Difference): string[] => [
  base === null ? "not there" : formatMs(base),
  other === null ? "not there" : formatMs(other),
  `${signed(difference, formatMs)}${isClear ? "" : ", within the spread"}`,
];

const byteCells = ({ base, other, difference }: Difference): string[] => [
  base === null ? "not there" : formatBytes(base),
  other === null ? "not there" : formatBytes(other),
  signed(difference, formatBytes),
];
