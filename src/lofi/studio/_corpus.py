"""The MIDI path: a folder of MIDI -> tokenised files -> a data set."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import yaml

from lofi.brief import BUNDLES, MOODS, Brief, InputError, Key, subseed
from lofi.studio._files import read_json, write_bytes, write_json
from lofi.studio._workers import submit, worker_pool

MIDI_SUFFIXES = (".mid", ".midi", ".kar")


def find_midi(folder: Path) -> list[Path]:
    """Every MIDI file below `folder`, by name. Raises InputError if there is none."""
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


def tokenize(
    raw: Path,
    tokenized: Path,
    metadata_path: Path,
    *,
    bounds: Any,
    quality: Any,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Read every MIDI file below `raw` into `tokenized`/*.json; gives the metadata written.

    Each file ends as kept, rejected (with the reason) or duplicate (of which). A file that was
    read before and has not changed is not read again. `progress` gets (files done, all files).
    """
    from lofi.music import vocabulary

    paths = find_midi(raw)
    names = [p.relative_to(raw).as_posix() for p in paths]
    rules = hashlib.sha256(
        json.dumps([vocabulary().sha256, repr(bounds), repr(quality)]).encode()
    ).hexdigest()
    known = _known(metadata_path, rules, tokenized)
    tokenized.mkdir(parents=True, exist_ok=True)
    entries: dict[str, dict[str, Any]] = {}
    fresh: list[tuple[str, Path]] = []
    for name, path in zip(names, paths, strict=True):
        stat = path.stat()
        entry = known.get(name)
        if entry and entry["bytes"] == stat.st_size and entry["mtime_ns"] == stat.st_mtime_ns:
            entries[name] = entry
        else:
            fresh.append((name, path))
    done = len(entries)
    if progress:
        progress(done, len(paths))
    for name, entry in _read_all(fresh, tokenized, bounds, quality):
        entries[name] = entry
        done += 1
        if progress:
            progress(done, len(paths))
    _mark_duplicates(entries)
    current = {e["tokens"] for e in entries.values() if e["status"] == "kept"}
    for entry in (*known.values(), *entries.values()):
        # Only files this function wrote are ever removed.
        if entry.get("tokens") and entry["tokens"] not in current:
            (tokenized / entry["tokens"]).unlink(missing_ok=True)
    counts = Counter(e["status"] for e in entries.values())
    metadata = {
        "rules_sha256": rules,
        "source": raw.name,
        "files": len(paths),
        "kept": counts["kept"],
        "rejected": counts["rejected"],
        "duplicate": counts["duplicate"],
        "reasons": dict(
            Counter(
                _reason_kind(e["reason"]) for e in entries.values() if e["reason"]
            ).most_common()
        ),
        "corpora": _corpora(raw, entries),
        "entries": {n: entries[n] for n in names},
    }
    write_json(metadata_path, metadata)
    return metadata


def _reason_kind(reason: str) -> str:
    return re.sub(r"[\d.,]+", "#", reason)


def _known(metadata_path: Path, rules: str, tokenized: Path) -> dict[str, dict[str, Any]]:
    try:
        metadata = read_json(metadata_path)
        if metadata["rules_sha256"] != rules:
            return {}
        return {
            name: entry
            for name, entry in metadata["entries"].items()
            if entry["status"] == "rejected" or (tokenized / entry["tokens"]).is_file()
        }
    except (InputError, KeyError, TypeError):
        return {}


def _read_all(
    files: list[tuple[str, Path]], tokenized: Path, bounds: Any, quality: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read files over all cores. A file that kills its reader is rejected; the others go on."""
    waiting = list(files)
    workers = min(os.cpu_count() or 1, max(1, len(files) // 20))
    alone = False
    while waiting:
        batch = waiting[:1] if alone else waiting
        finished = 0
        try:
            with worker_pool(1 if alone else workers) as pool:
                jobs = [
                    submit(pool, _read_one, n, str(p), str(tokenized), bounds, quality)
                    for n, p in batch
                ]
                for (name, _), job in zip(batch, jobs, strict=True):
                    entry = job.result()
                    finished += 1
                    yield name, entry
        except BrokenProcessPool:
            name, path = batch[finished]
            if alone:
                yield name, _entry(path, "rejected", reason="crashed the MIDI reader")
                finished += 1
            # One of the files in flight did it: read the next one by itself to find out.
            alone = not alone
        else:
            alone = False
        waiting = waiting[finished:]


def _entry(path: Path, status: str, **more: Any) -> dict[str, Any]:
    stat = path.stat()
    return {
        "status": status,
        "reason": None,
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        **more,
    }


def _read_one(name: str, path: str, tokenized: str, bounds: Any, quality: Any) -> dict[str, Any]:
    from lofi.music import RejectedError, content_group, encode, judge, measure, read_midi, segments

    file = Path(path)
    try:
        score, repairs = read_midi(file, bounds)
        measured = measure(score)
        if reason := judge(measured, quality):
            raise RejectedError(reason)
        cut = segments(encode(score), measured)
        if not cut:
            raise RejectedError("holds no music after cleaning")
    except RejectedError as error:
        return _entry(file, "rejected", reason=str(error))
    except (
        ArithmeticError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        # One bad file never stops a folder; what it was is told.
        return _entry(file, "rejected", reason=f"cannot be tokenised: {error!r}"[:200])
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    slug = re.sub(r"[^A-Za-z0-9]+", "-", file.stem).strip("-")[:40] or "untitled"
    tokens = f"{slug}-{digest[:12]}.json"
    write_json(
        Path(tokenized) / tokens,
        {"source": name, "sha256": digest, "measured": measured.to_dict(), "segments": cut},
        indent=None,
    )
    return _entry(
        file,
        "kept",
        sha256=digest,
        group=content_group(cut),
        tokens=tokens,
        token_count=sum(map(len, cut)),
        repairs=repairs,
        measured=measured.to_dict(),
    )


def _mark_duplicates(entries: dict[str, dict[str, Any]]) -> None:
    first: dict[str, str] = {}
    for name in sorted(entries):
        entry = entries[name]
        if entry["status"] == "rejected":
            continue
        original = first.setdefault(entry["group"], name)
        entry["status"] = "kept" if original == name else "duplicate"
        entry["reason"] = None if original == name else f"same music as {original}"


def _corpora(raw: Path, entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each top folder as a corpus, with its `corpus.yaml` (source, licence, attribution)."""
    found: dict[str, dict[str, Any]] = {}
    for name, entry in entries.items():
        top = name.split("/", 1)[0] if "/" in name else "."
        if top not in found:
            card: Any = {}
            path = raw / top / "corpus.yaml"
            if path.is_file():
                try:
                    card = yaml.safe_load(path.read_text())
                except (yaml.YAMLError, UnicodeDecodeError) as error:
                    raise InputError(f"{path} is not readable YAML: {error}") from error
            card = card if isinstance(card, dict) else {}
            found[top] = {
                "source": str(card.get("source", "not stated")),
                "licence": str(card.get("licence", "not stated")),
                "attribution": str(card.get("attribution", "")),
                "files": 0,
                "kept": 0,
                "tokens": 0,
            }
        found[top]["files"] += 1
        if entry["status"] == "kept":
            found[top]["kept"] += 1
            found[top]["tokens"] += entry["token_count"]
    return found


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

    Writes beside them `melodies.npz`, the reference for the originality check, and
    `dataset.json` with counts, hashes and licences.
    """
    from lofi.music import decode, decode_bars, goes_to_validation, vocabulary, write_split
    from lofi.originality import build_library, melodies, save_library

    if not metadata_path.is_file():
        raise InputError(f"{metadata_path} is missing. Run `lofi tokenize` first.")
    metadata = read_json(metadata_path)
    kept = {n: e for n, e in metadata["entries"].items() if e["status"] == "kept"}
    if not kept:
        raise InputError(
            f"none of the {metadata['files']} files in {metadata['source']} were kept. The "
            f"reasons are in {metadata_path}."
        )
    splits: dict[str, list[list[int]]] = {"train": [], "val": []}
    held: dict[str, list[str]] = {"train": [], "val": []}
    works = []
    for done, name in enumerate(sorted(kept), 1):
        entry = kept[name]
        stored = read_json(tokenized / entry["tokens"])
        split = "val" if goes_to_validation(entry["group"], val_share, seed) else "train"
        splits[split] += stored["segments"]
        held[split].append(entry["sha256"])
        bars = [bar for segment in stored["segments"] for bar in decode_bars(segment)]
        works.append((name, melodies(decode(bars, entry["measured"]["bpm"]))))
        if progress:
            progress(done, len(kept))
    if not held["val"] and len(kept) > 1:  # too few files for chance: hold one out all the same
        last = max(kept, key=lambda n: kept[n]["group"])
        segments = read_json(tokenized / kept[last]["tokens"])["segments"]
        splits["train"] = [s for s in splits["train"] if s not in segments]
        splits["val"] = segments
        held["train"].remove(kept[last]["sha256"])
        held["val"].append(kept[last]["sha256"])
    for split, segments in splits.items():
        write_split(out / split, segments)
    save_library(build_library(works), out / "melodies.npz")
    description = {
        "vocabulary_sha256": vocabulary().sha256,
        "files": {s: len(h) for s, h in held.items()},
        "segments": {s: len(x) for s, x in splits.items()},
        "tokens": {s: sum(map(len, x)) for s, x in splits.items()},
        "sha256": {
            s: hashlib.sha256("\n".join(sorted(h)).encode()).hexdigest() for s, h in held.items()
        },
        "val_share": val_share,
        "split_seed": seed,
        "corpora": metadata["corpora"],
    }
    write_json(out / "dataset.json", description)
    return description


def compose_corpus(
    out: Path, *, count: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> int:
    """Write `count` pieces of the rule composer to `out`/*.mid; gives how many were new.

    Moods and keys rotate, tempo and length are drawn. A piece that is there is not written again.
    """
    out.mkdir(parents=True, exist_ok=True)
    card = {
        "source": f"LoFi Empire rule composer, seed {seed}, {count} pieces",
        "licence": "Apache-2.0",
        "attribution": "LoFi Empire",
    }
    write_bytes(out / "corpus.yaml", yaml.safe_dump(card, sort_keys=False).encode())
    wanted = [
        (i, path) for i in range(count) if not (path := out / f"piece-{seed}-{i:05d}.mid").exists()
    ]
    done = count - len(wanted)
    workers = min(os.cpu_count() or 1, max(1, len(wanted) // 20))
    with worker_pool(workers) as pool:
        jobs = [submit(pool, _compose_one, str(path), seed, i) for i, path in wanted]
        for job in jobs:
            job.result()
            done += 1
            if progress:
                progress(done, count)
    return len(wanted)


def _compose_one(path: str, seed: int, index: int) -> None:
    import random

    from lofi.music import compose, midi_bytes

    # Every mood meets every tonic: 12 moods and 12 tonics, the one counted slower.
    piece = subseed(seed, "corpus", index) >> 1
    mood = MOODS[list(MOODS)[index % len(MOODS)]]
    chance = random.Random(piece)
    mode = "major" if chance.random() < BUNDLES[mood.bundle].major_share else "minor"
    key = Key((index // len(MOODS)) % 12, mode)
    brief = Brief(seed=piece, mood=mood.name, key=key).settled()
    score, plan = compose(brief, bars=chance.randrange(24, 49, 4))
    write_bytes(Path(path), midi_bytes(score, plan))


def train_model(dataset: Path, out: Path, **options: Any) -> dict[str, Any]:
    """Train on a data set (see `lofi.music.train`), and put its melodies beside the model."""
    from lofi.music import train

    melodies = dataset / "melodies.npz"
    if not melodies.is_file():
        raise InputError(f"{melodies} is missing. Make the data set with `lofi dataset`.")
    card = train(dataset, out, **options)
    write_bytes(out / "melodies.npz", melodies.read_bytes())
    return card
