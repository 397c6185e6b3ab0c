"""Going on from a score that is there: continued, or varied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import symusic

from lofi.brief import TAIL_S, Brief, InputError, Key, read_form, read_parts
from lofi.music import (
    KEPT,
    Sampling,
    brief_for,
    compose,
    generate,
    measure,
    midi_bytes,
    notes_by_part,
    open_model,
    read_chords,
    read_midi,
    read_source,
)
from lofi.music._arrange import arrange
from lofi.music._midi import TICKS_PER_BAR
from lofi.music._recognise import Notes, find_swing
from lofi.music._source import continuation, variation

BARS = 16


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled score of the rule composer: G major, 76 bpm, five players."""
    brief = Brief(
        seed=3,
        mood="chill",
        bpm=76,
        key=Key.parse("G major"),
        parts=("drums", "bass", "keys", "lead", "pad"),
        form=read_form("intro:4 A:8 outro:4"),
        swing=7 / 12,
    ).settled()
    score, plan = compose(brief)
    path = tmp_path_factory.mktemp("given") / "given.mid"
    path.write_bytes(midi_bytes(score, plan, brief.mood))
    return path


def table(notes: Notes) -> list[tuple[int, ...]]:
    columns = (notes.onset, notes.length, notes.pitch, notes.velocity)
    return list(zip(*(c.tolist() for c in columns), strict=True))


def made(source, untrained: Path, *, vary: bool = False, keep=None, seed: int = 9, **more):
    brief = brief_for(source, Brief(seed=seed, **more), vary=vary)
    keep = (keep or KEPT) if vary else None
    return brief, generate(
        brief,
        open_model(untrained),
        source=source,
        keep=keep,
        sampling=Sampling(max_length=300),
        best_of=1,
    )


def test_a_score_is_heard_as_it_was_written(given: Path):
    source = read_source(given)
    assert (source.bars, source.bpm, str(source.key)) == (BARS, 76, "G major")
    assert source.mood == "chill"
    assert source.swing == pytest.approx(7 / 12, abs=0.02)
    assert [(s.name, s.start_bar, s.bars) for s in source.sections] == [
        ("intro", 0, 4), ("A", 4, 8), ("outro", 12, 4),
    ]  # fmt: skip
    assert len(source.chords) == 2 * BARS
    assert all(source.chords)


def test_without_labels_it_is_heard_all_the_same(given: Path, tmp_path: Path):
    bare = symusic.Score(str(given))
    bare.markers.clear()
    bare.key_signatures.clear()
    (tmp_path / "bare.mid").write_bytes(bare.dumps_midi())
    source = read_source(tmp_path / "bare.mid")
    assert str(source.key) == measure(read_midi(given)[0]).key
    assert sum(s.bars for s in source.sections) == source.bars == BARS
    brief = brief_for(source, Brief(seed=1), vary=False)
    draft = continuation(source, brief)
    assert draft.plan.bars == 2 * BARS


def test_what_is_continued_stays_note_for_note_and_the_rest_follows(given: Path, untrained: Path):
    source = read_source(given)
    brief, more = made(source, untrained)
    plan = more.plan
    assert plan.bars == 2 * BARS
    assert plan.duration_s == pytest.approx(2 * BARS * 240 / 76 + TAIL_S)
    assert (plan.bpm, str(plan.key), plan.swing) == (76, "G major", source.swing)
    assert [s.name for s in plan.sections[:3]] == ["intro", "A", "outro"]
    followed = notes_by_part(more.score)
    for part, notes in source.parts.items():
        assert table(followed[part])[: len(notes)] == table(notes)
    new = {p: n.within(BARS * TICKS_PER_BAR, 1 << 40) for p, n in followed.items()}
    assert sum(len(n) for n in new.values()) > 50
    last = (plan.bars - 1) * TICKS_PER_BAR
    assert max((n.onset + n.length).max() for n in new.values()) > last + TICKS_PER_BAR
    assert brief.duration_s == pytest.approx(plan.duration_s)


def test_what_follows_has_its_chords_its_band_and_hears_its_last_bars(given: Path):
    source = read_source(given)
    brief = brief_for(source, Brief(seed=2, form=read_form("A' B outro")), vary=False)
    draft = continuation(source, brief)
    names = [s.name for s in draft.plan.sections]
    assert names == ["intro", "A", "outro", "A'", "B", "outro"]
    first = next(s for s in draft.plan.sections if s.name == "A")
    again = next(s for s in draft.plan.sections if s.name == "A'")
    count = min(len(first.chords), len(again.chords))
    assert first.chords[:count] == again.chords[:count]
    assert {p for o in draft.orders for p in o.section.parts} <= set(source.parts)
    before = draft.orders[0].before
    assert set(before) <= set(source.parts)
    assert all((n.onset < 0).all() and (n.onset + n.length <= 0).all() for n in before.values())
    # The bed of a return is that of the first time.
    assert {"drums", "bass"} & set(draft.orders[0].kept)


def test_the_swing_of_the_source_goes_on_and_is_not_laid_on_twice(tmp_path: Path):
    asked = Brief(seed=3, mood="upbeat", swing=0.62, form=read_form("A:8 outro:4")).settled()
    score, plan = compose(asked)
    (tmp_path / "swung.mid").write_bytes(midi_bytes(score, plan, "upbeat"))
    source = read_source(tmp_path / "swung.mid")
    assert source.swing == pytest.approx(0.62, abs=0.015)
    form = read_form("A:8 outro:4")
    draft = continuation(source, brief_for(source, Brief(seed=1, form=form), vary=False))
    kept = draft.orders[0].kept["drums"]
    assert (kept.onset % 40 == 0).all()  # the writer gets it on the grid
    assert (kept.onset % 480 == 320).any()  # its off-beats on the heavy place, 8 twelfths
    silent = [[(0, {})] for _ in draft.orders]
    arranged, _ = arrange(draft, silent, brief_for(source, Brief(seed=1), vary=False))
    more = notes_by_part(arranged)["drums"].within(12 * TICKS_PER_BAR, 1 << 40)
    assert find_swing({"drums": more}) == pytest.approx(0.62, abs=0.02)


def test_a_duration_a_form_and_chords_may_be_asked_for(given: Path):
    source = read_source(given)
    asked = Brief(seed=2, duration_s=100, chords=read_chords("Am9 D7"), swing=0.5)
    draft = continuation(source, brief_for(source, asked, vary=False))
    assert draft.plan.duration_s == pytest.approx(100)
    assert draft.plan.sections[3].chords[:4] == ("Am9", "Am9", "D7", "D7")
    assert draft.plan.swing == 0.5
    sized = Brief(seed=2, form=read_form("B:8 outro:4"))
    draft = continuation(source, brief_for(source, sized, vary=False))
    assert draft.plan.bars == BARS + 12


def test_a_variation_keeps_form_chords_length_and_the_kept_parts(given: Path, untrained: Path):
    source = read_source(given)
    _, varied = made(source, untrained, vary=True)
    plan = varied.plan
    assert plan.bars == BARS
    assert (plan.bpm, str(plan.key)) == (76, "G major")
    assert [(s.name, s.bars) for s in plan.sections] == [(s.name, s.bars) for s in source.sections]
    parts = notes_by_part(varied.score)
    for part in KEPT:
        assert table(parts[part]) == table(source.parts[part])
    assert table(parts["keys"]) != table(source.parts["keys"])
    assert set(parts) <= set(source.parts)
    # Who plays when is as it was.
    for section, old in zip(plan.sections, source.sections, strict=True):
        assert section.parts == old.parts


def test_other_parts_can_be_kept_and_others_added(given: Path, untrained: Path):
    source = read_source(given)
    _, varied = made(source, untrained, vary=True, keep=("keys", "lead"))
    parts = notes_by_part(varied.score)
    assert table(parts["lead"]) == table(source.parts["lead"])
    assert table(parts["bass"]) != table(source.parts["bass"])
    brief = brief_for(source, Brief(seed=1, parts=read_parts("guitar")), vary=True)
    draft = variation(source, brief, ("drums", "bass", "keys"))
    assert "guitar" in draft.plan.sections[1].parts
    assert all("lead" not in s.parts for s in draft.plan.sections)


@pytest.mark.parametrize(
    ("vary", "asked", "keep", "words"),
    [
        (False, {"duration_s": 40.0}, (), r"16 bars, which fill 40 s already.*60 s or more"),
        (False, {"key": Key.parse("C minor")}, (), "key is that of given.mid"),
        (True, {"duration_s": 60.0}, (), "duration is that of given.mid"),
        (True, {"form": read_form("A B")}, (), "form is that of"),
        (True, {}, ("guitar",), "no guitar to keep; it has drums, bass"),
        (True, {}, ("drums", "bass", "keys", "lead", "pad"), "nothing is left to write"),
        (False, {"form": read_form("A B A B A B A B A B")}, (), "takes 20 to"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_of_it_is_named(given: Path, vary, asked, keep, words):
    source = read_source(given)

    def go_on() -> None:
        brief = brief_for(source, Brief(seed=1, **asked), vary=vary)
        variation(source, brief, keep) if vary else continuation(source, brief)

    with pytest.raises(InputError, match=words):
        go_on()


def test_a_score_that_is_none_in_four_four_is_named_with_the_reason(given: Path, tmp_path: Path):
    (tmp_path / "text.mid").write_text("hello")
    with pytest.raises(InputError, match=r"text\.mid cannot be gone on from: not a MIDI file"):
        read_source(tmp_path / "text.mid")
    with pytest.raises(InputError, match="No such file"):
        read_source(tmp_path / "none.mid")
    waltz = symusic.Score(str(given))
    waltz.time_signatures.clear()
    waltz.time_signatures.append(symusic.TimeSignature(0, 3, 4))
    (tmp_path / "waltz.mid").write_bytes(waltz.dumps_midi())
    with pytest.raises(InputError, match="meter 3/4"):
        read_source(tmp_path / "waltz.mid")
    waltz.time_signatures.append(symusic.TimeSignature(12 * TICKS_PER_BAR // 4, 4, 4))
    (tmp_path / "half.mid").write_bytes(waltz.dumps_midi())
    with pytest.raises(InputError, match="not in 4/4 throughout"):
        read_source(tmp_path / "half.mid")
    fast = symusic.Score(str(given))
    fast.tempos.clear()
    fast.tempos.append(symusic.Tempo(0, 170.0))
    (tmp_path / "fast.mid").write_bytes(fast.dumps_midi())
    source = read_source(tmp_path / "fast.mid")
    with pytest.raises(InputError, match=r"fast\.mid: bpm 170 is out of range"):
        brief_for(source, Brief(seed=1), vary=False)
    assert brief_for(source, Brief(seed=1, bpm=85), vary=False).bpm == 85


def test_a_drum_loop_can_be_given_a_band(given: Path, tmp_path: Path, untrained: Path):
    drums = read_midi(given)[0]
    only = next(t for t in drums.tracks if t.is_drum)
    drums.tracks.clear()
    drums.tracks.append(only)
    drums.markers.clear()
    (tmp_path / "drums.mid").write_bytes(drums.dumps_midi())
    source = read_source(tmp_path / "drums.mid")
    assert source.key is None
    _, varied = made(
        source, untrained, vary=True, keep=("drums",), key=Key.parse("Am"), mood="chill",
        parts=read_parts("drums bass keys"),
    )  # fmt: skip
    parts = notes_by_part(varied.score)
    assert table(parts["drums"]) == table(source.parts["drums"])
    assert np.sum([len(n) for p, n in parts.items() if p != "drums"]) > 10


def test_the_same_seed_goes_on_in_the_same_way(given: Path, untrained: Path):
    source = read_source(given)
    first, again, other = (
        made(source, untrained, seed=s, duration_s=70.0)[1].score.dumps_midi() for s in (1, 1, 2)
    )
    assert first == again != other
