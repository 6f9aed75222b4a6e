// What all of the page's scripts share: its data, unpacked once, and the chart library, started when first needed.
window.mutwo = {
  /** Text that stands in the page as gzip in base64. */
  async textOf(id) {
    const base64 = document.getElementById(id).textContent;
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  },

  /** Undoes what `packed` does: texts are named by number, whole numbers are differences. */
  unpack(texts, part) {
    if (part === null || typeof part !== "object") return part;
    if (part.deltas) {
      let now = 0;
      return part.deltas.map((delta) => {
        now += delta;
        return now;
      });
    }
    if (part.texts) return this.unpack(texts, part.texts).map((number) => texts[number]);
    if (Array.isArray(part)) return typeof part[0] === "number" ? part : part.map((inner) => this.unpack(texts, inner));
    return Object.fromEntries(Object.entries(part).map(([key, inner]) => [key, this.unpack(texts, inner)]));
  },

  /** Figures, tables and memory. */
  data() {
    this.unpacked ??= this.textOf("data").then((json) => {
      const { texts, value } = JSON.parse(json);
      return this.unpack(texts, value);
    });
    return this.unpacked;
  },

  /** The chart library. */
  plotly() {
    this.library ??= this.textOf("plotly").then((source) => {
      const script = document.createElement("script");
      script.textContent = source;
      document.head.append(script);
      script.remove();
      return window.Plotly;
    });
    return this.library;
  },

  /** An element with these properties and children. */
  make(tag, properties, ...children) {
    const { data, attributes, ...rest } = properties;
    const element = Object.assign(document.createElement(tag), rest);
    for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
    Object.assign(element.dataset, data ?? {});
    element.append(...children);
    return element;
  },

  /** Tells those who do not see the page. */
  say(text) {
    document.getElementById("said").textContent = text;
  },

  /** Copies a text; true if that worked. */
  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = this.make("textarea", { value: text, className: "hidden" });
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  },

  /** Copies a text and says so on the button that was used. */
  async copyBy(button, text, what) {
    const label = button.textContent;
    const done = await this.copy(text);
    button.textContent = done ? "Copied" : "Could not copy";
    this.say(done ? `${what} copied` : `${what} could not be copied`);
    setTimeout(() => {
      button.textContent = label;
    }, 1500);
  },
};
