import path from "node:path";
import Papa from "papaparse";
import { readText } from "../files.js";
import type { Dataset } from "./dataset.js";
import { type TableColumns, type TableOptions, tableColumns } from "./table.js";

/**
 * Data in a CSV file whose first line names the columns, by the parser that danfo reads with. Throws one line with row
 * (from 1, below the names) and column for a missing cell, NaN, and a text where a number is wanted.
 */
export function csvData(file: string, options: TableOptions): Dataset {
  const name = path.basename(file);
  // a mark of UTF-8 is no part of the first name
  const text = readText("table", file).replace(/^\ufeff/, "");
  let table: TableColumns | undefined;
  let problem: unknown;
  Papa.parse<string[]>(text, {
    skipEmptyLines: true,
    step: ({ data, errors }, parser) => {
      try {
        const [error] = errors;
        if (error && error.type === "Quotes") throw new Error(`a quote that does not end in ${name}`);
        if (table) table.add(data);
        else
          table = tableColumns(
            name,
            data.map((field) => field.trim()),
            options,
          );
      } catch (error) {
        problem = error;
        parser.abort();
      }
    },
  });
  if (problem) throw problem;
  if (!table) throw new Error(`no samples in ${name}`);
  return table.dataset();
}
