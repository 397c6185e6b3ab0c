// Create: the form, presets, a MIDI file to go on from, and candidates to listen to.
import { $, $$, api, clock, confirmed, onLive, player, point, refresh, say, store, values } from "./core.js";

const PLAY = "M8 5l12 7-12 7z", PAUSE = "M7 5h3v14H7zM14 5h3v14h-3z";
const PROMPT = "prompt:create";
const EMPTY = ["bpm-auto", "duration-auto", "prompt-how", "prompt-keep"]; // of the page, not of the order

export function open(main) {
  const form = $(".create > form", main), field = name => form.elements[name];
  let prompt = null;                      // the MIDI file to go on from, as the studio heard it
  let hearing = null;                     // a file that is on its way; gives whether it could be had
  const wanted = new Set(), sounds = new Map(); // previews to be played as soon as they are there; by job

  // The form ---------------------------------------------------------------------------------

  const chosen = name => $(`[name="${name}"]:checked`, form);
  const varies = () => prompt !== null && chosen("prompt-how").value === "vary";

  /** What is asked for, in the words of the API. */
  function order() {
    const told = values(form);
    for (const name of EMPTY) delete told[name];
    if (!told.instruments?.length) delete told.instruments;
    if (!told.stems) delete told.stems;
    if (prompt) {
      const { how, keep } = madeFrom();
      told.prompt = { sha256: prompt.sha256, how, ...(varies() ? { keep } : {}) };
    }
    return told;
  }

  const madeFrom = () => ({ how: chosen("prompt-how").value, keep: $$("[name=prompt-keep]:checked", form).map(box => box.value) });

  /** What follows from what is chosen: dials that are left open, fields that the MIDI file decides. */
  function sync() {
    const [low, high] = chosen("mood").dataset.bpm.split(",").map(Number);
    const fixed = new Set(prompt ? [...(prompt.key ? ["key"] : []), ...(varies() ? ["duration", "form", "chords"] : [])] : []);
    const open = {
      bpm: prompt ? `${+prompt.bpm.toFixed(1)}, as in the file` : `${low}–${high}, by mood`,
      duration: varies() ? "as in the file" : prompt ? "twice the file, or as its form has it" : "2:00, or as its form has it",
    };
    for (const name of ["bpm", "duration"]) {
      const input = field(name), auto = field(`${name}-auto`), dial = $(`#dial-${name}`, form);
      auto.disabled = fixed.has(name);
      const left = auto.checked || auto.disabled;
      if (name === "bpm" && auto.checked) input.value = prompt ? prompt.bpm : (low + high) / 2;
      input.disabled = left;
      if (name === "bpm") auto.nextElementSibling.textContent = prompt ? "as in the file" : "by mood";
      $("output", dial).textContent = left ? open[name] : dial.dataset.how === "clock" ? clock(input.value) : input.value;
    }
    for (const name of ["key", "form", "chords"]) field(name).disabled = fixed.has(name);
    field("key").options[0].textContent = fixed.has("key") ? prompt.key : "by chance";
    if (fixed.has("key")) field("key").value = "";
    $("[data-prompt-keep]", form).hidden = !varies();
    for (const about of $$("[data-about]", form)) $("small", about).textContent = $(":checked", about).closest("label").title;
  }

  /** Fill the form with an order: a preset, or what the address asks for. */
  function fill(told) {
    const { how, keep } = madeFrom();
    form.reset();
    showPrompt(prompt, { how, keep });
    for (const [name, value] of Object.entries(told)) {
      const known = field(name);
      if (!known) continue;
      if (name === "instruments") {
        const parts = Array.isArray(value) ? value : value.split(/[\s,]+/);
        for (const box of $$("[name=instruments]", form)) box.checked = parts.includes(box.value);
      } else if (known instanceof RadioNodeList) {
        const radio = [...known].find(r => r.value === String(value).toLowerCase());
        if (radio) radio.checked = true;
      } else if (known.type === "checkbox") known.checked = value === true || value === "true";
      else known.value = name === "duration" ? seconds(value) : value;
      if (form.elements[`${name}-auto`]) field(`${name}-auto`).checked = false;
    }
    if (["form", "chords", "instruments", "swing", "density", "temperature", "top_k", "top_p", "model", "soundfont", "stems"].some(n => n in told)) $("#more-words", form).open = true;
    changed();
  }

  function changed() {
    sync();
    form.dispatchEvent(new Event("input", { bubbles: true })); // the frame keeps what is typed
  }

  /** Order something; what is wrong is told at its field. */
  async function ask(path, extra, words) {
    if (form.getAttribute("aria-busy") === "true" || !form.reportValidity()) return null;
    for (const note of $$(".wrong", form)) note.remove();
    for (const f of $$("[aria-invalid]", form)) f.removeAttribute("aria-invalid");
    form.setAttribute("aria-busy", "true");
    try {
      if (hearing && !await hearing) return null;
      const answer = await api("POST", path, { ...order(), ...extra });
      say(words(answer.jobs.length));
      await refresh(new Set(["job"]));
      return answer;
    } catch (error) {
      if (error.problem?.errors?.length) $("#more-words", form).open = true;
      point(form, error);
      return null;
    } finally {
      form.removeAttribute("aria-busy");
    }
  }

  async function generate() {
    const answer = await ask("/api/generate", {}, n => n === 1 ? "The track is queued." : `${n} tracks are queued.`);
    if (answer) show($("#results", main));
  }

  async function preview(count) {
    for (const sound of sounds.values()) sound.pause();
    const answer = await ask("/api/preview", { count }, n => n === 1 ? "Ten seconds of it are on their way." : "Two candidates are on their way.");
    if (!answer) return;
    if (count === 1) wanted.add(answer.id);
    show($("#candidates", main));
  }

  // Presets ----------------------------------------------------------------------------------

  let preset = "";
  const picked = () => $("[data-presets]", main).selectedOptions[0];

  /** The list is drawn anew now and then; what was chosen stays chosen. */
  function showPreset(name = preset) {
    const list = $("[data-presets]", main), button = $("[data-delete-preset]", main);
    preset = [...list.options].some(o => o.value === name) ? name : "";
    list.value = preset;
    if (button) button.disabled = !preset;
  }

  async function savePreset(dialog) {
    const input = $("input", dialog), name = input.value.trim().replace(/\s+/g, " "), told = order();
    delete told.prompt;
    try {
      await api("PUT", `/api/presets/${encodeURIComponent(name)}`, told);
      $("#save-preset", main).close();
      say(`Saved as “${name}”.`);
      preset = name;
      await refresh(new Set(["preset"]));
    } catch (error) {
      if (error.problem?.errors?.length) $("#save-preset", main).close();
      point(form, error);
    }
  }

  async function deletePreset() {
    const name = picked().value;
    if (!name || !await confirmed(`Delete the preset “${name}”?`)) return;
    try {
      await api("DELETE", `/api/presets/${encodeURIComponent(name)}`);
      await refresh(new Set(["preset"]));
    } catch (error) {
      say(error.message, { bad: true });
    }
  }

  // A MIDI file ------------------------------------------------------------------------------

  function showPrompt(heard, { how = "continue", keep = null } = {}) {
    prompt = heard;
    const box = $(".prompt", form);
    box.hidden = heard === null;
    $("[data-drop]", form).hidden = heard !== null;
    if (heard) {
      $("[data-prompt-name]", box).textContent = heard.name;
      $("[data-prompt-told]", box).textContent = [`${heard.bars} bars`, `${+heard.bpm.toFixed(1)} bpm`, heard.key ?? "no key", heard.parts.join(", "), ...heard.repairs].join(" · ");
      for (const radio of $$("[name=prompt-how]", box)) radio.checked = radio.value === how;
      for (const part of $$("[name=prompt-keep]", box)) {
        const there = heard.parts.includes(part.value);
        part.closest("label").hidden = !there;
        part.checked = there && (keep ?? ["drums", "bass"]).includes(part.value);
      }
    }
    sync();
    keepPrompt();
  }

  const keepPrompt = () => store.set(PROMPT, prompt && { heard: prompt, ...madeFrom() });

  async function sendPrompt(input) {
    const [file] = input.files, zone = input.closest("[data-drop]"), words = zone.lastChild, text = words.textContent;
    if (!file) return true;
    const data = new FormData();
    data.append("file", file);
    zone.setAttribute("aria-busy", "true");
    words.textContent = `Listening to ${file.name} …`;
    try {
      showPrompt(await api("POST", "/api/prompts", data));
      return true;
    } catch (error) {
      say(error.message, { bad: true });
      return false;
    } finally {
      zone.removeAttribute("aria-busy");
      words.textContent = text;
      input.value = "";
    }
  }

  async function recallPrompt() {
    const kept = store.get(PROMPT);
    if (!kept) return true;
    try {
      showPrompt(await api("GET", `/api/prompts/${kept.heard.sha256}`), kept);
      return true;
    } catch (error) {
      const gone = error.problem?.status === 404;
      if (gone) store.set(PROMPT, null);
      say(gone ? `The studio has forgotten ${kept.heard.name}. Choose the file once more.` : error.message, { bad: true });
      return false;
    }
  }

  /** What is ordered meanwhile waits for the file. */
  function waitFor(heard) {
    hearing = heard;
    heard.finally(() => { if (hearing === heard) hearing = null; });
  }

  // Candidates -------------------------------------------------------------------------------

  const cards = () => $$(".candidate[data-src]", main);
  const soundOf = card => {
    const id = card.dataset.job;
    if (!sounds.has(id)) {
      const sound = new Audio(card.dataset.src);
      for (const type of ["play", "pause", "timeupdate", "ended"]) sound.addEventListener(type, mark);
      sounds.set(id, sound);
    }
    return sounds.get(id);
  };

  /** Show on the cards what plays, and where it is. */
  function mark() {
    for (const card of cards()) {
      const sound = sounds.get(card.dataset.job), button = $("[data-hear]", card), seek = $("[data-seek]", card);
      if (!sound || !button) continue;
      const letter = button.getAttribute("aria-label").split(" ").at(-1);
      button.setAttribute("aria-label", `${sound.paused ? "Play" : "Pause"} ${letter}`);
      $("path", button).setAttribute("d", sound.paused ? PLAY : PAUSE);
      card.classList.toggle("playing", !sound.paused);
      if (sound.duration) seek.value = 1000 * sound.currentTime / sound.duration;
      seek.setAttribute("aria-valuetext", clock(sound.currentTime));
      $("time", card).textContent = clock(sound.currentTime);
    }
  }

  /** Play a candidate, from where another was: so two are compared at the same place. */
  function hear(card) {
    const sound = soundOf(card), other = [...sounds.values()].find(s => s !== sound && !s.paused);
    if (!sound.paused) return sound.pause();
    player.audio.pause();
    if (other) { other.pause(); sound.currentTime = other.currentTime; }
    sound.play().catch(error => error.name === "NotAllowedError" || error.name === "AbortError" ? mark() : say("This browser does not play the preview.", { bad: true }));
  }

  const quiet = () => { for (const sound of sounds.values()) sound.pause(); };
  const stopListening = onLive(async told => {
    if (told.type !== "job" || told.job.kind !== "preview" || told.job.state !== "done" || !wanted.delete(told.job.id)) return;
    await refresh(new Set(["job"]));
    const card = cards().find(c => c.dataset.job === told.job.id);
    if (card) hear(card);
  });

  // What is clicked and typed ----------------------------------------------------------------

  form.addEventListener("submit", event => { event.preventDefault(); generate(); });
  form.addEventListener("input", sync);
  form.addEventListener("change", event => {
    const target = event.target;
    if (target.type === "file") waitFor(sendPrompt(target));
    else if (target.dataset.presets !== undefined) {
      preset = picked().value;
      if (preset) fill(JSON.parse(picked().dataset.order));
      showPreset();
    } else if (target.name?.startsWith("prompt-")) { sync(); keepPrompt(); }
  });
  main.addEventListener("click", event => {
    const on = name => event.target.closest(`[data-${name}]`);
    let found;
    if (on("dice")) { field("seed").value = crypto.getRandomValues(new Uint32Array(1))[0] >>> 1; changed(); }
    else if ((found = on("preview"))) preview(Number(found.dataset.preview));
    else if ((found = on("seed"))) { field("seed").value = found.dataset.seed; changed(); say(`The next track has seed ${found.dataset.seed}.`); }
    else if (on("hear")) hear(event.target.closest(".candidate"));
    else if (on("delete-preset")) deletePreset();
    else if (on("prompt-remove")) showPrompt(null);
    else if (on("close")) event.target.closest("dialog").close();
  });
  main.addEventListener("input", event => {
    if (event.target.dataset.seek === undefined) return;
    const sound = soundOf(event.target.closest(".candidate"));
    if (sound.duration) sound.currentTime = event.target.value / 1000 * sound.duration;
  });
  main.addEventListener("submit", event => {
    if (event.target.dataset.savePreset === undefined) return;
    event.preventDefault();
    savePreset(event.target);
  });
  main.addEventListener("fresh", () => { mark(); showPreset(); });
  player.audio.addEventListener("play", quiet);
  const keys = event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.target.closest?.("form") && !$("dialog[open]")) form.requestSubmit();
  };
  document.addEventListener("keydown", keys);

  if (matchMedia("(min-width: 1001px)").matches) $("#more-words", form).open = true;
  if (location.search) {
    fill(Object.fromEntries(new URLSearchParams(location.search)));
    history.replaceState({}, "", location.pathname);
  }
  sync();
  waitFor(recallPrompt());
  return () => {
    quiet();
    stopListening();
    document.removeEventListener("keydown", keys);
    player.audio.removeEventListener("play", quiet);
  };
}

const show = part => part.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });

/** 150 for 150, "150", "2:30" and "2m". */
function seconds(value) {
  const text = String(value).trim().replace(/s$/, "");
  if (text.endsWith("m")) return 60 * parseFloat(text);
  return text.split(":").reduce((all, part) => 60 * all + Number(part), 0);
}
