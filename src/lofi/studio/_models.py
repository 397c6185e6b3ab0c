"""The models at hand, as their cards tell of them, and what tracks are compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lofi.brief import InputError
from lofi.music import Model, open_model
from lofi.studio._errors import NotFoundError
from lofi.studio._settings import Settings

SHIPPED = "shipped"
_CARD = "lofi.json"


def listing(settings: Settings) -> list[dict[str, Any]]:
    """The shipped model and those beside `paths.model`, as plain values.

    One that cannot be used is told of with the reason.
    """
    return [_described(name, path) for name, path in _folders(settings)]


def names(settings: Settings) -> list[str]:
    """The models beside `paths.model`, unread: one that is asked for may turn out unusable."""
    return [name for name, path in _folders(settings) if path is not None]


def find(settings: Settings, name: str | None) -> Model:
    """The model of that name; the shipped one for None. Raises NotFoundError, InputError."""
    for known, path in _folders(settings):
        if known == (name or SHIPPED):
            return open_model(path)
    raise NotFoundError(f"there is no model {str(name)[:80]!r}. `GET /api/models` lists them.")


def _folders(settings: Settings) -> Iterator[tuple[str, Path | None]]:
    yield SHIPPED, None
    around = settings.paths.model.parent
    if around.is_dir():
        for path in sorted(around.iterdir()):
            if (path / _CARD).is_file():
                yield path.name, path


def _described(name: str, path: Path | None) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "shipped": path is None, "usable": True, "problem": None}
    try:
        model = open_model(path)
    except InputError as error:
        return {**told, "usable": False, "problem": str(error)}
    card = model.card
    dataset, training = card["dataset"], card.get("training", {})
    return {
        **told,
        "tier": card.get("tier", "test"),
        "sha256": model.sha256,
        "architecture": card["architecture"],
        "steps": training.get("steps"),
        "train_tokens": training.get("train_tokens"),
        "val_loss_nats_per_token": training.get("val_loss_nats_per_token"),
        "val_bits_per_note": training.get("val_bits_per_note"),
        "corpora": _corpora(dataset),
    }


def _corpora(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    stated = ("source", "licence", "attribution", "tier", "files", "kept", "tokens")
    return [
        {"name": name, **{s: corpus.get(s) for s in stated}}
        for name, corpus in dataset.get("corpora", {}).items()
    ]


# What a track is compared with -----------------------------------------------------------------


def reference(model: Model) -> dict[str, Any]:
    """How many works and melodies a model's originality check compares with, by corpus."""
    names, melodies, limits = _works(model)
    counts = Counter(_corpus_of(name) for name in names)
    stated = {c["name"]: c for c in _corpora(model.card["dataset"])}
    return {
        "works": len(names),
        "melodies": melodies,
        "review_bits": limits[0],
        "block_bits": limits[1],
        "corpora": [
            {
                "name": corpus,
                "works": counts.get(corpus, 0),
                **{
                    s: stated.get(corpus, {}).get(s)
                    for s in ("source", "licence", "attribution", "tier")
                },
            }
            for corpus in dict.fromkeys([*stated, *sorted(counts)])
        ],
    }


def works(model: Model, corpus: str, *, limit: int, offset: int) -> tuple[list[str], int]:
    """The works of a corpus that a model's check compares with, and how many there are.

    Raises NotFoundError.
    """
    names = [n for n in _works(model)[0] if _corpus_of(n) == corpus]
    if not names and corpus not in model.card["dataset"].get("corpora", {}):
        raise NotFoundError(f"there is no corpus {corpus[:80]!r}. `GET /api/library` lists them.")
    return names[offset : offset + limit], len(names)


def _works(model: Model) -> tuple[tuple[str, ...], int, tuple[float, float]]:
    from lofi.originality import read_works

    if not model.melodies.is_file():
        return (), 0, (0.0, 0.0)
    found = read_works(model.melodies)
    limits = found.thresholds
    return found.names, found.melodies, (limits.review_bits, limits.block_bits)


def _corpus_of(work: str) -> str:
    return work.split("/", 1)[0] if "/" in work else "."
