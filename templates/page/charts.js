// Charts are drawn when they come near the window, in the page's colours; before printing all of them are.
{
  const { mutwo } = window;
  const mesh = "rgba(128,128,128,0.25)";
  const narrow = 420;
  /** Heights that paper has room for: of charts that are tall on a screen, and of others. */
  const paperHeights = { tall: 390, flat: 300 };
  const isPaper = () => document.documentElement.classList.contains("paper");
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  /** What is drawn, with how its figure is made for a width. */
  const drawn = new Map();
  const figures = new Map();

  const isAxis = ([key]) => /^[xy]axis\d*$/.test(key);

  const heightOf = ({ height = 420, meta }) =>
    isPaper() ? (meta?.paperHeight ?? Math.min(height, height > 430 ? paperHeights.tall : paperHeights.flat)) : height;

  const ticksOf = ({ ticktext, tickfont }, width) =>
    ticktext && {
      ticktext: ticktext.map((text) =>
        mutwo.label(mutwo.shorten(mutwo.readText(text), width < narrow ? 16 : width < 700 ? 28 : 48)),
      ),
      tickfont: isPaper() ? { size: 7 } : tickfont,
    };

  /** A figure's layout in the page's colours. */
  const themed = (layout, width) => {
    const style = getComputedStyle(document.body);
    const axes = Object.entries(layout)
      .filter(isAxis)
      .map(([key, axis]) => [
        key,
        { ...axis, ...ticksOf(axis, width), gridcolor: mesh, zerolinecolor: mesh, automargin: true },
      ]);
    const plain = ({ font, ...annotation }) => ({
      ...annotation,
      ...(annotation.arrowhead && { arrowcolor: style.color }),
      font: { ...font, color: style.color },
    });
    return {
      ...layout,
      ...Object.fromEntries(axes),
      // the page says it above the chart, where it may take two lines
      title: undefined,
      margin: { ...layout.margin, t: layout.annotations?.length ? 40 : 24, ...(width < narrow && { l: 40, r: 10 }) },
      annotations: (layout.annotations ?? []).map(plain),
      height: heightOf(layout),
      // a window that changes takes the chart along, paper does not
      ...(isPaper() ? { width } : { autosize: true }),
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { ...layout.font, color: style.color, ...(isPaper() && { size: 9 }) },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "rgba(128,128,128,0.8)", activecolor: style.color },
      hoverlabel: { bgcolor: style.backgroundColor, bordercolor: mesh, font: { color: style.color } },
    };
  };

  const draw = (element, Plotly) => {
    const width = element.clientWidth;
    const figure = figures.get(element)(width);
    element.style.minHeight = "0";
    const done = Plotly.react(element, figure.data, themed(figure.layout, width), config);
    drawn.set(element, width);
    return done;
  };

  const drawNear = new IntersectionObserver(
    async (entries, observer) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        const Plotly = await mutwo.plotly();
        if (!drawn.has(target)) {
          await draw(target, Plotly);
          target.dispatchEvent(new CustomEvent("mutwo-drawn"));
        }
      }
    },
    { rootMargin: "300px" },
  );

  /** Gives an element a chart: `figureFor` makes it for a width. */
  mutwo.chart = (element, figureFor) => {
    figures.set(element, figureFor);
    drawNear.observe(element);
  };

  /** Draws again what is drawn: its data or the page's colours have changed. */
  mutwo.redraw = async (only) => {
    const Plotly = drawn.size ? await mutwo.plotly() : undefined;
    for (const element of drawn.keys()) if (!only || only === element) draw(element, Plotly);
  };

  /** Draws everything, at once if the library is there. */
  mutwo.drawAll = (Plotly) => Promise.all([...figures.keys()].map((element) => draw(element, Plotly)));

  mutwo.ready = mutwo.data().then(({ figures: given }) => {
    for (const element of document.querySelectorAll("[data-figure]")) {
      const figure = given[element.dataset.figure];
      mutwo.chart(element, () => figure);
    }
  });
}
