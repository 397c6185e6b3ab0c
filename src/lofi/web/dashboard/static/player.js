// The player: outside of what pages replace, so it goes on from page to page.
const $ = selector => document.querySelector(selector);
const dock = $(".dock"), audio = $(".dock audio"), seek = $(".dock .seek"), volume = $(".dock .volume");
const PLAY = "M8 5l12 7-12 7z", PAUSE = "M7 5h3v14H7zM14 5h3v14h-3z";
const mmss = s => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

let track = null; // {id, title, sub, src, cover}
let queue = [];   // the tracks that were on the page when it began

const of = element => ({ id: element.dataset.track, title: element.dataset.title, sub: element.dataset.sub, src: element.dataset.src, cover: element.dataset.cover, href: element.dataset.href });

export const player = {
  audio,
  get track() { return track; },

  /** Play a track, or pause and go on with the one that plays. */
  play(next, around = [next]) {
    if (track?.id === next.id && track.src === next.src) return this.toggle();
    track = next;
    queue = around;
    dock.hidden = false;
    $(".dock-cover").src = next.cover;
    $(".dock-title").textContent = next.title;
    $(".dock-title").href = next.href ?? `/tracks/${next.id}`;
    $(".dock-sub").textContent = next.sub;
    audio.src = next.src;
    audio.play().catch(() => this.mark());
    if (navigator.mediaSession) navigator.mediaSession.metadata = new MediaMetadata({ title: next.title, artist: "LoFi Empire", artwork: [{ src: next.cover }] });
  },
  /** Play a track from a second on. */
  playAt(next, second) {
    if (track?.id !== next.id || track.src !== next.src) this.play(next);
    const seek = () => { if (Math.abs(audio.currentTime - second) > 0.05) audio.currentTime = second; };
    audio.readyState ? seek() : audio.addEventListener("loadedmetadata", seek, { once: true });
    if (audio.paused) audio.play().catch(() => this.mark());
  },
  toggle() { if (track) audio.paused ? audio.play() : audio.pause(); },
  step(by) {
    const at = queue.findIndex(t => t.id === track?.id && t.src === track?.src);
    const next = queue[(at + by + queue.length) % queue.length];
    if (next && next !== queue[at]) this.play(next, queue);
  },
  /** Show on the page what plays. */
  mark() {
    for (const element of document.querySelectorAll("[data-track]"))
      element.classList.toggle("playing", element.dataset.track === track?.id && !audio.paused);
    const button = $("[data-player=toggle]");
    button.setAttribute("aria-label", audio.paused ? "Play" : "Pause");
    button.querySelector("path").setAttribute("d", audio.paused ? PLAY : PAUSE);
  },
};

document.addEventListener("click", event => {
  const begin = event.target.closest("[data-play]"), button = event.target.closest("[data-player]");
  if (begin) {
    const element = begin.closest("[data-track]");
    player.play(of(element), [...document.querySelectorAll("[data-track]")].map(of));
  } else if (button) button.dataset.player === "toggle" ? player.toggle() : player.step(button.dataset.player === "next" ? 1 : -1);
});
for (const type of ["play", "pause", "ended"]) audio.addEventListener(type, () => player.mark());
audio.addEventListener("ended", () => player.step(1));
audio.addEventListener("timeupdate", () => {
  const length = audio.duration || 0;
  $(".dock-at").textContent = mmss(audio.currentTime);
  $(".dock-length").textContent = mmss(length);
  if (document.activeElement !== seek || audio.paused === false) seek.value = length ? 1000 * audio.currentTime / length : 0;
  seek.setAttribute("aria-valuetext", `${mmss(audio.currentTime)} of ${mmss(length)}`);
});
audio.addEventListener("error", () => {
  if (track) $(".dock-sub").textContent = "this file cannot be played here";
});
seek.addEventListener("input", () => { audio.currentTime = seek.value / 1000 * (audio.duration || 0); });
volume.addEventListener("input", () => { audio.volume = (volume.value / 100) ** 2; });
audio.volume = 0.81;
for (const [name, act] of [["play", () => player.toggle()], ["pause", () => player.toggle()], ["previoustrack", () => player.step(-1)], ["nexttrack", () => player.step(1)]])
  navigator.mediaSession?.setActionHandler(name, act);
