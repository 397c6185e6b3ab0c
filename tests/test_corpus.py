"""A folder of MIDI -> tokens -> data set: what a user finds in the files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hostile import write_hostile_folder

from lofi.brief import InputError
from lofi.music import Bounds, Quality, vocabulary
from lofi.originality import load_library
from lofi.studio import build_dataset, compose_corpus, tokenize


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
        bounds=Bounds(),
        quality=Quality(),
        **more,
    )


@pytest.fixture
def root(tmp_path: Path, composed: Path) -> Path:
    shutil.copytree(composed, tmp_path / "raw" / "composed")
    return tmp_path


def test_every_file_of_a_wild_folder_ends_as_kept_rejected_or_duplicate(root: Path):
    hostile = write_hostile_folder(root / "raw" / "wild")
    shutil.copy(root / "raw/composed/piece-3-00000.mid", root / "raw/wild/other name.mid")
    metadata = run(root)
    entries = metadata["entries"]
    assert len(entries) == metadata["files"] == 24 + len(hostile) + 1
    for name in hostile:
        assert entries[f"wild/{name}"]["status"] == "rejected"
        assert entries[f"wild/{name}"]["reason"]
    assert entries["wild/other name.mid"]["status"] == "duplicate"
    assert "piece-3-00000" in entries["wild/other name.mid"]["reason"]
    assert metadata["kept"] == 24
    kept = [e["tokens"] for e in entries.values() if e["status"] == "kept"]
    assert sorted(p.name for p in (root / "tokenized").iterdir()) == sorted(kept)
    assert json.loads((root / "metadata.json").read_text()) == metadata


def test_a_second_run_reads_only_what_is_new(root: Path):
    first = run(root)
    before = {p: p.stat().st_mtime_ns for p in (root / "tokenized").iterdir()}
    seen: list[tuple[int, int]] = []
    again = run(root, progress=lambda n, of: seen.append((n, of)))
    assert again == first
    assert seen == [(24, 24)]
    assert {p: p.stat().st_mtime_ns for p in (root / "tokenized").iterdir()} == before


def test_a_file_taken_away_leaves_with_its_tokens(root: Path):
    first = run(root)
    (root / "raw/composed/piece-3-00005.mid").unlink()
    gone = first["entries"]["composed/piece-3-00005.mid"]["tokens"]
    assert run(root)["kept"] == 23
    assert not (root / "tokenized" / gone).exists()


def test_the_corpus_card_travels_into_the_data_set(root: Path):
    metadata = run(root)
    assert metadata["corpora"]["composed"]["licence"] == "Apache-2.0"
    described = build_dataset(
        root / "tokenized", root / "metadata.json", root / "ds", val_share=0.1, seed=1
    )
    assert described["corpora"]["composed"]["kept"] == 24


def test_the_data_set_is_cut_by_content_and_holds_every_segment(root: Path):
    metadata = run(root)
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
    assert total == sum(e["token_count"] for e in metadata["entries"].values())
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
