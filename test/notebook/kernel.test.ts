import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import type * as zeromq from "zeromq";
import type { Message } from "../../src/notebook/connection.js";
import { installKernel } from "../../src/notebook/install.js";
import { Kernel } from "../../src/notebook/kernel.js";
import { at } from "../at.js";

const folder = mkdtempSync(path.join(tmpdir(), "mutwo-test-"));

after(() => rmSync(folder, { recursive: true }));

const dataDir = path.join(folder, "jupyter");

// a machine without Jupyter skips these, except where the whole project is checked
const missing = spawnSync("jupyter", ["nbconvert", "--version"]).status !== 0;

const jupyter = { skip: missing && process.env.CI !== "true" ? "jupyter nbconvert is not installed" : false };

/** Executes a notebook in Jupyter. */
function convert(input: string, output: string) {
  const { status, stderr, error } = spawnSync(
    "jupyter",
    ["nbconvert", "--to", "notebook", "--execute", path.resolve(input), "--output", output, "--output-dir", folder],
    { env: { ...process.env, JUPYTER_PATH: dataDir, HOME: folder }, encoding: "utf8" },
  );
  if (error) throw error;
  return { status, stderr };
}

test("jupyter nbconvert --execute runs a notebook in the kernel and loses none of 5000 lines", jupyter, () => {
  installKernel({ dataDir });
  const input = path.join(folder, "lines.ipynb");
  const fixture = readFileSync(at("fixtures/notebooks/lines.ipynb"), "utf8");
  writeFileSync(input, fixture.replace("let lines = 10;", "let lines = 5000;"));
  const { status, stderr } = convert(input, "executed.ipynb");
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(stderr, /Timeout/);
  const { cells } = JSON.parse(readFileSync(path.join(folder, "executed.ipynb"), "utf8")) as {
    cells: { outputs: { text: string[] }[] }[];
  };
  const lines = cells[1]?.outputs.flatMap((output) => output.text) ?? [];
  assert.deepEqual([lines.length, lines.at(-1)], [5000, "line 4999\n"]);
});

test("jupyter nbconvert --execute shows a failing cell's error", jupyter, () => {
  installKernel({ dataDir });
  const { status, stderr } = convert(at("fixtures/notebooks/failing.ipynb"), "failed.ipynb");
  assert.equal(status, 1);
  assert.match(stderr, /Error: the cell failed on purpose/);
});

test("the kernel answers `aborted` to cells that were queued behind a failing one", async () => {
  const kernel = await Kernel.start({ cwd: "." });
  try {
    const execute = (code: string) => kernel.request("execute_request", { code }, { timeoutMs: 20_000 });
    const answers = await Promise.all([execute("throw 'a string';"), execute("1")]);
    assert.deepEqual(
      answers.map(({ content: { status, ename, evalue } }) => [status, ename, evalue]),
      [
        ["error", "Thrown", "'a string'"],
        ["aborted", undefined, undefined],
      ],
    );
  } finally {
    await kernel.stop();
  }
});

/** What a front end without HTML shows of an output. */
const plain = (output?: Readonly<Record<string, unknown>>): string =>
  (output?.data as { readonly "text/plain"?: string } | undefined)?.["text/plain"] ?? "";

interface Answer {
  readonly reply: Message["content"];
  readonly outputs: readonly (Message["content"] & { readonly type: string })[];
  /** From the interrupt to the answer, ms. */
  readonly afterMs: number;
}

/** Runs cells in a kernel, one after the other; a cell can be interrupted a while after it printed `begun`. */
async function inKernel(work: (run: (code: string, interrupted?: boolean) => Promise<Answer>) => Promise<void>) {
  const kernel = await Kernel.start({ cwd: "." });
  try {
    let pid = 0;
    const run = async (code: string, interrupted = false): Promise<Answer> => {
      const outputs: Answer["outputs"][number][] = [];
      let at = 0;
      const onOutput = ({ header, content }: Message): void => {
        outputs.push({ ...content, type: header.msg_type });
        if (interrupted && content.text === "begun\n")
          setTimeout(() => {
            at = performance.now();
            process.kill(pid, "SIGINT");
          }, 100);
      };
      const { content } = await kernel.request("execute_request", { code }, { timeoutMs: 30_000, onOutput });
      return { reply: content, outputs, afterMs: performance.now() - at };
    };
    const { outputs } = await run("process.pid");
    pid = Number(plain(outputs.find(({ type }) => type === "execute_result")));
    await work(run);
  } finally {
    await kernel.stop();
  }
}

test("a cell's last expression is its result, with its count, and Out has it", () =>
  inKernel(async (run) => {
    const { reply, outputs } = await run("const a = 20;\na + 1");
    assert.deepEqual([reply.status, reply.execution_count], ["ok", 2]);
    assert.deepEqual(
      outputs.map(({ type, execution_count, data }) => [type, execution_count, data]),
      [
        ["execute_input", 2, undefined],
        ["execute_result", 2, { "text/plain": "21" }],
      ],
    );
    assert.deepEqual((await run("Out[2] + a")).outputs.at(-1)?.data, { "text/plain": "41" });
    assert.deepEqual(
      (await run("const b = 1;")).outputs.map(({ type }) => type),
      ["execute_input"],
    );
  }));

for (const [what, code] of [
  ["computes", "while (true) {}"],
  ["waits", "await new Promise((resolve) => setTimeout(resolve, 1e6));"],
  ["computes after it waited", "await new Promise((resolve) => setTimeout(resolve, 1));\nfor (;;) {}"],
  ["waits again and again", "for (;;) await new Promise((resolve) => setTimeout(resolve, 1));"],
] as const)
  test(`SIGINT ends a cell that ${what}, and the kernel goes on`, () =>
    inKernel(async (run) => {
      const { reply, outputs } = await run(`console.log("begun");\n${code}`, true);
      assert.deepEqual([reply.status, reply.ename], ["error", "Interrupted"]);
      assert.deepEqual(outputs.at(-1)?.traceback, ["Interrupted: the cell was interrupted"]);
      // the core is free again
      const used = await run(
        "const before = process.cpuUsage();\nawait new Promise((resolve) => setTimeout(resolve, 500));\nprocess.cpuUsage(before).user / 1e6",
      );
      const seconds = Number(plain(used.outputs.at(-1)));
      assert.ok(seconds < 0.4, `${seconds} s`);
    }));

test("SIGINT ends a measurement, whose bar says so", () =>
  inKernel(async (run) => {
    const model = JSON.stringify(at("fixtures/mlp.ts.onnx"));
    const code = `import { profileModel } from "mutwo";
console.log("begun");
await profileModel(${model}, { loss: "mse", optimizer: "sgd", iterations: 1e6 });`;
    const { reply, outputs } = await run(code, true);
    assert.equal(reply.ename, "Interrupted");
    const bars = outputs.filter(({ type }) => /display_data$/.test(type));
    assert.deepEqual([bars[0]?.type, bars[1]?.type], ["display_data", "update_display_data"]);
    assert.match(plain(bars.at(-1)), / · interrupted$/);
    assert.equal((await run("1")).reply.status, "ok");
  }));

test("errors name the cell and the line in it, across cells, without what lies below", () =>
  inKernel(async (run) => {
    await run(
      "interface Odd { a: number }\n\nfunction check(x: number) {\n  if (x > 1) throw new RangeError('too large');\n}",
    );
    const { reply } = await run("type Unused = string;\n\nawait null;\ncheck(2);");
    assert.deepEqual([reply.ename, reply.evalue, reply.line], ["RangeError", "too large", 4]);
    assert.deepEqual(reply.traceback, [
      "RangeError: too large",
      "  at cell [2], line 4 in check: if (x > 1) throw new RangeError('too large');",
      "  at cell [3], line 4: check(2);",
    ]);
    const compiled = (await run("const x = 1;\nconst y: string = x;")).reply;
    assert.equal(compiled.evalue, "line 2, column 7: Type 'number' is not assignable to type 'string'.");
    assert.equal(compiled.execution_count, 4);
    const bad = (
      await run(
        "import { profileModel } from 'mutwo';\nawait profileModel('none.onnx', { loss: 'ce', optimizer: 'sgd' });",
      )
    ).reply;
    assert.deepEqual((bad.traceback as string[]).slice(1), [
      "  at cell [5], line 2: await profileModel('none.onnx', { loss: 'ce', optimizer: 'sgd' });",
    ]);
  }));

test("repair(zeromq) gives sockets that receive, once they are bound, what came while they were", async () => {
  const fromTslab = createRequire(require.resolve("tslab/package.json"));
  const plain = fromTslab("zeromq") as typeof zeromq;
  (require("../../src/notebook/sends.cjs") as { repair(from: NodeJS.Require): unknown }).repair(fromTslab);
  const repaired = fromTslab("zeromq") as typeof zeromq;
  const received = async (Router: typeof zeromq.Router, name: string): Promise<string> => {
    const [router, dealer] = [new Router(), new plain.Dealer({ linger: 0 })];
    try {
      const bound = router.bind(`ipc://${path.join(folder, name)}`);
      const message = router.receive();
      message.catch(() => {}); // it is asked for below
      await bound;
      dealer.connect(`ipc://${path.join(folder, name)}`);
      await dealer.send("here");
      return String((await message)[1]);
    } finally {
      dealer.close();
      router.close();
    }
  };
  await assert.rejects(async () => await received(plain.Router, "plain"), /blocked by a bind/);
  assert.equal(await received(repaired.Router, "repaired"), "here");
});
