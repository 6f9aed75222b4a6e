import assert from "node:assert/strict";
import { test } from "node:test";
import { scopeOf } from "../../src/model/scopes.js";

const props = (entries: Record<string, string>) => ({
  metadataProps: Object.entries(entries).map(([key, value]) => ({ key: `pkg.torch.onnx.${key}`, value })),
});

const scopes = "['', 'm', 'm.bert', 'm.bert.embeddings', 'slice_1']";
const classes = `['__main__.Logits', "transformers.Bert's", 'transformers.BertModel', 'transformers.Embeddings', 'aten.slice']`;

test("scopeOf(node) reads the modules that the dynamo exporter notes, without the op's own scope", () => {
  assert.deepEqual(scopeOf(props({ name_scopes: scopes, class_hierarchy: classes })).scope?.modules, [
    { path: "", class: "__main__.Logits" },
    { path: "m", class: "transformers.Bert's" },
    { path: "m.bert", class: "transformers.BertModel" },
    { path: "m.bert.embeddings", class: "transformers.Embeddings" },
  ]);
  const namespace = ": __main__.Mlp/mod: torch.nn.Sequential/mod.0: torch.nn.Linear/linear: aten.linear.default";
  assert.deepEqual(scopeOf({ metadataProps: [{ key: "namespace", value: namespace }] }).scope?.modules, [
    { path: "", class: "__main__.Mlp" },
    { path: "mod", class: "torch.nn.Sequential" },
    { path: "mod.0", class: "torch.nn.Linear" },
  ]);
});

test("scopeOf tells a second call of a module by the module's name, and nothing of what the exporter made itself", () => {
  const again = scopeOf(props({ name_scopes: "['', 'tower@1', 'tower@1.0', 'linear']" }));
  assert.deepEqual(
    again.scope?.modules.map(({ path }) => path),
    ["", "tower", "tower.0"],
  );
  const own = props({
    name_scopes: "['_empty_nn_module_stack_from_metadata_hook', 'sym_size_int_50']",
    class_hierarchy: "['_empty_nn_module_stack_from_metadata_hook', 'aten.sym_size.int']",
    stack_trace: 'File "torch/fx/passes/runtime_assert.py", line 24, in insert_deferred_runtime_asserts',
  });
  assert.deepEqual(scopeOf(own), {});
  assert.deepEqual(scopeOf({}), {});
});

const trace = `File "/home/me/net/train.py", line 12, in forward
    o = s.m(*a)
  File "/opt/venv/lib/python3.12/site-packages/transformers/models/bert/modeling_bert.py", line 84, in forward
    position_ids = self.position_ids[:, :n]
  File "/opt/venv/lib/python3.12/site-packages/torch/nn/modules/linear.py", line 134, in forward
    return F.linear(input, self.weight, self.bias)
  File "<eval_with_key>.3", line 7, in forward`;

test("scopeOf reads the innermost line of Python that is not PyTorch's own", () => {
  assert.deepEqual(scopeOf(props({ stack_trace: trace })).scope?.source, {
    file: "transformers/models/bert/modeling_bert.py",
    line: 84,
    code: "position_ids = self.position_ids[:, :n]",
  });
  const script = `/opt/lib/python3.9/site-packages/torch/nn/modules/conv.py(459): _conv_forward
/home/me/net/models/unet.py(31): forward
/home/me/net/train.py(12): <module>
`;
  assert.deepEqual(scopeOf({ docString: script }).scope, {
    modules: [],
    source: { file: "net/models/unet.py", line: 31 },
  });
});

test("scopeOf of notes that hold anything at all is short, in one line, and quick", () => {
  const wild = scopeOf(
    props({
      name_scopes: `['', 'a\nb<script>', '${"n".repeat(10_000)}', 'x']`,
      class_hierarchy: `['', '<b>\u2028', '${"C".repeat(10_000)}', 'unfinished`,
      stack_trace: `File "${"p".repeat(60_000)}", line 1, in f`,
    }),
  );
  assert.deepEqual(wild.scope, {
    modules: [
      { path: "" },
      { path: "a\uFFFDb<script>", class: "<b>\uFFFD" },
      { path: `${"n".repeat(99)}…`, class: `${"C".repeat(199)}…` },
    ],
  });
  for (const text of ["'", "['", '["', "['\\", "\\", "[".repeat(50_000), "'a'".repeat(50_000)])
    assert.doesNotThrow(() => scopeOf(props({ name_scopes: text, class_hierarchy: text, stack_trace: text })));
});
