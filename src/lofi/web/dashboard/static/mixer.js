// The stems of a track, heard together: each piece of each part is put on one clock, sample by
// sample, a few seconds ahead. So it begins at once and takes the same memory however long it is.
import { player } from "./core.js";

const PIECE_S = 8, AHEAD = 2, RATE = 44100;

/**
 * A mixer of the stems of a track. `urls`: by part, `(start_s, length_s) => address`. `told` is
 * called when it begins, stops, waits or ends. Times are those of the stems.
 */
export function mixer(urls, length, told) {
  const parts = Object.keys(urls), muted = new Set(), solo = new Set(), pieces = new Map();
  let context = null, gains = {}, sources = [], base = 0, from = 0, next = 0, turn = 0, filling = 0, timer = null, running = false, problem = null;

  const heard = part => solo.size ? solo.has(part) : !muted.has(part);
  const level = () => { for (const part of parts) gains[part]?.gain.setTargetAtTime(heard(part) ? 1 : 0, context.currentTime, 0.012); };
  const loud = () => { if (context) gains.all.gain.value = player.audio.volume; };

  function open() {
    if (context) return;
    context = new AudioContext({ sampleRate: RATE, latencyHint: "playback" });
    gains = { all: context.createGain() };
    gains.all.connect(context.destination);
    for (const part of parts) { gains[part] = context.createGain(); gains[part].connect(gains.all); }
    loud();
    level();
  }
  /** All parts of piece `k`, decoded; asked for once. */
  function piece(k) {
    if (!pieces.has(k)) {
      const found = Promise.all(parts.map(async part => {
        const answer = await fetch(urls[part](k * PIECE_S, PIECE_S));
        if (!answer.ok) throw new Error(answer.headers.get("content-type")?.includes("json") ? (await answer.json()).detail : `the studio answered ${answer.status}.`);
        return [part, await context.decodeAudioData(await answer.arrayBuffer())];
      }));
      found.catch(() => pieces.delete(k));
      pieces.set(k, found);
    }
    return pieces.get(k);
  }
  function put(k, buffers) {
    const begins = base + k * PIECE_S - from, late = Math.max(0, from - k * PIECE_S);
    for (const [part, buffer] of buffers) {
      if (late >= buffer.duration) continue;
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.connect(gains[part]);
      source.start(Math.max(base, begins), late);
      source.onended = () => { sources = sources.filter(s => s !== source); };
      sources.push(source);
    }
  }
  async function fill(mine) {
    if (filling === mine) return;
    filling = mine;
    await ahead(mine);
    if (filling === mine) filling = 0;
  }
  async function ahead(mine) {
    while (mine === turn && running && next * PIECE_S < length && next * PIECE_S < now() + AHEAD * PIECE_S) {
      const k = next, begins = base + k * PIECE_S - from;
      try {
        // Should it not be there in time, the clock stands still until it is: nothing is lost.
        const wait = setTimeout(() => { if (mine === turn) { context.suspend(); told(); } }, Math.max(0, begins - context.currentTime - 0.15) * 1000);
        const buffers = await piece(k);
        clearTimeout(wait);
        if (mine !== turn) return;
        put(k, buffers);
        if (context.state === "suspended") { await context.resume(); told(); }
      } catch (error) {
        if (mine === turn) { problem = error; stop(); }
        return;
      }
      next = k + 1;
      for (const old of pieces.keys()) if (old < k - 2 || old > k + AHEAD + 1) pieces.delete(old);
    }
  }
  const now = () => running ? Math.min(length, from + Math.max(0, context.currentTime - base)) : from;
  function silence() {
    turn++;
    clearInterval(timer);
    for (const source of sources) { source.onended = null; source.stop(); }
    sources = [];
  }
  function stop() {
    from = now();
    running = false;
    silence();
    told();
  }
  async function play(second) {
    open();
    silence();
    const mine = turn;
    from = second ?? from;
    if (from >= length - 0.05) from = 0;
    running = false;
    problem = null;
    context.resume();
    told();
    try { await piece(Math.floor(from / PIECE_S)); } catch (error) { if (mine === turn) { problem = error; told(); } return; }
    if (mine !== turn) return;
    next = Math.floor(from / PIECE_S);
    base = Math.ceil((context.currentTime + 0.08) * RATE) / RATE;
    running = true;
    told();
    fill(mine);
    timer = setInterval(() => { if (now() >= length) { from = 0; running = false; silence(); told(); } else fill(mine); }, 500);
  }
  player.audio.addEventListener("volumechange", loud);
  return {
    parts, now, play, stop, heard,
    get running() { return running; },
    get problem() { return problem; },
    seek(second) { from = second; if (running) play(second); },
    mute(part) { muted.has(part) ? muted.delete(part) : muted.add(part); if (context) level(); return muted.has(part); },
    solo(part) { solo.has(part) ? solo.delete(part) : solo.add(part); if (context) level(); return solo.has(part); },
    end() { running = false; silence(); player.audio.removeEventListener("volumechange", loud); context?.close(); },
  };
}
