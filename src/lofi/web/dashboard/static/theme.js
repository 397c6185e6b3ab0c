// Before the page is painted: the theme that was chosen, or the one the system has.
{
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* storage is off: the system's theme */ }
  const light = matchMedia("(prefers-color-scheme: light)").matches;
  document.documentElement.dataset.theme = kept ?? (light ? "light" : "dark");
}
