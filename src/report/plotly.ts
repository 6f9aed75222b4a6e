import { readFileSync } from "node:fs";

/** Plotly's library as text, fit to stand in a script element; read when first asked for. */
export const plotlySource = (): string =>
  readFileSync(require.resolve("plotly.js-basic-dist-min/plotly-basic.min.js"), "utf8").replace(
    /<\/script/gi,
    "<\\/script",
  );
