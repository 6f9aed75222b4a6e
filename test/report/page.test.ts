import assert from "node:assert/strict";
import { test } from "node:test";
import { pageHtml } from "../../src/report/page.js";

const content = { heading: "<b>a</b>", sub: "b & c", sections: [], figures: {}, captions: {}, tables: {} };

test("pageHtml(content) escapes what it is given, allows only its own scripts and fetches nothing", () => {
  const html = pageHtml(content);
  assert.match(html, /<h1>&lt;b&gt;a&lt;\/b&gt;<\/h1>/);
  assert.match(html, /content="default-src &#x27;none&#x27;; script-src &#x27;sha256-/);
  assert.ok(!/(?:src|href)="https?:/.test(html));
});

test("pageHtml(content) of an unknown section says which", () => {
  assert.throws(() => pageHtml({ ...content, sections: [{ name: "nothing", title: "", view: {} }] }), /nothing/);
});
