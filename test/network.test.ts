import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { at } from "./at.js";
import { program, tsx } from "./program.js";

// a library loaded before all others notes what any process asks the network for: names, and addresses elsewhere

const place = mkdtempSync(path.join(tmpdir(), "mutwo-network-"));
after(() => rmSync(place, { recursive: true }));

const shim = path.join(place, "shim.so");
const notes = path.join(place, "asked.txt");

writeFileSync(
  path.join(place, "shim.c"),
  `#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void note(const char *what, const char *which) {
  char line[512];
  int length = snprintf(line, sizeof line, "%s %s\\n", what, which ? which : "?");
  int file = open(getenv("ASKED"), O_WRONLY | O_APPEND | O_CREAT, 0644);
  if (file >= 0 && write(file, line, length) < 0) abort();
  if (file >= 0) close(file);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
  if (name && strcmp(name, "localhost") && strcmp(name, "127.0.0.1") && strcmp(name, "::1")) {
    note("name", name);
    return EAI_FAIL;
  }
  return real(name, service, hints, found);
}

int connect(int socket, const struct sockaddr *to, socklen_t length) {
  int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
  char text[INET6_ADDRSTRLEN] = "";
  if (to->sa_family == AF_INET) {
    const struct sockaddr_in *v4 = (const void *)to;
    // what is connected to port 0 only asks which way packets would go
    if ((ntohl(v4->sin_addr.s_addr) >> 24) != 127 && v4->sin_port) note("address", inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text));
  } else if (to->sa_family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const void *)to;
    if (!IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) && v6->sin6_port) note("address", inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text));
  }
  return real(socket, to, length);
}
`,
);

const compiler = spawnSync("gcc", ["-shared", "-fPIC", "-O1", "-o", shim, path.join(place, "shim.c"), "-ldl"], {
  encoding: "utf8",
});
const skip =
  (process.platform !== "linux" && "for Linux only") || (compiler.error && "no C compiler") || compiler.stderr || false;

/** Where a process works, and its temporary folder. */
const [work, temporary] = ["work", "temporary"].map((name) => path.join(place, name)) as [string, string];
for (const folder of [work, temporary]) mkdirSync(folder);

/** What ONNX Runtime's telemetry leaves where it is on. */
const left = (): string[] =>
  [work, temporary].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /mat-debug|\.ses$/.test(name)),
  );

/** What a process and those that it starts ask the network for. They leave nothing of the telemetry, unless said. */
function asked(command: readonly string[], leaves = false): string[] {
  rmSync(notes, { force: true });
  const { status, stderr } = spawnSync(process.execPath, command, {
    encoding: "utf8",
    cwd: work,
    // a variable of CI's and one of the tests' quieten ONNX Runtime by themselves
    env: {
      ...process.env,
      CI: undefined,
      ORT_DISABLE_TELEMETRY: undefined,
      LD_PRELOAD: shim,
      ASKED: notes,
      TMPDIR: temporary,
    },
  });
  assert.equal(status, 0, stderr);
  if (!leaves) assert.deepEqual(left(), []);
  return existsSync(notes) ? [...new Set(readFileSync(notes, "utf8").trim().split("\n"))].sort() : [];
}

const model = at("../notebooks/demo/resnet18.onnx");
const settings = ["--loss", "ce", "--optimizer", "sgd", "--dim", "batch=4", "--budget", "90%", "--out", place];

test("profiling, planning, executing, PDF and pictures ask the network for nothing", { skip }, () => {
  assert.deepEqual(asked([...program, "profile", model, ...settings]), []);
});

test("a process that keeps the library loaded for 12 s asks for nothing", { skip }, () => {
  // telemetry that is on looks up its host some 9 s after the library is loaded
  const open = `require(${JSON.stringify(at("../src/runtime/cpu.ts"))}).openCpu(); setTimeout(() => {}, 12_000)`;
  assert.deepEqual(asked([...tsx, "--eval", open]), []);
});

test("a process that uses the library without mutwo asks for a host: what is tested here can fail", { skip }, () => {
  const library = JSON.stringify(require.resolve("onnxruntime-node"));
  const file = JSON.stringify(at("fixtures/mlp.ts.onnx"));
  const open = `require(${library}).InferenceSession.create(${file}).then(() => setTimeout(() => {}, 15_000))`;
  const names = asked(["--eval", open], true);
  for (const folder of [work, temporary])
    for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((one) =>
      /mat-debug|\.ses$/.test(one),
    ))
      rmSync(path.join(folder, name));
  assert.ok(
    names.some((line) => line.startsWith("name ")),
    names.join(", "),
  );
});

test("the points of a sweep ask the network for nothing", { skip }, () => {
  const points = ["--dim", "batch=1,2", "--loss", "ce", "--optimizer", "sgd", "--out", path.join(work, "sweep")];
  assert.deepEqual(asked([...program, "sweep", model, ...points]), []);
});

test("a notebook's kernel asks the network for nothing", { skip }, () => {
  const code = `const { profileModel } = require(${JSON.stringify(at("../dist/index.js"))}); await profileModel(${JSON.stringify(model)}, { loss: "ce", optimizer: "sgd", dims: { batch: 1 } }).then(({ before }) => console.log(before.backend));`;
  const cell = { cell_type: "code", source: code, metadata: {}, outputs: [], execution_count: null };
  const notebook = path.join(work, "profile.ipynb");
  writeFileSync(notebook, JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells: [cell] }));
  assert.deepEqual(asked([...program, "notebook", "run", notebook]), []);
  assert.match(readFileSync(notebook, "utf8"), /"cpu/);
});

test("mutwo doctor asks the network for nothing", { skip }, () => {
  assert.deepEqual(asked([...program, "doctor", "--json"]), []);
});

test("what notes it notes a name and an address", { skip }, () => {
  const lookUp = 'require("node:dns").lookup("example.invalid", () => {})';
  const connect = 'require("node:net").connect(9, "192.0.2.1").on("error", () => {}).unref(); setTimeout(() => {}, 50)';
  assert.deepEqual(asked(["--eval", lookUp]), ["name example.invalid"]);
  assert.deepEqual(asked(["--eval", connect]), ["address 192.0.2.1"]);
});
