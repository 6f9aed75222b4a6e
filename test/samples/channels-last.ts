import { lastForm, toLast } from "../../src/ops/channels-last.js";
import { opOf } from "../../src/ops/index.js";
import { convolution } from "./convolution.js";
import { samples as normalization } from "./normalization.js";
import { pooling } from "./pooling.js";
import type { Sample } from "./sample.js";

/** The samples of ops that have images, with the channels of these last. */
export const channelsLast: readonly Sample[] = [...convolution, ...pooling, ...normalization].flatMap(
  ({ op: key, inputs, attributes, outputs, unwanted }) => {
    const [op = "", domain = ""] = key.split(":").reverse();
    const { images } = opOf({ domain, op, name: key });
    if (!images || inputs.some((input, i) => images.inputs.includes(i) && (input?.shape.length ?? 0) < 3)) return [];
    const form = lastForm({ op });
    return [
      {
        op: `${form.domain}:${form.op}`,
        inputs: inputs.map((input, i) =>
          input && images.inputs.includes(i) ? { ...input, shape: toLast(input.shape) } : input,
        ),
        ...(attributes && { attributes }),
        ...(outputs && { outputs }),
        ...(unwanted && { unwanted }),
      },
    ];
  },
);
