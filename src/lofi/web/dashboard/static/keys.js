// Shortcuts, and the palette in which pages, tracks and commands are found by typing.
import { $, $$, api, go, toggleTheme } from "./core.js";
import { player } from "./player.js";

const pages = () => $$(".side > a:not(.brand)").map(a => ({ name: a.textContent.trim(), what: "page", act: () => go(a.href) }));
const commands = () => [
  { name: "New track", what: "command", act: () => go("/create") },
  { name: "Switch theme", what: "command", act: toggleTheme },
  { name: "Play or pause", what: "command", act: () => player.toggle() },
  { name: "Keyboard help", what: "command", act: () => $("#help").showModal() },
  { name: "Describe the API", what: "command", act: () => location.assign("/api/docs") },
];

let found = [], at = 0, asked = 0;

function show() {
  const list = $("#found"), input = $("#palette input");
  list.replaceChildren(...found.map((entry, i) => {
    const item = document.createElement("li"), name = document.createElement("bdi"), what = document.createElement("small");
    item.id = `found-${i}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(i === at));
    name.textContent = entry.name;
    what.textContent = entry.what;
    item.append(name, what);
    item.onclick = () => choose(i);
    return item;
  }));
  if (found.length) input.setAttribute("aria-activedescendant", `found-${at}`);
  else input.removeAttribute("aria-activedescendant");
  list.children[at]?.scrollIntoView({ block: "nearest" });
}

function choose(i) {
  $("#palette").close();
  found[i]?.act();
}

async function search(text) {
  const turn = ++asked, wanted = text.toLowerCase();
  found = [...pages(), ...commands()].filter(entry => entry.name.toLowerCase().includes(wanted));
  at = 0;
  show();
  if (!wanted) return;
  try {
    const told = await api("GET", `/api/tracks?limit=8&q=${encodeURIComponent(text.slice(0, 200))}`);
    if (turn !== asked) return;
    found.push(...told.items.map(t => ({ name: t.title, what: `${t.mood} · ${t.state}`, act: () => go(`/tracks/${t.id}`) })));
    show();
  } catch { /* pages and commands are found all the same */ }
}

export function startKeys() {
  const palette = $("#palette"), input = $("#palette input");
  input.addEventListener("input", () => search(input.value));
  input.addEventListener("keydown", event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) { event.preventDefault(); at = (at + step + found.length) % found.length; show(); }
    if (event.key === "Enter") { event.preventDefault(); choose(at); }
    if (event.key === "Escape") palette.close(); // else it only empties a field of type search
  });
  // showModal is called from several places; what is found begins anew each time.
  new MutationObserver(() => { if (palette.open) { input.value = ""; search(""); input.focus(); } }).observe(palette, { attributeFilter: ["open"] });
  for (const dialog of $$("dialog")) dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });

  const letters = Object.fromEntries($$("#help dt").filter(dt => dt.textContent.trim().startsWith("g")).map(dt => [dt.textContent.trim().at(-1), dt.nextElementSibling.textContent]));
  let g = 0;
  document.addEventListener("keydown", event => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") { event.preventDefault(); if (!palette.open) palette.showModal(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
    // A field that was just closed has the focus until the next frame.
    if (event.target.matches("input, textarea, select, [contenteditable], [data-keys]") && event.target.checkVisibility()) return;
    const key = event.key;
    if (Date.now() - g < 900 && letters[key]) {
      g = 0;
      $$(".side > a:not(.brand)").find(a => a.textContent.trim() === letters[key])?.click();
      return;
    }
    if (key === "g") g = Date.now();
    else if (key === "?") $("#help").showModal();
    else if (key === "n") go("/create");
    else if (key === "/") { event.preventDefault(); findInLibrary(); }
    else if (key === " " && player.track && !event.target.closest("button, a, summary")) { event.preventDefault(); player.toggle(); }
    else if ((key === "ArrowLeft" || key === "ArrowRight") && player.track && !player.audio.paused && event.target.closest("main, body") && !event.target.closest("[role], [tabindex='0']"))
      player.audio.currentTime += key === "ArrowLeft" ? -5 : 5;
  });
}

async function findInLibrary() {
  if (!$("#q")) await go("/library");
  $("#q")?.focus();
}
