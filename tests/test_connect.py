"""The link for scripts: `lofi.make`, and what integration/connect_generator.py tells."""

import dataclasses
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, find_peaks, sosfiltfilt

from lofi.brief import InputError
from lofi.music import hear_chords, notes_by_part, read_midi
from lofi.sound import SAMPLE_RATE, heard_at
from lofi.sound import _effects as fx
from lofi.sound._characters import chance, draw_character
from lofi.studio import Settings, read_timeline

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from integration.connect_generator import Generated, Generator  # noqa: E402

QUICK = Settings.model_validate(
    {"video": {"width": 320, "height": 180, "fps": 12, "threads": 1}, "generation": {"best_of": 1}}
)
NOTICED_S = 0.015


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    generator = Generator(QUICK, tmp_path_factory.mktemp("output"))
    return generator.generate("chill", 40, 72, "D minor", 3, stems=True)


def rises(path: Path, low_hz: float, high_hz: float) -> np.ndarray:
    """Where the energy between two frequencies leaps up, in seconds; it knows of no notes."""
    audio, rate = soundfile.read(path, always_2d=True)
    band = butter(2, [low_hz, high_hz], "band", fs=rate, output="sos")
    power = sosfiltfilt(band, audio.mean(axis=1)) ** 2
    hop = rate // 1000
    window = np.hanning(4 * hop)
    energy = np.convolve(power, window / window.sum(), "same")[::hop]
    level = np.log(energy + 1e-3 * energy.max())
    reach = 4  # milliseconds
    leap = level[reach:] - level[:-reach]
    peaks, _ = find_peaks(leap, height=0.4 * np.sort(leap)[-12], distance=40)
    return (peaks + reach / 2) * hop / rate


def standing_alone(notes, apart_s: float, count: int):
    """The loudest `count` notes with no other so near."""
    onsets = np.array([n.written_s for n in notes])
    alone = [n for n in notes if (np.abs(onsets - n.written_s) < apart_s).sum() == 1]
    return sorted(alone, key=lambda n: -n.velocity)[:count]


def misses(expected_s: list[float], found_s: np.ndarray) -> np.ndarray:
    return np.array([np.abs(found_s - at).min() for at in expected_s])


def test_drums_are_heard_in_the_master_where_the_link_says(made):
    snares = [n for n in made.timeline.notes["drums"] if n.pitch in (37, 38, 39, 40)]
    strong = [n.onset_s for n in standing_alone(snares, 0.06, 10)]
    assert len(strong) == 10
    found = rises(made.audio, 2000, 4000)
    # One of ten may drown in what else is played.
    assert np.sort(misses(strong, found))[-2] < NOTICED_S
    assert np.median(misses(strong, found)) < 0.002
    late = misses([at + 2 * NOTICED_S for at in strong], found)
    assert np.median(late) > NOTICED_S  # the ruler can tell


def test_the_melody_is_heard_on_its_stem_where_it_is_written(made):
    assert made.timeline.melody_part == "lead"
    # What begins while another note rings hardly leaps in energy: those that follow a breath.
    breaths = [
        n.written_s
        for before, n in pairwise(made.timeline.melody)
        if n.written_s - (before.written_s + before.duration_s) > 0.1
    ]
    assert len(breaths) >= 3
    found = misses(breaths, rises(made.stems["lead"], 300, 4000))
    assert found.max() < NOTICED_S
    assert np.median(found) < 0.002


def test_the_tape_makes_each_moment_as_late_as_is_said():
    piece = {"bars": 8, "bpm": 70.0, "bundle": "melancholic", "seed": 3}
    clicks = np.zeros((2, round((8 * 240 / 70 + 3) * SAMPLE_RATE)), np.float32)
    written = np.arange(1, 27)
    clicks[:, written * SAMPLE_RATE] = 1.0
    tape = draw_character("melancholic", 3).tape
    taped = fx.wow_and_flutter(clicks, chance(3, "wow"), **tape)[0]
    heard = [
        at + np.argmax(taped[at * SAMPLE_RATE : (2 * at + 1) * SAMPLE_RATE // 2]) / SAMPLE_RATE
        for at in written
    ]
    told = heard_at(written, **piece)
    assert np.abs(told - heard).max() < 0.6 / SAMPLE_RATE
    assert np.ptp(told - written) > 0.001  # it does wander


def test_every_note_of_the_file_is_told_with_its_time(made):
    score, _ = read_midi(made.midi)
    written = notes_by_part(score)
    assert set(made.timeline.notes) == set(written)
    tick_s = 60 / 72 / 480
    for part, notes in written.items():
        told = sorted((n.written_s, n.pitch, n.velocity) for n in made.timeline.notes[part])
        held = sorted(zip(notes.onset * tick_s, notes.pitch, notes.velocity, strict=True))
        assert np.array(told) == pytest.approx(np.array(held), abs=1e-4)


def test_notes_end_in_the_track_and_the_last_are_held_through_its_ring(made):
    notes = [n for part in made.timeline.notes.values() for n in part]
    ends = [n.onset_s + n.duration_s for n in notes]
    assert all(n.duration_s > 0 for n in notes)
    assert max(ends) == pytest.approx(made.metadata.duration_s, abs=0.01)


def test_beats_bars_and_sections_cover_the_track_at_its_tempo(made):
    timeline, bars = made.timeline, made.metadata.bars
    assert len(timeline.beats_s) == 4 * bars
    assert timeline.bars_s == timeline.beats_s[::4]
    assert np.diff(timeline.beats_s) == pytest.approx(60 / 72, abs=0.01)
    assert sum(s.bars for s in timeline.sections) == bars
    assert all(a.end_s == b.start_s for a, b in pairwise(timeline.sections))
    assert timeline.sections[-1].end_s == timeline.duration_s


def test_the_chords_are_those_heard_in_the_score_and_say_where_the_plan_differs(made):
    heard = hear_chords(read_midi(made.midi)[0])
    timeline = made.timeline
    for half, chord in enumerate(heard):
        middle = (half + 0.5) * 120 / 72
        told = next(c for c in timeline.chords if c.start_s <= middle < c.end_s)
        assert told.played == (chord.symbol(flats=True) if chord else None)
        assert told.as_planned == (told.played == told.planned)
    plan = json.loads((made.folder / "track.json").read_text())["plan"]
    first = timeline.chords[0]
    assert first.planned == plan["sections"][0]["chords"][0]


def test_what_is_measured_is_told(made):
    audio, rate = soundfile.read(made.audio)
    assert made.metadata.duration_s == pytest.approx(len(audio) / rate, abs=0.001)
    assert made.metadata.lufs == pytest.approx(-14, abs=0.2)
    assert made.metadata.bpm == pytest.approx(72, abs=0.01)
    assert (made.metadata.planned_key, made.metadata.seed) == ("D minor", 3)


def test_sound_alone_makes_no_pictures(made):
    names = {p.name for p in made.folder.iterdir()}
    assert names == {
        "track.mid", "master.flac", "stems", "originality.json", "provenance.json", "track.json"
    }  # fmt: skip
    assert made.video is None


def test_all_of_it_is_json(made):
    told = json.loads(json.dumps(made.to_dict()))
    assert Path(told["paths"]["audio"]).is_file()
    assert set(told["paths"]["stems"]) == set(told["notes"])
    assert set(told["melody"][0]) == {"pitch", "velocity", "onset_s", "duration_s", "written_s"}
    assert {"played", "planned", "as_planned"} <= set(told["chords"][0])


def test_with_video_it_is_the_whole_package_with_the_same_sound(tmp_path):
    generator = Generator(QUICK, tmp_path)
    whole = generator.generate("sleep", 12, seed=1, video=True)
    alone = generator.generate("sleep", 12, seed=1)
    assert whole.video
    assert whole.video.stat().st_size > 10_000
    assert whole.folder != alone.folder
    assert whole.audio.read_bytes() == alone.audio.read_bytes()
    assert whole.timeline == alone.timeline


def test_where_no_lead_plays_the_melody_is_the_top_of_who_does(tmp_path):
    from lofi import make

    track = make("sleep", 12, seed=2, out=tmp_path, instruments="keys", video=False, settings=QUICK)
    timeline = track.timeline()
    assert timeline.melody_part == "keys"
    assert 0 < len(timeline.melody) < len(timeline.notes["keys"])
    onsets = [n.written_s for n in timeline.melody]
    assert all(b > a for a, b in pairwise(onsets))


def test_a_wrong_wish_is_named_before_anything_is_made(tmp_path):
    from lofi import make

    with pytest.raises(InputError, match="Did you mean 'chill'"):
        make(mood="chil", out=tmp_path / "none")
    with pytest.raises(InputError, match="H minor"):
        make(key="H minor", out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_folder_that_is_no_track_is_named(made, tmp_path):
    with pytest.raises(InputError, match=r"track\.json is missing"):
        read_timeline(tmp_path)
    facts = json.loads((made.folder / "track.json").read_text())
    del facts["plan"]["tail_s"]
    (tmp_path / "track.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="tail_s"):
        read_timeline(tmp_path)


def test_importing_lofi_loads_next_to_nothing():
    code = (
        "import sys; before = set(sys.modules); import lofi; "
        "print(sorted(m for m in set(sys.modules) - before if '.' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.replace("'", '"')))
    assert "lofi" in loaded
    assert not loaded & {"numpy", "pydantic", "symusic", "typer", "yaml", "scipy", "dataclasses"}


def test_the_link_is_a_command_that_prints_json(tmp_path):
    def run(*arguments: str):
        return subprocess.run(
            [sys.executable, str(ROOT / "integration" / "connect_generator.py"), *arguments],
            cwd=tmp_path,
            env={**os.environ, "LOFI_GENERATION__BEST_OF": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run("--mood", "chill", "--duration", "12", "--seed", "5")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (tmp_path / told["paths"]["midi"]).is_file()
    assert told["metadata"]["mood"] == "chill"
    wrong = run("--mood", "chil")
    assert wrong.returncode == 2
    assert "Did you mean 'chill'?" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_a_generator_cannot_be_changed_under_its_users(tmp_path):
    with pytest.raises(dataclasses.FrozenInstanceError):
        Generator(QUICK, tmp_path).out = Path("elsewhere")  # type: ignore[misc]
