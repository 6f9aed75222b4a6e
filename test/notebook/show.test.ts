import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { showFigure, showTable } from "../../src/notebook/show.js";

interface Display {
  readonly data: Readonly<Record<string, unknown>>;
}

const shown: Display["data"][] = [];

/** Where a running kernel has tslab's module. */
const tslab = "/kernel/node_modules/tslab/dist/jupyter.js";

beforeEach(() => {
  shown.length = 0;
  const exports = { lastWriteDisplayData: ({ data }: Display) => shown.push(data) };
  require.cache[tslab] = { exports } as unknown as NodeJS.Module;
});

test("showFigure(figure) and showTable(table) say that there is no notebook", () => {
  delete require.cache[tslab];
  assert.throws(() => showFigure({ data: [] }), /^Error: not in a notebook: showFigure$/);
  assert.throws(() => showTable([]), /^Error: not in a notebook: showTable$/);
});

test("showFigure(figure) brings the library with the first figure only, and its data cannot end the script", () => {
  const figure = { data: [{ y: new Float64Array([1, 2]), name: "</script>" }] };
  showFigure(figure);
  showFigure(figure);
  const [first, second] = shown.map((data) => String(data["text/html"]));
  assert.ok((first?.length ?? 0) > 1e6);
  assert.ok((second?.length ?? 0) < 1e3);
  assert.equal(second?.split("</script>").length, 2);
  assert.deepEqual(shown[0]?.["application/vnd.plotly.v1+json"], {
    data: [{ y: [1, 2], name: "</script>" }],
    layout: {},
  });
});

test("showTable(rows) shows the first rows, numbers in six digits, whole ones exact", () => {
  showTable([{ name: "a<b", bytes: 123456789, ms: 0.12345678 }, { name: "c" }], 1);
  assert.equal(shown[0]?.["text/plain"], "name\tbytes\tms\na<b\t123456789\t0.123457\n1 more rows");
  assert.match(String(shown[0]?.["text/html"]), /<td style="text-align:left">a&lt;b<\/td>/);
});

test("showTable(frame) takes a DataFrame by its columns", () => {
  showTable({ columns: ["n", "list"], values: [[Number.NaN, ["a", "b"]]] });
  assert.equal(shown[0]?.["text/plain"], "n\tlist\n\ta, b");
});
