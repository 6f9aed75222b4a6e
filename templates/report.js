{
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const figures = read("figures");
  const tables = read("tables");
  const pageSize = 50;
  // columns that a printed page has room for
  const primary = new Set([
    "rank",
    "node_name",
    "op",
    "phase",
    "median_run_time_ms",
    "spread_ms",
    "peak_mem_bytes",
    "active_mem_bytes",
    "workspace_bytes",
    "flops",
    "activation_name",
    "memory_size_bytes",
    "inactive_time_ms",
    "recomp_time_ms",
    "recompute_ratio_bytes_per_ms",
    "recomp_memory_bytes",
    "decision",
  ]);

  const digits = (value) =>
    value >= 100 || value === 0 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
  const bytes = (value) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    let rest = value;
    while (rest >= 1024 && unit < units.length - 1) {
      rest /= 1024;
      unit++;
    }
    return `${unit ? digits(rest) : rest} ${units[unit]}`;
  };
  const write = (value, kind) => {
    if (value === null) return kind === "text" ? "" : "–";
    if (kind === "bytes") return bytes(value);
    if (kind === "ms") return value.toPrecision(3);
    if (kind === "ratio") return `${bytes(value)}/ms`;
    if (kind === "count") return value.toLocaleString("en");
    if (kind === "yes") return value ? "yes" : "no";
    return String(value);
  };

  const drawn = [];
  for (const element of document.querySelectorAll(".chart")) {
    const figure = figures[element.dataset.figure];
    if (!figure) {
      element.remove();
      continue;
    }
    drawn.push(
      Plotly.newPlot(element, figure.data, { height: 420, ...figure.layout }, { responsive: true, displaylogo: false }),
    );
  }

  const grids = [];
  for (const element of document.querySelectorAll(".grid")) {
    const { columns, rows } = tables[element.dataset.table];
    const state = {
      sort: columns.findIndex((c) => c.name === element.dataset.sort),
      down: true,
      filter: "",
      page: 0,
      limit: pageSize,
    };
    const controls = document.createElement("div");
    controls.className = "controls";
    const filter = Object.assign(document.createElement("input"), { placeholder: "filter", type: "search" });
    const label = document.createElement("span");
    const previous = Object.assign(document.createElement("button"), { textContent: "‹" });
    const next = Object.assign(document.createElement("button"), { textContent: "›" });
    controls.append(filter, previous, label, next);
    const table = document.createElement("table");
    element.append(controls, table);

    const draw = () => {
      const wanted = state.filter.toLowerCase();
      const found = rows.filter(
        (row) =>
          !wanted ||
          row.some((cell) =>
            String(cell ?? "")
              .toLowerCase()
              .includes(wanted),
          ),
      );
      const order = (a, z) => {
        const [p, q] = [a[state.sort], z[state.sort]];
        if (p === q) return 0;
        if (p === null) return 1;
        if (q === null) return -1;
        return (p < q ? -1 : 1) * (state.down ? -1 : 1);
      };
      found.sort(order);
      const pages = Math.max(1, Math.ceil(found.length / state.limit));
      state.page = Math.min(state.page, pages - 1);
      const start = state.page * state.limit;
      const shown = found.slice(start, start + state.limit);
      label.textContent = found.length ? `${start + 1} to ${start + shown.length} of ${found.length} rows` : "no rows";
      const head = document.createElement("tr");
      columns.forEach((column, i) => {
        const th = document.createElement("th");
        th.textContent =
          column.title + (column.kind === "ms" ? ", ms" : "") + (i === state.sort ? (state.down ? " ▾" : " ▴") : "");
        th.title = column.name;
        if (!primary.has(column.name)) th.className = "secondary";
        th.addEventListener("click", () => {
          state.down = state.sort === i ? !state.down : column.kind !== "text";
          state.sort = i;
          draw();
        });
        head.append(th);
      });
      const body = shown.map((row) => {
        const tr = document.createElement("tr");
        row.forEach((cell, i) => {
          const { kind, name } = columns[i];
          const td = document.createElement("td");
          td.textContent = write(cell, kind);
          td.title = String(cell ?? "");
          const isName = name.endsWith("_name");
          td.className = `${isName ? "name" : kind === "text" ? "" : "number"} ${primary.has(name) ? "" : "secondary"}`;
          tr.append(td);
        });
        return tr;
      });
      table.replaceChildren(head, ...body);
    };
    filter.addEventListener("input", () => {
      state.filter = filter.value;
      state.page = 0;
      draw();
    });
    previous.addEventListener("click", () => {
      state.page = Math.max(0, state.page - 1);
      draw();
    });
    next.addEventListener("click", () => {
      state.page++;
      draw();
    });
    draw();
    grids.push({ state, draw });
  }

  // For paper: charts become pictures made of vectors, tables their first rows.
  window.mutwoPrint = async () => {
    await Promise.all(drawn);
    for (const element of document.querySelectorAll(".chart")) {
      const { height } = element.getBoundingClientRect();
      const url = await Plotly.toImage(element, {
        format: "svg",
        width: 1000,
        height: Math.max(300, Math.min(height, 760)),
      });
      Plotly.purge(element);
      const image = Object.assign(document.createElement("img"), { src: url });
      await image.decode();
      element.replaceChildren(image);
    }
    for (const grid of grids) {
      grid.state.limit = 40;
      grid.draw();
    }
  };
}
