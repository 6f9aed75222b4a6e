import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { bringsLibrary, figureBundle, withoutLibrary } from "../../src/notebook/figure.js";

const place = globalThis as { [key: symbol]: unknown };
const kernel = Symbol.for("mutwo.kernel");

afterEach(() => {
  delete place[kernel];
});

const figure = { data: [{ y: new Float64Array([1, 2]), name: "</script>" }], layout: { title: { text: "a <b>" } } };

const htmlOf = (): string => String(figureBundle(figure)["text/html"]);

test("figureBundle(figure) holds a picture, Plotly's format, text, and a live chart that its data cannot break", () => {
  const bundle = figureBundle(figure);
  assert.deepEqual(bundle["application/vnd.plotly.v1+json"], {
    data: [{ y: [1, 2], name: "</script>" }],
    layout: figure.layout,
  });
  assert.equal(bundle["text/plain"], "Plotly figure: a <b> (1 trace)");
  assert.match(String(bundle["image/svg+xml"]), /^<svg .*a &lt;b/);
  const html = withoutLibrary(String(bundle["text/html"]));
  assert.ok(html.length < 3000, String(html.length));
  assert.equal(html.split("</script>").length, 2);
  assert.match(html, /<img alt="a &lt;b&gt;?/);
  const packed = /unpack\("([^"]+)"\)/.exec(html)?.[1] ?? "";
  assert.deepEqual(JSON.parse(gunzipSync(Buffer.from(packed, "base64")).toString()), {
    data: [{ y: [1, 2], name: "</script>" }],
    layout: figure.layout,
  });
});

test("figureBundle(figure) brings the library once in a session, and again where its own cell runs again", () => {
  const running = { cell: {}, display: null };
  place[kernel] = running;
  const brings = (cell: object): boolean => {
    running.cell = cell;
    return bringsLibrary(htmlOf());
  };
  const [a, b] = [
    { id: "a", code: "x" },
    { id: "b", code: "x" },
  ];
  const asked = [
    { ...a, count: 1 },
    { ...a, count: 1 },
    { ...b, count: 2 },
    { ...a, count: 3 },
    { ...b, count: 4 },
  ];
  assert.deepEqual(asked.map(brings), [true, false, false, true, false]);
  place[kernel] = running;
  // a front end that tells no ids: the same cell, edited
  Object.assign(running, { library: undefined });
  const texts = ["charts.timeByOp(run)", "charts.memoryTimeline(run)", "charts.timeByOp(run) // again"];
  assert.deepEqual(
    texts.map((code, count) => brings({ code, count })),
    [true, false, true],
  );
});

test("two charts of 20 000 points take less than 1 MB, the library among it", () => {
  place[kernel] = { cell: { id: "a", code: "", count: 1 }, display: null };
  const data = [{ type: "scatter", y: Array.from({ length: 20_000 }, (_, i) => Math.round(1000 * Math.sin(i / 500))) }];
  const saved = JSON.stringify([figureBundle({ data }), figureBundle({ data })]);
  assert.ok(saved.length < 1e6, String(saved.length));
});
