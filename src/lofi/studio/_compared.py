"""What a track was asked for, what was made of that, and what was measured of it, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lofi.brief import BUNDLES, MASTER_LUFS, MASTER_PEAK_DB, MOODS, PARTS, Key
from lofi.picture import MIN_CAP_HEIGHT_SHARE, MIN_CONTRAST, Legibility

# How far a figure may be off and still be the one asked for: what its own measure cannot tell.
_BPM = 0.05
_DURATION_S = 0.05
_SWING = 0.02
_LUFS = 0.2


@dataclass(frozen=True, slots=True)
class Compared:
    """One thing of a track. `asked` is None where it was left open, and `meant` was drawn.

    `met` says whether what was measured is what was meant; None where neither is more right.
    """

    name: str
    asked: str | None
    meant: str | None
    measured: str | None
    met: bool | None


def compare(facts: Mapping[str, Any]) -> list[Compared]:
    """All that can be compared in a track's `track.json`; nothing of one that does not tell it."""
    if not all(name in facts for name in ("brief", "plan", "measured")) or (
        "score" not in facts["measured"]
    ):
        return []
    asked, brief, plan = facts.get("asked", {}), facts["brief"], facts["plan"]
    measured = facts["measured"]
    score = measured["score"]
    mood = MOODS.get(brief["mood"])
    bundle = BUNDLES[mood.bundle] if mood else None
    rows = [
        Compared(
            "mood", asked.get("mood"), brief["mood"], score["bundle"],
            None if score["bundle"] is None or mood is None else score["bundle"] == mood.bundle,
        ),
        _figure("tempo", asked.get("bpm"), brief["bpm"], measured["bpm"], "{:.4g} bpm", _BPM),
        Compared(
            "key", asked.get("key"), brief["key"], measured["key"], _same_scale(brief, measured)
        ),
        _figure(
            "length", asked.get("duration_s"), brief["duration_s"], measured["duration_s"],
            "{:.2f} s", _DURATION_S,
        ),
        _figure("bars", None, plan["bars"], score["bars"], "{:d}", 0),
        _form(asked, plan),
        _instruments(asked, plan, score),
        _figure("swing", asked.get("swing"), plan["swing"], score["swing"], "{:.0%}", _SWING),
    ]  # fmt: skip
    if asked.get("chords"):
        told = " ".join(dict.fromkeys(asked["chords"]))
        rows.append(Compared("chords", told, told, None, None))
    if bundle:
        rows += [
            _within(
                "density", asked.get("density"), bundle.density, score["density"],
                "{:.1f}", " notes a beat",
            ),
            _within("velocity", None, bundle.velocity, score["velocity"], "{:.0f}", ""),
            _within("register", None, bundle.register, score["register"], "{:.0f}", ""),
        ]  # fmt: skip
    lufs, peak_db = measured["lufs"], measured["true_peak_db"]
    rows += [
        _figure("loudness", None, MASTER_LUFS, lufs, "{:.1f} LUFS", _LUFS),
        Compared(
            "true peak", None, f"up to {MASTER_PEAK_DB:.1f} dBTP", f"{peak_db:.1f} dBTP",
            peak_db <= MASTER_PEAK_DB + 0.05,
        ),
    ]  # fmt: skip
    return rows + _thumbnail(measured.get("thumbnail"))


def _figure(
    name: str, asked: Any, meant: Any, measured: Any, form: str, tolerance: float
) -> Compared:
    told = [None if value is None else form.format(value) for value in (asked, meant, measured)]
    met = None if measured is None or meant is None else abs(measured - meant) <= tolerance
    return Compared(name, told[0], told[1], told[2], met)


def _same_scale(brief: Mapping[str, Any], measured: Mapping[str, Any]) -> bool | None:
    """A key and its relative have the same notes: where either is heard, it was followed."""
    if not measured["key"]:
        return None
    meant, heard = Key.parse(brief["key"]), Key.parse(measured["key"])
    return set(meant.scale) == set(heard.scale)


def _form(asked: Mapping[str, Any], plan: Mapping[str, Any]) -> Compared:
    laid_out = " ".join(f"{s['name']}:{s['bars']}" for s in plan["sections"])
    told, met = None, None
    if asked.get("form"):
        told = " ".join(f"{name}:{bars}" if bars else name for name, bars in asked["form"])
        met = [name for name, _ in asked["form"]] == [s["name"] for s in plan["sections"]]
    return Compared("form", told, laid_out, laid_out if told else None, met)


def _instruments(
    asked: Mapping[str, Any], plan: Mapping[str, Any], score: Mapping[str, Any]
) -> Compared:
    meant = [p for p in PARTS if any(p in s["parts"] for s in plan["sections"])]
    played = [p for p in PARTS if score["parts"].get(p)]
    told = ", ".join(asked["parts"]) if asked.get("parts") else None
    return Compared("instruments", told, ", ".join(meant), ", ".join(played), played == meant)


def _within(
    name: str, asked: Any, span: tuple[float, float], measured: Any, form: str, unit: str
) -> Compared:
    """A mood's range holds for the middle half of its music: outside of it is not wrong."""
    told = f"{form.format(span[0])} to {form.format(span[1])}{unit}"
    return Compared(
        name, asked, told, None if measured is None else form.format(measured) + unit, None
    )


def _thumbnail(measured: Mapping[str, Any] | None) -> list[Compared]:
    if not measured:
        return []
    return [
        Compared(
            "thumbnail",
            None,
            f"contrast {MIN_CONTRAST:g}, capitals {MIN_CAP_HEIGHT_SHARE:.0%} of the height",
            f"{measured['contrast']:.1f}, {measured['cap_height_share']:.0%}",
            Legibility(**measured).ok,
        )
    ]
