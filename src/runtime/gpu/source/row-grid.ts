import { elementCount } from "../../../graph/graph.js";

/** Elements of a row that one thread keeps at most. */
const mostPerThread = 32;

/** How rows are dealt out to threads. */
export interface RowGrid {
  readonly rows: number;
  readonly columns: number;
  /** Elements that are read and written together: 4 or 1. */
  readonly width: number;
  /** Threads of a row. */
  readonly lanes: number;
  readonly perThread: number;
  readonly warpsPerBlock: number;
  /** Whether threads keep their elements; else they read them again each time. */
  readonly keeps: boolean;
}

/** The grid for rows of the `trailing` axes of a shape. */
export function rowGrid(shape: readonly number[], trailing: number, aligned: boolean): RowGrid {
  const rows = elementCount(shape.slice(0, shape.length - trailing));
  const columns = elementCount(shape.slice(shape.length - trailing));
  const width = aligned && columns % 4 === 0 ? 4 : 1;
  // one warp a row while its threads can keep the row, then as many as it takes
  const lanes =
    columns <= (32 * mostPerThread) / 2 ? 32 : Math.min(1024, 32 * Math.ceil(columns / (mostPerThread / 2) / 32));
  const perThread = width * Math.ceil(columns / width / lanes);
  return {
    rows,
    columns,
    width,
    lanes,
    perThread,
    warpsPerBlock: lanes === 32 ? 4 : 1,
    keeps: perThread <= mostPerThread,
  };
}
