import { existsSync } from "node:fs";
import Table from "cli-table3";
import { danfo } from "../report/danfo.js";
import { openCpu } from "../runtime/cpu.js";
import { examineCuda } from "./doctor-cuda.js";
import { type Finding, finding } from "./finding.js";

const packageVersion = (name: string): string => {
  const { version } = require(`${name}/package.json`) as { version: string };
  return version;
};

/** Looks at everything mutwo needs: versions, and whether each part really works when it is used. */
export async function examine(): Promise<Finding[]> {
  return [
    await finding("node", () => process.version),
    await finding("cpu backend", () => {
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
        if (!sum || new Float32Array(sum.data.slice().buffer)[0] !== 2) throw new Error("a kernel gave a wrong result");
        const { name, threads, runtimeVersion } = runtime.device;
        return `ONNX Runtime ${runtimeVersion}, ${threads} threads, ${name}`;
      } finally {
        runtime.close();
      }
    }),
    ...(await examineCuda()),
    await finding("browser (PDF, PNG)", async () => {
      const { withBrowser } = await import("../report/pdf.js");
      return withBrowser((browser) => browser.version());
    }),
    await finding("danfo", () => {
      danfo();
      return "loads";
    }),
    await finding("tslab kernel", () => {
      const place = require.resolve("tslab/package.json");
      if (!existsSync(place)) throw new Error("not installed");
      return packageVersion("tslab");
    }),
    await finding("zeromq", async () => {
      const { Dealer } = await import("zeromq");
      new Dealer().close();
      return packageVersion("zeromq");
    }),
  ];
}

/** The findings as a table for a terminal of that many columns. */
export function doctorSummary(findings: readonly Finding[], columns = process.stdout.columns ?? 120): string {
  const widths = [24, 7];
  const table = new Table({
    head: ["", "works", "detail"],
    style: { head: [], border: [] },
    colWidths: [...widths, Math.max(40, columns - widths.reduce((sum, n) => sum + n, 4))],
    wordWrap: true,
  });
  for (const { what, works, detail } of findings) table.push([what, works ? "yes" : "no", detail]);
  return table.toString();
}
