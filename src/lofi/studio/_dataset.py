"""Kept files -> the data set, and the data set -> a model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from lofi.brief import InputError
from lofi.music import Finetuning, Recipe
from lofi.studio._files import read_json, write_bytes, write_json
from lofi.studio._metadata import Entry, read_entries, read_head
from lofi.studio._trainings import claimed

FEW_FILES = 20  # below this a model learns a corpus by heart rather than from it
MANY_TIMES = 60  # so often may each segment be read; the shipped model read each about ten times


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


def train_model(
    dataset: Path,
    out: Path,
    *,
    recipe: Recipe,
    base: Path | str | None = None,
    finetuning: Finetuning | None = None,
    steps: int | None = None,
    ship: bool = False,
    warn: Callable[[str], None] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train on a data set (see `lofi.music.train`), and put its melodies beside the model.

    `base` is a model to start from, a folder or "shipped"; the recipe is then that of `finetuning`.
    `steps` goes before the recipe's. Only one process at a time trains in a folder: ConflictError
    names the other. With `ship` the checkpoint is marked as one that may be passed
    on; a data set or base that holds a corpus which may not raises InputError before any work.
    `warn` is told in a sentence when there is little to learn from.
    """
    from lofi.music import SHIPPED, all_corpora, open_model, processes, train
    from lofi.originality import load_library, merge_libraries, save_library

    melodies = dataset / "melodies.npz"
    if not melodies.is_file():
        raise InputError(f"{melodies} is missing. Make the data set with `lofi dataset`.")
    described = read_json(dataset / "dataset.json")
    corpora, segments = described["corpora"], described["segments"]["train"]
    model = None
    if base is not None:
        model = open_model(SHIPPED if base == "shipped" else Path(base))
        corpora = all_corpora(model, corpora)
        recipe = (finetuning or Finetuning()).recipe(recipe, segments, steps)
    elif steps:
        recipe = replace(recipe, steps=steps)
    refused = [n for n, c in corpora.items() if c.get("tier") != "ship"]
    if ship and model and model.card.get("tier") != "ship":
        refused = refused or [f"the model in {model.path}"]
    if ship and refused:
        raise InputError(
            f"not for shipping: {', '.join(refused)}. Their licence is for tests alone or is not "
            "stated. Take them out of data/raw_midi, or, where the licence allows it, set `tier: "
            "ship` in their corpus.yaml; then run `lofi tokenize` and `lofi dataset` again."
        )
    first, count = processes()
    if warn and first == 0 and (told := _little(described, recipe, model is not None, count)):
        warn(told)
    # Of those that torchrun started, the first one stands for all.
    with claimed(out) if first == 0 else nullcontext():
        card = train(
            dataset,
            out,
            recipe=recipe,
            base=model,
            tier="ship" if ship else "test",
            draw=_draw_roll,
            **options,
        )
        if first == 0:
            if model and model.melodies.is_file():
                both = merge_libraries(load_library(model.melodies), load_library(melodies))
                save_library(both, out / "melodies.npz")
            else:
                write_bytes(out / "melodies.npz", melodies.read_bytes())
    return card


def _little(described: dict[str, Any], recipe: Recipe, tuned: bool, count: int) -> str | None:
    """What to say of a data set that is small for what is to be learnt from it."""
    files, segments = described["files"]["train"], described["segments"]["train"]
    times = recipe.steps * recipe.batch_size * count / max(1, segments)
    if files >= FEW_FILES and times <= MANY_TIMES:
        return None
    start = "" if tuned else "Start from a model that knows music (--from shipped). "
    return (
        f"{files:,} files ({segments:,} segments) are few for {recipe.steps:,} steps: each is read "
        f"about {times:.0f} times, and the model will know them by heart rather than learn from "
        f"them. {start}More MIDI helps, or `lofi corpus compose` beside it."
    )


def _draw_roll(score: Any, path: Path) -> None:
    from lofi.picture import render_roll

    render_roll(path, score, title=path.stem.replace("-", " "))
