import type { Difference, Differences } from "../run/differences.js";
import { differenceTables } from "./difference-tables.js";
import { shorten } from "./figure.js";
import { pageHtml } from "./page.js";
import { type PageTable, pageTableOf } from "./tables.js";

/** A difference, and the number of the run that differs from the base. */
interface Row {
  readonly run: number;
  readonly row: Difference;
}

/** Rows of one kind of thing, of all runs against the base, as a table that the page sorts. */
function table(
  lists: readonly (readonly Difference[])[],
  what: string,
  kind: "ms" | "bytes",
  columnName: string,
): PageTable {
  const isTyped = lists.some((list) => list.some((row) => row.what));
  const type = { name: "kind", title: "what it is", kind: "text" as const, value: ({ row }: Row) => row.what };
  return pageTableOf<Row>(
    [
      { name: "run", title: "run", kind: "count", value: ({ run }) => run },
      { name: columnName, title: what, kind: "text", value: ({ row }) => row.name },
      ...(isTyped ? [type] : []),
      { name: "base", title: "base", kind, value: ({ row }) => row.base },
      { name: "there", title: "there", kind, value: ({ row }) => row.other },
      { name: "difference", title: "difference", kind, value: ({ row }) => row.difference },
      { name: "size", title: "size of the difference", kind, value: ({ row }) => Math.abs(row.difference) },
    ],
    lists.flatMap((list, i) => list.map((row) => ({ run: i + 2, row }))),
  );
}

/** Runs beside each other as one HTML page: figures and settings, then modules, nodes and activations, sortable. */
export function compareHtml(differences: Differences): string {
  const { runs, modules, holders, nodes, activations } = differences;
  const [base] = runs;
  // without rows of modules, nodes and activations: those are in the page's own tables
  const plain = differenceTables(differences, 0);
  const tables = {
    modules: table(modules, "module", "ms", "module_name"),
    holders: table(holders, "module", "bytes", "module_name"),
    nodes: table(nodes, "node", "ms", "node_name"),
    activations: table(activations, "activation", "bytes", "activation_name"),
  };
  const view = {
    count: runs.length,
    base: base?.id ?? "",
    plain,
    grids: [
      { name: "modules", title: "Modules by time", what: "Time of each module's own nodes, medians" },
      { name: "holders", title: "Modules at the peak", what: "What each module holds at the unplanned peak" },
      { name: "nodes", title: "Nodes", what: "Time of each node, medians" },
      { name: "activations", title: "Saved activations", what: "Bytes of each saved activation" },
    ].filter(({ name }) => tables[name as keyof typeof tables].count > 0),
  };
  return pageHtml({
    heading: runs
      .map(({ model }) => shorten(model.file))
      .filter((file, i, all) => all.indexOf(file) === i)
      .join(", "),
    sub: `mutwo compare · ${runs.length} runs`,
    sections: [
      { name: "compare-figures", title: "Figures", view },
      { name: "compare-rows", title: "Differences", view },
    ],
    figures: {},
    captions: {},
    tables,
  });
}
