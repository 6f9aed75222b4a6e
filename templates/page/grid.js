// Tables of many rows: sorted, filtered, copied, a page at a time; on a phone a row is a card.
{
  const { mutwo } = window;
  const { make } = mutwo;
  const pageSize = 50;
  const mostLetters = 80;
  /** Columns that paper and a phone have room for. */
  const primary = new Set([
    "rank",
    "order",
    "node_name",
    "op",
    "phase",
    "median_run_time_ms",
    "peak_mem_bytes",
    "workspace_bytes",
    "flops",
    "activation_name",
    "memory_size_bytes",
    "inactive_time_ms",
    "recomp_time_ms",
    "recomp_memory_bytes",
    "swap_time_ms",
    "decision",
    "action",
    "saved_bytes",
    "added_time_ms",
    "peak_after_bytes",
  ]);

  class Grid {
    constructor(element, { columns, count }) {
      const { table, link, group, sort, rows, file } = element.dataset;
      Object.assign(this, { element, columns, link, file, page: 0, limit: pageSize, paper: Number(rows), filter: "" });
      this.label = table;
      this.shown = columns.map((_, i) => i).filter((i) => columns[i].name !== "group");
      this.name = this.shown.find((i) => columns[i].name.endsWith("_name"));
      this.sort = columns.findIndex(({ name }) => name === sort);
      this.down = true;
      const groups = columns.find(({ name }) => name === "group")?.values;
      this.all = Array.from({ length: count }, (_, row) => row).filter((row) => !groups || groups[row] === group);
      this.build();
      this.order();
    }

    build() {
      this.input = make("input", {
        type: "search",
        placeholder: "words to find",
        attributes: { "aria-label": "Filter rows by words" },
      });
      this.status = make("span", { attributes: { role: "status" } });
      this.back = make("button", { type: "button", textContent: "‹", attributes: { "aria-label": "Previous rows" } });
      this.next = make("button", { type: "button", textContent: "›", attributes: { "aria-label": "Next rows" } });
      this.copy = make("button", { type: "button", textContent: "Copy as CSV" });
      this.heads = this.shown.map((i) => this.head(i));
      this.body = make("tbody", {});
      const table = make("table", {}, make("thead", {}, make("tr", {}, ...this.heads)), this.body);
      const scroll = make("div", { className: "scroll", tabIndex: 0 }, table);
      scroll.setAttribute("role", "region");
      scroll.setAttribute(
        "aria-label",
        `Table: ${this.element.previousElementSibling?.previousElementSibling?.textContent ?? this.label}`,
      );
      const controls = make(
        "div",
        { className: "controls screen" },
        this.input,
        this.back,
        this.status,
        this.next,
        this.copy,
      );
      this.rest = make("p", { className: "note print" });
      this.element.append(controls, scroll, this.rest);
      this.input.addEventListener("input", () => {
        this.filter = this.input.value;
        this.page = 0;
        this.order();
      });
      this.back.addEventListener("click", () => this.turn(-1));
      this.next.addEventListener("click", () => this.turn(1));
      this.copy.addEventListener("click", () => this.copyRows());
    }

    head(i) {
      const { title, kind, name } = this.columns[i];
      const button = make("button", {
        type: "button",
        textContent: title + (kind === "ms" ? ", ms" : ""),
        title: name,
      });
      button.addEventListener("click", () => {
        this.down = this.sort === i ? !this.down : kind !== "text";
        this.sort = i;
        this.page = 0;
        this.order();
      });
      return make("th", { scope: "col", className: primary.has(name) ? "" : "secondary" }, button);
    }

    /** Finds and sorts the rows, then draws. */
    order() {
      const words = this.filter.toLowerCase().split(/\s+/).filter(Boolean);
      const texts = (row) => this.shown.map((i) => String(this.columns[i].values[row] ?? "").toLowerCase()).join("\n");
      const isFound = (row) => {
        const text = texts(row);
        return words.every((word) => text.includes(word));
      };
      this.found = words.length ? this.all.filter(isFound) : [...this.all];
      const values = this.columns[this.sort]?.values;
      const sign = this.down ? -1 : 1;
      if (values)
        this.found.sort((a, z) => {
          const [p, q] = [values[a], values[z]];
          if (p === q) return a - z;
          if (p === null) return 1;
          if (q === null) return -1;
          return p < q ? -sign : sign;
        });
      this.draw();
    }

    turn(by) {
      this.page += by;
      this.draw();
    }

    draw() {
      const count = this.found.length;
      const pages = Math.max(1, Math.ceil(count / this.limit));
      this.page = Math.max(0, Math.min(this.page, pages - 1));
      const start = this.page * this.limit;
      const rows = this.found.slice(start, start + this.limit);
      this.status.textContent = count ? `${start + 1} to ${start + rows.length} of ${count} rows` : "no rows";
      this.back.disabled = this.page === 0;
      this.next.disabled = this.page >= pages - 1;
      this.heads.forEach((head, at) => {
        if (this.shown[at] === this.sort) head.setAttribute("aria-sort", this.down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      this.body.replaceChildren(...rows.map((row) => this.row(row)));
      const more = count - rows.length;
      this.rest.textContent = more > 0 ? `and ${more.toLocaleString("en")} more in ${this.file}` : "";
    }

    row(row) {
      const cells = this.shown.map((i) => {
        const { kind, name, title, values } = this.columns[i];
        const text = mutwo.written(values[row], kind);
        const isName = i === this.name;
        const classes = [
          name.endsWith("_name") ? "name" : kind === "text" ? "" : "number",
          primary.has(name) ? "" : "secondary",
        ];
        const cell = make(isName ? "th" : "td", { className: classes.join(" ").trim(), data: { title } });
        if (isName) cell.scope = "row";
        const short = mutwo.shorten(text, mostLetters);
        if (text !== short) cell.title = text.slice(0, 500);
        cell.append(isName ? make("a", { href: mutwo.hashFor(this.link, text), textContent: short }) : short);
        return cell;
      });
      return make("tr", { data: { row } }, ...cells);
    }

    copyRows() {
      const rows = this.found.map((row) => this.shown.map((i) => this.columns[i].values[row]));
      const text = mutwo.csv([this.shown.map((i) => this.columns[i].name), ...rows]);
      mutwo.copyBy(this.copy, text, `${rows.length} rows`);
    }

    /** Shows the row of a name; false if there is none. */
    reveal(name) {
      const names = this.columns[this.name].values;
      const row = this.all.find((one) => names[one] === name);
      if (row === undefined) return false;
      this.input.value = "";
      this.filter = "";
      this.order();
      this.page = Math.floor(this.found.indexOf(row) / this.limit);
      this.draw();
      const line = this.body.querySelector(`[data-row="${row}"]`);
      for (const other of document.querySelectorAll(".shown")) other.classList.remove("shown");
      line.classList.add("shown");
      this.element.closest("details")?.setAttribute("open", "");
      line.scrollIntoView({ block: "center" });
      line.querySelector("a")?.focus({ preventScroll: true });
      return true;
    }

    /** For paper: the first rows. */
    print(isPaper) {
      this.limit = isPaper ? this.paper : pageSize;
      this.page = 0;
      this.draw();
    }
  }

  mutwo.grids = [];
  mutwo.gridsReady = mutwo.data().then(({ tables }) => {
    const build = (element) => {
      if (element.childElementCount) return;
      mutwo.grids.push(new Grid(element, tables[element.dataset.table]));
    };
    for (const element of document.querySelectorAll(".grid")) {
      const details = element.closest("details");
      if (details) details.addEventListener("toggle", () => build(element));
      else build(element);
    }
    // what is inside closed groups is built when a link leads there
    mutwo.buildAll = () => document.querySelectorAll(".grid").forEach(build);
  });
}
