// Charts as SVG at the width they really have, so that they can be read on a phone.
const NS = "http://www.w3.org/2000/svg";
const make = (name, attributes, parent, text) => {
  const element = document.createElementNS(NS, name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  if (text !== undefined) element.textContent = text;
  parent?.append(element);
  return element;
};

/** 61.4k */
export function compact(v) {
  if (v === null || v === undefined) return "–";
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) if (Math.abs(v) >= size) return `${+(v / size).toPrecision(3)}${unit}`;
  return String(+v.toPrecision(3));
}

function ticks(low, high, whole, count = 4) {
  const span = high - low || Math.abs(high) || 1, power = 10 ** Math.floor(Math.log10(span / count));
  const fine = power * [1, 2, 2.5, 5, 10].find(m => span / count <= power * m), step = whole ? Math.ceil(fine) : fine, found = [];
  for (let v = Math.floor(low / step) * step; v < high + step * 0.999; v += step) found.push(+v.toPrecision(12));
  return found.length > 1 ? found : [low, low + step];
}

function draw(figure) {
  const data = JSON.parse(figure.dataset.chart), plot = figure.querySelector(".plot"), w = plot.clientWidth;
  if (!w || !data.x.length) return;
  const h = w < 480 ? Math.min(200, +figure.dataset.height) : +figure.dataset.height, left = 44, right = 8, top = 10, bottom = 26;
  const all = data.series.flatMap(s => [...s.values, ...(s.low ?? []), ...(s.high ?? [])]).filter(v => v !== null && v !== undefined);
  if (!all.length) return;
  const marks = ticks(data.zero === false ? Math.min(...all) : Math.min(0, ...all), Math.max(...all), all.every(Number.isInteger));
  const low = marks[0], high = marks.at(-1), n = data.x.length, bars = data.kind === "bars";
  const slot = (w - left - right) / n;
  const X = i => bars ? left + slot * (i + 0.5) : left + (w - left - right) * (n === 1 ? 0.5 : i / (n - 1));
  const Y = v => top + (h - top - bottom) * (1 - (v - low) / (high - low));
  const svg = make("svg", { class: "chart", viewBox: `0 0 ${w} ${h}`, width: w, height: h, "aria-hidden": "true" });
  for (const t of marks) {
    make("line", { class: "grid", x1: left, x2: w - right, y1: Y(t), y2: Y(t) }, svg);
    make("text", { class: "tick", x: left - 8, y: Y(t) + 4, "text-anchor": "end" }, svg, compact(t) + (data.unit ?? ""));
  }
  const longest = Math.max(...data.x.map(x => String(x).length)), room = Math.max(1, Math.floor((w - left) / (longest * 7 + 14)));
  const every = Math.ceil(n / room);
  for (let i = bars ? 0 : (n - 1) % every; i < n; i += every) make("text", { class: "tick", x: X(i), y: h - 6, "text-anchor": "middle" }, svg, data.x[i]);
  data.series.forEach((s, k) => {
    if (bars) {
      const width = slot * 0.7 / data.series.length;
      s.values.forEach((v, i) => {
        if (v === null) return;
        const x = X(i) - slot * 0.35 + width * k;
        if (v) make("rect", { class: `bar s${k}`, x, width: Math.max(1, width - 2), y: Math.min(Y(v), Y(0)), height: Math.max(1, Math.abs(Y(v) - Y(Math.max(0, low)))), rx: 3 }, svg);
        if (s.low?.[i] != null) make("path", { class: "whisker", d: `M${x + width / 2} ${Y(s.low[i])}V${Y(s.high[i])}` }, svg);
      });
      return;
    }
    let points = s.values.map((v, i) => v === null ? null : [X(i), Y(v)]);
    if (s.joined) points = points.filter(Boolean); // measured now and then: the line goes on between
    const path = points.map((p, i) => p && `${points[i - 1] ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}`).filter(Boolean).join("");
    if (s.low) {
      const there = s.low.map((v, i) => i).filter(i => s.low[i] != null);
      const up = there.map(i => `${X(i).toFixed(1)} ${Y(s.high[i]).toFixed(1)}`), down = there.map(i => `${X(i).toFixed(1)} ${Y(s.low[i]).toFixed(1)}`).reverse();
      if (there.length > 1) make("path", { class: `band s${k}`, d: `M${[...up, ...down].join("L")}Z` }, svg);
    }
    make("path", { class: `line s${k}`, d: path }, svg);
    if (points.length < 30) for (const p of points) if (p) make("circle", { class: `dot s${k}`, cx: p[0], cy: p[1], r: 2.5 }, svg);
  });
  plot.replaceChildren(svg);
  const off = () => { svg.querySelector(".cross")?.remove(); plot.querySelector(".tip")?.remove(); };
  svg.onpointermove = event => {
    off();
    const part = (event.offsetX - left) / (w - left - right), i = Math.max(0, Math.min(n - 1, bars ? Math.floor(part * n) : Math.round(part * (n - 1))));
    make("line", { class: "cross", x1: X(i), x2: X(i), y1: top, y2: h - bottom }, svg);
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.textContent = [data.x[i], ...data.series.map(s => `${s.name}  ${compact(s.values[i])}${data.unit ?? ""}${s.low?.[i] != null ? ` (${compact(s.low[i])} to ${compact(s.high[i])})` : ""}`)].join("\n");
    plot.append(tip);
    // A style set by a script is allowed where one in the markup is not.
    tip.style.left = `${Math.max(0, Math.min(w - tip.offsetWidth, X(i) + 12))}px`;
  };
  svg.onpointerleave = off;
}

const seen = new ResizeObserver(entries => { for (const entry of entries) draw(entry.target.closest(".fig")); });

/** Draw all charts of a part of the page, and again when their width changes. */
export function drawCharts(root) {
  for (const figure of root.querySelectorAll(".fig[data-chart]")) {
    draw(figure);
    seen.observe(figure.querySelector(".plot"));
  }
}
