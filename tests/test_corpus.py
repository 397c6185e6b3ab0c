"""A folder of MIDI -> tokens -> data set: what a user finds in the files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import symusic
from hostile import HOSTILE_NAMES, write_hostile_folder

from lofi.brief import InputError
from lofi.music import Bounds, Quality, Recipe, vocabulary
from lofi.originality import load_library
from lofi.studio import (
    Limits,
    build_dataset,
    compose_corpus,
    import_corpora,
    read_card,
    read_entries,
    tokenize,
    train_model,
)
from lofi.studio._workers import Failure, guarded


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "composed"
    compose_corpus(folder, count=24, seed=3)
    return folder


def run(root: Path, **more):
    return tokenize(
        root / "raw",
        root / "tokenized",
        root / "metadata.json",
        **{"bounds": Bounds(), "quality": Quality(), "limits": Limits(), **more},
    )


def entries_of(root: Path) -> dict[str, dict]:
    return dict(read_entries(root / "metadata.json"))


@pytest.fixture
def root(tmp_path: Path, composed: Path) -> Path:
    shutil.copytree(composed, tmp_path / "raw" / "composed")
    return tmp_path


def test_every_file_of_a_wild_folder_ends_as_kept_rejected_or_duplicate(root: Path):
    hostile = write_hostile_folder(root / "raw" / "wild")
    shutil.copy(root / "raw/composed/piece-3-00000.mid", root / "raw/wild/other name.mid")
    head = run(root)
    entries = entries_of(root)
    assert len(entries) == head["files"] == 24 + hostile + 1
    assert head["rejected"] == hostile
    assert all(e["reason"] for e in entries.values() if e["status"] != "kept")
    copy = entries["wild/other name.mid"]
    assert copy["status"] == "duplicate"
    assert copy["of"] == "composed/piece-3-00000.mid"
    assert head["kept"] == 24
    kept = [e["tokens"] for e in entries.values() if e["status"] == "kept"]
    assert sorted(p.name for p in (root / "tokenized").iterdir()) == sorted(kept)
    assert json.loads((root / "metadata.json").read_text())["entries"] == entries


def test_names_of_files_cannot_speak_to_a_terminal_or_a_page(root: Path):
    write_hostile_folder(root / "raw" / "wild")
    run(root)
    for path in (root / "metadata.json", root / "summary.md"):
        text = path.read_text(encoding="utf-8")
        assert all(c.isprintable() or c == "\n" for c in text)
    assert "<script" not in (root / "summary.md").read_text()
    assert len({n for n in entries_of(root) if n.startswith("wild/")}) > len(HOSTILE_NAMES)


def test_a_file_is_graded_by_criteria(root: Path):
    run(root)
    entry = entries_of(root)["composed/piece-3-00000.mid"]
    assert 0.5 < entry["score"] <= 1
    assert entry["score"] == pytest.approx(np.mean(list(entry["criteria"].values())), abs=0.01)
    assert entry["measured"]["duration_s"] > 30
    assert entry["measured"]["sevenths"] > 0.4


def test_the_thresholds_are_the_users(root: Path):
    with_high_standards = Quality(bpm=(40, 60, 70, 75))
    head = run(root, quality=with_high_standards)
    assert 0 < head["kept"] < 24
    assert any("bpm: more than 75" in reason for reason in head["reasons"])


def test_a_transposed_and_altered_twin_stays_on_its_side(root: Path):
    altered = symusic.Score.from_midi((root / "raw/composed/piece-3-00001.mid").read_bytes())
    for track in altered.tracks:
        if not track.is_drum:
            notes = track.notes.numpy()
            keep = np.random.default_rng(1).random(len(notes["time"])) > 0.05
            notes = {k: v[keep] for k, v in notes.items()}
            notes["pitch"] = (notes["pitch"] + 2).astype(np.int8)
            track.notes = symusic.Note.from_numpy(**notes, ttype="tick")
    altered.tempos.clear()
    altered.tempos.append(symusic.Tempo(0, 70))
    (root / "raw/composed/twin.mid").write_bytes(altered.dumps_midi())
    head = run(root)
    entries = entries_of(root)
    assert entries["composed/twin.mid"]["status"] == "kept"
    assert entries["composed/twin.mid"]["group"] == entries["composed/piece-3-00001.mid"]["group"]
    assert head["groups_of_twins"] == 1
    assert head["largest_group"] == 2


def test_a_killed_run_goes_on_where_it_was(root: Path):
    """Killed without warning, the files that were read are not read again."""
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; import test_corpus\n"
        "def told(n, of):\n"
        "    if n == 9: os.kill(os.getpid(), signal.SIGKILL)\n"
        "if __name__ == '__main__': test_corpus.run(Path(sys.argv[1]), progress=told)\n"
    )
    script = root / "killed.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script, root, Path(__file__).parent], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (root / "metadata.json").exists()
    seen: list[int] = []
    assert run(root, progress=lambda n, of: seen.append(n))["kept"] == 24
    assert seen[0] == 9
    assert sorted(p.name for p in root.iterdir() if p.is_file()) == [
        "killed.py",
        "metadata.json",
        "summary.md",
    ]


def test_a_journal_cut_off_in_a_line_is_read_up_to_there(root: Path):
    run(root)
    whole = (root / "metadata.json").read_text()
    names = list(entries_of(root))
    lines = [json.dumps([n, e]) for n, e in list(entries_of(root).items())[:3]]
    rules = json.dumps({"rules_sha256": json.loads(whole)["rules_sha256"]})
    (root / "metadata.json").unlink()
    (root / ".metadata.json.journal").write_text("\n".join([rules, *lines])[:-20])
    seen: list[int] = []
    run(root, progress=lambda n, of: seen.append(n))
    assert seen[0] == 2
    assert (root / "metadata.json").read_text() == whole
    assert len(names) == 24


def test_a_second_run_reads_only_what_is_new(root: Path):
    first = run(root)
    before = {p: p.stat().st_mtime_ns for p in (root / "tokenized").iterdir()}
    seen: list[tuple[int, int]] = []
    again = run(root, progress=lambda n, of: seen.append((n, of)))
    assert again == first
    assert seen == [(24, 24)]
    assert {p: p.stat().st_mtime_ns for p in (root / "tokenized").iterdir()} == before


def test_a_file_taken_away_leaves_with_its_tokens(root: Path):
    run(root)
    before = entries_of(root)
    (root / "raw/composed/piece-3-00005.mid").unlink()
    gone = before["composed/piece-3-00005.mid"]["tokens"]
    assert run(root)["kept"] == 23
    assert not (root / "tokenized" / gone).exists()


def test_the_corpus_card_travels_into_the_data_set(root: Path):
    head = run(root)
    assert head["corpora"]["composed"]["licence"] == "Apache-2.0"
    described = build_dataset(
        root / "tokenized", root / "metadata.json", root / "ds", val_share=0.1, seed=1
    )
    assert described["corpora"]["composed"]["kept"] == 24


def test_the_data_set_is_cut_by_content_and_holds_every_segment(root: Path):
    run(root)
    described = build_dataset(
        root / "tokenized", root / "metadata.json", root / "ds", val_share=0.3, seed=1
    )
    assert described["files"]["train"] + described["files"]["val"] == 24
    assert described["files"]["val"] >= 2
    total = 0
    for split in ("train", "val"):
        tokens = np.load(root / "ds" / split / "tokens.npy")
        offsets = np.load(root / "ds" / split / "offsets.npy")
        assert offsets[-1] == len(tokens)
        assert (tokens[offsets[:-1]] == vocabulary().bos).all()
        assert (tokens[offsets[1:] - 1] == vocabulary().eos).all()
        total += len(tokens)
    assert total == sum(e["token_count"] for e in entries_of(root).values())
    library = load_library(root / "ds" / "melodies.npz")
    assert library.works > 10


def test_two_files_are_enough_for_a_split(root: Path):
    for path in sorted((root / "raw/composed").glob("*.mid"))[2:]:
        path.unlink()
    run(root)
    described = build_dataset(
        root / "tokenized", root / "metadata.json", root / "ds", val_share=0.1, seed=1
    )
    assert described["files"] == {"train": 1, "val": 1}


def test_an_empty_or_missing_folder_is_told_with_the_remedy(tmp_path: Path):
    with pytest.raises(InputError, match="there is no folder"):
        run(tmp_path)
    (tmp_path / "raw").mkdir()
    with pytest.raises(InputError, match="no MIDI files"):
        run(tmp_path)


def test_a_data_set_without_tokens_says_what_to_run(tmp_path: Path):
    with pytest.raises(InputError, match="lofi tokenize"):
        build_dataset(
            tmp_path / "tokenized", tmp_path / "metadata.json", tmp_path, val_share=0.1, seed=1
        )


def test_composing_again_writes_only_what_is_missing(tmp_path: Path, composed: Path):
    shutil.copytree(composed, tmp_path / "c")
    (tmp_path / "c/piece-3-00007.mid").unlink()
    assert compose_corpus(tmp_path / "c", count=24, seed=3) == 1
    for path in composed.glob("*.mid"):
        assert (tmp_path / "c" / path.name).read_bytes() == path.read_bytes()


# Importing and the catalogue


def test_an_import_copies_reads_nothing_twice_and_keeps_the_card(root: Path, composed: Path):
    again = root / "raw2"
    told: list[int] = []
    for _ in range(2):
        assert import_corpora(
            [composed],
            again,
            name="ours",
            changes={"attribution": "us"},
            progress=lambda n, of: told.append(n),
        ) == ["ours"]
    assert told == list(range(1, 25))
    for path in composed.glob("*.mid"):
        assert (again / "ours" / path.name).read_bytes() == path.read_bytes()
    card = read_card(again / "ours")
    assert (card.licence, card.tier, card.attribution) == ("Apache-2.0", "ship", "us")


def test_an_import_makes_names_plain_and_keeps_every_file(tmp_path: Path):
    count = write_hostile_folder(tmp_path / "wild")
    import_corpora([tmp_path / "wild"], tmp_path / "raw")
    files = [p for p in (tmp_path / "raw").rglob("*") if p.suffix.lower() in (".mid", ".rmi")]
    assert len(files) == count
    for path in files:
        for part in path.relative_to(tmp_path / "raw").parts:
            assert part.isascii()
            assert part.isprintable()
            assert not set(part) & set("<>|\\`*%\n")
            assert part[0] not in ".-"
    assert read_card(tmp_path / "raw" / "wild").tier == "test"


def test_an_import_that_cannot_be_is_told(tmp_path: Path, composed: Path):
    raw = tmp_path / "raw"
    with pytest.raises(InputError, match="no folder"):
        import_corpora([tmp_path / "none"], raw)
    with pytest.raises(InputError, match="is a file"):
        import_corpora([composed / "piece-3-00000.mid"], raw)
    with pytest.raises(InputError, match="one by one"):
        import_corpora([composed, composed], raw, name="x")
    shutil.copytree(composed, tmp_path / "other" / "composed")
    with pytest.raises(InputError, match="both be the corpus"):
        import_corpora([composed, tmp_path / "other" / "composed"], raw)
    with pytest.raises(InputError, match="licence"):
        import_corpora([composed], raw, changes={"licence": "not stated", "tier": "ship"})
    with pytest.raises(InputError, match="Did you mean 'ship'"):
        import_corpora([composed], raw, changes={"tier": "shipp"})
    assert not raw.exists()
    (raw / "inside").mkdir(parents=True)
    shutil.copy(composed / "piece-3-00000.mid", raw / "inside")
    with pytest.raises(InputError, match="holds"):
        import_corpora([tmp_path], raw)


def test_a_checkpoint_for_shipping_is_refused_on_a_corpus_that_may_not(root: Path):
    (root / "raw/composed/corpus.yaml").write_text("licence: unclear\n")
    run(root)
    build_dataset(root / "tokenized", root / "metadata.json", root / "ds", val_share=0.1, seed=1)
    with pytest.raises(InputError, match="not for shipping: composed"):
        train_model(root / "ds", root / "model", recipe=Recipe(), ship=True)
    assert not (root / "model").exists()


def test_a_damaged_card_is_named(root: Path):
    (root / "raw/composed/corpus.yaml").write_text("licence: [\n")
    with pytest.raises(InputError, match=r"corpus\.yaml"):
        run(root)
    (root / "raw/composed/corpus.yaml").write_text("tier: everywhere\n")
    with pytest.raises(InputError, match=r"corpus\.yaml.*'everywhere'"):
        run(root)


# Guarded work


def _misbehave(kind: str) -> str:
    if kind == "hang":
        while True:
            pass
    if kind == "swallow":
        return str(len(bytearray(2_000_000_000)))
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "wait":
        time.sleep(60)
    if kind == "leave":
        os._exit(3)
    return kind.upper()


def _prepared():
    return _misbehave


def test_work_that_hangs_crashes_or_swallows_memory_costs_only_itself():
    bad = {
        "hang": "took longer than 3 s",
        "swallow": "needed more than 300 MB",
        "crash": "SIGSEGV",
        "wait": "took longer than 18 s",
        "leave": "exit status 3",
    }
    items = ["a", *bad, *"bcdefgh"]
    limits = Limits(cpu_s=3, memory_mb=300)
    found = dict(guarded(_prepared, items, workers=2, limits=limits))
    assert set(found) == set(items)
    for item, outcome in found.items():
        if item in bad:
            assert isinstance(outcome, Failure)
            if item != "swallow" or sys.platform == "linux":
                assert bad[item] in outcome.reason
        else:
            assert outcome == item.upper()


def test_leaving_guarded_work_early_ends_its_workers():
    work = guarded(_prepared, ["a", *["wait"] * 8], workers=2, limits=Limits())
    assert next(work)[1] == "A"
    work.close()  # type: ignore[attr-defined]
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if children.exists():
        names = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.read_text().split()]
        assert not [n for n in names if b"spawn_main" in n]
