import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { withProgress } from "../../src/notebook/progress.js";

interface Message {
  readonly data: Readonly<Record<string, string>>;
  readonly transient: { readonly display_id?: string };
}

const place = globalThis as { [key: symbol]: unknown };
const kernel = Symbol.for("mutwo.kernel");

afterEach(() => {
  delete place[kernel];
});

/** A kernel that keeps what is shown, with a cell that can be interrupted. */
function notebook() {
  const shown: [text: string, update: boolean, id?: string][] = [];
  const controller = new AbortController();
  place[kernel] = {
    cell: { id: "a", count: 1, signal: controller.signal },
    display: ({ data, transient }: Message, update: boolean) =>
      shown.push([data["text/plain"] ?? "", update, transient.display_id]),
  };
  return { shown, controller };
}

test("withProgress shows one bar that moves in place, and the stages at the end", async () => {
  const { shown } = notebook();
  const result = await withProgress({}, async ({ onProgress }) => {
    onProgress?.("profile", 0, 4);
    onProgress?.("plan", 0, 1);
    return 5;
  });
  assert.equal(result, 5);
  assert.deepEqual(
    shown.map(([text, update]) => [text, update]),
    [
      [`${"░".repeat(20)} start`, false],
      [`${"░".repeat(20)} profile 0/4`, true],
      [`${"░".repeat(20)} plan`, true],
      [shown.at(-1)?.[0] ?? "", true],
    ],
  );
  assert.equal(new Set(shown.map(([, , id]) => id)).size, 1);
});

test("withProgress ends the work when the cell is interrupted, and says so", async () => {
  const { shown, controller } = notebook();
  const work = withProgress(
    {},
    ({ signal }) =>
      new Promise((_, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
      }),
  );
  controller.abort(new Error("interrupted"));
  await assert.rejects(work, /^Error: interrupted$/);
  assert.match(shown.at(-1)?.[0] ?? "", / · interrupted$/);
});

test("withProgress adds nothing outside of notebooks, and no bar where the caller listens", async () => {
  assert.deepEqual(await withProgress({}, async (own) => own), {});
  const { shown, controller } = notebook();
  const own = await withProgress({ onProgress: () => {} }, async (given) => given);
  assert.deepEqual([own, shown], [{ signal: controller.signal }, []]);
});
