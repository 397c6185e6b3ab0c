// The listing of a track, edited: what the studio says of every change stands beside it as one types.
import { $, $$, api, confirmed, refresh, say, store } from "./core.js";

const SOON_MS = 300;

/** Make the listing of a page editable; gives a function that ends it. */
export function listing(root, transport) {
  const form = $("[data-words]", root), path = root.dataset.listing, save = $("[data-save]", form), back = $("[data-back]", form);
  let sha = root.dataset.sha, timer = null, turn = 0, drawnTake = 0, before = values();
  const draft = () => `listing:${path}:${sha}`;

  function values() {
    const localizations = {};
    for (const set of $$("[data-language]", form)) localizations[set.dataset.language] = Object.fromEntries($$("[data-part]", set).map(f => [f.dataset.part, f.value]));
    return {
      title: form.elements.title.value, description: form.elements.description.value,
      tags: form.elements.tags.value.split(",").map(t => t.trim()).filter(Boolean), localizations,
    };
  }
  function fill(said) {
    form.elements.title.value = said.title;
    form.elements.description.value = said.description;
    form.elements.tags.value = said.tags.join(", ");
    for (const set of $$("[data-language]", form)) {
      const there = said.localizations[set.dataset.language];
      for (const f of $$("[data-part]", set)) f.value = there?.[f.dataset.part] ?? "";
    }
  }
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  /** Show what the studio says of a listing. */
  function show(told) {
    for (const [name, count, most] of [["title", told.counts.title_characters, told.counts.title_characters_max], ["description", told.counts.description_bytes, told.counts.description_bytes_max], ["tags", told.counts.tags_characters, told.counts.tags_characters_max]]) {
      const gauge = $(`[data-gauge=${name}]`, form);
      $("meter", gauge).value = Math.min(count, most);
      $("b", gauge).textContent = count.toLocaleString("en");
      gauge.classList.toggle("over", count > most);
    }
    $("[data-chapter-count]", form).textContent = told.counts.chapters;
    $("[data-problems]", form).replaceChildren(...told.problems.map(p => Object.assign(document.createElement("li"), { textContent: p })));
    for (const title of $$("[data-preview-title]", root)) title.textContent = told.preview.title;
    $("[data-hashtags]", root).textContent = told.preview.hashtags.join(" ");
    $("[data-opening]", root).textContent = told.preview.opening;
    marks(told.preview.chapters);
    $("[data-chapters]", root).replaceChildren(...told.preview.chapters.map(c => {
      const item = document.createElement("li"), button = document.createElement("button"), name = document.createElement("bdi");
      Object.assign(button, { type: "button", className: "ghost small", textContent: c.clock });
      button.dataset.jump = c.start_s;
      name.textContent = c.name;
      item.append(button, " ", name);
      return item;
    }));
    if (save) save.disabled = told.problems.length > 0 || same(values(), before);
  }
  /** Where chapters begin, along the picture's edge. */
  function marks(chapters) {
    $("[data-marks]", root).replaceChildren(...chapters.map((c, i) => {
      const piece = document.createElement("i");
      piece.style.flexGrow = (chapters[i + 1]?.start_s ?? transport.length) - c.start_s;
      return piece;
    }));
  }
  async function check() {
    const mine = ++turn;
    try {
      const told = await api("POST", `${path}/check`, values());
      if (mine === turn) show(told);
    } catch (error) {
      if (mine !== turn) return;
      $("[data-problems]", form).replaceChildren(Object.assign(document.createElement("li"), { textContent: error.message }));
      if (save) save.disabled = true;
    }
  }
  function typed() {
    const now = values(), changed = !same(now, before);
    if (back) back.hidden = !changed;
    store.set(draft(), changed ? now : null);
    clearTimeout(timer);
    timer = setTimeout(check, SOON_MS);
  }
  /** What holds from now on, as it was kept. */
  function kept(told) {
    store.set(draft(), null);
    sha = root.dataset.sha = told.sha256;
    fill(told);
    before = values();
    show(told);
    back.hidden = true;
    $("[data-reset]", form).hidden = !told.edited;
    $("[data-edited]", root).textContent = told.edited ? `changed by ${told.edited_by}` : "";
    refresh(new Set(["listing"])); // what is decided on is another listing
  }
  const ifSame = () => ({ "If-Match": `"${sha}"` });
  const trying = async (button, work) => {
    button.setAttribute("aria-busy", "true");
    try { await work(); } catch (error) { say(error.message, { bad: true }); } finally { button.removeAttribute("aria-busy"); }
  };
  form.addEventListener("input", typed);
  form.addEventListener("submit", event => {
    event.preventDefault();
    event.stopPropagation();
    if (save && !save.disabled) trying(save, async () => { kept(await api("PUT", path, values(), ifSame())); say("The listing is kept."); });
  });
  const draw = $("[data-draw]", form), reword = $("[data-reword]", form), reset = $("[data-reset]", form);
  draw?.addEventListener("click", () => trying(draw, async () => {
    const told = await api("POST", `${path}/draw`, { after: drawnTake });
    drawnTake = told.take;
    fill(told);
    typed();
  }));
  reword?.addEventListener("click", () => trying(reword, async () => { fill(await api("POST", `${path}/rewrite`)); typed(); }));
  reset?.addEventListener("click", async () => {
    if (await confirmed("Take back every change a person made of this listing?")) trying(reset, async () => { kept(await api("DELETE", path, undefined, ifSame())); say("It is as it was drawn."); });
  });
  back?.addEventListener("click", () => { fill(before); typed(); });

  // Rules, asked for when somebody looks.
  const folded = $("#preflight", root);
  folded.addEventListener("toggle", async () => {
    if (!folded.open) return;
    const box = $("[data-preflight]", folded);
    try {
      const told = await api("GET", box.dataset.preflight), list = document.createElement("ul");
      list.className = "plain rules";
      for (const found of [...told.findings].sort((a, b) => (a.outcome === "ok") - (b.outcome === "ok"))) {
        const item = document.createElement("li"), chip = document.createElement("span"), source = document.createElement("small");
        chip.className = `chip ${found.outcome}`;
        chip.textContent = found.outcome;
        source.textContent = found.detail || found.source;
        item.append(chip, ` ${found.says} `, source);
        list.append(item);
      }
      const verdict = document.createElement("p");
      verdict.textContent = told.passes ? "Nothing keeps it from being sent, privately." : `${told.blocked} rule${told.blocked === 1 ? " keeps" : "s keep"} it from being sent.`;
      box.replaceChildren(verdict, list);
    } catch (error) { box.textContent = error.message; }
  });

  const left = store.get(draft());
  if (left && !same(left, before)) {
    fill(left);
    typed();
    say("What you had typed into the listing is back; it is not kept yet.");
  }
  marks($$("[data-chapters] [data-jump]", root).map(b => ({ start_s: Number(b.dataset.jump) })));
  return () => clearTimeout(timer);
}
