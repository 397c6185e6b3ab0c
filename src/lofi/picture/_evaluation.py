"""An evaluation as one HTML page: tables and plots drawn as SVG, nothing loaded from elsewhere.

The page answers in this order: what was promised and whether it holds, how the brief was followed,
which moods are heard, what the music is like beside music by people, and what it copies. Whoever
writes keeps one colour throughout. Plots are drawn at pixel size, so that they can be read on a
phone, and everything that a plot shows stands in a table too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from lofi.picture._files import write_whole

Json = Any

_PLOT, _NAMES = 300, 78  # pixels: the width of a plot, and of the names to its left
_ROW = 22
_TICK_PX = 10  # height of the line that marks one track

_SHORT = {"model": "model", "composer": "rules", "markov": "Markov", "untold": "untold"}

STYLE = """
:root { color-scheme: light dark; --paper: #fbf9f5; --card: #ffffff; --ink: #24212b;
  --soft: #6a6573; --line: #e3dfd8; --band: #4a9d7a; --good: #1e7d52; --bad: #b3362b;
  --model: #c85f00; --composer: #2f6fc4; --markov: #6d7683; --untold: #9048a8; --human: #2b8a63; }
@media (prefers-color-scheme: dark) { :root { --paper: #15141b; --card: #1e1c26; --ink: #ebe7f0;
  --soft: #a49eb0; --line: #36323f; --band: #5fc79b; --good: #6fd3a2; --bad: #ff8d80;
  --model: #ffb066; --composer: #8bb8ff; --markov: #a7b0bd; --untold: #d79be8; --human: #6fd3a2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1072px; margin: 0 auto; padding: 40px 20px 80px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 21px; margin: 52px 0 6px; }
h3 { font-size: 15px; margin: 26px 0 10px; color: var(--soft); font-weight: 600; }
h4 { font-size: 14px; margin: 0; font-weight: 600; }
p { max-width: 74ch; margin: 6px 0 12px; } .soft { color: var(--soft); }
.note { font-size: 13px; color: var(--soft); margin: 2px 0 6px; line-height: 1.4; }
.cards { display: flex; flex-wrap: wrap; gap: 14px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 14px; width: 332px; max-width: 100%; overflow-x: auto; }
.card header { display: flex; justify-content: space-between; gap: 8px; align-items: baseline; }
.wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; padding: 4px 14px; margin: 12px 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; } tr:last-child > * { border-bottom: 0; }
th { font-weight: 600; font-size: 13px; } thead th { color: var(--soft); }
td.n, th.n { text-align: right; white-space: nowrap; } small { color: var(--soft); }
.yes, .no, .none { font-weight: 600; font-size: 13px; white-space: nowrap; }
p.no { white-space: normal; }
.yes { color: var(--good); } .no { color: var(--bad); } .none { color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; margin: 14px 0 0; padding: 0;
  list-style: none; font-size: 14px; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px;
  margin-right: 7px; vertical-align: -1px; }
@media (max-width: 600px) { .wide { padding: 4px 10px; } th, td { padding-right: 8px; } }
details { margin: 12px 0; } summary { cursor: pointer; color: var(--soft); }
svg { display: block; max-width: none; } svg text { font-size: 11px; fill: var(--soft); }
svg .name { fill: var(--ink); } svg .axis { stroke: var(--line); } svg .aim { stroke: var(--ink);
  stroke-dasharray: 3 3; opacity: .7; }
.model { --own: var(--model); } .composer { --own: var(--composer); }
.markov { --own: var(--markov); } .untold { --own: var(--untold); } .human { --own: var(--human); }
.fill { fill: var(--own); } .draw { stroke: var(--own); fill: none; }
.tint { background: var(--own); }
"""


def write_evaluation(path: Path, report: Mapping[str, Json]) -> None:
    """Write the page of an evaluation's `report.json`, whole or not at all."""
    write_whole(path, evaluation_page(report).encode())


def evaluation_page(report: Mapping[str, Json]) -> str:
    """The page as HTML."""
    name = escape(report["model"]["name"])
    body = "\n".join(
        [
            _head(report),
            _targets(report),
            _adherence(report),
            _moods(report),
            _music(report),
            _originality(report),
            _expectation(report),
            _how(report),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Evaluation: {name}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


# Words and numbers ---------------------------------------------------------------------------


def _number(value: float | None, unit: str = "") -> str:
    if value is None or not math.isfinite(value):
        return "-"
    if unit == "share":
        return f"{100 * value:.1f} %".replace(".0 %", " %")
    text = f"{value:.3g}"
    return f"{float(text):.0f}" if "e" in text else text


def _interval(found: Json, unit: str = "") -> str:
    if not found or not found["count"]:
        return "-"
    if unit == "share":
        low, high = (f"{100 * found[k]:.0f}" for k in ("low", "high"))
    else:
        low, high = (_number(found[k]) for k in ("low", "high"))
    return f"{_number(found['value'], unit)} <small>{low} to {high}</small>"


def _badge(passed: bool | None, words: tuple[str, str, str] = ("reached", "missed", "-")) -> str:
    if passed is None:
        return f'<span class="none">{words[2]}</span>'
    return (
        f'<span class="yes">✓ {words[0]}</span>'
        if passed
        else f'<span class="no">✗ {words[1]}</span>'
    )


def _spoken(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table of HTML cells; the first `left` columns are words, the others figures."""

    def cells(row: Sequence[str], tag: str) -> str:
        made = []
        for i, cell in enumerate(row):
            kind = "" if i < left else ' class="n"'
            own = "th" if tag == "th" or i == 0 else "td"
            scope = ' scope="row"' if tag == "td" and i == 0 else ""
            made.append(f"<{own}{kind}{scope}>{cell}</{own}>")
        return "<tr>" + "".join(made) + "</tr>"

    lines = "\n".join(cells(row, "td") for row in rows)
    return (
        f'<div class="wide"><table><thead>{cells(head, "th")}</thead><tbody>{lines}</tbody>'
        "</table></div>"
    )


def _card(title: str, note: str, plot: str, badge: str = "") -> str:
    return (
        f'<section class="card"><header><h4>{escape(title)}</h4>{badge}</header>'
        f'<div class="note">{escape(note)}</div>{plot}</section>'
    )


def _systems(report: Mapping[str, Json]) -> list[str]:
    return list(report["systems"])


def _titles(report: Mapping[str, Json]) -> list[str]:
    return [escape(s["title"]) for s in report["systems"].values()]


# Plots ---------------------------------------------------------------------------------------


class _Axis:
    """Values to pixels across a plot, and round numbers to letter it with."""

    def __init__(self, low: float, high: float) -> None:
        if not high > low:
            low, high = low - 0.5, high + 0.5
        self.low, self.high = low, high

    def x(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(_NAMES + min(max(share, 0), 1) * (_PLOT - _NAMES - 12), 1)

    def ticks(self) -> list[float]:
        rough = (self.high - self.low) / 4
        size = 10 ** math.floor(math.log10(rough))
        step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough * 0.99)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [round(step * (first + i), 12) for i in range(count)]


def _plot(rows: int, axis: _Axis, drawn: Iterable[str], unit: str, told: str) -> str:
    """An SVG of so many rows over an axis; `told` is what who cannot see it hears."""
    bottom = rows * _ROW + 6
    lines = []
    for tick in axis.ticks():
        x = axis.x(tick)
        label = f"{100 * tick:g}" if unit == "share" else f"{tick:g}"
        lines.append(f'<line class="axis" x1="{x}" x2="{x}" y1="0" y2="{bottom}"/>')
        lines.append(f'<text x="{x}" y="{bottom + 13}" text-anchor="middle">{label}</text>')
    spoken = "%" if unit == "share" else unit
    lines.append(f'<text x="{_PLOT}" y="{bottom + 28}" text-anchor="end">{escape(spoken)}</text>')
    return (
        f'<svg role="img" aria-label="{escape(told)}" width="{_PLOT}" height="{bottom + 32}" '
        f'viewBox="0 0 {_PLOT} {bottom + 32}">' + "".join([*lines, *drawn]) + "</svg>"
    )


def _row_name(row: int, name: str) -> str:
    return f'<text class="name" x="0" y="{row * _ROW + 16}">{escape(name)}</text>'


def _whisker(row: int, axis: _Axis, found: Json, system: str, told: str) -> str:
    """An estimate as a dot on its interval."""
    if not found["count"]:
        return ""
    y = row * _ROW + 12
    a, m, b = (axis.x(found[k]) for k in ("low", "value", "high"))
    return (
        f'<g class="{system}"><title>{escape(told)}</title>'
        f'<path class="draw" stroke-width="2" d="M{a} {y}H{b}M{a} {y - 4}v8M{b} {y - 4}v8"/>'
        f'<circle class="fill" cx="{m}" cy="{y}" r="4.5"/></g>'
    )


def _aim(axis: _Axis, value: float, rows: int) -> str:
    x = axis.x(value)
    return f'<line class="aim" x1="{x}" x2="{x}" y1="0" y2="{rows * _ROW + 6}"/>'


def _strip(row: int, axis: _Axis, found: Json, system: str) -> str:
    """Every track as a thin line, the middle half as a box, the median and its interval."""
    if not found["percentiles"]:
        return ""
    y = row * _ROW + 12
    marks = "".join(
        f"M{axis.x(v)} {y - _TICK_PX // 2}v{_TICK_PX}" for v in sorted(set(found["values"]))
    )
    q1, q3 = (axis.x(found["percentiles"][i]) for i in (1, 3))
    m = axis.x(found["median"]["value"])
    width = max(1, round(q3 - q1, 1))
    return (
        f'<g class="{system}"><path class="draw" stroke-width="1" opacity=".28" d="{marks}"/>'
        f'<rect class="fill" opacity=".35" x="{q1}" y="{y - 6}" width="{width}" '
        f'height="12" rx="2"/><path class="draw" stroke-width="3" d="M{m} {y - 8}v16"/></g>'
    )


def _band(axis: _Axis, percentiles: Sequence[float], rows: int) -> str:
    """The human 5-95 % band, its middle half darker, and the median."""
    xs = [axis.x(v) for v in percentiles]
    height = rows * _ROW + 6
    return (
        '<g class="human">'
        f'<rect class="fill" opacity=".16" x="{xs[0]}" y="0" '
        f'width="{max(2, round(xs[4] - xs[0], 1))}" height="{height}"/>'
        f'<path class="draw" opacity=".8" stroke-width="1.5" d="M{xs[2]} 0v{height}"/></g>'
    )


# Sections ------------------------------------------------------------------------------------


def _head(report: Mapping[str, Json]) -> str:
    asked, model = report["asked"], report["model"]
    length = (
        f"{asked['bars']} bars each"
        if asked["bars"] is not None
        else f"{asked['duration_s']:g} s each, about {asked['typical_bars']} bars"
    )
    legend = "".join(
        f'<li class="{name}"><i class="tint"></i>{escape(s["title"])}: {s["tracks"]} tracks, '
        f"{s['cpu_s_per_track']:g} CPU-seconds each</li>"
        for name, s in report["systems"].items()
    )
    if asked["reference_pieces"]:
        legend += (
            f'<li class="human"><i class="tint"></i>music by people: '
            f"{asked['reference_pieces']} excerpts of {asked['typical_bars']} bars</li>"
        )
    missing = []
    if asked["tracks"] < 100:
        missing.append(
            f"{asked['tracks']} tracks are few: intervals are wide. A full report has 100 or more."
        )
    if not asked["reference_pieces"]:
        missing.append(
            "There is no human reference, so no band and no noise floor: give a folder of MIDI "
            "with --reference."
        )
    if not asked["dataset"]:
        missing.append(
            "There is no data set, so no bits per note and no Markov chain: give one with "
            "--dataset."
        )
    told = "".join(f'<p class="no">{escape(line)}</p>' for line in missing)
    architecture = model["architecture"]
    return (
        f"<h1>{escape(model['name'][:1].upper() + model['name'][1:])}, evaluated</h1>"
        f'<p class="soft">{architecture["n_layer"]} layers of {architecture["n_embd"]}, '
        f"SHA-256 {escape(model['sha256'][:16])}… · {length} · best of {asked['best_of']} · "
        f"seed {asked['seed']} · LoFi Empire {escape(asked['version'])}</p>{told}"
        f'<ul class="legend">{legend}</ul>'
    )


def _targets(report: Mapping[str, Json]) -> str:
    rows = [
        [
            escape(t["title"]),
            escape(t["asked"]),
            escape(t["reached"]),
            _badge(t["passed"], ("reached", "missed", "not measured")),
        ]
        for t in report["targets"]
    ]
    held = sum(t["passed"] is True for t in report["targets"])
    judged = sum(t["passed"] is not None for t in report["targets"])
    return f"<h2>What it should reach: {held} of {judged}</h2>" + _table(
        ["", "asked", "reached", ""], rows, left=4
    )


def _adherence(report: Mapping[str, Json]) -> str:
    systems = _systems(report)
    cards = []
    for figure in report["adherence"].values():
        unit = figure["unit"]
        aim = figure["at_least"] if figure["at_least"] is not None else figure["at_most"]
        found = figure["systems"]
        if unit == "share":
            axis = _Axis(0, 1)
        else:
            axis = _Axis(0, max([aim or 0, *(found[s]["high"] or 0 for s in systems)]) * 1.1 or 1)
        drawn = [_aim(axis, aim, len(systems))] if aim is not None else []
        told = []
        for row, system in enumerate(systems):
            text = f"{report['systems'][system]['title']}: {_number(found[system]['value'], unit)}"
            told.append(text)
            drawn += [
                _row_name(row, _SHORT.get(system, system)),
                _whisker(row, axis, found[system], system, text),
            ]
        plot = _plot(len(systems), axis, drawn, unit, f"{figure['title']}. " + "; ".join(told))
        cards.append(_card(figure["title"], figure["meaning"], plot))
    rows = [
        [escape(f["title"]), *(_interval(f["systems"][s], f["unit"]) for s in systems)]
        for f in report["adherence"].values()
    ]
    parts = report["adherence"]["density_followed"]["parts"]
    by_part = [
        [escape(part), *(_interval(found[s], "share") for s in systems)]
        for part, found in parts.items()
    ]
    head = ["", *_titles(report)]
    return (
        "<h2>Does it do as it is told?</h2>"
        "<p>Measured from the notes of each file. Dots are means with their 95 % intervals, the "
        "dashed line is the target. The rule composer is not told how busy each part is to be, and "
        "the model without controls is told nothing: theirs are what chance and habit reach.</p>"
        f'<div class="cards">{"".join(cards)}</div>'
        f"<details open><summary>As a table, with 95 % intervals</summary>{_table(head, rows)}"
        "</details>"
        f"<h3>Density as asked, by part</h3>{_table(head, by_part)}"
    )


def _moods(report: Mapping[str, Json]) -> str:
    moods = report["moods"]
    ear, bundles = moods["classifier"], moods["bundles"]
    crossed = ear["cross_validated"]
    cards = []
    for system, found in moods["systems"].items():
        title = report["systems"][system]["title"]
        cards.append(
            _card(
                title, "rows: asked; columns: told", _confusion(bundles, found["confusion"], system)
            )
        )
    head = ["", "classifier on its own pieces", *_titles(report)]
    rows = [
        [
            escape(b),
            _number(crossed[b], "share"),
            *(_interval(moods["systems"][s]["recall"][b], "share") for s in _systems(report)),
        ]
        for b in bundles
    ]
    mean = sum(crossed.values()) / len(crossed)
    return (
        "<h2>Is the mood heard?</h2>"
        f"<p>A classifier (logistic regression on {len(ear['features'])} figures) learned the "
        f"moods from {ear['pieces']} {escape(ear['origin'])}; of pieces it had not seen it tells "
        f"{_number(mean, 'share')}, and no model can be expected to exceed that. It sees neither "
        "tempo nor key nor who plays: those are settled by the brief and the plan, and would "
        "praise any model.</p>"
        f'<div class="cards">{"".join(cards)}</div>'
        "<h3>Moods told rightly</h3>" + _table(head, rows)
    )


def _confusion(names: Sequence[str], counts: Sequence[Sequence[int]], system: str) -> str:
    cell, left, top = 35, 82, 20
    width = left + cell * len(names)
    drawn = []
    for c, name in enumerate(names):
        x = left + c * cell + cell / 2
        drawn.append(f'<text x="{x}" y="13" text-anchor="middle">{escape(name[:4])}</text>')
    for r, row in enumerate(counts):
        total = max(1, sum(row))
        y = top + r * cell
        drawn.append(f'<text class="name" x="0" y="{y + 21}">{escape(names[r])}</text>')
        for c, count in enumerate(row):
            x = left + c * cell
            drawn.append(
                f'<rect class="fill" x="{x + 1}" y="{y + 1}" width="{cell - 2}" '
                f'height="{cell - 2}" rx="3" opacity="{0.05 + 0.55 * count / total:.2f}"/>'
            )
            if count:
                drawn.append(
                    f'<text class="name" x="{x + cell / 2}" y="{y + 21}" '
                    f'text-anchor="middle">{count}</text>'
                )
    told = "; ".join(
        f"{names[r]} told as {names[c]}: {n}" for r, row in enumerate(counts)
        for c, n in enumerate(row) if n
    )  # fmt: skip
    height = top + cell * len(names) + 4
    return (
        f'<svg class="{system}" role="img" aria-label="{escape(told)}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}">{"".join(drawn)}</svg>'
    )


def _music(report: Mapping[str, Json]) -> str:
    by_kind: dict[str, list[str]] = {}
    rows = []
    systems = _systems(report)
    for name, figure in report["music"].items():
        by_kind.setdefault(figure["kind"], []).append(_music_card(report, name, figure))
        human = figure["human"]
        if human:
            five, _, middle, _, most = human["percentiles"]
            people = [
                f"{_number(middle)} <small>{_number(five)} to {_number(most)}</small>",
                f"{_number(human['half_split_median'])}",
                f"{_number(human['half_split_distance'])}",
            ]
        else:
            people = ["-", "-", "-"]
        mine = figure["systems"]["model"]
        rows.append(
            [
                escape(_spoken(name)),
                escape(figure["unit"]),
                *people,
                *(_interval(figure["systems"][s]["median"]) for s in systems),
                _number(mine["distance"]),
                _badge(mine["inside"], ("inside", "outside", "-")),
            ]
        )
    cards = "".join(
        f'<h3>{escape(kind.capitalize())}</h3><div class="cards">{"".join(made)}</div>'
        for kind, made in by_kind.items()
    )
    head = [
        "", "unit", "people: median, 5 to 95 %", "between halves", "distance of halves",
        *_titles(report), "distance from people", "median",
    ]  # fmt: skip
    return (
        "<h2>What is the music like?</h2>"
        "<p>Each thin line is a track, the box the middle half, the heavy line the median. The "
        "green band holds 90 % of the music by people, cut to the same number of bars. A bar has "
        "sixteen steps.</p>"
        + cards
        + "<details><summary>As a table, medians with 95 % intervals</summary>"
        "<p class='soft'>Between halves: how far the medians of two random halves of the music by "
        "people are apart. Distance: Kolmogorov-Smirnov, 0 alike to 1; a distance as small as that "
        "of the halves means nothing.</p>"
        f"{_table(head, rows, left=2)}</details>" + _diversity(report)
    )


def _music_card(report: Mapping[str, Json], name: str, figure: Json) -> str:
    systems = _systems(report)
    human = figure["human"]
    reach = [
        v
        for s in systems
        if (p := figure["systems"][s]["percentiles"])
        for v in (p[0], p[4])
    ]  # fmt: skip
    if human:
        reach += [human["percentiles"][0], human["percentiles"][4]]
    if not reach:
        axis = _Axis(0, 1)
    else:
        room = 0.04 * (max(reach) - min(reach))
        low = min(reach) - room
        axis = _Axis(max(low, 0) if min(reach) >= 0 else low, max(reach) + room)
    drawn = [_band(axis, human["percentiles"], len(systems))] if human else []
    told = []
    for row, system in enumerate(systems):
        found = figure["systems"][system]
        drawn += [_row_name(row, _SHORT.get(system, system)), _strip(row, axis, found, system)]
        told.append(f"{report['systems'][system]['title']}: {_number(found['median']['value'])}")
    if human:
        five, _, _, _, most = human["percentiles"]
        told.append(f"music by people, 5 to 95 %: {_number(five)} to {_number(most)}")
    plot = _plot(len(systems), axis, drawn, figure["unit"], "Medians. " + "; ".join(told))
    inside = figure["systems"]["model"]["inside"]
    badge = _badge(inside, ("inside", "outside", "")) if human else ""
    return _card(_spoken(name), figure["meaning"], plot, badge)


def _diversity(report: Mapping[str, Json]) -> str:
    systems = _systems(report)
    people = "human" if report["asked"]["reference_pieces"] else None
    names = [*systems, *([people] if people else [])]
    rows = [
        [
            f"{escape(_spoken(name))}<br><small>{escape(figure['meaning'])}</small>",
            *(_number(figure["systems"].get(s)) for s in names),
        ]
        for name, figure in report["diversity"].items()
    ]
    head = ["", *_titles(report), *(["music by people"] if people else [])]
    return (
        "<h3>Diversity between tracks</h3><p class='soft'>Of all tracks together, so without an "
        "interval: a track drawn twice would be its own twin.</p>" + _table(head, rows)
    )


def _originality(report: Mapping[str, Json]) -> str:
    found = report["originality"]
    if found is None:
        return (
            "<h2>Does it copy?</h2><p>Not measured: the model's folder holds no melodies.npz to "
            "compare with.</p>"
        )
    limit = found["limit_notes"]
    systems = _systems(report)
    most = max(max(found["systems"][s]["values"]) for s in systems)
    axis = _Axis(0, max(most, limit) + 1)
    drawn = [_aim(axis, limit, len(systems))]
    told = []
    for row, system in enumerate(systems):
        own = found["systems"][system]
        counts: dict[int, int] = {}
        for value in own["values"]:
            counts[value] = counts.get(value, 0) + 1
        peak = max(counts.values())
        y = row * _ROW + 19
        bars = "".join(
            f"M{axis.x(v)} {y}v{-max(1.5, round(16 * n / peak, 1))}" for v, n in counts.items()
        )
        drawn += [
            _row_name(row, _SHORT.get(system, system)),
            f'<g class="{system}"><path class="draw" stroke-width="4" d="{bars}"/></g>',
        ]
        told.append(f"{report['systems'][system]['title']}: longest {max(own['values'])}")
    plot = _plot(len(systems), axis, drawn, "notes", "Longest copied run. " + "; ".join(told))
    rows = [
        [
            escape(report["systems"][s]["title"]),
            *(
                _number(found["systems"][s]["percentiles"][p])
                for p in ("50", "90", "95", "99", "100")
            ),
            _interval(found["systems"][s]["at_most_limit"], "share"),
        ]
        for s in systems
    ]
    card = _card("Longest copied run", "how many tracks, by length", plot)
    head = ["", "median", "90 %", "95 %", "99 %", "longest", f"at most {limit} notes"]
    return (
        "<h2>Does it copy?</h2>"
        f"<p>The longest run of melody notes with the same intervals and rhythm as in one of "
        f"{found['works']:,} works that the model was trained on.</p>"
        f'<div class="cards">{card}</div>' + _table(head, rows)
    )


def _expectation(report: Mapping[str, Json]) -> str:
    found = report["bits_per_note"]
    if found is None:
        return (
            "<h2>What does it expect?</h2><p>Not measured: there was no data set to read from.</p>"
        )
    titles = {n: s["title"] for n, s in report["systems"].items()}
    rows = [
        [escape(titles.get(system, system)), _interval(own)]
        for system, own in found["systems"].items()
    ]
    return (
        "<h2>What does it expect?</h2>"
        f"<p>Bits per note on {found['segments']} stretches of the validation split: what each "
        "note, with its place, player, loudness and length, costs a listener who knows what came "
        "before. Controls and chords are given and cost nothing; without controls they are not "
        "given. Less is better.</p>" + _table(["", "bits per note"], rows)
    )


def _how(report: Mapping[str, Json]) -> str:
    sources = sorted({f["source"] for f in report["music"].values()} - {"this module"})
    listed = "".join(f"<li>{escape(s)}</li>" for s in sources)
    return (
        "<h2>How it was measured</h2>"
        "<p>All write the same briefs: every mood meets all keys and three tempi of its range, "
        "drawn by the seed. The model, the chain and the model without controls share plan, "
        "grammar, sampling and the choice of the best candidate; they differ only in what they "
        "expect next. The chain is of order two over the same tokens, in C, smoothed after Witten "
        "and Bell (1991). Intervals are bootstrapped over tracks, 1,000 times (Efron 1979).</p>"
        "<details><summary>Where the figures come from</summary><ul>" + listed + "</ul></details>"
    )
