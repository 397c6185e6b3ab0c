// The calendar: releases and tracks are dragged, or carried by the keyboard, to another time.
import { $, $$, api, confirmed, go, refresh, say } from "./core.js";

// They outlive the page, so that what is carried can be put down in another month.
let carried = null, wanted = null;

const two = n => String(n).padStart(2, "0");
/** A day, some days later: "2026-12-03". */
const shifted = (day, days) => new Date(Date.parse(`${day}T00:00Z`) + days * 864e5).toISOString().slice(0, 10);

export function open(main) {
  const cells = () => $$("[data-day]", main), told = $("#told", main), week = () => Boolean($(".cal.week", main));
  const cellAt = (day, hour) => $(`[data-day="${day}"]${hour === undefined ? "" : `[data-hour="${hour}"]`}`, main);
  const announce = text => { told.textContent = ""; setTimeout(() => { told.textContent = text; }, 30); };

  // Where one is ----------------------------------------------------------------------------

  function rove(cell) {
    for (const c of cells()) c.tabIndex = c === cell ? 0 : -1;
  }
  function toCell(cell) {
    rove(cell);
    cell.focus({ preventScroll: false });
    cell.scrollIntoView({ block: "nearest" });
    if (carried) announce(cell.getAttribute("aria-label"));
  }
  function begin() {
    const now = $("table", main)?.dataset.now, first = cellAt(now, week() ? 18 : undefined) ?? cells().find(c => !c.classList.contains("out"));
    if (first) rove(first);
    mark();
    if (wanted) {
      const cell = cellAt(wanted.day, wanted.hour) ?? first;
      wanted = null;
      if (cell) toCell(cell);
    }
  }
  function step(cell, key) {
    const day = cell.dataset.day, hour = cell.dataset.hour === undefined ? undefined : Number(cell.dataset.hour);
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: week() ? [0, -1] : [-7, 0], ArrowDown: week() ? [0, 1] : [7, 0] }[key];
    if (key === "PageUp" || key === "PageDown") return turn(key === "PageDown", shifted(day, (key === "PageDown" ? 1 : -1) * (week() ? 7 : 28)), hour);
    if (key === "Home" || key === "End") {
      const row = $$("[data-day]", cell.parentElement);
      return toCell(key === "Home" ? row[0] : row.at(-1));
    }
    const next = shifted(day, by[0]), at = hour === undefined ? undefined : hour + by[1];
    if (at !== undefined && (at < 0 || at > 23)) return;
    const target = cellAt(next, at);
    if (target) toCell(target); else turn(by[0] > 0, next, at);
  }
  function turn(later, day, hour) {
    wanted = { day, hour };
    go($(later ? "#after" : "#before", main).href);
  }

  // What is carried -------------------------------------------------------------------------

  const source = () => carried && (carried.kind === "release"
    ? $$("[data-release]", main).find(e => JSON.parse(e.dataset.release).id === carried.id)
    : $$("[data-track-pick]", main).find(e => JSON.parse(e.dataset.trackPick).id === carried.id));
  function mark() {
    for (const held of $$(".held", main)) held.classList.remove("held");
    main.classList.toggle("carrying", Boolean(carried));
    source()?.classList.add("held");
  }
  function read(element) {
    if (element.dataset.release) {
      const r = JSON.parse(element.dataset.release);
      return r.movable ? { kind: "release", id: r.id, title: r.title, local: r.local } : null;
    }
    const t = JSON.parse(element.dataset.trackPick);
    return { kind: "track", id: t.id, title: t.title, local: null };
  }
  function pick(element) {
    const what = element.getAttribute("draggable") === "true" ? read(element) : null;
    if (!what) return announce("This one cannot be moved.");
    carried = what;
    mark();
    const cell = element.closest("[data-day]") ?? $("[data-day][tabindex='0']", main);
    rove(cell);
    cell.focus();
    announce(`${what.title} is picked up. Arrow keys choose a time, Enter puts it there, Escape cancels.`);
  }
  function letGo() {
    const back = source(), title = carried.title;
    carried = null;
    mark();
    back?.focus();
    announce(`${title} stays where it was.`);
  }

  /** The time a cell stands for: a free slot of it, the hour, or the hour of day that was. */
  function timeOf(cell) {
    const { day, hour, free } = cell.dataset;
    if (free) return free;
    if (hour !== undefined) return `${day}T${two(hour)}:00`;
    return carried?.local ? `${day}T${carried.local.slice(11)}` : null;
  }
  function put(cell) {
    if (cell.classList.contains("gone")) return announce("That time has passed. Choose a later one.");
    if (cell.classList.contains("skipped")) return announce("Clocks skip this hour. Choose another one.");
    const what = carried, local = timeOf(cell);
    carried = null;
    mark();
    if (local === null) return plan(`${cell.dataset.day}T${two(cell.dataset.best ?? 12)}:00`, what.id);
    if (local === what.local) return announce(`${what.title} stays where it was.`);
    return place(what, local);
  }

  /** Ask the API; where it does not fit, ask whether it shall be there anyway. */
  async function place(what, local, anyway = false) {
    const [method, path] = what.kind === "release" ? ["PATCH", `/api/schedule/releases/${what.id}`] : ["POST", `/api/schedule/tracks/${encodeURIComponent(what.id)}`];
    try {
      const done = await api(method, path, { local, anyway });
      const text = `${what.title}: ${local.slice(0, 10)} ${local.slice(11)}.`;
      announce(text);
      say(text, { undo: () => undo(what, done) });
      $("#plan-dialog", main).close();
      $("#release-dialog", main).close();
      wanted = { day: local.slice(0, 10), hour: week() ? Number(local.slice(11, 13)) : undefined };
      await refresh();
      return true;
    } catch (error) {
      const odd = error.problem?.type === "/problems/conflict" && error.problem.detail.includes("does not fit");
      if (!odd || anyway) say(error.message, { bad: true });
      else if (await confirmed(`${error.problem.detail[0].toUpperCase()}${error.problem.detail.slice(1)} Put it there anyway?`)) return place(what, local, true);
      return false;
    }
  }
  async function undo(what, done) {
    try {
      if (what.kind === "track") await api("DELETE", `/api/schedule/releases/${done.id}`);
      else await api("PATCH", `/api/schedule/releases/${what.id}`, { local: what.local, anyway: true });
      refresh();
    } catch (error) { say(error.message, { bad: true }); }
  }

  // Dialogs ---------------------------------------------------------------------------------

  function plan(local, track = null) {
    const dialog = $("#plan-dialog", main), select = $("select", dialog), tracks = $$("[data-track-pick]", main).map(e => JSON.parse(e.dataset.trackPick));
    select.replaceChildren(...tracks.map(t => new Option(t.title, t.id, false, t.id === track)));
    $("#plan-form", dialog).hidden = !tracks.length;
    $("#plan-empty", dialog).hidden = tracks.length > 0;
    $("[name=local]", dialog).value = local;
    dialog.showModal();
  }
  function details(r) {
    const dialog = $("#release-dialog", main), facts = $("dl", dialog), form = $("#move-form", dialog);
    $("h2", dialog).textContent = r.title;
    const chosen = { hand: "by hand", next: "as the next free slot", best: "by the best hours", slot: "by a slot that fills itself", now: "at once" }[r.chosen];
    const lines = [["State", r.state.replaceAll("_", " ")], [r.state === "published" ? "Went out" : "Goes out", `${r.local.replace("T", " ")}, ${r.privacy}`], ["Chosen", [chosen, r.chosen === "best" ? r.why : ""].filter(Boolean).join(". ")], ...r.conflicts.map(c => ["Conflict", c.reason])];
    facts.replaceChildren(...lines.filter(([, text]) => text).flatMap(([name, text]) => {
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = name;
      dd.textContent = text;
      if (name === "Conflict") dd.className = "clash";
      return [dt, dd];
    }));
    $("#release-track", dialog).href = `/tracks/${encodeURIComponent(r.track_id)}`;
    if (form) {
      form.hidden = !r.movable;
      form.dataset.of = JSON.stringify(r);
      form.elements.local.value = r.local;
    }
    dialog.showModal();
  }

  // What is clicked, typed and dragged ------------------------------------------------------

  main.addEventListener("click", event => {
    const chip = event.target.closest("button[data-release]"), slot = event.target.closest("[data-plan]"), tray = event.target.closest("[data-track-pick]");
    if (chip) details(JSON.parse(chip.dataset.release));
    else if (slot) plan(slot.dataset.plan);
    else if (tray) plan($("[data-free]:not(.gone)", main)?.dataset.free ?? `${shifted($("table", main).dataset.now, 1)}T12:00`, JSON.parse(tray.dataset.trackPick).id);
    else if (event.target.id === "release-cancel") cancel(JSON.parse($("#move-form", main).dataset.of));
    else if (event.target.matches("[data-day]") && carried) put(event.target);
    else if (event.target.matches("[data-day]")) rove(event.target);
  });
  async function cancel(r) {
    try {
      await api("DELETE", `/api/schedule/releases/${r.id}`);
      $("#release-dialog", main).close();
      say(`${r.title} is out of the schedule.`);
      refresh();
    } catch (error) { say(error.message, { bad: true }); }
  }
  main.addEventListener("submit", event => {
    if (!["move-form", "plan-form"].includes(event.target.id)) return;
    event.preventDefault();
    event.stopPropagation();
    const { local, track } = event.target.elements;
    if (track) place({ kind: "track", id: track.value, title: track.selectedOptions[0].textContent, local: null }, local.value);
    else {
      const r = JSON.parse(event.target.dataset.of);
      place({ kind: "release", id: r.id, title: r.title, local: r.local }, local.value);
    }
  });
  main.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("dialog")) return;
    const cell = event.target.closest("[data-day]"), chip = event.target.closest("[data-release], [data-track-pick]");
    if (event.key === "Escape" && carried) { event.preventDefault(); return letGo(); }
    if (event.key === "Enter" && chip && !carried && chip.getAttribute("draggable") === "true") { event.preventDefault(); return pick(chip); }
    if (!cell) return;
    if (/^(Arrow|Page|Home|End)/.test(event.key)) { event.preventDefault(); event.stopPropagation(); return step(cell, event.key); }
    if (event.key !== "Enter" || event.target !== cell && !carried) return;
    event.preventDefault();
    if (carried) return put(cell);
    const movable = $("[data-release][draggable]", cell), fixed = $("[data-release]", cell);
    if (movable) pick(movable);
    else if (fixed) details(JSON.parse(fixed.dataset.release));
    else if (!cell.classList.contains("gone") && $("#move-form", main)) plan(timeOf(cell) ?? `${cell.dataset.day}T${two(cell.dataset.best ?? 12)}:00`);
  });
  main.addEventListener("dragstart", event => {
    const element = event.target.closest?.("[draggable=true]");
    carried = element ? read(element) : null;
    if (!carried) return;
    event.dataTransfer.setData("text/plain", carried.title);
    event.dataTransfer.effectAllowed = "move";
    mark();
  });
  const over = event => carried ? event.target.closest?.("[data-day]") : null;
  main.addEventListener("dragover", event => {
    const cell = over(event);
    if (!cell || cell.classList.contains("gone")) return;
    event.preventDefault();
    for (const c of $$(".over", main)) if (c !== cell) c.classList.remove("over");
    cell.classList.add("over");
  });
  main.addEventListener("drop", event => {
    const cell = over(event);
    if (!cell) return;
    event.preventDefault();
    cell.classList.remove("over");
    put(cell);
  });
  main.addEventListener("dragend", () => {
    for (const c of $$(".over", main)) c.classList.remove("over");
    carried = null;
    mark();
  });
  main.addEventListener("fresh", event => { if (event.target.id === "calendar") begin(); });
  begin();
  if (carried) announce(`${carried.title} is still picked up.`);
}
