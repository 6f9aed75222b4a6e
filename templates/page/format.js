{
  const digits = (value) =>
    value >= 100 || value === 0 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

  const bytes = (value) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    let rest = Math.abs(value);
    while (rest >= 1024 && unit < units.length - 1) {
      rest /= 1024;
      unit++;
    }
    return `${value < 0 ? "-" : ""}${unit ? digits(rest) : rest} ${units[unit]}`;
  };

  /** A cell of a table as people read it, by what its column holds. */
  const written = (value, kind) => {
    if (value === null || value === undefined) return kind === "text" ? "" : "–";
    if (kind === "bytes") return bytes(value);
    if (kind === "ms") return value.toPrecision(3);
    if (kind === "ratio") return `${bytes(value)}/ms`;
    if (kind === "count") return value.toLocaleString("en");
    if (kind === "yes") return value ? "yes" : "no";
    return String(value);
  };

  const shorten = (name, most = 60) => (name.length > most ? `…${name.slice(1 - most)}` : name);

  /** A text as Plotly shows it letter by letter, whatever looks like a tag in it. */
  const label = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  /** What a label reads like. */
  const readText = (text) => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

  /** A field of a CSV file; before a text that a spreadsheet would run as a formula stands an apostrophe. */
  const csvField = (value) => {
    const text = typeof value === "string" ? value.replace(/^(?='*[=+\-@\t\r])/, "'") : String(value ?? "");
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const csv = (rows) => `${rows.map((row) => row.map(csvField).join(",")).join("\n")}\n`;

  /** The part of an address that leads to a row. */
  const hashFor = (kind, name) => `#${kind}-${encodeURIComponent(name.toWellFormed ? name.toWellFormed() : name)}`;

  Object.assign(window.mutwo, { bytes, written, shorten, label, readText, csv, hashFor });
}
