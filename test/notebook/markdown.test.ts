import assert from "node:assert/strict";
import { test } from "node:test";
import { markdownHtml } from "../../src/notebook/markdown.js";

test("markdownHtml(text) makes headings, paragraphs, lists, code, emphasis and links", () => {
  const text = "# A `b`\nfirst **two** *three*\n\n- one\n- two\n  more\n\n```ts\na < b\n```\n[x](02-y.ipynb)";
  assert.equal(
    markdownHtml(text).replace(/\n/g, ""),
    "<h1>A <code>b</code></h1><p>first <strong>two</strong> <em>three</em></p><ul><li>one</li><li>two more</li></ul>" +
      '<pre><code>a &lt; b</code></pre><p><a href="02-y.ipynb">x</a></p>',
  );
});

test("markdownHtml(text) lets no text become HTML, and no link a script", () => {
  const html = markdownHtml('<script>1</script> [x](javascript:alert(1)) `<b>` [y](https://a.b/"onclick=1)');
  assert.ok(!/<script|<b>|href="javascript|" ?onclick/.test(html), html);
});

test("markdownHtml(text) leaves names with underscores alone", () => {
  assert.equal(markdownHtml("peak_mem_bytes and a_b_c"), "<p>peak_mem_bytes and a_b_c</p>");
});
