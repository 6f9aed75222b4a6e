// Navigation, links to rows, copying, light and dark, printing.
{
  const { mutwo } = window;
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";

  const themeButton = document.getElementById("theme");
  const nameTheme = () => {
    themeButton.textContent = isDark() ? "Light" : "Dark";
    themeButton.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"}`);
  };
  nameTheme();
  themeButton.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("mutwo-theme", root.dataset.theme);
    } catch {
      // no storage: the choice holds until the page is closed
    }
    nameTheme();
    mutwo.redraw();
  });
  dark.addEventListener("change", () => {
    nameTheme();
    mutwo.redraw();
  });

  const contents = document.getElementById("contents");
  const menu = document.getElementById("menu");
  const openMenu = (isOpen) => {
    contents.classList.toggle("open", isOpen);
    menu.setAttribute("aria-expanded", String(isOpen));
  };
  menu.addEventListener("click", () => openMenu(!contents.classList.contains("open")));
  contents.addEventListener("click", ({ target }) => {
    if (target.closest("a")) openMenu(false);
  });

  // the section that is read is marked in the navigation
  const links = new Map([...contents.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const reading = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(target.id)?.setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-15% 0px -80% 0px" },
  );
  for (const section of document.querySelectorAll("main > section")) reading.observe(section);

  /** Goes to the row that the address names: #node-NAME, #activation-NAME and the like. */
  const follow = async () => {
    const [, kind, name] = /^#((?:planned-)?(?:node|activation)|decision)-(.*)$/s.exec(location.hash) ?? [];
    if (!kind) return;
    await mutwo.gridsReady;
    let wanted;
    try {
      wanted = decodeURIComponent(name);
    } catch {
      return; // not an address that this page made
    }
    if (kind === "decision") mutwo.buildAll();
    const isShown = mutwo.grids.some((grid) => grid.link === kind && grid.reveal(wanted));
    mutwo.say(isShown ? `row ${mutwo.shorten(wanted)}` : `no row ${mutwo.shorten(wanted)}`);
  };
  addEventListener("hashchange", follow);
  follow();

  for (const button of document.querySelectorAll("[data-copy]"))
    button.addEventListener("click", () =>
      mutwo.copyBy(button, document.getElementById(button.dataset.copy).textContent, "Command"),
    );

  const paper = (isPaper) => {
    root.classList.toggle("paper", isPaper);
    for (const details of document.querySelectorAll("details")) details.open = isPaper;
    for (const grid of mutwo.grids) grid.print(isPaper);
  };
  addEventListener("beforeprint", () => {
    if (root.classList.contains("paper")) return; // prepared already
    paper(true);
    if (window.Plotly) mutwo.drawAll(window.Plotly);
  });
  addEventListener("afterprint", () => {
    paper(false);
    mutwo.redraw();
  });
  // somebody may print before having seen all: the library is there as soon as nothing else is to do
  (window.requestIdleCallback ?? setTimeout)(() => mutwo.plotly());

  /** Puts the number of its page beside each section in the table of contents. */
  window.mutwoPages = (pages) => {
    for (const place of document.querySelectorAll("[data-page]")) place.textContent = pages[place.dataset.page] ?? "";
  };

  /** Prepares the page for paper: all charts are drawn, tables show their first rows. */
  window.mutwoPrint = async () => {
    const Plotly = await mutwo.plotly();
    await Promise.all([mutwo.ready, mutwo.gridsReady]);
    paper(true);
    await mutwo.drawAll(Plotly);
  };
}
