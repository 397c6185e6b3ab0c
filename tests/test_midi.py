"""Reading MIDI: what is kept, what is refused and why."""

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
import symusic
from hostile import END, SCALE, header, hostile_files, track

from lofi.brief import PARTS, Brief
from lofi.music import (
    Bounds,
    Quality,
    RejectedError,
    compose,
    judge,
    labelled_chords,
    measure,
    midi_bytes,
    notes_by_part,
    read_midi,
)
from lofi.music._theory import Chord


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "file.mid"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", sorted(hostile_files()))
def test_a_broken_file_is_refused_with_a_reason(tmp_path: Path, name: str):
    with pytest.raises(RejectedError) as refused:
        read_midi(written(tmp_path, hostile_files()[name]))
    assert len(str(refused.value)) > 8


def test_a_missing_time_signature_and_tempo_are_repaired_and_told(tmp_path: Path):
    score, repairs = read_midi(written(tmp_path, header() + track(SCALE + END)))
    assert score.tempos[0].qpm == 120
    assert any("4/4" in r for r in repairs)
    assert any("120 bpm" in r for r in repairs)


def test_roland_hi_hats_are_moved_into_general_midi(tmp_path: Path):
    hits = b"".join(
        b"\x00\x99" + bytes([p, 90]) + b"\x78\x89" + bytes([p, 0]) for p in (22, 26) * 60
    )
    score, repairs = read_midi(written(tmp_path, header() + track(hits + END)))
    assert set(notes_by_part(score)["drums"].pitch.tolist()) == {42, 46}
    assert any("22 moved to 42" in r for r in repairs)


def scored(*tracks: tuple[str, int, Sequence[tuple[float, float, int]]], **signs) -> bytes:
    """A file of tracks (name, program, [(beat of onset, beats, pitch)]) at 480 ticks a beat."""
    raw = symusic.Score(480)
    for numerator, denominator, beat in signs.get("meters", ()):
        raw.time_signatures.append(symusic.TimeSignature(beat * 480, numerator, denominator))
    for name, program, notes in tracks:
        played = symusic.Track(name, program, False)
        for beat, beats, pitch in notes:
            played.notes.append(symusic.Note(round(beat * 480), round(beats * 480), pitch, 80))
        raw.tracks.append(played)
    return raw.dumps_midi()


LINE = [(i, 0.9, 72 + (i * 2) % 7) for i in range(32)]
CHORDS = [(4 * i, 3.9, p) for i in range(8) for p in (52, 55, 60)]
LOW = [(2 * i, 1.9, 36 + (i * 5) % 12) for i in range(16)]


def test_tracks_that_share_a_program_are_told_apart_by_their_names(tmp_path: Path):
    data = scored(("MELODY", 0, LINE), ("PIANO", 0, CHORDS), ("Bass Guitar", 0, LOW))
    score, repairs = read_midi(written(tmp_path, data))
    assert {t.name: len(t.notes) for t in score.tracks} == {"bass": 16, "keys": 24, "lead": 32}
    assert any("told apart: bass, lead" in r for r in repairs)


def test_tracks_that_share_a_program_are_told_apart_by_what_they_play(tmp_path: Path):
    data = scored(("", 0, CHORDS), ("", 0, LOW), ("", 0, LINE))
    parts = notes_by_part(read_midi(written(tmp_path, data))[0])
    assert parts["lead"].pitch.min() >= 72
    assert parts["bass"].pitch.max() < 48
    assert len(parts["keys"]) == 24


def test_two_hands_at_one_piano_stay_the_keys(tmp_path: Path):
    right = [(b, 0.9, p + 12) for b, _, p in CHORDS]
    score, _ = read_midi(written(tmp_path, scored(("right", 0, right), ("left", 0, CHORDS))))
    assert [t.name for t in score.tracks] == ["keys"]


def test_notes_beyond_an_instrument_are_moved_by_octaves(tmp_path: Path):
    data = scored(("", 0, [(i, 0.9, 20 + 3 * i) for i in range(32)]))
    score, repairs = read_midi(written(tmp_path, data))
    pitches = notes_by_part(score)["keys"].pitch
    assert PARTS["keys"].low <= pitches.min()
    assert pitches.max() <= PARTS["keys"].high
    assert {int(p) % 12 for p in pitches} == {(20 + 3 * i) % 12 for i in range(32)}
    assert any("moved by octaves" in r for r in repairs)


def test_a_file_in_a_riff_wrapping_is_unwrapped(tmp_path: Path):
    inner = header() + track(SCALE + END)
    chunk = b"data" + struct.pack("<I", len(inner)) + inner
    other = b"DISP" + struct.pack("<I", 3) + b"abc\0"
    riff = b"RIFF" + struct.pack("<I", 4 + len(other) + len(chunk)) + b"RMID" + other + chunk
    score, repairs = read_midi(written(tmp_path, riff))
    assert score.note_num() == 64
    assert any("RIFF" in r for r in repairs)


def test_of_changing_meters_the_longest_stretch_in_four_is_kept(tmp_path: Path):
    line = [(i, 0.9, 60 + i % 12) for i in range(70)]
    meters = [(3, 4, 0), (4, 4, 6), (2, 2, 22), (3, 4, 46)]
    score, repairs = read_midi(written(tmp_path, scored(("", 0, line), meters=meters)))
    notes = notes_by_part(score)["keys"]
    assert len(notes) == 40
    assert notes.pitch[0] == 66
    assert notes.onset[0] == 0
    assert (notes.onset + notes.length).max() <= 40 * 480
    assert any("longest stretch in 4/4: 10 of" in r for r in repairs)


def test_a_bar_of_two_beats_does_not_move_the_bar_lines_after_it(tmp_path: Path):
    line = [(i, 0.9, 60 + i % 12) for i in range(42)]
    meters = [(4, 4, 0), (2, 4, 16), (4, 4, 18)]
    score, _ = read_midi(written(tmp_path, scored(("", 0, line), meters=meters)))
    assert notes_by_part(score)["keys"].pitch[0] == 60 + 18 % 12


def test_labels_come_back_from_the_file_they_were_written_to(tmp_path: Path):
    brief = Brief(seed=5, mood="dreamy").settled()
    score, plan = compose(brief, bars=12)
    again, _ = read_midi(written(tmp_path, midi_bytes(score, plan, "dreamy")))
    told = labelled_chords(again)
    assert told == [Chord.parse(c) for s in plan.sections for c in s.chords][: len(told)]
    assert len(told) >= 23
    names = [m.text for m in again.markers]
    assert "mood: dreamy" in names
    assert [n for n in names if ":" not in n] == [s.name for s in plan.sections]


def test_the_tempo_is_the_one_that_holds_longest(tmp_path: Path):
    raw = symusic.Score(480)
    raw.tempos.append(symusic.Tempo(0, 200))
    raw.tempos.append(symusic.Tempo(480, 75))
    played = symusic.Track("x", 0, False)
    for i in range(64):
        played.notes.append(symusic.Note(i * 240, 200, 60 + i % 7, 80))
    raw.tracks.append(played)
    score, repairs = read_midi(written(tmp_path, raw.dumps_midi()))
    assert score.tempos[0].qpm == pytest.approx(75, abs=0.01)
    assert any("tempo changes" in r for r in repairs)


def test_the_bounds_are_the_users(tmp_path: Path):
    path = written(tmp_path, header() + track(SCALE + END))
    with pytest.raises(RejectedError, match="more than 10"):
        read_midi(path, Bounds(max_notes=10))


@pytest.mark.parametrize(
    ("tonic", "steps", "expected"),
    [(9, (0, 3, 7, 10), "A minor"), (5, (0, 4, 7, 11), "F major"), (3, (0, 4, 7, 9), "Eb major")],
)
def test_the_key_is_measured_from_the_notes(tmp_path: Path, tonic, steps, expected):
    scale = (0, 2, 4, 5, 7, 9, 11) if steps[1] == 4 else (0, 2, 3, 5, 7, 8, 10)
    raw = symusic.Score(480)
    played = symusic.Track("", 0, False)
    bass = symusic.Track("", 32, False)
    for i in range(64):
        for step in steps if i % 4 == 0 else (scale[i % 7],):
            played.notes.append(symusic.Note(i * 480, 400, 60 + tonic + step, 80))
        bass.notes.append(symusic.Note(i * 480, 400, 36 + tonic + (0 if i % 8 < 4 else 7), 80))
    raw.tracks.append(played)
    raw.tracks.append(bass)
    score, _ = read_midi(written(tmp_path, raw.dumps_midi()))
    assert measure(score).key == expected


def test_a_good_score_is_judged_better_than_a_poor_one(tmp_path: Path):
    good, plan = compose(Brief(seed=1, mood="chill").settled(), bars=32)
    read, _ = read_midi(written(tmp_path, midi_bytes(good, plan)))
    best = judge(measure(read), Quality())
    assert best.reason is None
    poor = scored(("", 0, [(i / 8, 0.1, 60) for i in range(64)]), meters=[(4, 4, 0)])
    worst = judge(measure(read_midi(written(tmp_path, poor))[0]), Quality())
    assert 0 <= worst.score < best.score - 0.2 <= 0.8
    assert worst.parts["pitch_span"] == 0
    assert set(best.parts) > {"bpm", "density", "sevenths", "clarity", "swing"}


def test_a_figure_out_of_range_is_the_reason(tmp_path: Path):
    score, _ = read_midi(written(tmp_path, header() + track(SCALE + END)))
    judged = judge(measure(score), Quality(bpm=(40, 60, 80, 100)))
    assert judged.reason == "120 bpm: more than 100"
    judged = judge(measure(score), Quality(min_score=1.0))
    assert judged.reason
    assert "weakest" in judged.reason


def test_ranges_must_rise():
    with pytest.raises(ValueError, match="quality"):
        Quality(bpm=(100, 60, 80, 40))
