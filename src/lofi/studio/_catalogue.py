"""The catalogue: which corpora there are, where each comes from and what its licence allows.

A corpus is a folder of `data/raw_midi`; its card is the file `corpus.yaml` in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import yaml

from lofi.brief import InputError, LofiError, one_of
from lofi.studio._files import shown_name, write_bytes

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi")
CARD = "corpus.yaml"
TIERS = {
    "ship": "a checkpoint trained on it may be passed on",
    "test": "for experiments and benchmarks on this machine alone",
}

NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True)
class Card:
    """Where a corpus comes from and what it may be used for; `tier` is a key of TIERS."""

    source: str = NOT_STATED
    licence: str = NOT_STATED
    attribution: str = ""
    tier: str = "test"

    def __post_init__(self) -> None:
        one_of(self.tier, TIERS, "tier")
        if self.tier == "ship" and self.licence == NOT_STATED:
            raise InputError(
                "the tier ship needs a licence that allows it: state it with --licence or in "
                "corpus.yaml."
            )


def read_card(corpus: Path) -> Card:
    """The card of a corpus folder; the defaults where there is none. Raises InputError."""
    path = corpus / CARD
    if not path.is_file():
        return Card()
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not readable YAML: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold `name: value` lines, such as `licence: CC BY 4.0`.")
    known = [f.name for f in fields(Card)]
    told = {k: str(v) for k, v in values.items() if k in known and v is not None}
    try:
        return Card(**told)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def write_card(corpus: Path, card: Card) -> None:
    """Write the card of a corpus folder."""
    text = yaml.safe_dump(asdict(card), sort_keys=False, allow_unicode=True)
    write_bytes(corpus / CARD, text.encode())


def find_midi(folder: Path) -> list[Path]:
    """Every MIDI file below `folder`, by name. Raises InputError if there is none."""
    if folder.is_file():
        raise InputError(f"{folder} is a file. Give the folder it lies in.")
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}. Make it and put MIDI files into it.")
    found = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in MIDI_SUFFIXES and p.is_file()
    )
    if not found:
        raise InputError(
            f"no MIDI files in {folder} ({', '.join(MIDI_SUFFIXES)}). Put some there, or write a "
            f"corpus of your own with `lofi corpus compose --out {folder}/composed`."
        )
    return found


def import_corpora(
    folders: Sequence[Path],
    raw: Path,
    *,
    name: str | None = None,
    changes: dict[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Copy every MIDI file below each folder into a corpus of `raw`; gives the corpora's names.

    A corpus is named after its folder unless `name` is given. Files that are there already, of
    the same size and date, are not copied again. Names that are not plain become plain ones.
    `changes` are fields of the card to set. Raises InputError for a folder without MIDI or one
    that holds `raw` itself, LofiError when the disk has no room.
    """
    changes = changes or {}
    if name and len(folders) > 1:
        raise InputError("--name names one corpus: import the folders one by one.")
    jobs: list[tuple[Path, Path]] = []
    corpora: dict[str, Path] = {}
    new_cards: dict[str, Card] = {}
    for folder in folders:
        files = find_midi(folder)
        if raw.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{folder} holds {raw} itself. Import the folders beside it.")
        corpus = plain_name(name or folder.resolve().name)
        if corpora.get(corpus, folder) != folder:
            raise InputError(
                f"{corpora[corpus]} and {folder} would both be the corpus {corpus}. Import them "
                "one by one with --name."
            )
        corpora[corpus] = folder
        new_cards[corpus] = replace(
            read_card(raw / corpus if (raw / corpus / CARD).is_file() else folder), **changes
        )
        if folder.resolve() == (raw / corpus).resolve():
            continue
        for file in files:
            target = raw / corpus
            for part in file.relative_to(folder).parts:
                target /= plain_name(part)
            jobs.append((file, target))
    wanted = [(a, b) for a, b in jobs if not _same(a, b)]
    raw.mkdir(parents=True, exist_ok=True)
    size, free = sum(a.stat().st_size for a, _ in wanted), shutil.disk_usage(raw).free
    if size > free:
        raise LofiError(
            f"{size / 1e6:,.0f} MB of MIDI, but the disk of {raw} has {free / 1e6:,.0f} MB free."
        )
    for done, (source, target) in enumerate(wanted, 1):
        _copy(source, target)
        if progress:
            progress(done, len(wanted))
    for corpus, card in new_cards.items():
        write_card(raw / corpus, card)
    return list(corpora)


def _same(source: Path, target: Path) -> bool:
    try:
        a, b = source.stat(), target.stat()
    except FileNotFoundError:
        return False
    return a.st_size == b.st_size and a.st_mtime_ns == b.st_mtime_ns


def _copy(source: Path, target: Path) -> None:
    """Copy with its date, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(source, aside)
        shutil.copystat(source, aside)
        aside.chmod(0o644)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


_PLAIN = re.compile(r"[^\W_][\w .,;!'()&+=@#\[\]-]*")


def plain_name(name: str) -> str:
    """A file or folder name that is safe in paths, shells and pages; plain ones stay as they are.

    Another one becomes what is plain of it and a hash, so that two never fall together.
    """
    if _PLAIN.fullmatch(name) and len(os.fsencode(name)) <= 120 and not name.endswith((" ", ".")):
        return name
    stem, dot, suffix = name.rpartition(".")
    plain = re.sub(r"[^A-Za-z0-9]+", "-", stem if dot else name).strip("-")[:60] or "untitled"
    ending = f".{suffix.lower()}" if f".{suffix.lower()}" in MIDI_SUFFIXES else ""
    return f"{plain}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}{ending}"


def corpus_of(entry_name: str) -> str:
    """The corpus that a file of the metadata belongs to; `.` for files in no folder."""
    return entry_name.split("/", 1)[0] if "/" in entry_name else "."


def read_cards(raw: Path, corpora: Sequence[str]) -> dict[str, Card]:
    """The card of each of these corpora of `raw`, which are named as in the metadata."""
    folders = {shown_name(p, raw): p for p in raw.iterdir() if p.is_dir()}
    return {name: read_card(folders.get(name, raw)) for name in corpora}
