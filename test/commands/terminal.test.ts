import assert from "node:assert/strict";
import { test } from "node:test";
import { inColour, painted, withoutColour } from "../../src/commands/terminal.js";

const stream = (isTTY: boolean, colours: boolean): NodeJS.WriteStream =>
  ({ isTTY, hasColors: () => colours }) as unknown as NodeJS.WriteStream;

const text = "mutwo: no\nwarning: mind\nnote: so\nplain warning: text\n";

test("inColour(text, stream) paints the first words of lines on a terminal with colours, and nowhere else", () => {
  for (const [isTTY, colours] of [
    [false, true],
    [true, false],
    [false, false],
  ] as const) {
    assert.equal(inColour(text, stream(isTTY, colours)), text);
    assert.equal(painted("red", "no", stream(isTTY, colours)), "no");
  }
  const said = inColour(text, stream(true, true));
  assert.equal(
    said,
    "\x1b[31mmutwo:\x1b[39m no\n\x1b[33mwarning:\x1b[39m mind\n\x1b[36mnote:\x1b[39m so\nplain warning: text\n",
  );
  assert.equal(painted("red", "no", stream(true, true)), "\x1b[31mno\x1b[39m");
});

test("withoutColour(words) takes --no-color out wherever it stands before --, and obeys it", () => {
  const { NO_COLOR, FORCE_COLOR } = process.env;
  try {
    delete process.env.NO_COLOR;
    process.env.FORCE_COLOR = "1";
    assert.deepEqual(withoutColour(["mutwo", "plan", "--", "--no-color"]), ["mutwo", "plan", "--", "--no-color"]);
    assert.equal(process.env.NO_COLOR, undefined);
    assert.deepEqual(withoutColour(["mutwo", "plan", "--no-color", "x"]), ["mutwo", "plan", "x"]);
    assert.equal(process.env.NO_COLOR, "1");
    assert.equal(process.env.FORCE_COLOR, undefined);
  } finally {
    for (const [name, value] of Object.entries({ NO_COLOR, FORCE_COLOR }))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  }
});
