import { formatBytes, formatCount } from "../format.js";
import { optionFacts } from "../run/option-forms.js";
import type { Run } from "../run/run.js";

/** What was profiled and on what: a name and a text for each fact. */
export function facts({ model, before }: Run): { name: string; value: string }[] {
  const dims = Object.entries(model.dims).map(([name, size]) => `${name} = ${size}`);
  const { device, memory, nodes, activations } = before;
  const parts = memory ? "multiprocessors" : "threads";
  const isKnown = before.backend !== "tables";
  return [
    ...(isKnown
      ? [
          ["model", `${model.file} (${model.producer || "unknown producer"}, opset ${model.opset})`],
          ["dimensions", dims.join(", ") || "fixed by the file"],
          ["loss, optimizer", `${model.loss}, ${model.optimizer}`],
          ...optionFacts(model),
        ]
      : [["model", `unknown, read from ${model.file}`]]),
    ["parameters", `${formatCount(model.parameters)} (${formatBytes(model.parameterBytes)})`],
    ["training step", `${formatCount(nodes.length)} nodes, ${formatCount(activations.length)} saved activations`],
    [
      "backend",
      `${before.backend}: ${device.name}${before.estimated || !isKnown ? "" : `, ${device.threads} ${parts}`}`,
    ],
    ...Object.entries(device.settings ?? {}),
  ].map(([name = "", value = ""]) => ({ name, value }));
}
