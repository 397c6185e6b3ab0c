// What a track resembles: its line and the work's, one under the other, bar by bar.
import { $$ } from "./core.js";

const NS = "http://www.w3.org/2000/svg", LINE_PX = 74, GAP_PX = 34, LEFT = 4, HEAD_PX = 18;
const make = (name, attributes, parent, text) => {
  const element = document.createElementNS(NS, name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
};
const tag = (name, className, text) => {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

/** Draw the matches of a report into `root`; gives a function that ends it. */
export function matches(root, report) {
  root.replaceChildren();
  if (!report.matches.length) {
    root.append(tag("p", "dim", report.works ? "Nothing in the library comes near it." : "There was nothing to compare it with."));
    return () => {};
  }
  root.append(scale(report));
  const list = tag("div", "jumps"), drawing = tag("div", "match");
  list.setAttribute("role", "group");
  list.setAttribute("aria-label", "Works it resembles, the nearest first");
  root.append(list, drawing);
  if (report.undrawn) root.append(tag("p", "dim", `The melodies cannot be drawn: ${report.undrawn}`));
  let shown = report.matches[0];
  const show = match => {
    shown = match;
    for (const button of $$("button", list)) button.setAttribute("aria-pressed", String(button.match === match));
    draw(drawing, match);
  };
  for (const match of report.matches) {
    const button = tag("button", "ghost small"), name = tag("bdi", "", match.work);
    button.type = "button";
    button.match = match;
    button.append(name, " ", tag("small", "", `${match.bits} bits`));
    button.onclick = () => show(match);
    list.append(button);
  }
  show(shown);
  const resized = new ResizeObserver(() => draw(drawing, shown));
  resized.observe(root);
  return () => resized.disconnect();
}

/** How many bits the nearest has, between nothing, review and block. */
function scale(report) {
  const most = Math.max(report.block_bits * 1.25, report.matches[0].bits * 1.05, 1), part = v => `${Math.min(100, v / most * 100)}%`;
  const box = tag("div", "bits"), bar = tag("div", "bits-bar"), fill = tag("span", report.verdict);
  fill.style.width = part(report.matches[0].bits);
  bar.append(fill);
  for (const [name, bits] of [["review", report.review_bits], ["block", report.block_bits]]) {
    const mark = tag("i");
    mark.style.left = part(bits);
    bar.append(mark);
    const label = tag("small", "", `${name} ${bits}`);
    label.style.left = part(bits);
    bar.append(label);
  }
  box.append(tag("p", "", `The nearest of ${report.works.toLocaleString()} works shares ${report.matches[0].bits} bits of surprisal with it: ${report.matches[0].matched_notes} notes. The longest run of the same notes in the same rhythm, with any work, is ${report.longest_run_notes}.`), bar);
  return box;
}

function draw(box, match) {
  const drawn = match.drawn, width = box.clientWidth;
  const [first, last] = match.query_bars, shift = match.transposition;
  const about = `Bars ${first} to ${last} of the ${match.part} (above) and the ${match.work_part} of ${match.work} (below${shift ? `, moved by ${-shift} semitone${Math.abs(shift) === 1 ? "" : "s"} into the same key` : ""}).`;
  box.replaceChildren(tag("p", "dim", about));
  if (!drawn || !width) return;
  const perRow = width < 480 ? 2 : width < 760 ? 4 : 6, all = [...drawn.yours, ...drawn.theirs].map(n => n[2]);
  const low = Math.min(...all), high = Math.max(...all), row = (LINE_PX - 12) / (high - low + 1), beat = (width - 2 * LEFT) / (perRow * 4);
  const agree = new Set(drawn.pairs.filter(p => p[2]).map(p => p[0])), agreeThere = new Set(drawn.pairs.filter(p => p[2]).map(p => p[1]));
  for (let begin = 0; begin < drawn.bars; begin += perRow) {
    const bars = Math.min(perRow, drawn.bars - begin), from = begin * 4, until = from + bars * 4, height = HEAD_PX + 2 * LINE_PX + GAP_PX;
    const svg = make("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Bars ${drawn.first_bar + begin} to ${drawn.first_bar + begin + bars - 1}: both lines` });
    const x = b => LEFT + (b - from) * beat, y = (pitch, below) => HEAD_PX + (below ? LINE_PX + GAP_PX : 0) + 6 + (high - pitch) * row;
    for (let i = 0; i <= bars; i++) {
      make("line", { class: "grid", x1: x(from + i * 4), x2: x(from + i * 4), y1: HEAD_PX, y2: height }, svg);
      if (i < bars) make("text", { class: "tick", x: x(from + i * 4) + 4, y: 12 }, svg, drawn.first_bar + begin + i);
    }
    for (const below of [false, true]) make("rect", { class: "lane-ground", x: LEFT, y: HEAD_PX + (below ? LINE_PX + GAP_PX : 0), width: bars * 4 * beat, height: LINE_PX, rx: 8 }, svg);
    const inside = n => n[0] + 0.01 >= from && n[0] < until - 0.01;
    for (const [mine, theirs, same] of drawn.pairs) {
      const a = drawn.yours[mine], b = drawn.theirs[theirs];
      if (inside(a) && inside(b)) make("line", { class: same ? "tie" : "tie off", x1: x(a[0]) + 4, y1: y(a[2], false) + row, x2: x(b[0]) + 4, y2: y(b[2], true) }, svg);
    }
    for (const [notes, same, below] of [[drawn.yours, agree, false], [drawn.theirs, agreeThere, true]]) {
      notes.forEach((n, i) => {
        if (!inside(n)) return;
        make("rect", { class: `mnote ${below ? "theirs" : "yours"}${same.has(i) ? " same" : ""}`, x: x(n[0]), y: y(n[2], below) - Math.max(0, (4 - row) / 2), width: Math.max(3, Math.min(n[1], until - n[0]) * beat - 2), height: Math.max(4, row - 1), rx: 2 }, svg);
      });
    }
    box.append(svg);
  }
  const key = tag("p", "legend");
  key.append(tag("span", "key s0", "the same note"), tag("span", "key plain-key", "another note"));
  box.append(key);
}
