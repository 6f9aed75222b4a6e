// Solves an integer program with HiGHS. In WASM it cannot be interrupted, so it runs in a process of its own:
//   node highs.cjs PROGRAM.json RESULT.json
// What src/plan/solver.ts says of both files; RESULT.json is written again whenever more is known.
const { readFileSync, renameSync, writeFileSync } = require("node:fs");

/** Results of HiGHS that end a search, by their numbers (HighsModelStatus); costs of 0 and more are never unbounded (9). */
const ends = { 7: "optimal", 8: "infeasible", 9: "infeasible", 13: "time limit" };

/** A solution that costs so much more than its bound, as a share, is optimal enough: the bound is what counts. */
const closed = 2e-3;

async function solve({ columns, rows, timeLimitMs }, tell) {
  const highs = await require("highs")();
  const starts = [0];
  const indices = [];
  const values = [];
  for (const { terms } of rows) {
    // a column may stand in several terms of a row; HiGHS takes one
    const sums = new Map();
    for (const [column, value] of terms) sums.set(column, (sums.get(column) ?? 0) + value);
    indices.push(...sums.keys());
    values.push(...sums.values());
    starts.push(indices.length);
  }
  const model = highs.createModel({
    numCols: columns.length,
    numRows: rows.length,
    colCost: columns.map(({ cost }) => cost),
    colLower: columns.map(() => 0),
    colUpper: columns.map(({ upper }) => upper ?? highs.infinity),
    rowLower: rows.map(({ least }) => least),
    rowUpper: rows.map(() => highs.infinity),
    matrix: { format: "csr", numRows: rows.length, numCols: columns.length, starts, indices, values },
    integrality: columns.map(({ whole }) => (whole ? 1 : 0)),
  });
  model.options.set({ output_flag: false, time_limit: timeLimitMs / 1000, mip_rel_gap: closed });
  const { mipImprovingSolution, mipLogging } = highs.constants.callbackType;
  const known = { status: "running", bound: null, objective: null, values: null };
  const improve = ({ data }) => {
    if (Number.isFinite(data.mip_dual_bound)) known.bound = data.mip_dual_bound;
    if (data.mip_solution) {
      known.values = [...data.mip_solution];
      known.objective = data.objective_function_value;
    }
    tell(known);
  };
  const { modelStatus } = model.run({ [mipImprovingSolution]: improve, [mipLogging]: improve });
  const bound = model.info.get("mip_dual_bound");
  const isSolved = model.info.get("primal_solution_status") === 2;
  tell({
    status: ends[modelStatus] ?? `model status ${modelStatus}`,
    bound: Number.isFinite(bound) ? bound : known.bound,
    objective: isSolved ? model.getObjectiveValue() : known.objective,
    values: isSolved ? [...model.getSolution().colValue] : known.values,
  });
  model.dispose();
}

module.exports = { solve };

if (require.main === module) {
  const [programFile, resultFile] = process.argv.slice(2);
  const tell = (result) => {
    writeFileSync(`${resultFile}.part`, JSON.stringify(result));
    renameSync(`${resultFile}.part`, resultFile);
  };
  solve(JSON.parse(readFileSync(programFile, "utf8")), tell).catch((error) =>
    tell({ status: `error: ${error.message}` }),
  );
}
