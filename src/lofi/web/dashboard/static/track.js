// The page of a track: one transport for master, stems and video; and what is done to the track.
import { $, $$, api, clock, go, onLive, player, refresh, say } from "./core.js";
import { listing } from "./listing.js";
import { matches } from "./match.js";
import { mixer } from "./mixer.js";
import { at, stage } from "./stage.js";

const PLAY = "M8 5l12 7-12 7z", PAUSE = "M7 5h3v14H7zM14 5h3v14h-3z";

export function open(main) {
  const head = $("#head", main), listen = $("#listen", main), endings = [];
  const off = new AbortController(), on = (target, type, act) => target?.addEventListener(type, act, { signal: off.signal });
  endings.push(() => off.abort());
  if (!listen) return () => off.abort(); // it was deleted: there is nothing to hear
  const id = listen.dataset.track, base = `/api/tracks/${encodeURIComponent(id)}`;

  // The transport ------------------------------------------------------------------------------
  const of = { id, title: listen.dataset.title, sub: listen.dataset.sub, src: listen.dataset.src, cover: listen.dataset.cover };
  const video = $("video", main), toggle = $("[data-toggle]", listen), bpm = Number(listen.dataset.bpm);
  let source = "master", waiting = 0, told = null, mix = null;
  const ours = () => player.track?.id === id && player.track.src === of.src;
  // Stems hold every note where it was written; the tape of the master plays it a little elsewhere.
  const beats = () => told?.beats_s ?? [];
  const heard = written => {
    const list = beats(), place = written * bpm / 60, i = Math.floor(place);
    if (i < 0 || i + 1 >= list.length) return list.length ? written + list.at(-1) - (list.length - 1) * 60 / bpm : written;
    return list[i] + (place - i) * (list[i + 1] - list[i]);
  };
  const written = second => {
    const list = beats(), i = at(list, second, s => s);
    if (i < 0 || i + 1 >= list.length) return list.length ? Math.max(0, second - list.at(-1) + (list.length - 1) * 60 / bpm) : second;
    return (i + (second - list[i]) / (list[i + 1] - list[i])) * 60 / bpm;
  };
  const transport = {
    length: Number(listen.dataset.length),
    now: () => source === "stems" ? heard(mix.now()) : ours() ? player.audio.currentTime : waiting,
    get playing() { return source === "stems" ? mix.running : ours() && !player.audio.paused; },
    hears: part => source !== "stems" || mix.heard(part),
    seek(second) {
      if (source === "stems") mix.seek(written(second));
      else if (ours()) player.audio.currentTime = second;
      else waiting = second;
      picture.draw();
    },
    play(second = this.now()) {
      video?.pause();
      if (source === "stems") { player.audio.pause(); mix.play(written(second)); }
      else player.playAt(of, second);
    },
    pause() { source === "stems" ? mix.stop() : player.audio.pause(); },
    toggle() { this.playing ? this.pause() : this.play(); },
    moved(now, timeline) { show(now, timeline); },
  };
  const picture = stage(listen, transport);
  endings.push(() => picture.end());

  let said = "";
  const wave = $("[data-wave]", listen);
  function show(now, timeline) {
    $("[data-at]", listen).textContent = clock(Math.floor(now));
    const begun = now + 0.02, bar = timeline ? at(timeline.bars_s, begun, s => s) : -1, section = timeline ? at(timeline.sections, begun) : -1, chord = timeline ? timeline.chords[at(timeline.chords, begun)] : null;
    const words = [clock(Math.floor(now)), bar >= 0 ? `bar ${bar + 1}` : "", section >= 0 ? timeline.sections[section].name : "", chord?.played ?? chord?.planned ?? ""].filter(Boolean);
    if (words.join() === said) return;
    said = words.join();
    $("[data-now]", listen).textContent = words.slice(1).join(" · ");
    wave.setAttribute("aria-valuenow", Math.floor(now));
    wave.setAttribute("aria-valuetext", words.join(", "));
    for (const button of $$("[data-section]", listen)) button.toggleAttribute("data-here", Number(button.dataset.section) === section);
    for (const cell of $$("[data-bar].here", main)) cell.classList.remove("here");
    if (bar >= 0) $(`[data-bar="${bar}"]`, main)?.classList.add("here");
  }
  const paint = () => {
    toggle.setAttribute("aria-label", `${transport.playing ? "Pause" : "Play"} ${of.title}`);
    $("path", toggle).setAttribute("d", transport.playing ? PAUSE : PLAY);
    listen.classList.toggle("sounding", transport.playing);
    picture.draw();
  };
  for (const type of ["play", "pause", "seeked", "ended", "loadedmetadata"]) on(player.audio, type, paint);
  on(player.audio, "play", () => { video?.pause(); if (mix?.running) mix.stop(); if (ours()) choose("master"); });
  on(video, "play", () => { player.audio.pause(); mix?.stop(); });
  on(toggle, "click", () => transport.toggle());
  on(main, "click", event => {
    const jump = event.target.closest("[data-jump]");
    if (jump) { transport.seek(Number(jump.dataset.jump)); if (!transport.playing) transport.play(Number(jump.dataset.jump)); }
  });
  on(document, "keydown", event => {
    if (event.key !== " " || player.track || event.target.closest("input, textarea, select, button, a, summary, [data-keys], dialog[open]")) return;
    event.preventDefault();
    transport.toggle();
  });

  // The stems ----------------------------------------------------------------------------------
  function choose(which) {
    if (source === which || (which === "stems" && !mix)) return;
    const now = transport.now(), playing = transport.playing;
    transport.pause();
    source = which;
    for (const button of $$("[data-source]", listen)) button.setAttribute("aria-pressed", String(button.dataset.source === which));
    if (which === "stems") mix.seek(written(now)); else waiting = now;
    if (playing) transport.play(now);
    else if (which === "master" && ours()) player.audio.currentTime = now;
    paint();
  }
  for (const button of $$("[data-source]", listen)) on(button, "click", () => choose(button.dataset.source));
  function heads() {
    const lanes = $(".lanes", listen);
    for (const old of $$(".lane", lanes)) old.remove();
    for (const part of Object.keys(told.notes)) {
      const lane = document.createElement("div"), name = document.createElement("b");
      lane.className = "lane";
      lane.dataset.part = part;
      name.textContent = part;
      lane.append(name);
      if (mix?.parts.includes(part)) {
        const keys = document.createElement("span");
        for (const [letter, word, act] of [["M", "Mute", "mute"], ["S", "Solo", "solo"]]) {
          const button = document.createElement("button");
          Object.assign(button, { type: "button", className: "ghost", textContent: letter, title: word });
          button.setAttribute("aria-label", `${word} ${part}`);
          button.setAttribute("aria-pressed", "false");
          button.onclick = () => {
            choose("stems");
            button.setAttribute("aria-pressed", String(mix[act](part)));
            for (const other of $$(".lane", lanes)) other.classList.toggle("quiet", !mix.heard(other.dataset.part));
            picture.draw();
          };
          keys.append(button);
        }
        lane.append(keys);
      }
      lanes.append(lane);
    }
  }

  // What comes after the page ------------------------------------------------------------------
  const loading = $("[data-loading]", listen);
  Promise.allSettled([
    api("GET", `${base}/peaks`).then(picture.peaks),
    api("GET", `${base}/timeline`).then(found => {
      told = found;
      if (found.stems.length) {
        mix = mixer(Object.fromEntries(found.stems.map(part => [part, (start, length) => `${base}/pieces/stems/${encodeURIComponent(part)}.flac?start_s=${start}&length_s=${length}`])), transport.length, () => {
          if (mix.problem) say(`The stems cannot be played: ${mix.problem.message}`, { bad: true });
          paint();
        });
        endings.push(() => mix.end());
      }
      heads();
      picture.timeline(found);
      sheet(found);
    }),
  ]).then(results => {
    const wrong = results.find(r => r.status === "rejected");
    loading.hidden = !wrong;
    if (wrong) loading.textContent = wrong.reason.message;
  });
  /** Chords as players read them: sections, bars, what is played in each. */
  function sheet(timeline) {
    const box = $("[data-sheet]", main);
    if (!box || !timeline.chords.length) return;
    box.replaceChildren(...timeline.sections.map((section, k) => {
      const part = document.createElement("div"), name = document.createElement("h3"), grid = document.createElement("ol");
      part.className = "chord-part";
      name.textContent = section.name;
      grid.className = "barlist";
      for (let bar = section.start_bar; bar < section.start_bar + section.bars; bar++) {
        const cell = document.createElement("li"), begin = timeline.bars_s[bar], end = timeline.bars_s[bar + 1] ?? timeline.duration_s;
        const here = timeline.chords.filter(c => c.start_s < end - 0.05 && c.end_s > begin + 0.05), once = names => names.filter((n, i) => n !== names[i - 1]).join("  ");
        const played = once(here.map(c => c.played ?? "–")), planned = once(here.map(c => c.planned ?? "–"));
        cell.dataset.bar = bar;
        cell.textContent = played;
        if (planned !== played) cell.append(Object.assign(document.createElement("small"), { textContent: planned }));
        grid.append(cell);
      }
      part.append(name, grid);
      return part;
    }));
    $("[data-chords]", main).hidden = false;
  }
  const originality = $("[data-resembles]", main), drawn = $("[data-drawn]", main);
  const seen = new IntersectionObserver(async entries => {
    const near = entries.filter(e => e.isIntersecting).map(e => e.target);
    if (near.includes(video)) { seen.unobserve(video); video.poster = video.dataset.poster; }
    if (!near.includes(originality) || !drawn.firstElementChild) return;
    seen.unobserve(originality);
    try { endings.push(matches(drawn, await api("GET", originality.dataset.resembles))); } catch (error) { drawn.textContent = error.message; }
  }, { rootMargin: "300px" });
  for (const later of [originality, video]) if (later) seen.observe(later);
  endings.push(() => seen.disconnect());

  // What is done to it -------------------------------------------------------------------------
  endings.push(listing($("#listing", main), transport));
  on(main, "submit", async event => {
    const form = event.target.closest("[data-decide]");
    if (!form) return;
    event.preventDefault();
    event.stopPropagation();
    $("#wrong-decision", form)?.remove();
    const what = event.submitter?.value ?? "approve", { privacy, note, package_sha256, listing_sha256 } = Object.fromEntries(new FormData(form));
    try {
      await api("POST", `${form.dataset.decide}/${what}`, what === "approve" ? { privacy, note, package_sha256, listing_sha256 } : { note, package_sha256 });
      say(what === "approve" ? `Approved: it may become ${privacy}.` : "Rejected.");
      form.elements.note.value = "";
      document.activeElement?.blur?.();
      refresh();
    } catch (error) {
      if (error.problem?.type !== "/problems/invalid-input") return say(error.message, { bad: true });
      const wrong = Object.assign(document.createElement("span"), { id: "wrong-decision", className: "wrong", textContent: error.message });
      form.elements.note.setAttribute("aria-invalid", "true");
      form.elements.note.setAttribute("aria-describedby", wrong.id);
      form.elements.note.after(wrong);
      form.elements.note.focus();
    }
  });
  on(main, "click", async event => {
    if (event.target.closest("[data-delete]")) {
      try {
        await api("DELETE", base);
        say(`“${of.title}” is deleted.`, { undo: async () => {
          try { await api("POST", `${base}/restore`); say("Restored."); go(`/tracks/${encodeURIComponent(id)}`); } catch (error) { say(error.message, { bad: true }); }
        } });
        go("/library");
      } catch (error) { say(error.message, { bad: true }); }
    }
    if (event.target.closest("[data-dice]")) {
      const field = event.target.closest("form").elements.picture_seed;
      field.value = crypto.getRandomValues(new Uint32Array(1))[0];
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
  });
  main.addEventListener("toggle", async event => { // toggle does not bubble: it is caught on its way down
    const folded = event.target.closest?.("[data-lookalikes]");
    if (!folded?.open) return;
    const list = $("ul", folded);
    try {
      const { items } = await api("GET", folded.dataset.lookalikes);
      list.replaceChildren(...items.map(video => {
        const item = document.createElement("li"), take = document.createElement("button"), name = document.createElement("bdi");
        Object.assign(take, { type: "button", className: "ghost small", textContent: "This one" });
        take.setAttribute("aria-label", `It is ${video.title}`);
        take.onclick = () => { folded.closest("form").elements.video_id.value = video.video_id; };
        name.textContent = ` ${video.title} `;
        item.append(take, name, Object.assign(document.createElement("small"), { textContent: new Date(video.published_at).toLocaleString() }));
        return item;
      }));
      if (!items.length) list.textContent = "No video of the channel looks like it.";
    } catch (error) { list.textContent = error.message; }
  }, { capture: true, signal: off.signal });
  // The thumbnail as it would be, before anything is ordered.
  let asked = 0, soon = null;
  on(main, "input", event => {
    const form = event.target.closest(".remake");
    if (!form || !["palette", "picture_seed"].includes(event.target.name)) return;
    clearTimeout(soon);
    soon = setTimeout(async () => {
      const mine = ++asked, image = $("[data-ahead]", form), text = $("[data-ahead-text]", form), seed = form.elements.picture_seed.value || $(".variants .current", main)?.dataset.seed || "0";
      text.textContent = "Drawing …";
      try {
        const answer = await fetch(`${base}/cover-as.jpg?palette=${encodeURIComponent(form.elements.palette.value)}&picture_seed=${encodeURIComponent(seed)}`);
        if (!answer.ok) throw new Error((await answer.json()).detail);
        const url = URL.createObjectURL(await answer.blob());
        if (mine !== asked) return;
        image.onload = () => URL.revokeObjectURL(url);
        image.src = url;
        image.hidden = false;
        text.textContent = "Its thumbnail would be this.";
      } catch (error) { if (mine === asked) text.textContent = error.message; }
    }, 250);
  });
  // Its name may have been changed here or elsewhere: what is sent from here is of the version shown.
  on(main, "fresh", () => {
    const now = $("#head", main), about = $("#about", main);
    if (about && now.dataset.fields === head.dataset.fields) about.dataset.match = now.dataset.version;
  });
  on($("#about", main), "done", () => { head.dataset.fields = $("#head", main).dataset.fields; });
  endings.push(onLive(message => {
    if (message.type === "event" && message.kind === "track" && message.subject === id && ["made", "chose"].includes(message.verb)) {
      if (document.activeElement?.matches("input, textarea")) say("Another version of this track is in use. Reload the page to hear it.");
      else go(location.href, { push: false });
    }
  }));
  paint();
  return () => { clearTimeout(soon); for (const end of endings) end(); };
}
