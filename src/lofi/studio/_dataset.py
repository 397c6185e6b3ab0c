"""Kept files -> the data set, and the data set -> a model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from lofi.brief import InputError
from lofi.studio._files import read_json, write_bytes, write_json
from lofi.studio._metadata import Entry, read_entries, read_head

FEW_FILES = 20  # below this a model learns a corpus by heart rather than from it


def build_dataset(
    tokenized: Path,
    metadata_path: Path,
    out: Path,
    *,
    val_share: float,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Split the kept files 90/10 by content into `out`/{train,val}; gives the description.

    A group of near twins stands on one side whole. Writes beside the splits `melodies.npz`, the
    reference for the originality check, and `dataset.json` with counts, hashes and licences.
    """
    from lofi.music import decode, decode_bars, goes_to_validation, vocabulary, write_split
    from lofi.originality import build_library, melodies, save_library

    head = read_head(metadata_path)
    kept: dict[str, Entry] = {
        name: {k: entry[k] for k in ("group", "sha256", "tokens", "token_count")}
        for name, entry in read_entries(metadata_path)
        if entry["status"] == "kept"
    }
    if not kept:
        raise InputError(
            f"none of the {head['files']} files in {head['source']} were kept. The reasons are in "
            f"{metadata_path}."
        )
    groups = sorted({e["group"] for e in kept.values()})
    held_out = {g for g in groups if goes_to_validation(g, val_share, seed)}
    if (
        not held_out and len(groups) > 1
    ):  # too few files for chance: hold one group out all the same
        held_out = {groups[-1]}
    elif len(held_out) == len(groups) > 1:
        held_out.remove(groups[0])
    sides: dict[str, list[str]] = {"train": [], "val": []}
    for name in sorted(kept):
        sides["val" if kept[name]["group"] in held_out else "train"].append(name)
    works = []

    def segments_of(names: list[str]) -> Iterator[list[int]]:
        for name in names:
            stored = read_json(tokenized / kept[name]["tokens"])
            bars = [bar for segment in stored["segments"] for bar in decode_bars(segment)]
            works.append((name, melodies(decode(bars, stored["measured"]["bpm"]))))
            if progress:
                progress(len(works), len(kept))
            yield from stored["segments"]

    tokens = {s: sum(kept[n]["token_count"] for n in names) for s, names in sides.items()}
    try:
        segments = {
            s: write_split(out / s, segments_of(names), tokens[s]) for s, names in sides.items()
        }
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{tokenized} does not hold what {metadata_path} says ({error}): "
            "run `lofi tokenize` again."
        ) from error
    works.sort(key=lambda work: work[0])
    save_library(build_library(works), out / "melodies.npz")
    description = {
        "vocabulary_sha256": vocabulary().sha256,
        "files": {s: len(names) for s, names in sides.items()},
        "segments": segments,
        "tokens": tokens,
        "sha256": {s: _digest(kept[n]["sha256"] for n in names) for s, names in sides.items()},
        "val_share": val_share,
        "split_seed": seed,
        "corpora": {n: c for n, c in head["corpora"].items() if c["kept"]},
    }
    write_json(out / "dataset.json", description)
    return description


def _digest(hashes: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


def train_model(dataset: Path, out: Path, *, ship: bool = False, **options: Any) -> dict[str, Any]:
    """Train on a data set (see `lofi.music.train`), and put its melodies beside the model.

    With `ship` the checkpoint is marked as one that may be passed on; a data set that holds a
    corpus which may not raises InputError before any work.
    """
    from lofi.music import train

    melodies = dataset / "melodies.npz"
    if not melodies.is_file():
        raise InputError(f"{melodies} is missing. Make the data set with `lofi dataset`.")
    corpora = read_json(dataset / "dataset.json")["corpora"]
    refused = [n for n, c in corpora.items() if c.get("tier") != "ship"]
    if ship and refused:
        raise InputError(
            f"not for shipping: {', '.join(refused)}. Their licence is for tests alone or is not "
            "stated. Take them out of data/raw_midi, or, where the licence allows it, set `tier: "
            "ship` in their corpus.yaml; then run `lofi tokenize` and `lofi dataset` again."
        )
    card = train(dataset, out, tier="ship" if ship else "test", **options)
    write_bytes(out / "melodies.npz", melodies.read_bytes())
    return card
