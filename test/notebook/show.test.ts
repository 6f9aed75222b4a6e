import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { show, showFigure, showTable } from "../../src/notebook/show.js";

type Data = Readonly<Record<string, string>>;

const shown: Data[] = [];

const place = globalThis as { [key: symbol]: unknown };
const kernel = Symbol.for("mutwo.kernel");

beforeEach(() => {
  shown.length = 0;
  place[kernel] = { cell: null, display: ({ data }: { data: Data }) => shown.push(data) };
});

afterEach(() => {
  delete place[kernel];
});

test("showFigure, showTable and show say that there is no notebook", () => {
  delete place[kernel];
  assert.throws(() => showFigure({ data: [] }), /^Error: not in a notebook: showFigure$/);
  assert.throws(() => showTable([]), /^Error: not in a notebook: showTable$/);
  assert.throws(() => show(1), /^Error: not in a notebook: show$/);
});

test("showTable(rows) shows the first rows with all columns, numbers in six digits, whole ones exact", () => {
  showTable([{ name: "a<b", bytes: 123456789, ms: 0.12345678 }, { name: "c" }], 1);
  assert.deepEqual(shown[0]?.["text/plain"]?.split("\n"), [
    "   name      bytes        ms",
    "0  a<b   123456789  0.123457",
    "2 rows × 3 columns, the first 1 rows",
  ]);
  assert.match(String(shown[0]?.["text/html"]), /<td style="text-align:left">a&lt;b<\/td>.*>123,456,789</);
});

test("showTable(frame) takes a DataFrame by its columns", () => {
  showTable({ columns: ["n", "list"], values: [[Number.NaN, ["a", "b"]]] });
  assert.equal(shown[0]?.["text/plain"], "   n  list\n0     a, b\n1 rows × 2 columns");
});

test("showTable gives back what takes the table's place", () => {
  const places: [id: string | undefined, update: boolean, text: string][] = [];
  place[kernel] = {
    cell: null,
    display: (message: { data: Data; transient: { display_id?: string } }, update: boolean) =>
      places.push([message.transient.display_id, update, message.data["text/plain"] ?? ""]),
  };
  const table = showTable([{ n: 1 }]);
  table.update([{ n: 1 }, { n: 2 }]);
  assert.equal(places[0]?.[0], places[1]?.[0]);
  assert.deepEqual(
    places.map(([, update, text]) => [update, text]),
    [
      [false, "   n\n0  1\n1 rows × 1 columns"],
      [true, "   n\n0  1\n1  2\n2 rows × 1 columns"],
    ],
  );
});

test("showFigure gives back what takes the figure's place: the same output, shown again", () => {
  const places: [id: string | undefined, update: boolean, text: string][] = [];
  place[kernel] = {
    cell: null,
    display: (message: { data: Data; transient: { display_id?: string } }, update: boolean) =>
      places.push([message.transient.display_id, update, message.data["text/plain"] ?? ""]),
  };
  const figure = (title: string) => ({ data: [{ x: [1], y: [2] }], layout: { title: { text: title } } });
  const shownFigure = showFigure(figure("one"));
  shownFigure.update(figure("two"));
  showFigure(figure("three"));
  const [first, second, third] = places.map(([id]) => id);
  assert.equal(first, second);
  assert.notEqual(first, third);
  assert.deepEqual(
    places.map(([, update, text]) => [update, text]),
    [
      [false, "Plotly figure: one (1 trace)"],
      [true, "Plotly figure: two (1 trace)"],
      [false, "Plotly figure: three (1 trace)"],
    ],
  );
});
