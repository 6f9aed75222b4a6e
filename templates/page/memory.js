// Memory over the step: before and after on one scale, along the schedule or time, and who lives at a node.
{
  const { mutwo } = window;
  const mib = (bytes) => bytes / 2 ** 20;
  /** More points than this are slow and cannot be seen: of the nodes between, the one with the most is shown. */
  const mostPoints = 1500;
  const mostResidents = 20;
  const warm = "#d62728";

  /** The nodes that are shown: all, or of each few the one at which the most lives. */
  const picked = ({ total }) => {
    const each = Math.ceil(total.length / mostPoints);
    const ranks = [];
    for (let from = 0; from < total.length; from += each) {
      let most = from;
      for (let rank = from; rank < Math.min(from + each, total.length); rank++)
        if (total[rank] > total[most]) most = rank;
      ranks.push(most);
    }
    return ranks;
  };

  /** When each node begins, ms, if all run one after the other. */
  const starts = ({ ms }) => {
    let now = 0;
    return ms.map((each) => {
      const begin = now;
      now += each;
      return begin;
    });
  };

  const prepare = (step) => ({ ...step, ranks: picked(step), starts: starts(step) });

  const placeOf = (step, along) => (rank) => (along === "time" ? step.starts[rank] : rank);

  /** Where values change: each node at its begin and just before its end, so that the pointer finds the one it is over. */
  const corners = (step, along) => {
    const place = placeOf(step, along);
    const end = along === "time" ? step.starts.at(-1) + step.ms.at(-1) : step.total.length;
    // of nodes that begin at once only the last takes time
    const ranks = step.ranks.filter(
      (rank, i) => place(rank) !== (i + 1 < step.ranks.length ? place(step.ranks[i + 1]) : end),
    );
    const ends = ranks.map((_, i) => (i + 1 < ranks.length ? place(ranks[i + 1]) : end) - 1e-6 * end);
    return {
      x: ranks.flatMap((rank, i) => [place(rank), Math.max(place(rank) + 1e-7 * end, ends[i])]),
      ranks: ranks.flatMap((rank) => [rank, rank]),
    };
  };

  const tracesOf = (step, index, { along, colors }) => {
    const { x, ranks } = corners(step, along);
    const common = {
      type: "scatter",
      mode: "lines",
      ...(index && { xaxis: "x2", yaxis: "y2" }),
      x,
      customdata: ranks,
    };
    const pick = (values) => ranks.map((rank) => values[rank]);
    const stacked = Object.entries(step.byCategory).map(([category, values]) => ({
      ...common,
      stackgroup: `step${index}`,
      name: category,
      legendgroup: category,
      showlegend: !index,
      line: { width: 0, simplify: false, color: colors[category] },
      fillcolor: colors[category],
      y: pick(values).map(mib),
      text: pick(values).map(mutwo.bytes),
      hovertemplate: "%{text}",
    }));
    const total = {
      ...common,
      name: "total",
      showlegend: false,
      line: { width: 1, simplify: false, color: "rgba(128,128,128,0.9)" },
      y: pick(step.total).map(mib),
      text: ranks.map(
        (rank) =>
          `${mutwo.bytes(step.total[rank])} at ${mutwo.label(`${mutwo.shorten(step.name[rank], 40)} (${step.op[rank]})`)}`,
      ),
      hovertemplate: "%{text}",
    };
    return [...stacked, total];
  };

  /** Lines where a phase begins for the first time. */
  const borders = (step, index, along) => {
    const place = placeOf(step, along);
    const n = index ? "2" : "";
    const firsts = [...new Set(step.phase)].map((phase) => ({ phase, x: place(step.phase.indexOf(phase)) }));
    return {
      shapes: firsts.map(({ x }) => ({
        type: "line",
        xref: `x${n}`,
        yref: `y${n} domain`,
        x0: x,
        x1: x,
        y0: 0,
        y1: 1,
        line: { color: "#888", width: 1, dash: "dot" },
      })),
      annotations: firsts
        .filter(({ phase }) => phase !== "loss")
        .map(({ phase, x }) => ({
          xref: `x${n}`,
          yref: `y${n} domain`,
          x,
          y: 1,
          text: phase,
          showarrow: false,
          xanchor: "left",
          yanchor: "top",
          font: { size: 11 },
        })),
    };
  };

  const budgetLine = (budget, index) => {
    const n = index ? "2" : "";
    if (budget === null) return [];
    const y = mib(budget);
    const line = { color: warm, width: 2, dash: "dash" };
    return [{ type: "line", xref: `x${n} domain`, yref: `y${n}`, x0: 0, x1: 1, y0: y, y1: y, line }];
  };

  const titleOf = ({ title, total }, index, count) => ({
    xref: `x${index ? "2" : ""} domain`,
    yref: `y${index ? "2" : ""} domain`,
    x: 0,
    y: 1.02,
    yanchor: "bottom",
    xanchor: "left",
    showarrow: false,
    font: { size: 14 },
    text: `${count > 1 ? `${mutwo.label(title)}: ` : ""}timeline's peak ${mutwo.bytes(total.reduce((most, bytes) => Math.max(most, bytes), 0))}`,
  });

  const figureOf = ({ steps, budget, colors }, along) => {
    const most = Math.max(budget ?? 0, ...steps.flatMap(({ ranks, total }) => ranks.map((rank) => total[rank])));
    const each = steps.map((step, index) => borders(step, index, along));
    const xTitle = along === "time" ? "ms, nodes one after the other" : "node, in schedule order";
    const longest = Math.max(...steps.map((step) => step.starts.at(-1) + step.ms.at(-1)));
    const range = along === "time" ? { range: [0, longest] } : {};
    const titled = { ...range, title: { text: xTitle } };
    const yaxis = { title: { text: "MiB" }, range: [0, mib(most) * 1.12] };
    const isBoth = steps.length > 1;
    return {
      data: steps.flatMap((step, index) => tracesOf(step, index, { along, colors })),
      layout: {
        height: isBoth ? 700 : 440,
        meta: { paperHeight: isBoth ? 560 : 400 },
        margin: { l: 70, r: 20, t: 40, b: 70 },
        hovermode: "x unified",
        hoverdistance: -1,
        legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
        xaxis: { ...(isBoth ? range : titled), anchor: "y" },
        yaxis: { ...yaxis, domain: isBoth ? [0.57, 1] : [0, 1] },
        ...(isBoth && { xaxis2: { ...titled, anchor: "y2" }, yaxis2: { ...yaxis, anchor: "x2", domain: [0, 0.43] } }),
        shapes: steps.flatMap((_, index) => [...each[index].shapes, ...budgetLine(budget, index)]),
        annotations: steps.flatMap((step, index) => [
          ...each[index].annotations,
          titleOf(step, index, steps.length),
          ...(budget === null
            ? []
            : [
                {
                  xref: `x${index ? "2" : ""} domain`,
                  yref: `y${index ? "2" : ""}`,
                  x: 1,
                  y: mib(budget),
                  xanchor: "right",
                  yanchor: "bottom",
                  showarrow: false,
                  text: `budget ${mutwo.bytes(budget)}`,
                },
              ]),
        ]),
      },
    };
  };

  /** Lists who lives at a node of a step, the largest first. */
  const listResidents = (step, rank) => {
    const { name, category, bytes, first, last } = step.lives;
    const here = [];
    for (let i = 0; i < name.length; i++) if (first[i] <= rank && rank <= last[i] && bytes[i] > 0) here.push(i);
    here.sort((a, z) => bytes[z] - bytes[a]);
    const { make } = mutwo;
    const all = step.total[rank];
    const head = `${mutwo.bytes(all)} live while node ${rank}, ${mutwo.shorten(step.name[rank])} (${step.op[rank]}, ${step.phase[rank]}), of the ${step.title} step runs: ${here.length} tensors`;
    const row = (i) =>
      make(
        "tr",
        {},
        make("th", {
          scope: "row",
          className: "name",
          textContent: mutwo.shorten(name[i]),
          title: name[i].slice(0, 500),
        }),
        make("td", { className: "text", textContent: category[i] }),
        make("td", { textContent: mutwo.bytes(bytes[i]) }),
        make("td", { className: "text", textContent: `nodes ${first[i]} to ${last[i]}` }),
      );
    const titles = ["tensor", "category", "size", "lives"].map((title) =>
      make("th", { scope: "col", textContent: title }),
    );
    const rest = here.length - mostResidents;
    const place = document.getElementById("residents");
    place.hidden = false;
    place.replaceChildren(
      make("p", { textContent: `${head}${rest > 0 ? `, of which these are the largest ${mostResidents}` : ""}.` }),
      make(
        "table",
        { className: "plain numbers" },
        make("thead", {}, make("tr", {}, ...titles)),
        make("tbody", {}, ...here.slice(0, mostResidents).map(row)),
      ),
    );
    mutwo.say(head);
  };

  const start = ({ memory }) => {
    const element = document.querySelector("[data-memory]");
    if (!element) return;
    const shown = { ...memory, steps: memory.steps.map(prepare) };
    const list = (index, rank) => {
      const step = shown.steps[index];
      if (step && rank >= 0 && rank < step.total.length) listResidents(step, rank);
    };
    const controls = document.getElementById("memory-controls");
    controls.hidden = false;
    const along = () => controls.querySelector("[name=along]:checked").value;
    controls.addEventListener("change", ({ target }) => {
      if (target.name === "along") mutwo.redraw(element);
    });
    mutwo.nodeChooser(controls, shown.steps, list);
    mutwo.chart(element, () => figureOf(shown, along()));
    element.addEventListener("mutwo-drawn", () => {
      element.on("plotly_click", ({ points: [point] }) => {
        const index = point.data.xaxis === "x2" ? 1 : 0;
        list(index, point.customdata);
      });
    });
  };

  /** The same list by keyboard: a step and the number of a node. */
  mutwo.nodeChooser = (controls, steps, list) => {
    const { make } = mutwo;
    const which = make(
      "select",
      {},
      ...steps.map(({ title }, i) => make("option", { value: String(i), textContent: title })),
    );
    const number = make("input", {
      type: "number",
      min: "0",
      value: String(steps[0].total.indexOf(Math.max(...steps[0].ranks.map((rank) => steps[0].total[rank])))),
    });
    const button = make("button", { type: "button", textContent: "List" });
    button.addEventListener("click", () => list(Number(which.value), Number(number.value)));
    controls.append(
      make(
        "span",
        { className: "screen chooser" },
        make("label", {}, "step ", which),
        make("label", {}, " node ", number),
        button,
      ),
    );
  };

  mutwo.data().then(start);
}
