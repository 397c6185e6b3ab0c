"""The command line as a user meets it: separate processes, exit statuses, one sentence each."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import symusic

from lofi.music import measure, read_midi

ROOT = Path(__file__).parent.parent


def lofi(*arguments: str | Path, cwd: Path, env: dict[str, str] | None = None):
    return subprocess.run(
        [sys.executable, "-m", "lofi", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def complains(done, *words: str, status: int = 2) -> None:
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "",
        "make",
        "generate",
        "batch",
        "tokenize",
        "dataset",
        "train",
        "evaluate",
        "corpus",
        "corpus import",
        "corpus list",
        "corpus stats",
        "corpus compose",
    ],
)
def test_help_teaches(command: str, tmp_path: Path):
    done = lofi(*command.split(), "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert len(done.stdout) > 300


def test_help_loads_nothing_heavy(tmp_path: Path):
    code = (
        "import sys; from lofi.cli import app; app(['--help'], standalone_mode=False); "
        "heavy = {'numpy', 'scipy', 'torch', 'onnxruntime', 'skia', 'av', 'miditok'}; "
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "loaded: []" in done.stdout


def test_wrong_briefs_are_named_with_the_remedy(tmp_path: Path):
    complains(lofi("make", "--mood", "chil", cwd=tmp_path), "'chil'", "Did you mean 'chill'?")
    complains(lofi("make", "--key", "H major", cwd=tmp_path), "'H major'", "'Am'")
    complains(lofi("make", "--bpm", "300", cwd=tmp_path), "bpm 300", "50 to 120")
    complains(lofi("make", "--duration", "5", cwd=tmp_path), "5 s", "10 seconds to 15 minutes")
    complains(lofi("make", "--duration", "long", cwd=tmp_path), "'long'", "2:30")
    complains(lofi("make", "--palette", "duskk", cwd=tmp_path), "'dusk'")
    complains(lofi("make", "--model", "nowhere", cwd=tmp_path), "nowhere", "lofi train")
    complains(lofi("make", "--soundfont", "none.sf2", cwd=tmp_path), "none.sf2")
    complains(lofi("make", "--seed", "-1", cwd=tmp_path), "seed -1")
    complains(lofi("make", "--bpm", "fast", cwd=tmp_path), "--bpm", "number")
    complains(lofi("generate", "--out", "x.wav", cwd=tmp_path), ".mid")
    complains(lofi("tokenize", cwd=tmp_path), "data/raw_midi")
    complains(lofi("dataset", cwd=tmp_path), "lofi tokenize")
    complains(lofi("train", cwd=tmp_path), "lofi dataset")
    complains(lofi("evaluate", "nowhere", cwd=tmp_path), "nowhere", "lofi train")
    complains(lofi("evaluate", "--reference", "none", cwd=tmp_path), "none", "MIDI")
    complains(lofi("evaluate", "--dataset", "none", cwd=tmp_path), "none", "lofi dataset")
    assert not (tmp_path / "output").exists()
    assert not (tmp_path / "evaluation").exists()


def test_a_wrong_setting_is_named(tmp_path: Path):
    config = tmp_path / "config.yaml"
    for text, word in (
        ("video: {fsp: 25}", "video.fsp"),
        ("vidio: {fps: 25}", "'vidio'"),
        ("video: {fps: many}", "video.fps"),
        ("video: [", "cannot be read"),
    ):
        config.write_text(text)
        complains(lofi("generate", cwd=tmp_path), word, "config.yaml")


def test_the_shipped_config_holds_every_setting_at_its_default():
    import yaml

    from lofi.studio import Settings

    stored = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    assert stored == json.loads(Settings().model_dump_json())


def test_the_environment_goes_before_the_file(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("video: {fps: 24, width: 1280}")
    code = (
        "from lofi.studio import load_settings as s; v = s().video; print(v.fps, v.width, v.height)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "LOFI_VIDEO__FPS": "25"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["25", "1280", "1080"]


def test_a_folder_that_cannot_be_written_stops_tokenising_with_a_sentence(tmp_path: Path):
    (tmp_path / "data" / "raw_midi").mkdir(parents=True)
    (tmp_path / "data" / "raw_midi" / "a.mid").write_bytes(b"MThd")
    (tmp_path / "data" / "tokenized").write_text("a file where a folder should be")
    complains(lofi("tokenize", cwd=tmp_path), "data/tokenized", status=1)


def test_generate_writes_a_score_of_the_brief(tmp_path: Path):
    done = lofi(
        "generate", "--mood", "happy", "--key", "Eb major", "--bpm", "88", "--duration", "30",
        "--seed", "3", "--out", "a.mid", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["bpm"] == 88
    score, _ = read_midi(tmp_path / "a.mid")
    assert score.tempos[0].qpm == pytest.approx(88, abs=0.01)
    labels = [m.text for m in score.markers]
    assert [x for x in labels if ":" not in x] == [s["name"] for s in told["sections"]]
    assert labels[0].startswith("mood: ")
    assert sum(x.startswith("chord: ") for x in labels) >= 2
    assert measure(score).bars == sum(s["bars"] for s in told["sections"]) == 10
    again = lofi(
        "generate", "--mood", "happy", "--key", "Eb major", "--bpm", "88", "--duration", "30",
        "--seed", "3", "--out", "b.mid", cwd=tmp_path,
    )  # fmt: skip
    assert again.returncode == 0
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "b.mid").read_bytes()


def test_the_controls_are_followed_and_told(tmp_path: Path):
    done = lofi(
        "generate", "--chords", "Am9 D7 Gmaj9 Cmaj7", "--form", "intro:2 A:8 outro", "--swing",
        "straight", "--instruments", "keys,drums,bass", "--density", "busy", "--temperature", "0.9",
        "--top-k", "20", "--top-p", "0.9", "--bpm", "90", "--duration", "0:40", "--seed", "3",
        "--out", "a.mid", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["bpm"], told["key"], told["swing"]) == (90, "G major", 0.5)
    assert told["duration_s"] == 40
    assert [(s["name"], s["bars"]) for s in told["sections"]] == [
        ("intro", 2), ("A", 8), ("outro", 4),
    ]  # fmt: skip
    assert told["sections"][1]["chords"][:4] == ["Am9", "Am9", "D7", "D7"]
    score = symusic.Score(str(tmp_path / "a.mid"))
    assert score.end() / score.ticks_per_quarter * 60 / 90 == pytest.approx(40, abs=0.1)
    assert {t.name for t in score.tracks} <= {"keys", "drums", "bass"}

    done = lofi(
        "generate", "--continue", "a.mid", "--duration", "50", "--seed", "1", "--out", "b.mid",
        "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    more = json.loads(done.stdout)
    assert (more["key"], more["duration_s"]) == ("G major", 50)
    assert more["sections"][:2] == told["sections"][:2]


def test_wrong_controls_are_named_with_the_remedy(tmp_path: Path):
    def wrong(*arguments: str, words: tuple[str, ...]) -> None:
        complains(lofi("generate", *arguments, cwd=tmp_path), *words)

    wrong("--form", "A verse", words=("'verse'", "intro, A, A', B, break, outro"))
    wrong("--form", "A", "--duration", "9:00", words=("2 to 32 bars", "Add sections"))
    wrong("--chords", "Am9 Xm", words=("'Xm'", "from A to G"))
    wrong("--instruments", "drum", words=("Did you mean 'drums'?",))
    wrong("--swing", "swung", words=("'swung'", "50 to 67"))
    wrong("--density", "full", words=("'full'", "sparse, normal, busy"))
    wrong("--continue", "no.mid", words=("no.mid", "No such file"))
    wrong("--continue", "a.mid", "--vary", "b.mid", words=("one of them",))
    wrong("--keep", "drums", words=("--vary",))
    complains(lofi("batch", "--form", "A verse", cwd=tmp_path), "'verse'")


def test_generating_never_loads_torch(tmp_path: Path):
    code = (
        "import sys; sys.argv = ['lofi', 'generate', '--duration', '12', '--seed', '1']; "
        "from lofi.cli import app; app(standalone_mode=False); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip().endswith("False")
    assert symusic.Score(str(tmp_path / "output/track.mid")).note_num() > 10


def test_an_out_that_is_a_file_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    complains(lofi("make", "--out", tmp_path / "file", cwd=tmp_path), "not a folder")


def test_a_folder_becomes_a_corpus_that_can_be_looked_at(tmp_path: Path):
    done = lofi("corpus", "compose", "--count", "6", "--out", "mine", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert told["new"] == 6
    assert 0 < told["diversity"]["corpus_unique_bar_share"] <= 1
    (tmp_path / "mine" / "\x1b[2Jbad.mid").write_bytes(b"MThd nothing")
    done = lofi("corpus", "import", "mine", "--attribution", "me", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "7 files: 6 kept, 1 rejected" in done.stdout
    assert "6 files are few" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    shown = lofi("corpus", "list", cwd=tmp_path).stdout
    assert "Apache-2.0" in shown
    assert "mine" in shown
    shown = lofi("corpus", "stats", "mine", cwd=tmp_path)
    assert "Tempo" in shown.stdout
    assert "7 files, 6 kept" in shown.stdout
    assert (tmp_path / "data/stats.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(lofi("corpus", "stats", "--json", cwd=tmp_path).stdout)
    assert 50 <= told["percentiles_5_50_95"]["bpm"][1] <= 96
    complains(lofi("corpus", "stats", "yours", cwd=tmp_path), "'yours'", "mine")
    done = lofi("dataset", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["corpora"]["mine"]["attribution"] == "me"


def test_an_import_that_cannot_be_is_a_sentence(tmp_path: Path):
    complains(lofi("corpus", "import", "nowhere", cwd=tmp_path), "nowhere", "Make it")
    (tmp_path / "empty").mkdir()
    complains(lofi("corpus", "import", "empty", cwd=tmp_path), "no MIDI files in empty")
    complains(lofi("corpus", "list", cwd=tmp_path), "metadata.json", "lofi tokenize")
    complains(lofi("corpus", "stats", cwd=tmp_path), "metadata.json", "lofi tokenize")


@pytest.mark.parametrize(
    "how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_stopping_in_the_middle_leaves_nothing_behind(tmp_path: Path, how: signal.Signals):
    process = subprocess.Popen(
        [sys.executable, "-m", "lofi", "make", "--duration", "60", "--seed", "1"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    for line in process.stderr:
        if line.startswith("picture"):
            break
    time.sleep(0.5)
    process.send_signal(how)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped" in told
    assert "Traceback" not in told
    assert list((tmp_path / "output").iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ("batch", "--count", "2", "--duration", "60", "--seed", "1"),
        ("corpus", "compose", "--count", "3000", "--out", "output"),
    ],
)
def test_stopping_many_at_once_is_quick_and_quiet(tmp_path: Path, command: tuple[str, ...]):
    process = subprocess.Popen(
        [sys.executable, "-m", "lofi", *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    output = tmp_path / "output"
    begun = time.monotonic()
    while not (output.is_dir() and any(output.iterdir())):
        assert time.monotonic() - begun < 90
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to parent and workers alike
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1, told
    assert "stopped" in told
    assert "Traceback" not in told
    left = [p for p in output.iterdir() if p.suffix not in (".mid", ".yaml")]
    assert left == []


def test_the_scripts_are_the_same_doors(tmp_path: Path):
    for script, word in (
        ("01_tokenize", "data/tokenized"),
        ("02_build_dataset", "data/datasets"),
        ("03_train", "GPT-2"),
        ("04_generate", "MIDI"),
        ("05_batch_generate", "parallel"),
    ):
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / f"{script}.py"), "--help"],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        assert word in done.stdout
