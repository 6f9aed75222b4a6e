import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { program } from "../program.js";
import { elf } from "../runtime/libraries/elf-bytes.js";

const root = mkdtempSync(path.join(tmpdir(), "mutwo-install-"));

const skip = (process.platform !== "linux" || process.arch !== "x64") && "the provider is for Linux x64";

const command = [...program, "cuda", "install"];

/** A folder with a program called npm that is this script. */
function npm(name: string, script: string): string {
  const folder = path.join(root, name);
  mkdirSync(folder);
  writeFileSync(path.join(folder, "npm"), `#!/bin/sh\n${script}\n`);
  chmodSync(path.join(folder, "npm"), 0o755);
  return folder;
}

/** Nothing of the user's: another cache, no npm that started the tests. */
const environment = (programs?: string): NodeJS.ProcessEnv => {
  const { npm_execpath: _, ORT_LIBRARY: __, ...env } = process.env;
  return {
    ...env,
    MUTWO_CACHE: path.join(root, "cache"),
    PATH: programs ? `${programs}:${process.env.PATH}` : process.env.PATH,
  };
};

const install = (args: readonly string[], env = environment()) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...command, ...args], { encoding: "utf8", env });
  return { status, stdout, stderr, last: stderr.trim().split("\n").at(-1) ?? "" };
};

test("mutwo cuda install refuses another CUDA: exit status 2", () => {
  const { status, stdout, stderr } = install(["--cuda", "11"]);
  assert.match(stderr, /'--cuda <major>' argument '11' is invalid\. Allowed choices are 12, 13\./);
  assert.deepEqual([status, stdout], [2, ""]);
});

test("mutwo cuda install refuses a folder that cannot be written, and one that is somebody's: one line, exit status 2", {
  skip,
}, () => {
  const { status, stderr } = install(["--dir", "/dev/null/x", "--cuda", "13"]);
  assert.match(stderr, /^mutwo: folder not writable: \/dev\/null\/x \(\w+\)\n$/);
  assert.equal(status, 2);

  const foreign = path.join(root, "foreign");
  mkdirSync(foreign);
  writeFileSync(path.join(foreign, "thesis.txt"), "all of it");
  const refused = install(["--dir", foreign, "--cuda", "13"]);
  assert.equal(refused.stderr, `mutwo: not an empty folder: ${foreign}\n`);
  assert.equal(refused.status, 2);
  assert.deepEqual(readdirSync(foreign), ["thesis.txt"]);
});

const failures: readonly (readonly [what: string, npm: string, message: RegExp])[] = [
  [
    "no network",
    'echo "npm error code ECONNREFUSED" >&2; echo "npm error syscall connect" >&2; echo "npm error FetchError: request failed, reason: connect ECONNREFUSED" >&2; exit 1',
    /^mutwo: cannot fetch npm package \S+@0\.4\.9: request failed, reason: connect ECONNREFUSED \(by hand: put libonnxruntime_providers_cuda\.so, .* into .*target\)$/,
  ],
  ["an npm that says nothing", "exit 7", /: npm ended with status 7 \(by hand: /],
  ["an npm that makes nothing", "exit 0", /: npm made no archive \(by hand: /],
  ["an archive that is broken", 'echo broken > "$PWD/p.tgz"', /^mutwo: cannot fetch npm package /],
  [
    "files that are others",
    `mkdir -p package/Plugins/Linux/x64 && for one in cuda shared; do cp ${process.execPath} package/Plugins/Linux/x64/libonnxruntime_providers_$one.so; done && tar -czf p.tgz package`,
    /^mutwo: not what was expected: libonnxruntime_providers_cuda\.so does not need libcudart\.so\.13$/,
  ],
];

for (const [what, script, message] of failures)
  test(`mutwo cuda install with ${what}: one line, exit status 2, nothing left`, { skip }, () => {
    const place = path.join(root, `${what} place`);
    const { status, stdout, last, stderr } = install(
      ["--dir", path.join(place, "target"), "--cuda", "13"],
      environment(npm(what, script)),
    );
    assert.match(last, message);
    assert.deepEqual([status, stdout], [2, ""]);
    assert.equal(stderr.match(/mutwo: /g)?.length, 1);
    assert.deepEqual(readdirSync(place), []);
  });

test("mutwo cuda install stopped by Ctrl-C leaves nothing, and what was ended by force is removed the next time", {
  skip,
}, async () => {
  const place = path.join(root, "stopped");
  const target = path.join(place, "target");
  const programs = npm("slow", "echo part > part.tgz; exec sleep 60");
  const start = (): { child: ReturnType<typeof spawn>; ready: Promise<unknown>; over: Promise<unknown> } => {
    const child = spawn(process.execPath, [...command, "--dir", target, "--cuda", "13"], {
      env: environment(programs),
      stdio: ["ignore", "ignore", "pipe"],
    });
    return {
      child,
      ready: new Promise((resolve) =>
        child.stderr?.on("data", (data) => /^fetch/m.test(String(data)) && resolve(data)),
      ),
      over: new Promise((resolve) => child.once("exit", (status, signal) => resolve(status ?? signal))),
    };
  };
  const first = start();
  await first.ready;
  first.child.kill("SIGINT");
  assert.equal(await first.over, 130);
  assert.deepEqual(readdirSync(place), []);

  const second = start();
  await second.ready;
  second.child.kill("SIGKILL");
  assert.equal(await second.over, "SIGKILL");
  assert.equal(readdirSync(place).length, 1);
  const { status } = install(["--dir", target, "--cuda", "13"], environment(npm("quick", "exit 1")));
  assert.equal(status, 2);
  assert.deepEqual(readdirSync(place), []);
});

test("mutwo cuda install --cuda 12 runs onnxruntime-node's script outside of node_modules", { skip }, () => {
  const bin = path.join(path.dirname(require.resolve("onnxruntime-node/package.json")), "bin");
  const listing = (): string => execFileSync("find", [bin, "-printf", "%p %s %T@\n"], { encoding: "utf8" });
  const before = listing();
  const place = path.join(root, "twelve");
  // a script that is loaded before theirs: requests fail at once, with or without a network
  const offline = path.join(root, "offline.cjs");
  writeFileSync(
    offline,
    'const https = require("node:https");\nconst { EventEmitter } = require("node:events");\nhttps.get = () => { const r = new EventEmitter(); setImmediate(() => r.emit("error", new Error("getaddrinfo ENOTFOUND"))); return r; };\n',
  );
  const { status, last } = install(["--dir", path.join(place, "target"), "--cuda", "12"], {
    ...environment(),
    // as in a command that npm runs
    npm_config_local_prefix: path.resolve("."),
    npm_package_json: path.resolve("package.json"),
    NODE_OPTIONS: `--require=${offline}`,
  });
  assert.match(
    last,
    /^mutwo: cannot fetch NuGet package Microsoft\.ML\.OnnxRuntime\.Gpu\.Linux 1\.29\.0: getaddrinfo ENOTFOUND \(by hand: /,
  );
  assert.equal(status, 2);
  assert.deepEqual(readdirSync(place), []);
  assert.equal(listing(), before);
});

test("mutwo cuda install --cuda 12 says that the provider is not pinned, notes its sums, and holds the files to them", {
  skip,
}, () => {
  const [provider, shared] = ["cuda", "shared"].map((name) => `libonnxruntime_providers_${name}.so`) as [
    string,
    string,
  ];
  const library = elf(provider, ["libcudart.so.12"]);
  // stands in for onnxruntime-node's script, which would fetch
  const fetched = path.join(root, "fetched.cjs");
  const place = path.join(root, "provider.so");
  writeFileSync(place, library);
  writeFileSync(
    fetched,
    `const path = require("node:path");
const fs = require("node:fs");
if (path.basename(process.argv[1] ?? "") === "install.cjs") {
  const to = path.join(process.argv[1], "../../bin/napi-v6/linux/x64");
  fs.mkdirSync(to, { recursive: true });
  for (const name of ${JSON.stringify([provider, shared])}) fs.copyFileSync(${JSON.stringify(place)}, path.join(to, name));
  process.exit();
}
`,
  );
  const target = path.join(root, "noted", "target");
  const again = (): ReturnType<typeof install> =>
    install(["--dir", target, "--cuda", "12"], { ...environment(), NODE_OPTIONS: `--require=${fetched}` });
  const sha256 = createHash("sha256").update(library).digest("hex");
  const said = `warning: not pinned, no SHA-256 is known beforehand: ${provider} has ${library.length} bytes, SHA-256 ${sha256}\n`;
  const once = again().stderr;
  assert.ok(once.includes(said), once);
  const sums = { [provider]: { bytes: library.length, sha256 }, [shared]: { bytes: library.length, sha256 } };
  assert.deepEqual(JSON.parse(readFileSync(path.join(target, "sha256.json"), "utf8")), sums);
  const second = again();
  assert.equal(second.stderr.includes("fetch "), false, second.stderr);
  // another file is not taken for it: all are fetched anew
  writeFileSync(path.join(target, shared), "changed");
  assert.ok(again().stderr.includes(said));
  assert.deepEqual(readFileSync(path.join(target, shared)), library);
});

test("mutwo doctor --json has a row for each part of the CUDA backend; without a provider it says how to get it", {
  skip,
}, () => {
  const env = { ...environment(), CHROMIUM_PATH: "/nowhere/chromium" };
  const { status, stdout } = spawnSync(process.execPath, [...program, "doctor", "--json"], {
    encoding: "utf8",
    env,
  });
  assert.equal(status, 0);
  const rows = new Map(
    (JSON.parse(stdout) as { what: string; works: boolean; detail: string }[]).map((row) => [row.what, row]),
  );
  const names = ["GPU", "driver", "CUDA runtime", "CUDA libraries", "cuDNN", "NVRTC (fused kernels)", "CUDA provider"];
  for (const name of [...names, "cuda backend"]) assert.ok(rows.has(name), name);
  assert.deepEqual(rows.get("CUDA provider"), {
    what: "CUDA provider",
    works: false,
    detail: "libonnxruntime_providers_cuda.so not installed",
    mend: "run mutwo cuda install",
  });
  assert.match(
    rows.get("cuda backend")?.detail ?? "",
    /^not found: .*libonnxruntime_providers_cuda\.so.*; looked in \//,
  );
});
