"""Reading MIDI: what is kept, what is refused and why."""

from pathlib import Path

import pytest
import symusic
from hostile import END, SCALE, header, hostile_files, track

from lofi.brief import PARTS
from lofi.music import Bounds, RejectedError, measure, notes_by_part, read_midi


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


def test_tracks_that_share_a_program_become_one_part_inside_its_range(tmp_path: Path):
    raw = symusic.Score(480)
    for name in ("MELODY", "PIANO"):
        played = symusic.Track(name, 0, False)
        for i in range(32):
            played.notes.append(symusic.Note(i * 240, 200, 20 + 3 * i, 80))
        raw.tracks.append(played)
    score, _ = read_midi(written(tmp_path, raw.dumps_midi()))
    (only,) = score.tracks
    assert only.name == "keys"
    pitches = notes_by_part(score)["keys"].pitch
    assert PARTS["keys"].low <= pitches.min()
    assert pitches.max() <= PARTS["keys"].high


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
