import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { indexedJob, kubernetes } from "../../../src/sweep/engines/kubernetes.js";
import { at } from "../../at.js";
import { jobOf, programsIn } from "../../engine-job.js";

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
}

const published = JSON.parse(readFileSync(at("fixtures/kubernetes-job.schema.json"), "utf8")) as Schema & {
  $defs: Readonly<Record<string, Schema>>;
};

/** What is wrong with a value by a schema, a line each. */
function problems(value: unknown, schema: Schema, where = "job"): string[] {
  if (schema.$ref) return problems(value, published.$defs[schema.$ref.replace("#/$defs/", "")] as Schema, where);
  if (schema.anyOf)
    return schema.anyOf.some((one) => problems(value, one, where).length === 0) ? [] : [`${where}: none of the kinds`];
  if (schema.enum) return schema.enum.includes(value) ? [] : [`${where}: not ${schema.enum}`];
  if (schema.type === "array")
    return Array.isArray(value)
      ? value.flatMap((one, i) => problems(one, schema.items ?? {}, `${where}[${i}]`))
      : [`${where}: no list`];
  if (schema.type !== "object")
    return schema.type === undefined || typeof value === schema.type ? [] : [`${where}: no ${schema.type}`];
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${where}: no object`];
  const missing = (schema.required ?? []).filter((name) => !(name in value)).map((name) => `${where}: no ${name}`);
  const inside = Object.entries(value).flatMap(([name, one]) => {
    const known = schema.properties?.[name] ?? schema.additionalProperties;
    return known === undefined || known === false
      ? [`${where}.${name}: unknown`]
      : problems(one, known === true ? {} : known, `${where}.${name}`);
  });
  return [...missing, ...inside];
}

const settings = { image: "registry.example/mutwo:1", claim: "sweeps" };

test("indexedJob() is a Job by the schema that Kubernetes publishes, with every setting and with none", () => {
  const full = { ...settings, gpus: "1", cpu: "4", memory: "16Gi", namespace: "lab" };
  for (const job of [jobOf("plain", { settings }), jobOf("full", { settings: full, parallel: 2, seconds: 600 })])
    assert.deepEqual(problems(JSON.parse(JSON.stringify(indexedJob(job))), published), []);
});

test("the schema refuses what is no Job", () => {
  const job = JSON.parse(JSON.stringify(indexedJob(jobOf("wrong", { settings }))));
  const wrong = (change: (spec: Record<string, unknown>) => void): string[] => {
    const changed = structuredClone(job);
    change(changed.spec);
    return problems(changed, published);
  };
  assert.deepEqual(
    wrong((spec) => Object.assign(spec, { backofLimitPerIndex: 3 })),
    ["job.spec.backofLimitPerIndex: unknown"],
  );
  assert.deepEqual(
    wrong((spec) => Object.assign(spec, { completions: "3" })),
    ["job.spec.completions: no number"],
  );
  assert.deepEqual(
    wrong((spec) => delete spec.template),
    ["job.spec: no template"],
  );
});

test("indexedJob() retries an index by itself, as the API server asks for, and picks the index's task", () => {
  const { spec } = JSON.parse(JSON.stringify(indexedJob(jobOf("rules", { settings, parallel: 2, seconds: 90 }))));
  // validation.ValidateJobSpec: backoffLimitPerIndex and FailIndex need Indexed; a pod failure policy needs Never
  const { template, podFailurePolicy, ...rest } = spec;
  assert.deepEqual(rest, { completionMode: "Indexed", completions: 3, parallelism: 2, backoffLimitPerIndex: 3 });
  assert.equal(template.spec.restartPolicy, "Never");
  assert.equal(template.spec.activeDeadlineSeconds, 90);
  assert.deepEqual(
    podFailurePolicy.rules.map(({ action }: { action: string }) => action),
    ["Ignore", "FailIndex"],
  );
  const { command, args } = template.spec.containers[0];
  const [shell, ...words] = [...command, ...args];
  const said = execFileSync(
    shell,
    words.map((word: string) => word.replace("exec ", "echo ")),
    {
      encoding: "utf8",
      env: { ...process.env, JOB_COMPLETION_INDEX: "2" },
    },
  );
  assert.match(said, /sweep run .*manifest\.jsonl --retries 2 --index 17\n$/);
  assert.throws(() => indexedJob(jobOf("none")), /^Error: kubernetes needs --engine-option image=IMAGE/);
});

test("kubernetes hands the YAML to kubectl and leaves it in the folder", async () => {
  const job = jobOf("apply", { settings: { ...settings, namespace: "lab" } });
  const { calls, restore } = programsIn(job.folder, { kubectl: "" });
  try {
    await kubernetes.submit(job);
    await kubernetes.cancel(job);
    const file = path.join(job.folder, `${job.name}.yaml`);
    assert.deepEqual(
      readdirSync(job.folder).filter((name) => name.endsWith(".yaml")),
      [path.basename(file)],
    );
    assert.deepEqual(parse(readFileSync(file, "utf8")), JSON.parse(JSON.stringify(indexedJob(job))));
    assert.deepEqual(
      calls().map(({ words }) => words.slice(0, 4)),
      [
        ["--namespace=lab", "apply", "--filename", file],
        ["--namespace=lab", "patch", "job", job.name],
      ],
    );
  } finally {
    restore();
  }
});

test("kubernetes counts indexes by what the Job says of them", async () => {
  const job = jobOf("states", { settings, tasks: Array.from({ length: 12 }, (_, i) => String(i)) });
  const says = async (answer: object | undefined) => {
    const text = answer ? JSON.stringify(answer) : "";
    const { restore } = programsIn(job.folder, { kubectl: `printf '%s' '${text}'` });
    return await kubernetes.states(job).finally(restore);
  };
  const ended = { failed: 0 };
  assert.deepEqual(await says(undefined), { waiting: 0, running: 0, ended: {} });
  assert.deepEqual(await says({ spec: {}, status: {} }), { waiting: 12, running: 0, ended });
  const some = { active: 2, succeeded: 3, failedIndexes: "1,4-6" };
  assert.deepEqual(await says({ spec: {}, status: some }), { waiting: 3, running: 2, ended: { failed: 4 } });
  const isSuspended = { spec: { suspend: true }, status: { active: 1, succeeded: 3 } };
  assert.deepEqual(await says(isSuspended), { waiting: 0, running: 0, ended });
  const isFailed = { spec: {}, status: { succeeded: 3, conditions: [{ type: "Failed", status: "True" }] } };
  assert.deepEqual(await says(isFailed), { waiting: 0, running: 0, ended });
});
