"""`lofi make` from brief to package, with the shipped model, at a small video size."""

import errno
import hashlib
import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from lofi.brief import PARTS, Brief, InputError, Key, LofiError, read_form
from lofi.music import measure, read_chords, read_midi
from lofi.studio import STAGES, Settings, make, make_many
from lofi.studio import _make as pipeline

SMALL = Settings.model_validate(
    {"video": {"width": 640, "height": 360, "fps": 15, "threads": 1}, "generation": {"best_of": 2}}
)
BRIEF = Brief(seed=11, mood="cozy", bpm=76, key=Key.parse("D minor"), duration_s=32)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory):
    seen: list[tuple[str, float]] = []
    made = make(
        BRIEF,
        SMALL,
        keep_stems=True,
        out=tmp_path_factory.mktemp("output"),
        report=lambda stage, fraction: seen.append((stage, fraction)),
    )
    return made, seen


def test_the_package_holds_every_file_and_its_hash(package):
    made, _ = package
    names = {p.relative_to(made.path).as_posix() for p in made.path.rglob("*") if p.is_file()}
    stems = {n for n in names if n.startswith("stems/")}
    assert names - stems == {
        "track.mid", "master.flac", "video.mp4", "thumbnail.jpg", "listing.json",
        "originality.json", "track.json", "provenance.json",
    }  # fmt: skip
    parts = {
        t.name if not t.is_drum else "drums" for t in read_midi(made.path / "track.mid")[0].tracks
    }
    assert stems == {f"stems/{p}.flac" for p in parts}
    track = json.loads((made.path / "track.json").read_text())
    assert set(track["files"]) == names - {"track.json"}
    for name, digest in track["files"].items():
        assert hashlib.sha256((made.path / name).read_bytes()).hexdigest() == digest


def test_what_is_said_of_the_track_is_what_the_files_hold(package):
    made, _ = package
    measured = made.track["measured"]
    score, _ = read_midi(made.path / "track.mid")
    assert measured["bpm"] == pytest.approx(76, abs=0.01)
    assert measured["key"] == measure(score).key
    sound, rate = soundfile.read(made.path / "master.flac", always_2d=True)
    assert measured["duration_s"] == pytest.approx(len(sound) / rate, abs=0.001)
    assert measured["duration_s"] == pytest.approx(32, abs=0.01)
    assert (made.track["asked"]["bpm"], made.track["plan"]["bpm"]) == (76, 76)
    assert made.track["plan"]["bars"] == 9
    assert 9 * 240 / 76 + made.track["plan"]["tail_s"] == pytest.approx(32)
    assert measured["lufs"] == pytest.approx(-14, abs=0.2)
    assert measured["true_peak_db"] <= -1.0
    assert np.abs(sound).max() < 1


def test_video_and_master_are_equally_long_and_the_thumbnail_is_a_picture(package):
    made, _ = package
    with av.open(str(made.path / "video.mp4")) as video:
        stream = video.streams.video[0]
        assert (stream.width, stream.height) == (640, 360)
        assert stream.frames / 15 == pytest.approx(made.track["measured"]["duration_s"], abs=0.1)
        assert video.streams.audio[0].codec_context.name == "aac"
    with Image.open(made.path / "thumbnail.jpg") as picture:
        assert picture.size == (1280, 720)


def test_the_listing_keeps_youtubes_limits_and_is_private_and_disclosed(package):
    from lofi.channel import check_listing

    made, _ = package
    listing = json.loads((made.path / "listing.json").read_text())
    assert check_listing(listing) == []
    assert listing["status"]["privacyStatus"] == "private"
    assert listing["status"]["containsSyntheticMedia"] is True


def test_originality_is_checked_against_the_corpus_of_the_model(package):
    made, _ = package
    report = json.loads((made.path / "originality.json").read_text())
    assert report["verdict"] in ("pass", "review", "block")
    assert report["works"] > 1000
    assert made.track["originality"]["verdict"] == report["verdict"]


def test_provenance_names_model_corpora_and_licences(package):
    made, _ = package
    told = json.loads((made.path / "provenance.json").read_text())
    assert told["seed"] == 11
    assert told["model"]["tier"] == "ship"
    assert told["model"]["trained_on"]["composed"]["licence"] == "Apache-2.0"
    assert all(c["licence"] != "not stated" for c in told["model"]["trained_on"].values())
    assert told["versions"]["onnxruntime"]


def test_every_stage_tells_its_progress_up_to_the_end(package):
    _, seen = package
    for stage in STAGES:
        told = [f for s, f in seen if s == stage]
        assert told[-1] == 1.0
        assert told == sorted(told)


def test_the_same_brief_gives_the_same_bytes_of_score_and_master(package, tmp_path: Path):
    made, _ = package
    again = make(BRIEF, SMALL, out=tmp_path)
    assert again.path.name == made.path.name
    for name in ("track.mid", "master.flac"):
        assert (again.path / name).read_bytes() == (made.path / name).read_bytes()


def test_making_it_again_replaces_it_whole(package, tmp_path: Path):
    made, _ = package
    old = tmp_path / made.path.name
    shutil.copytree(made.path, old)
    (old / "leftover").write_text("x")
    make(BRIEF, SMALL, out=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [old.name]
    assert not (old / "leftover").exists()


@pytest.mark.parametrize("stage", ["sound", "picture", "package"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path: Path, stage: str):
    def full(told: str, _fraction: float) -> None:
        if told == stage:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(LofiError, match="is full"):
        make(BRIEF, SMALL, out=tmp_path, report=full)
    assert list(tmp_path.iterdir()) == []


def test_no_permission_to_write_names_the_folder_and_the_remedy(tmp_path: Path, monkeypatch):
    # Root may write anywhere: the system's answer is given by hand, before and during the work.
    def refused(_stage: str, _fraction: float) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "x"))

    with pytest.raises(LofiError, match=r"no permission to write .*another --out"):
        make(BRIEF, SMALL, out=tmp_path, report=refused)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(pipeline.os, "access", lambda *_: False)
    with pytest.raises(LofiError, match="no permission to write"):
        make(BRIEF, SMALL, out=tmp_path)


def test_too_little_room_is_told_before_any_work(tmp_path: Path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(pipeline.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(LofiError, match="1 MB free"):
        make(BRIEF, SMALL, out=tmp_path)


def test_a_soundfont_plays_the_same_score(package, tmp_path: Path):
    import ctypes.util

    from sf2 import Preset, Zone, write_sf2

    if not ctypes.util.find_library("fluidsynth"):
        pytest.skip("libfluidsynth is not installed")
    made, _ = package
    font = tmp_path / "own.sf2"
    tone = np.sin(2 * np.pi * 261.63 * np.arange(44100) / 44100).astype(np.float32)
    presets = [
        Preset(p.name, 128 if p.program < 0 else 0, max(0, p.program), (Zone(tone, 60),))
        for p in PARTS.values()
    ]
    write_sf2(font, "own", tuple(presets), 44100)
    other = make(BRIEF, SMALL, soundfont=font, out=tmp_path / "out")
    assert (other.path / "track.mid").read_bytes() == (made.path / "track.mid").read_bytes()
    assert (other.path / "master.flac").read_bytes() != (made.path / "master.flac").read_bytes()
    told = json.loads((other.path / "provenance.json").read_text())
    assert told["soundfont"]["name"] == "own.sf2"


def test_what_was_asked_for_is_recorded_and_done(tmp_path: Path):
    loop = read_chords("Ebmaj9 Cm9 | Fm9 Bb7")
    brief = Brief(
        seed=3, mood="focus", key=Key.parse("Eb major"), duration_s=24.5, chords=loop,
        form=read_form("intro A outro"), parts=("drums", "bass", "keys"), swing=0.5,
        density="sparse",
    )  # fmt: skip
    made = make(brief, SMALL, out=tmp_path)
    asked = json.loads((made.path / "track.json").read_text())["asked"]
    assert asked == {
        "seed": 3, "mood": "focus", "key": "Eb major", "duration_s": 24.5, "chords": list(loop),
        "form": [["intro", None], ["A", None], ["outro", None]],
        "parts": ["drums", "bass", "keys"], "swing": 0.5, "density": "sparse",
    }  # fmt: skip
    told = json.loads((made.path / "provenance.json").read_text())["brief"]
    assert {k: v for k, v in told.items() if k in asked} == asked
    sound, rate = soundfile.read(made.path / "master.flac")
    assert len(sound) / rate == pytest.approx(24.5, abs=0.01)
    score, _ = read_midi(made.path / "track.mid")
    assert {t.name for t in score.tracks} <= {"drums", "bass", "keys"}
    labels = [m.text for m in score.markers]
    assert [x for x in labels if ":" not in x] == ["intro", "A", "outro"]
    assert {x.removeprefix("chord: ") for x in labels if "chord" in x} == set(loop)


@pytest.mark.slow
def test_a_batch_makes_different_tracks_and_one_failure_does_not_stop_it(tmp_path: Path):
    ended = []
    results = make_many(
        Brief(seed=5, duration_s=15), SMALL, 2, jobs=2, done=ended.append, out=tmp_path
    )
    assert [r.error for r in results] == [None, None]
    assert len({r.path for r in results}) == 2
    assert len(ended) == 2
    failed = make_many(
        Brief(seed=5, duration_s=15), SMALL, 1, jobs=1, done=ended.append, out=tmp_path,
        model_path=tmp_path / "none",
    )  # fmt: skip
    assert failed[0].path is None
    assert "lofi train" in str(failed[0].error)


def test_a_soundfont_that_is_none_is_refused_before_any_work(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.sf2"):
        make(BRIEF, SMALL, soundfont=tmp_path / "none.sf2", out=tmp_path)
