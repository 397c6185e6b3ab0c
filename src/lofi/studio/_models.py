"""The models at hand: their cards, how they were evaluated, and what tracks are compared with.

The evaluation of a model is that of `lofi evaluate MODEL --report FOLDER/evaluation`, in its own
folder; that of the shipped model lies in `shipped/evaluation` of the models folder.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lofi.brief import InputError
from lofi.music import Model, open_model
from lofi.studio._errors import NotFoundError
from lofi.studio._files import read_json
from lofi.studio._settings import Settings

SHIPPED = "shipped"
_CARD = "lofi.json"
_EVALUATION = "evaluation"
_MOST_REPORT = 64_000_000  # bytes


def listing(settings: Settings) -> list[dict[str, Any]]:
    """The shipped model and those beside `paths.model`, as plain values.

    One that cannot be used is told of with the reason.
    """
    return [
        _described(name, path) | {"evaluation": _summary(settings, name, path)}
        for name, path in folders(settings)
    ]


def names(settings: Settings) -> list[str]:
    """The models beside `paths.model`, unread: one that is asked for may turn out unusable."""
    return [name for name, path in folders(settings) if path is not None]


def find(settings: Settings, name: str | None) -> Model:
    """The model of that name; the shipped one for None. Raises NotFoundError, InputError."""
    for known, path in folders(settings):
        if known == (name or SHIPPED):
            return open_model(path)
    raise NotFoundError(f"there is no model {str(name)[:80]!r}. `GET /api/models` lists them.")


def folders(settings: Settings) -> Iterator[tuple[str, Path | None]]:
    """The name and folder of each model, the shipped one first, without a folder."""
    yield SHIPPED, None
    around = settings.paths.model.parent
    if around.is_dir():
        for path in sorted(around.iterdir()):
            if path.name != SHIPPED and (path / _CARD).is_file():
                yield path.name, path


def _described(name: str, path: Path | None) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "shipped": path is None, "usable": True, "problem": None}
    try:
        return told | _stated(open_model(path))
    except InputError as error:
        return {**told, "usable": False, "problem": str(error)}
    except (KeyError, TypeError, AttributeError) as error:
        problem = f"its card cannot be read ({error!r}). Train the model again."
        return {**told, "usable": False, "problem": problem}


def _stated(model: Model) -> dict[str, Any]:
    card = model.card
    dataset, training = card["dataset"], card.get("training", {})
    return {
        "tier": card.get("tier", "test"),
        "sha256": model.sha256,
        "architecture": card["architecture"],
        "steps": training.get("steps"),
        "train_tokens": training.get("train_tokens"),
        "val_loss_nats_per_token": training.get("val_loss_nats_per_token"),
        "val_bits_per_note": training.get("val_bits_per_note"),
        "fine_tuned_from": (card.get("fine_tuned_from") or {}).get("model_sha256"),
        "corpora": _corpora(dataset),
    }


def _corpora(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    stated = ("source", "licence", "attribution", "tier", "files", "kept", "tokens")
    return [
        {"name": name, **{s: corpus.get(s) for s in stated}}
        for name, corpus in dataset.get("corpora", {}).items()
    ]


# How good they are -----------------------------------------------------------------------------


def report(settings: Settings, name: str) -> dict[str, Any]:
    """The evaluation of a model, as `lofi evaluate` wrote it.

    Raises NotFoundError if there is no such model, or it was not evaluated; InputError for a file
    that is no such report.
    """
    for known, path in folders(settings):
        if known == name:
            file = _report_file(settings, name, path)
            if not file.is_file():
                what = SHIPPED if path is None else str(path)
                raise NotFoundError(
                    f"{name} has no evaluation in {file.parent}. Make one: lofi evaluate {what} "
                    f"--report {file.parent}"
                )
            return _read_report(file)
    raise NotFoundError(f"there is no model {name[:80]!r}. `GET /api/models` lists them.")


def report_page(settings: Settings, name: str) -> tuple[str, str]:
    """The evaluation of a model as an HTML page, and the style sheet that stands in it.

    Drawn from the figures, and not read from the folder: a model may come from anywhere. Raises
    like `report`.
    """
    from lofi.picture import EVALUATION_STYLE, evaluation_page

    told = report(settings, name)
    try:
        return evaluation_page(told), EVALUATION_STYLE
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"the evaluation of {name} is not one of this version ({error!r}). Make it again with "
            "`lofi evaluate`."
        ) from error


def _report_file(settings: Settings, name: str, path: Path | None) -> Path:
    folder = path or settings.paths.model.parent / name
    return folder / _EVALUATION / "report.json"


def _read_report(file: Path) -> dict[str, Any]:
    if file.stat().st_size > _MOST_REPORT:
        raise InputError(f"{file} is too large for the report of an evaluation.")
    told = read_json(file)
    parts = {"model": dict, "asked": dict, "systems": dict, "adherence": dict, "targets": list}
    if not isinstance(told, dict) or not all(
        isinstance(told.get(n), kind) for n, kind in parts.items()
    ):
        raise InputError(f"{file} is not what `lofi evaluate` writes. Run it again.")
    return told


def _summary(settings: Settings, name: str, path: Path | None) -> dict[str, Any] | None:
    """What a list says of an evaluation; None if there is none."""
    file = _report_file(settings, name, path)
    if not file.is_file():
        return None
    try:
        told = _read_report(file)
        judged = [t["passed"] for t in told["targets"] if t["passed"] is not None]
        return {
            "problem": None,
            "tracks": told["asked"].get("tracks"),
            "reached": sum(judged),
            "judged": len(judged),
            "of_sha256": told["model"].get("sha256"),
        }
    except (InputError, KeyError, TypeError, OSError) as error:
        problem = str(error) if isinstance(error, InputError) else f"{file} cannot be read."
        return {"problem": problem, "tracks": None, "reached": None, "judged": None,
                "of_sha256": None}  # fmt: skip


def compare(settings: Settings, names: Sequence[str]) -> dict[str, Any]:
    """Models side by side: `models` by name, and `figures`, each with a value for each model.

    A value has `value`, `low` and `high` (95 %, None where there is no interval), or is None where
    it was not measured. `alike` says whether all were asked the same. Raises NotFoundError,
    InputError.
    """
    known = {m["name"]: m for m in listing(settings)}
    for name in names:
        if name not in known:
            raise NotFoundError(f"there is no model {name[:80]!r}. `GET /api/models` lists them.")
    reports = {}
    for name in names:
        told = known[name]["evaluation"]
        reports[name] = report(settings, name) if told and not told["problem"] else None
    try:
        rows = {name: _figures(known[name], told) for name, told in reports.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"an evaluation is not one of this version ({error!r}). Make it again with `lofi "
            "evaluate`."
        ) from error
    order: dict[tuple[str, str], dict[str, Any]] = {}
    for figures in rows.values():
        for figure in figures:
            order.setdefault((figure["group"], figure["title"]), figure)
    asked = [
        {k: told["asked"].get(k) for k in _ASKED} for told in reports.values() if told is not None
    ]
    return {
        "models": [known[name] for name in names],
        "alike": all(a == asked[0] for a in asked),
        "figures": [
            {
                **{k: figure[k] for k in ("group", "title", "unit", "better", "band")},
                "values": [
                    next((f["value"] for f in rows[name] if (f["group"], f["title"]) == key), None)
                    for name in names
                ],
            }
            for key, figure in order.items()
        ],
    }


_ASKED = ("tracks", "bars", "duration_s", "seed", "best_of", "reference", "reference_pieces")


def _figures(card: dict[str, Any], told: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The figures of one model, from its card and, where there is one, its evaluation."""
    rows: list[dict[str, Any]] = []

    def add(group: str, title: str, unit: str, better: str | None, value: Any, band: Any = None):
        rows.append({"group": group, "title": title, "unit": unit, "better": better,
                     "value": _value(value), "band": band})  # fmt: skip

    for title, unit, key in (
        ("Validation loss", "nats per token", "val_loss_nats_per_token"),
        ("Validation", "bits per note", "val_bits_per_note"),
    ):
        add("Card", title, unit, "less", card.get(key))
    if told is None:
        return rows
    for figure in told["adherence"].values():
        better = "less" if figure.get("at_most") is not None else "more"
        add("As asked", figure["title"], figure["unit"], better, figure["systems"]["model"])
    bits = told.get("bits_per_note")
    if bits:
        add("Expectation", "Cost of a note", "bits per note", "less", bits["systems"]["model"])
    original = told.get("originality")
    if original:
        short = original["systems"]["model"]["at_most_limit"]
        add("Originality", "Longest copied run", "share", "more", short)
    for name, figure in told.get("music", {}).items():
        human = figure.get("human")
        band = [human["percentiles"][0], human["percentiles"][4]] if human else None
        title = name.replace("_", " ").capitalize()
        add("Music", title, figure["unit"], None, figure["systems"]["model"]["median"], band)
    for name, figure in told.get("diversity", {}).items():
        title = name.replace("_", " ").capitalize()
        add("Diversity", title, figure["unit"], None, figure["systems"].get("model"))
    return rows


def _value(told: Any) -> dict[str, float | None] | None:
    """An estimate of the report, or a plain number, with its interval."""
    if isinstance(told, dict):
        found = {k: _number(told.get(k)) for k in ("value", "low", "high")}
        return None if found["value"] is None or not told.get("count", 1) else found
    value = _number(told)
    return None if value is None else {"value": value, "low": None, "high": None}


def _number(value: Any) -> float | None:
    told = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if told and math.isfinite(value) else None


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
