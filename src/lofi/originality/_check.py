"""What a score resembles in a library, how strongly and where; and what follows from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import symusic

from lofi.originality._library import Library
from lofi.originality._melody import UNITS_PER_BAR, Melody, melodies
from lofi.originality._search import Alignment

Verdict = Literal["pass", "review", "block", "not checked"]
_MATCHES = 5


@dataclass(frozen=True, slots=True)
class Match:
    """One resemblance.

    `part` is of the score, `work_part` of the work. `query_bars`: first and last bar in the score,
    from 1, in 4/4. `reference_notes`: first and last note of the work's part, from 1.
    `transposition`: semitones from the score to the work.
    """

    work: str
    work_part: str
    part: str
    bits: float
    query_bars: tuple[int, int]
    reference_notes: tuple[int, int]
    transposition: int
    matched_notes: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared with what, and what came of it. Bits are of surprisal.

    `longest_run_notes`: the longest run of notes found with the same intervals and rhythm in a row.
    """

    verdict: Verdict
    works: int
    melodies: int
    review_bits: float
    block_bits: float
    matches: tuple[Match, ...]
    longest_run_notes: int
    summary: str

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        report = asdict(self)
        report["matches"] = [
            {**match, "query_bars": list(match["query_bars"]),
             "reference_notes": list(match["reference_notes"])}
            for match in report["matches"]
        ]  # fmt: skip
        return report


def check(score: symusic.Score, library: Library) -> Report:
    """Compare every melody of `score` with every work of `library`.

    The verdict is `not checked` when there is nothing to compare with, or nothing to compare.
    """
    lines = melodies(score)
    found: list[tuple[Melody, Alignment]] = []
    if library.works:
        found = [(line, a) for line in lines for a in library.search_table.search(line)]
    found.sort(key=lambda pair: -pair[1].bits)

    matches: list[Match] = []
    seen: set[int] = set()
    for line, alignment in found:
        work = int(library.work_of[alignment.melody])
        if work not in seen and len(matches) < _MATCHES and alignment.bits > 0:
            seen.add(work)
            matches.append(_match(library, line, alignment))
    verdict = _verdict(library, bool(lines), matches)
    return Report(
        verdict=verdict,
        works=library.works,
        melodies=len(lines),
        review_bits=library.thresholds.review_bits,
        block_bits=library.thresholds.block_bits,
        matches=tuple(matches),
        longest_run_notes=max((a.exact_run_notes for _, a in found), default=0),
        summary=_summary(library, verdict, bool(lines), matches),
    )


def _match(library: Library, line: Melody, alignment: Alignment) -> Match:
    first, last = alignment.pairs[0], alignment.pairs[-1]
    start = int(library.search_table.table.starts[alignment.melody])
    bars = line.onsets[np.array([first[0], last[0]])] // UNITS_PER_BAR + 1
    return Match(
        work=library.names[library.work_of[alignment.melody]],
        work_part=library.parts[alignment.melody],
        part=line.part,
        bits=round(alignment.bits, 1),
        query_bars=(int(bars[0]), int(bars[1])),
        reference_notes=(int(first[1]) - start + 1, int(last[1]) - start + 1),
        transposition=alignment.transposition,
        matched_notes=alignment.matched_notes,
    )


def _verdict(library: Library, has_melody: bool, matches: list[Match]) -> Verdict:
    if not library.works or not has_melody:
        return "not checked"
    strongest = matches[0].bits if matches else 0.0
    if strongest >= library.thresholds.block_bits:
        return "block"
    return "review" if strongest >= library.thresholds.review_bits else "pass"


def _summary(library: Library, verdict: Verdict, has_melody: bool, matches: list[Match]) -> str:
    """One sentence that claims no more than was done."""
    if not library.works:
        return "not checked: the library holds no works"
    if not has_melody:
        return "not checked: no part of the score carries a melody of 8 notes"
    compared = f"{library.works:,} work{'' if library.works == 1 else 's'}"
    limits = library.thresholds
    if verdict == "pass":
        return f"no match above {limits.review_bits:g} bits in {compared}"
    match = matches[0]
    limit = limits.block_bits if verdict == "block" else limits.review_bits
    first, last = match.query_bars
    bars = f"bar {first}" if first == last else f"bars {first}-{last}"
    return (
        f"{bars} ({match.part}) resemble{'s' if first == last else ''} {match.work!r}: "
        f"{match.bits:g} bits, {verdict} from {limit:g}, compared with {compared}"
    )
