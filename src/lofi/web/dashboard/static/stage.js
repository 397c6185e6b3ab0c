// The wave and the notes of a track on canvas, at the width there is, with a playhead in both.
import { $, $$, clock } from "./core.js";

const BAR_PX = [0, 18, 30, 48, 76, 120, 190]; // how wide a bar may be; 0: all of it on the screen
const HEAD_PX = 46, LEAST_LANE_PX = 60, MOST_LANE_PX = 98;
const COLOURS = { lead: "--a", keys: "--b", bass: "--c", guitar: "--d", pad: "--warn", drums: "--dim" };
const LOUD = 1.05; // the highest peak stands a little below the edge

let inks = {};
const ink = name => inks[name] ??= getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A canvas at the pixels of the screen; gives [context, width, height] in CSS pixels. */
function fitted(canvas) {
  const w = canvas.clientWidth, h = canvas.clientHeight, ratio = Math.min(2, devicePixelRatio || 1);
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, w, h);
  return [context, w, h];
}

/** What holds at a moment of a list that is sorted by `start_s`; -1 before the first. */
export function at(list, second, start = item => item.start_s) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (start(list[middle]) <= second) low = middle + 1; else high = middle;
  }
  return low - 1;
}

/**
 * Draw in `root` what `transport` plays: `now()`, `playing`, `seek(second)`, `length`.
 * Gives `{peaks(told), timeline(told), draw(), end()}`; `draw` once after anything has moved.
 */
export function stage(root, transport) {
  const wave = $("[data-wave]", root), roll = $("[data-roll]", root), notes = $(".roll-notes", roll), lanes = $(".lanes", roll);
  const off = new AbortController(), on = (target, type, act, more = {}) => target.addEventListener(type, act, { signal: off.signal, ...more });
  let peaks = null, told = null, hover = null, zoom = 4, frame = 0, followed = 0, scrolled = false, rows = [];

  // The wave ---------------------------------------------------------------------------------
  function drawWave(now) {
    const [c, w, h] = fitted($("canvas", wave)), x = s => s / transport.length * w, top = 18, middle = (top + h) / 2, half = (h - top) / 2 - 2;
    for (const [i, section] of (told?.sections ?? []).entries()) {
      const from = x(section.start_s), to = x(section.end_s);
      c.globalAlpha = i % 2 ? 0.05 : 0.11;
      c.fillStyle = ink("--b");
      c.beginPath(); c.roundRect(from + 1, 0, Math.max(0, to - from - 2), h, 8); c.fill();
      c.globalAlpha = 1;
      c.fillStyle = ink("--dim");
      c.font = "600 11px system-ui, sans-serif";
      if (c.measureText(section.name).width < to - from - 12) c.fillText(section.name, from + 12, 13);
    }
    if (peaks) {
      const step = 3, n = Math.floor(w / step), all = peaks.peak, most = Math.max(...all) * LOUD || 1, warm = c.createLinearGradient(0, 0, w, 0);
      warm.addColorStop(0, ink("--b")); warm.addColorStop(0.5, ink("--d")); warm.addColorStop(1, ink("--a"));
      for (let i = 0; i < n; i++) {
        const from = Math.floor(i / n * all.length), to = Math.max(from + 1, Math.floor((i + 1) / n * all.length));
        let high = 0, power = 0;
        for (let k = from; k < to; k++) { high = Math.max(high, all[k]); power += peaks.rms[k] ** 2; }
        const played = (i + 0.5) / n * transport.length <= now, tall = Math.max(1, high / most * half), body = Math.max(0.8, Math.sqrt(power / (to - from)) / most * half);
        c.fillStyle = warm;
        c.globalAlpha = played ? 0.6 : 0.24;
        c.fillRect(i * step, middle - tall, 2, 2 * tall);
        c.globalAlpha = played ? 1 : 0.42;
        c.fillRect(i * step, middle - body, 2, 2 * body);
      }
      c.globalAlpha = 1;
    }
    if (hover !== null) {
      const label = clock(hover), wide = c.measureText(label).width + 14, left = Math.min(w - wide, Math.max(0, x(hover) - wide / 2));
      c.fillStyle = ink("--ink"); c.globalAlpha = 0.5; c.fillRect(x(hover) - 0.5, top, 1, h - top); c.globalAlpha = 1;
      c.fillStyle = ink("--panel2"); c.beginPath(); c.roundRect(left, 0, wide, 17, 8); c.fill();
      c.fillStyle = ink("--ink"); c.fillText(label, left + 7, 12.5);
    }
    c.fillStyle = ink("--ink");
    c.fillRect(Math.min(w - 2, Math.max(0, x(now) - 1)), top - 4, 2, h - top + 4);
    c.beginPath(); c.arc(Math.min(w - 5, Math.max(5, x(now))), top - 4, 4.5, 0, 7); c.fill();
  }
  const secondAt = event => {
    const box = wave.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * transport.length;
  };
  let held = false;
  on(wave, "pointerdown", event => { held = true; wave.setPointerCapture(event.pointerId); transport.seek(secondAt(event)); });
  on(wave, "pointermove", event => { hover = secondAt(event); if (held) transport.seek(hover); draw(); });
  on(wave, "pointerup", () => { held = false; });
  on(wave, "pointercancel", () => { held = false; });
  on(wave, "pointerleave", () => { hover = null; draw(); });
  on(wave, "keydown", event => {
    const now = transport.now(), bars = told?.bars_s ?? [], sections = told?.sections.map(s => s.start_s) ?? [];
    const later = (list, otherwise) => list.find(s => s > now + 0.1) ?? otherwise, earlier = (list, by) => list.findLast(s => s < now - by) ?? 0;
    const goals = {
      ArrowLeft: () => now - 5, ArrowRight: () => now + 5, ArrowDown: () => now - 1, ArrowUp: () => now + 1, Home: () => 0, End: () => transport.length - 0.5,
      PageUp: () => later(sections, now), PageDown: () => earlier(sections, 1), ",": () => earlier(bars, 0.4), ".": () => later(bars, now),
    };
    if (event.key === " " || event.key === "Enter") { event.preventDefault(); transport.toggle(); }
    else if (goals[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); transport.seek(Math.max(0, Math.min(transport.length, goals[event.key]()))); }
  });

  // The notes --------------------------------------------------------------------------------
  const barPx = () => {
    const all = notes.clientWidth / Math.max(1, transport.length * told.bpm / 240);
    return zoom === 0 ? all : Math.max(all, BAR_PX[zoom]);
  };
  const perSecond = () => barPx() * told.bpm / 240;

  function layOut() {
    let top = HEAD_PX;
    rows = Object.entries(told.notes).map(([part, list]) => {
      const pitches = [...new Set(list.map(n => n[0]))].sort((a, b) => a - b), drums = part === "drums";
      const low = pitches[0], count = drums ? pitches.length : pitches.at(-1) - low + 1;
      const height = Math.min(MOST_LANE_PX, Math.max(LEAST_LANE_PX, count * (drums ? 9 : 5) + 16)), row = (height - 16) / count;
      const lane = { part, list, top, height, row, place: p => drums ? pitches.indexOf(p) : p - low, ink: COLOURS[part] ?? "--a", longest: Math.max(0, ...list.map(n => n[3])), drums };
      top += height;
      return lane;
    });
    for (const head of $$(".lane", lanes)) {
      const lane = rows.find(r => r.part === head.dataset.part);
      head.style.height = `${lane.height}px`;
      head.style.setProperty("--part", `var(${lane.ink})`);
    }
    $(".corner", lanes).style.height = `${HEAD_PX}px`;
    const canvas = $("canvas", notes);
    canvas.style.height = `${top}px`;
    widen();
  }
  function widen() {
    $(".roll-length", notes).style.width = `${Math.ceil(perSecond() * transport.length)}px`;
    $("canvas", notes).style.width = `${notes.clientWidth}px`;
  }

  function drawNotes(now) {
    if (!told || roll.hidden) return;
    const px = perSecond(), [c, w, h] = fitted($("canvas", notes)), from = notes.scrollLeft / px, until = from + w / px, x = s => (s - from) * px;
    for (const [i, section] of told.sections.entries()) {
      if (section.end_s < from || section.start_s > until) continue;
      c.globalAlpha = i % 2 ? 0.03 : 0.08; c.fillStyle = ink("--b"); c.fillRect(x(section.start_s), 0, x(section.end_s) - x(section.start_s), h);
    }
    c.globalAlpha = 1;
    for (const lane of rows) { c.fillStyle = ink("--line"); c.fillRect(0, lane.top, w, 1); }
    const wide = barPx(), every = wide >= 30 ? 1 : wide >= 15 ? 2 : wide >= 8 ? 4 : 8;
    c.font = "11px system-ui, sans-serif";
    for (let i = Math.max(0, at(told.bars_s, from, s => s)); i < told.bars_s.length && told.bars_s[i] <= until; i++) {
      const strong = i % every === 0;
      c.fillStyle = ink("--line"); c.globalAlpha = strong ? 1 : 0.5; c.fillRect(x(told.bars_s[i]), strong ? 0 : HEAD_PX, 1, h); c.globalAlpha = 1;
      if (strong) { c.fillStyle = ink("--dim"); c.fillText(i + 1, x(told.bars_s[i]) + 5, 14); }
    }
    for (const section of told.sections) {
      if (section.start_s < from - 5 || section.start_s > until) continue;
      c.fillStyle = ink("--ink"); c.font = "600 11px system-ui, sans-serif";
      c.fillText(section.name, x(section.start_s) + (every === 1 ? 24 : 30), 14);
    }
    c.font = "600 12px system-ui, sans-serif";
    for (const chord of told.chords) {
      const name = chord.played ?? chord.planned;
      if (!name || chord.end_s < from || chord.start_s > until) continue;
      const left = x(chord.start_s), room = x(chord.end_s) - left, sounds = chord.start_s <= now && now < chord.end_s;
      if (sounds) { c.fillStyle = ink("--a"); c.globalAlpha = 0.2; c.beginPath(); c.roundRect(left + 2, 22, Math.max(0, room - 4), 19, 6); c.fill(); c.globalAlpha = 1; }
      if (c.measureText(name).width > room - 6) continue;
      c.fillStyle = ink(sounds ? "--a" : "--ink"); c.fillText(name, left + 5, 36);
    }
    for (const lane of rows) {
      const colour = ink(lane.ink), quiet = transport.hears && !transport.hears(lane.part), tall = Math.max(2.5, Math.min(9, lane.row - 0.8));
      let i = Math.max(0, at(lane.list, from - lane.longest, n => n[2]));
      for (; i < lane.list.length && lane.list[i][2] <= until; i++) {
        const [pitch, velocity, onset, length] = lane.list[i];
        if (onset + length < from) continue;
        const y = lane.top + lane.height - 8 - (lane.place(pitch) + 1) * lane.row, sounds = onset <= now && now < onset + Math.max(length, 0.09);
        const left = x(onset), across = lane.drums ? Math.max(3, Math.min(7, px * 0.09)) : Math.max(2.5, length * px - 1);
        c.globalAlpha = quiet ? 0.16 : sounds ? 1 : 0.5 + 0.5 * velocity / 127;
        c.fillStyle = sounds && !quiet ? ink("--ink") : colour;
        if (sounds && !quiet) { c.shadowColor = colour; c.shadowBlur = 12; }
        c.beginPath(); c.roundRect(left, y, across, tall, Math.min(3, tall / 2)); c.fill();
        c.shadowBlur = 0;
      }
    }
    c.globalAlpha = 1;
    c.fillStyle = ink("--a"); c.fillRect(x(now) - 1, 18, 2, h - 18);
    c.beginPath(); c.moveTo(x(now) - 5, 16); c.lineTo(x(now) + 5, 16); c.lineTo(x(now), 23); c.fill();
  }

  function follow(now) {
    if (!told || roll.hidden || !transport.playing || performance.now() < followed) return;
    const px = perSecond(), left = now * px - notes.scrollLeft;
    if (left < 0 || left > notes.clientWidth * 0.82) { scrolled = true; notes.scrollLeft = now * px - notes.clientWidth * 0.16; }
  }
  on(notes, "scroll", () => { if (!scrolled) followed = performance.now() + 4000; scrolled = false; draw(); });
  on(notes, "click", event => {
    const box = notes.getBoundingClientRect();
    transport.seek(Math.min(transport.length, (event.clientX - box.left + notes.scrollLeft) / perSecond()));
  });
  on(roll, "click", event => {
    const by = event.target.closest("[data-zoom]")?.dataset.zoom;
    if (!by) return;
    const middle = (notes.scrollLeft + notes.clientWidth / 2) / perSecond();
    zoom = Math.max(0, Math.min(BAR_PX.length - 1, zoom + Number(by)));
    while (by > 0 && zoom < BAR_PX.length - 1 && barPx() > BAR_PX[zoom]) zoom++;
    widen();
    scrolled = true;
    notes.scrollLeft = middle * perSecond() - notes.clientWidth / 2;
    draw();
  });

  // Both -------------------------------------------------------------------------------------
  function paint() {
    frame = 0;
    const now = Math.min(transport.length, transport.now());
    follow(now);
    drawWave(now);
    drawNotes(now);
    transport.moved?.(now, told);
    if (transport.playing) draw();
  }
  function draw() { frame ||= requestAnimationFrame(paint); }
  const resized = new ResizeObserver(() => { if (told) widen(); draw(); });
  resized.observe(wave);
  resized.observe(notes);
  const themed = new MutationObserver(() => { inks = {}; draw(); });
  themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  inks = {};
  draw();
  return {
    peaks(found) { peaks = found; draw(); },
    timeline(found) { told = found; roll.hidden = false; layOut(); draw(); },
    draw,
    end() { off.abort(); resized.disconnect(); themed.disconnect(); cancelAnimationFrame(frame); },
  };
}
