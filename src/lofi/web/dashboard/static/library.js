// The library: found as one types, and many tracks changed at once.
import { $, $$, api, confirmed, refresh, say } from "./core.js";

const SOON_MS = 250; // after the last key

export function open(main) {
  const form = $("#filters", main), bulk = $("#bulk", main), chosen = new Map();
  let timer = null, last = null;
  const off = new AbortController(), on = (target, type, act) => target.addEventListener(type, act, { signal: off.signal });

  // Finding: the parts that show what was found are drawn anew; what is typed in is not touched.
  const find = () => {
    clearTimeout(timer);
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim() !== ""));
    const url = query.size ? `/library?${query}` : "/library", now = new URLSearchParams(location.search);
    now.delete("page");
    if ([...now].sort().join("&") === [...query].sort().join("&")) return;
    history.replaceState({}, "", url);
    $("#results", main).setAttribute("aria-busy", "true");
    refresh();
  };
  $("[data-plain]", form).hidden = true; // it finds by itself
  on(form, "submit", event => { event.preventDefault(); event.stopPropagation(); find(); });
  on(form, "input", event => { clearTimeout(timer); timer = setTimeout(find, event.target.matches("[type=search], [type=text], [type=number]") ? SOON_MS : 0); });

  // Choosing.
  const boxes = () => $$("[data-pick]", main);
  const paint = () => {
    const there = boxes();
    for (const box of there) {
      box.checked = chosen.has(box.dataset.pick);
      box.closest(".on-shelf, tr")?.classList.toggle("picked", box.checked);
    }
    const all = $("[data-pick-all]", main), count = there.filter(box => box.checked).length;
    if (all) { all.checked = count > 0 && count === there.length; all.indeterminate = count > 0 && count < there.length; }
    $("[data-count]", bulk).textContent = chosen.size;
    bulk.hidden = !chosen.size;
    main.classList.toggle("picking", chosen.size > 0);
  };
  const choose = (box, yes) => yes ? chosen.set(box.dataset.pick, { package: box.dataset.package, state: box.dataset.state }) : chosen.delete(box.dataset.pick);
  on(main, "click", event => {
    const box = event.target.closest("input[data-pick]");
    if (box) {
      const there = boxes(), from = there.findIndex(b => b.dataset.pick === last), to = there.indexOf(box);
      const range = event.shiftKey && from >= 0 ? there.slice(Math.min(from, to), Math.max(from, to) + 1) : [box];
      for (const b of range) choose(b, box.checked);
      last = box.dataset.pick;
      paint();
    } else if (event.target.closest("input[data-pick-all]")) {
      const yes = event.target.checked;
      for (const b of boxes()) choose(b, yes);
      paint();
    }
    const act = event.target.closest("[data-bulk]");
    if (act) acts[act.dataset.bulk]();
  });
  on(main, "fresh", () => {
    const there = new Map(boxes().map(box => [box.dataset.pick, box]));
    for (const id of [...chosen.keys()]) there.has(id) ? choose(there.get(id), true) : chosen.delete(id);
    paint();
  });
  on(document, "keydown", event => { if (event.key === "Escape" && chosen.size && !$("dialog[open]")) clear(); });
  const clear = () => { chosen.clear(); paint(); };

  // Doing.
  const plural = n => `${n} track${n === 1 ? "" : "s"}`;
  const ask = async (dialog, kind) => {
    for (const part of $$("[data-only]", dialog)) part.hidden = part.dataset.only !== kind;
    $("form", dialog).reset();
    dialog.returnValue = "no";
    dialog.showModal();
    await new Promise(done => dialog.addEventListener("close", done, { once: true }));
    return dialog.returnValue === "yes" ? Object.fromEntries(new FormData($("form", dialog))) : null;
  };
  const send = async (path, body, said, undo = null, ids = [...chosen.keys()]) => {
    try {
      const told = await api("POST", path, { ids, ...body });
      if (told.done.length) say(`${plural(told.done.length)} ${said}.`, undo ? { undo: () => undo(told.done) } : {});
      for (const [reason, left] of grouped(told.failed)) say(`${plural(left.length)} left as ${left.length === 1 ? "it was" : "they were"}: ${reason}`, { bad: true });
      for (const id of told.done) chosen.delete(id);
      paint();
      refresh();
    } catch (error) { say(error.message, { bad: true }); }
  };
  const decide = async (kind, decision) => {
    const dialog = $("#deciding", main), word = kind === "approve" ? "Approve" : "Reject";
    $("h2", dialog).textContent = `${word} ${plural(chosen.size)}`;
    $("[value=yes]", dialog).textContent = word;
    const told = await ask(dialog, kind);
    if (!told) return;
    const packages = Object.fromEntries([...chosen].map(([id, { package: sha }]) => [id, sha]));
    await send("/api/tracks/bulk/decide", { decision, note: told.note, packages, ...(kind === "approve" ? { privacy: told.privacy } : {}) }, decision);
  };
  const words = text => text.split(/[,;]/).map(t => t.trim()).filter(Boolean);
  const acts = {
    clear,
    approve: () => decide("approve", "approved"),
    reject: () => decide("reject", "rejected"),
    async tag() {
      const told = await ask($("#tagging", main)), add = words(told?.add ?? ""), gone = words(told?.remove ?? "");
      if (add.length || gone.length) await send("/api/tracks/bulk/change", { add_tags: add, remove_tags: gone }, "tagged");
    },
    async delete() {
      if (chosen.size > 1 && !await confirmed(`Delete ${plural(chosen.size)}? They can be restored for 30 days.`)) return;
      await send("/api/tracks/bulk/change", { deleted: true }, "deleted", ids => send("/api/tracks/bulk/change", { deleted: false }, "restored", null, ids));
    },
    restore: () => send("/api/tracks/bulk/change", { deleted: false }, "restored"),
    async schedule() {
      const dialog = $("#planning", main);
      $("h2", dialog).textContent = `Plan ${plural(chosen.size)}`;
      const told = await ask(dialog);
      if (!told) return;
      const done = [], failed = [];
      for (const id of chosen.keys()) { // one after the other: each takes the next slot that is free
        try {
          await api("POST", `/api/schedule/tracks/${encodeURIComponent(id)}`, { choose: told.choose });
          done.push(id);
        } catch (error) { failed.push({ id, cause: error.message, remedy: "" }); }
      }
      if (done.length) say(`${plural(done.length)} planned.`);
      for (const [reason, ids] of grouped(failed)) say(`${plural(ids.length)} not planned: ${reason}`, { bad: true });
      for (const id of done) chosen.delete(id);
      paint();
      refresh();
    },
  };
  // What was ticked and typed before this was there.
  for (const box of boxes()) if (box.checked) { choose(box, true); last = box.dataset.pick; }
  paint();
  find();
  return () => { clearTimeout(timer); off.abort(); };
}

/** Those that stayed as they were for one reason, together. */
function grouped(failed) {
  const by = new Map();
  for (const { id, cause, remedy } of failed) {
    const reason = `${cause} ${remedy}`.trim().replaceAll(`track ${id}`, "it").replaceAll(id, "ID");
    by.set(reason, [...by.get(reason) ?? [], id]);
  }
  return by;
}
