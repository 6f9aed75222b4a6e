import { elementCount } from "../graph/graph.js";
import { type AttentionForm, attentionAttributes, attentionForm, type View } from "./attention-form.js";
import type { ModelAxis, ModelsRule } from "./op.js";
import { isCommon, oneAfterAnother, outputsAt } from "./over-models.js";

/**
 * Where heads lie in the tensors of all models, where they lie so in one model's: `outer` parts of it stand one after
 * another, each of them of all models. undefined: the batches of all models are no single batch there.
 */
function viewOfModels({ offset, strides }: View, batch: number, models: number, part: number): View | undefined {
  const [ofBatch, ...others] = strides;
  if (batch > 1 && ofBatch * batch !== part) return undefined;
  if (others.some((stride) => stride > part && stride % part)) return undefined;
  const wider = (stride: number): number => (stride < part ? stride : stride * models);
  const [head = 0, position = 0] = others.map(wider);
  return {
    offset: Math.floor(offset / part) * part * models + (offset % part),
    strides: [batch > 1 ? ofBatch : part, head, position],
  };
}

/** The batches of all models as one; a mask of one batch must be the same for all models. */
export const attentionOverModels: ModelsRule = (call) => {
  const { models } = call;
  const form = attentionForm(call);
  const { batch } = form.sizes;
  const mask = call.inputs[3];
  const isShared = mask !== undefined && mask.shape[0] === 1 && isCommon(call, 3);
  if (mask && !isShared && mask.shape[0] !== batch) return undefined;
  // what lies in one tensor still does
  const axes = new Map<string | undefined, ModelAxis>();
  const views: View[] = [];
  for (const i of [0, 1, 2]) {
    const name = call.node.inputs[i];
    const { shape } = call.input(i);
    const own = axes.get(name) ?? call.at(i) ?? 0;
    const found = ([own, ...(axes.has(name) ? [] : [own ? 0 : 1])] as ModelAxis[])
      .filter((at) => at < shape.length)
      .map((at) => {
        const part = elementCount(shape.slice(at));
        return { at, view: viewOfModels(form.views[i] as View, batch, models, part) };
      })
      .find(({ view }) => view);
    if (!found?.view) return undefined;
    axes.set(name, found.at);
    views.push(found.view);
  }
  const joined = new Map<string | undefined, string>();
  const operands = [0, 1, 2].map((i) => {
    const name = call.node.inputs[i];
    const at = axes.get(name) as ModelAxis;
    const made = joined.get(name) ?? call.joint(i, at, oneAfterAnother(call.input(i).shape, models, at));
    joined.set(name, made);
    return made;
  });
  const last = mask && [isShared ? call.x(3) : call.joint(3, 0, oneAfterAnother(mask.shape, models, 0))];
  const [y = "", statistics = ""] = call.again(
    [...operands, ...(last ?? [])],
    attentionAttributes({
      ...form,
      sizes: { ...form.sizes, batch: batch * models },
      views: views as unknown as AttentionForm["views"],
    }),
  );
  // positions come before the batches where they are the first axis, the statistics' two halves always
  return [...outputsAt([y], form.positionAxis === 0 ? 1 : 0), ...outputsAt([statistics], 1)];
};
