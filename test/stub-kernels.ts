import { dtypes, type Node, type Tensor } from "../src/graph/graph.js";
import { callOf } from "../src/ops/call.js";
import { opOf, ops } from "../src/ops/index.js";
import { readDeviceSpec } from "../src/runtime/device-spec.js";
import { openEstimate } from "../src/runtime/estimate.js";
import { openRuntime } from "../src/runtime/open.js";
import { buildSample, byOp } from "./sampled.js";

/** Puts what a node makes among the tensors; false if it cannot be of these types. */
function declareOutputs(node: Node, tensors: Map<string, Tensor>): boolean {
  try {
    const types = opOf(node).infer(callOf(node, tensors));
    node.outputs.forEach((name, i) => {
      const type = types[i];
      if (name && type) tensors.set(name, { ...type, name, category: "temporary" });
    });
    return true;
  } catch {
    return false;
  }
}

/** Prints the nodes of test/samples, in all element types, of which a GPU and the estimate of one do not say the same. */
function main(): void {
  const cuda = openRuntime("cuda", {});
  const estimate = openEstimate(readDeviceSpec("h100"));
  let count = 0;
  for (const [name, record] of ops)
    for (const [index, sample] of ((record.view ? [] : byOp.get(name)) ?? []).entries())
      for (const dtype of dtypes) {
        const { b, node } = buildSample(sample, "float32");
        const changed = (tensor: Tensor): Tensor => (tensor.dtype === "float32" ? { ...tensor, dtype } : tensor);
        const tensors = new Map([...b.tensors].map(([key, tensor]) => [key, changed(tensor)]));
        if (!declareOutputs(node, tensors)) continue;
        count++;
        const [wanted, said] = [cuda, estimate].map((runtime) => runtime.hasKernel(node, { tensors }));
        if (wanted !== said) console.log(`${name} sample ${index} ${dtype}: ${wanted} on a GPU, ${said} by the table`);
      }
  cuda.close();
  console.log(`${count} nodes compared`);
}

main();
