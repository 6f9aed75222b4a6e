import { existsSync } from "node:fs";
import Table from "cli-table3";
import { danfo } from "../report/danfo.js";
import { openCpu } from "../runtime/cpu.js";
import { examineCuda, inShort } from "./doctor-cuda.js";
import { type Finding, finding } from "./finding.js";
import { painted } from "./terminal.js";

const packageVersion = (name: string): string => {
  const { version } = require(`${name}/package.json`) as { version: string };
  return version;
};

/** What brings back a package that does not load. */
const reinstall = "npm ci (in a project that depends on mutwo: npm install)";

function nodeVersion(): string {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) throw new Error(`${process.version} is too old`);
  return process.version;
}

/** Looks at everything mutwo needs: versions, and whether each part really works when it is used. */
export async function examine(): Promise<Finding[]> {
  return [
    await finding("node", nodeVersion, "install Node 20.19 or newer: https://nodejs.org"),
    await finding(
      "cpu backend",
      () => {
        const runtime = openCpu();
        try {
          const one = { dtype: "float32" as const, shape: [1], data: new Uint8Array(new Float32Array([1]).buffer) };
          const node = {
            name: "probe",
            domain: "",
            op: "Add",
            inputs: ["a", "b"],
            outputs: ["c"],
            attributes: {},
            phase: "forward" as const,
          };
          const [sum] = runtime.evaluate(node, [one, one]);
          if (!sum || new Float32Array(sum.data.slice().buffer)[0] !== 2)
            throw new Error("a kernel gave a wrong result");
          const { name, threads, runtimeVersion } = runtime.device;
          return `ONNX Runtime ${runtimeVersion}, ${threads} threads, ${name}`;
        } finally {
          runtime.close();
        }
      },
      reinstall,
    ),
    ...(await examineCuda()),
    await finding(
      "browser (PDF, PNG)",
      async () => {
        const { withBrowser } = await import("../report/pdf.js");
        const { isBare } = await import("../report/browser.js");
        return withBrowser(async (browser) => {
          const version = await browser.version();
          const why = process.getuid?.() === 0 ? "Chromium has none for root" : "which does not start here";
          return isBare(browser) ? `${version}, without its sandbox (${why})` : version;
        });
      },
      "export CHROMIUM_PATH=/path/to/chrome (or do without: --no-pictures)",
    ),
    await finding(
      "danfo",
      () => {
        danfo();
        return "loads";
      },
      reinstall,
    ),
    await finding(
      "tslab kernel",
      () => {
        const place = require.resolve("tslab/package.json");
        if (!existsSync(place)) throw new Error("not installed");
        return packageVersion("tslab");
      },
      reinstall,
    ),
    await finding(
      "zeromq",
      async () => {
        const { Dealer } = await import("zeromq");
        new Dealer().close();
        return packageVersion("zeromq");
      },
      reinstall,
    ),
  ];
}

/** The findings as a table for a terminal of that many columns, and below it what mends what does not work. */
export function doctorSummary(all: readonly Finding[], columns = process.stdout.columns ?? 120): string {
  const findings = inShort(all);
  const widths = [24, 7];
  const width = Math.max(20, columns - widths.reduce((sum, n) => sum + n, 4));
  // the table would cut a word that is longer than its column
  const parts = new RegExp(`\\S{${width - 2}}(?=\\S)`, "g");
  const table = new Table({
    head: ["", "works", "detail"],
    style: { head: [], border: [], compact: true },
    colWidths: [...widths, width],
    wordWrap: true,
  });
  const answer = (works: boolean): string =>
    works ? painted("green", "yes", process.stdout) : painted("red", "no", process.stdout);
  for (const { what, works, detail } of findings) table.push([what, answer(works), detail.replace(parts, "$&\n")]);
  const broken = findings.filter(({ mend }) => mend);
  return [
    table.toString(),
    ...(broken.length ? ["to mend:", ...broken.map(({ what, mend }) => `  ${what}: ${mend}`)] : []),
  ].join("\n");
}
