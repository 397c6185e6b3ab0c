"""A copied tune is found and named; one that merely speaks the same language is let through."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import symusic

from lofi.brief import InputError
from lofi.originality import (
    Library,
    build_library,
    check,
    draw_match,
    load_library,
    melodies,
    merge_libraries,
    save_library,
)
from lofi.originality._index import GramIndex, MelodyTable

TICKS_PER_BEAT = 480
BAR = 4 * TICKS_PER_BEAT
SCALE = (0, 2, 4, 5, 7, 9, 11)
RHYTHMS = ((2, 2, 2, 2), (3, 1, 4), (1, 1, 2, 4), (4, 2, 2), (2, 1, 1, 2, 2), (6, 2), (3, 3, 2))


def tune(seed: int, bars: int = 32) -> list[tuple[int, int, int]]:
    """(onset, duration, pitch) of a random walk over a scale, in eighths grouped by bar."""
    chance = np.random.default_rng(seed)
    degree, onset, notes = 14, 0, []
    tonic = int(chance.integers(12))
    while onset < bars * BAR:
        for eighths in RHYTHMS[chance.integers(len(RHYTHMS))]:
            degree += int(chance.choice([-4, -2, -1, -1, 0, 1, 1, 2, 3]))
            degree = min(max(degree, 7), 24)
            pitch = 36 + tonic + 12 * (degree // 7) + SCALE[degree % 7]
            notes.append((onset, eighths * TICKS_PER_BEAT // 2, pitch))
            onset += eighths * TICKS_PER_BEAT // 2
    return notes


def score_of(notes: list[tuple[int, int, int]], name: str = "lead", program: int = 11):
    score = symusic.Score(TICKS_PER_BEAT)
    track = symusic.Track(name=name, program=program)
    for onset, duration, pitch in notes:
        track.notes.append(symusic.Note(onset, duration, pitch, 80))
    score.tracks.append(track)
    return score


def library_of(works: int) -> Library:
    return build_library((f"work {n}", melodies(score_of(tune(n)))) for n in range(works))


@pytest.fixture(scope="module")
def library() -> Library:
    return library_of(40)


def with_eight_bars_of(work: int, change=lambda note: [note]) -> symusic.Score:
    """A new tune of 24 bars whose bars 9 to 16 are bars 5 to 12 of a work, after `change`."""
    own = tune(900, bars=24)
    copied = [
        changed
        for onset, duration, pitch in tune(work)
        if 4 * BAR <= onset < 12 * BAR
        for changed in change((onset + 4 * BAR, duration, pitch))
    ]
    kept = [note for note in own if not 8 * BAR <= note[0] < 16 * BAR]
    return score_of(sorted(kept + copied))


def test_eight_copied_bars_transposed_are_blocked_and_the_work_is_named(library: Library):
    score = with_eight_bars_of(7, lambda n: [(n[0], n[1], n[2] + 5)])
    report = check(score, library)
    assert report.verdict == "block"
    match = report.matches[0]
    assert match.work == "work 7"
    assert match.transposition == -5
    assert match.query_bars[0] in (8, 9)
    assert match.query_bars[1] in (16, 17)
    assert report.longest_run_notes >= 20
    assert "work 7" in report.summary


def test_a_copy_played_ten_per_cent_slower_is_blocked(library: Library):
    slower = [(round(o * 1.1), round(d * 1.1), p + 5) for o, d, p in tune(11)[:60]]
    report = check(score_of(slower), library)
    assert (report.verdict, report.matches[0].work) == ("block", "work 11")


def test_a_match_is_drawn_with_the_notes_that_agree_one_above_the_other(
    library: Library, tmp_path: Path
):
    score = with_eight_bars_of(7, lambda n: [(n[0], n[1], n[2] + 5)])
    report = check(score, library).to_dict()
    save_library(library, tmp_path / "works.npz")
    drawn = draw_match(score, report["matches"][0], tmp_path / "works.npz")
    assert drawn is not None
    assert (drawn.first_bar, drawn.bars) == (report["matches"][0]["query_bars"][0], 9)
    agree = [(drawn.yours[y], drawn.theirs[t]) for y, t, same in drawn.pairs if same]
    assert len(agree) == report["matches"][0]["matched_notes"]
    # The copy is five semitones higher: in its key and tempo every note stands where it stands.
    assert all(mine.pitch == theirs.pitch for mine, theirs in agree)
    assert all(abs(mine.beat - theirs.beat) < 0.1 for mine, theirs in agree)
    other = {**report["matches"][0], "work": "a work that is gone"}
    assert draw_match(score, other, tmp_path / "works.npz") is None


def test_a_copy_with_changed_dropped_and_inserted_notes_is_still_found(library: Library):
    count = 0

    def change(note: tuple[int, int, int]) -> list[tuple[int, int, int]]:
        nonlocal count
        count += 1
        onset, duration, pitch = note
        if count % 9 == 4:
            return [(onset, duration, pitch + 1)]
        if count % 9 == 7:
            half = duration // 2
            return [(onset, half, pitch), (onset + half, half, pitch + 2)]
        return [] if count == 11 else [note]

    report = check(with_eight_bars_of(23, change), library)
    assert report.verdict in ("review", "block")
    assert report.matches[0].work == "work 23"


@pytest.mark.parametrize("seed", range(500, 506))
def test_a_tune_of_the_same_language_passes(library: Library, seed: int):
    report = check(score_of(tune(seed)), library)
    assert report.verdict == "pass"
    assert report.summary == f"no match above {report.review_bits:g} bits in 40 works"


def test_scales_and_drones_do_not_block_even_where_the_library_has_them():
    eighth = TICKS_PER_BEAT // 2
    climb = [36 + 12 * octave + step for octave in range(2, 5) for step in SCALE]
    scale = [(n * eighth, eighth, p) for n, p in enumerate((climb + climb[::-1]) * 3)]
    drone = [(n * eighth, eighth, 60) for n in range(200)]
    works = [(f"work {n}", melodies(score_of(tune(n)))) for n in range(20)]
    works += [("scales", melodies(score_of(scale))), ("drone", melodies(score_of(drone)))]
    library = build_library(works)
    one_way = [(n * eighth, eighth, p) for n, p in enumerate(climb)]
    assert check(score_of(one_way), library).verdict != "block"
    assert check(score_of(drone), library).verdict == "pass"


def test_a_loop_counts_its_motif_once_however_often_it_is_repeated():
    two_bars = [note for note in tune(3) if note[0] < 2 * BAR]

    def looped(times: int):
        return score_of([(o + n * 2 * BAR, d, p) for n in range(times) for o, d, p in two_bars])

    works = [(f"work {n}", melodies(score_of(tune(n)))) for n in range(4, 20)]
    library = build_library([*works, ("loop", melodies(looped(16)))])
    thrice, often = check(looped(3), library), check(looped(16), library)
    assert often.matches[0].work == "loop"
    assert often.matches[0].matched_notes > thrice.matches[0].matched_notes
    assert often.matches[0].bits == pytest.approx(thrice.matches[0].bits, abs=3.0)


def test_an_empty_library_means_not_checked():
    report = check(score_of(tune(1)), build_library([]))
    assert report.verdict == "not checked"
    assert report.works == 0
    assert "no works" in report.summary


def test_a_score_without_a_melody_is_not_called_checked(library: Library):
    report = check(score_of(tune(1), name="bass", program=32), library)
    assert report.verdict == "not checked"


@pytest.mark.parametrize("seed", [7, 777])
def test_no_summary_promises_safety(library: Library, seed: int):
    assert "safe" not in check(score_of(tune(seed)), library).summary


def test_a_report_becomes_json(library: Library):
    told = json.loads(json.dumps(check(score_of(tune(7)), library).to_dict()))
    assert told["matches"][0]["work"] == "work 7"
    assert told["works"] == 40


def test_the_highest_note_is_melody_and_a_broken_chord_under_it_is_not():
    beat = TICKS_PER_BEAT
    held = [(n * 4 * beat, 4 * beat - 1, 72 + n % 5) for n in range(8)]
    broken = [(n * beat, beat // 2, 55) for n in range(32)]
    (line,) = melodies(score_of(held + broken, name="keys", program=4))
    assert line.part == "keys"
    assert line.pitches.tolist() == [72 + n % 5 for n in range(8)]
    assert line.onsets.tolist() == [48 * n for n in range(8)]


def test_drums_basses_pads_and_scraps_are_no_melody():
    score = score_of(tune(1), name="Warm Pad", program=0)
    score.tracks.append(score_of(tune(1), name="", program=33).tracks[0])
    kit = score_of(tune(1), name="kit").tracks[0]
    kit.is_drum = True
    score.tracks.append(kit)
    score.tracks.append(score_of(tune(2)[:7]).tracks[0])
    assert melodies(score) == []


def test_a_saved_library_gives_the_same_report(library: Library, tmp_path: Path):
    save_library(library, tmp_path / "library.npz")
    again = load_library(tmp_path / "library.npz")
    score = with_eight_bars_of(7)
    assert check(score, again) == check(score, library)
    assert [p.name for p in tmp_path.iterdir()] == ["library.npz"]


# What is derived and kept -------------------------------------------------------------------------


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where an index is kept, of a library of any size."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("lofi.originality._library._SMALL_NOTES", 0)
    return tmp_path / "cache" / "lofi-empire" / "melodies"


def is_derived(monkeypatch: pytest.MonkeyPatch, path: Path) -> bool:
    """Whether a library that is loaded derives its index."""
    derived: list[MelodyTable] = []
    derive = GramIndex.of

    def noted(table: MelodyTable) -> GramIndex:
        derived.append(table)
        return derive(table)

    with monkeypatch.context() as patch:
        patch.setattr(GramIndex, "of", noted)
        load_library(path)
    return bool(derived)


def test_an_index_is_derived_once_and_says_the_same(library, tmp_path, cache, monkeypatch):
    save_library(library, tmp_path / "library.npz")
    assert is_derived(monkeypatch, tmp_path / "library.npz")
    assert not is_derived(monkeypatch, tmp_path / "library.npz")
    copy = with_eight_bars_of(3)
    assert check(copy, load_library(tmp_path / "library.npz")) == check(copy, library)
    save_library(library_of(2), tmp_path / "library.npz")
    assert is_derived(monkeypatch, tmp_path / "library.npz")


def test_a_damaged_index_is_derived_again(library, tmp_path, cache, monkeypatch):
    save_library(library, tmp_path / "library.npz")
    load_library(tmp_path / "library.npz")
    (kept,) = cache.iterdir()
    for spoil in (
        lambda f: f.write_bytes(f.read_bytes()[:-40]),
        lambda f: f.write_bytes(b"no array"),
        lambda f: np.save(f, np.zeros(4)),
        lambda f: f.unlink(),
    ):
        spoil(kept / "notes.npy")
        assert is_derived(monkeypatch, tmp_path / "library.npz")
        assert not is_derived(monkeypatch, tmp_path / "library.npz")


def test_only_the_indexes_that_were_read_last_are_kept(tmp_path, cache):
    (cache / ".killed").mkdir(parents=True)
    os.utime(cache / ".killed", (1, 1))
    for works in range(1, 7):
        save_library(library_of(works), tmp_path / "library.npz")
        load_library(tmp_path / "library.npz")
    assert len(list(cache.iterdir())) == 4


def test_where_nothing_can_be_kept_a_library_is_read_all_the_same(library, tmp_path, cache):
    cache.parent.parent.write_text("no folder")
    save_library(library, tmp_path / "library.npz")
    assert check(with_eight_bars_of(3), load_library(tmp_path / "library.npz")).verdict == "block"


def test_the_same_works_make_the_same_bytes(tmp_path: Path):
    for name in ("one.npz", "two.npz"):
        save_library(library_of(5), tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_library_without_works_can_be_kept(tmp_path: Path):
    save_library(build_library([]), tmp_path / "empty.npz")
    assert load_library(tmp_path / "empty.npz").works == 0


def test_a_missing_library_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(InputError, match="build one first"):
        load_library(tmp_path / "none.npz")


def test_a_damaged_library_is_refused(library: Library, tmp_path: Path):
    path = tmp_path / "library.npz"
    save_library(library, path)
    whole = path.read_bytes()
    chance = np.random.default_rng(0)
    damaged = [b"", b"not a zip", whole[: len(whole) // 2], whole[:-30]]
    for _ in range(20):
        # The stored data carry checksums; flipping a byte of them must not go unnoticed.
        at = int(chance.integers(200, len(whole) // 2))
        damaged.append(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(InputError, match="Build it again"):
            load_library(path)


def test_a_foreign_archive_is_refused(tmp_path: Path):
    np.savez(tmp_path / "foreign.npz", weights=np.zeros(3))
    np.savez(tmp_path / "pickled.npz", header=np.array([{}], dtype=object))
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("header.npy", "hello")
    for name in ("foreign.npz", "pickled.npz", "text.npz"):
        with pytest.raises(InputError):
            load_library(tmp_path / name)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lengths", np.array([10**6], np.uint32)),
        ("works", np.array([5], np.uint32)),
        ("pitches", np.full(8, -3, np.int8)),
        ("iois", np.zeros(8, np.uint8)),
        ("iois", np.zeros(8, np.float32)),
        ("header", np.frombuffer(b'{"format":"other"}', np.uint8)),
        ("header", np.frombuffer(b"[" * 100_000, np.uint8)),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, field: str, value):
    path = tmp_path / "library.npz"
    save_library(build_library([("a", melodies(score_of(tune(1)[:8])))]), path)
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, field: value})
    with pytest.raises(InputError):
        load_library(path)


def test_a_score_of_absurd_ticks_is_checked_without_harm(library: Library):
    notes = [(n * 50_000_000, 2**30, 40 + n) for n in range(40)]
    assert check(score_of(notes), library).verdict in ("pass", "review")


def test_two_libraries_become_one_that_knows_the_works_of_both(tmp_path: Path):
    lines = [melodies(score_of(tune(n))) for n in range(24)]
    first = build_library([(f"work {n}", lines[n]) for n in range(16)])
    # One work in common, one of the same name that is another tune, six that are new.
    second = build_library(
        [
            ("work 15", lines[15]),
            ("work 0", lines[16]),
            *((f"new {n}", lines[n]) for n in range(18, 24)),
        ]
    )
    both = merge_libraries(first, second)
    assert both.names == (
        *first.names,
        "work 0 (2)",
        *(f"new {n}" for n in range(18, 24)),
    )
    save_library(both, tmp_path / "both.npz")
    both = load_library(tmp_path / "both.npz")
    for number, name in ((3, "work 3"), (16, "work 0 (2)"), (20, "new 20")):
        report = check(score_of(tune(number)), both)
        assert report.matches[0].work == name
    alone = build_library([(n, lines[i]) for i, n in enumerate(first.names)])
    assert merge_libraries(first, alone).names == first.names
