import { escapeHtml } from "./cell.js";

/** What stands within a line: code, strong and slanted words, links. Nothing of the text becomes HTML by itself. */
const inline = (text: string): string =>
  text
    .split(/`([^`]+)`/)
    .map((part, i) => (i % 2 ? `<code>${escapeHtml(part)}</code>` : emphasised(escapeHtml(part))))
    .join("");

const emphasised = (html: string): string =>
  html
    .replace(/\[([^\]]+)\]\(((?:https?:|\.{0,2}\/|#|[\w-]+\.)[^\s)]*)\)/g, '<a href="$2">$1</a>')
    .replace(/\*\*([^*]+)\*\*/g, "<strong>$1</strong>")
    .replace(/(^|[^\w*])[*_]([^*_\s][^*_]*)[*_](?!\w)/g, "$1<em>$2</em>");

/** One block of lines without an empty one in it. */
function block(lines: readonly string[]): string {
  const [first = ""] = lines;
  const heading = /^(#{1,6})\s+(.*)$/.exec(first);
  if (heading) {
    const rest = lines.slice(1);
    const level = heading[1]?.length ?? 1;
    return `<h${level}>${inline(heading[2] ?? "")}</h${level}>${rest.length ? block(rest) : ""}`;
  }
  const items = lines.map((line) => /^\s*(?:[-*+]|\d+\.)\s+(.*)$/.exec(line)?.[1]);
  if (items[0] !== undefined) {
    const tag = /^\s*\d/.test(first) ? "ol" : "ul";
    // lines without a mark go on with the item before
    const texts: string[] = [];
    lines.forEach((line, i) => {
      const item = items[i];
      if (item === undefined) texts.push(`${texts.pop()} ${line.trim()}`);
      else texts.push(item);
    });
    return `<${tag}>${texts.map((text) => `<li>${inline(text)}</li>`).join("")}</${tag}>`;
  }
  return `<p>${inline(lines.join(" "))}</p>`;
}

/** The part of Markdown that notebooks here use: headings, paragraphs, lists, code, emphasis, links. */
export function markdownHtml(text: string): string {
  const parts = text.split(/^```[^\n]*\n([\s\S]*?)^```[^\n]*$/m);
  return parts
    .map((part, i) => {
      if (i % 2) return `<pre><code>${escapeHtml(part)}</code></pre>`;
      const blocks = part.split(/\n\s*\n/).map((lines) => lines.split("\n").filter((line) => line.trim()));
      return blocks
        .filter((lines) => lines.length)
        .map(block)
        .join("\n");
    })
    .join("\n");
}
