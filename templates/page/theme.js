// before the page is drawn: light or dark as chosen here before, else as the system prefers
try {
  const chosen = localStorage.getItem("mutwo-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage: the system's preference holds
}
