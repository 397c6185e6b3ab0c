"""Reading a folder of MIDI: every file ends as kept, rejected or duplicate, and says why."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lofi.brief import InputError
from lofi.studio._catalogue import corpus_of, find_midi, read_cards
from lofi.studio._files import shown_name, write_bytes, write_json
from lofi.studio._metadata import Entry, Journal, read_entries, read_head, write_metadata
from lofi.studio._workers import Failure, Limits, guarded

if TYPE_CHECKING:
    from lofi.music import Bounds, Quality

# Raised when files are read differently than before: what was read by other rules is read again.
READING = 2


def tokenize(
    raw: Path,
    tokenized: Path,
    metadata_path: Path,
    *,
    bounds: Bounds,
    quality: Quality,
    limits: Limits,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Read every MIDI file below `raw` into `tokenized`/*.json; gives the head of the metadata.

    Each file ends as kept, rejected (with the reason) or duplicate (of which); `metadata_path`
    tells of all of them, and a summary for people stands beside it. A file that was read before
    and has not changed is not read again, nor is one that a stopped run had read. `progress` gets
    (files done, all files).
    """
    from lofi.music import vocabulary

    paths = {shown_name(p, raw): p for p in find_midi(raw)}
    told = [READING, vocabulary().sha256, repr(bounds), repr(quality), repr(limits)]
    rules = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    tokenized.mkdir(parents=True, exist_ok=True)
    journal = Journal(metadata_path, rules)
    finished = False
    try:
        earlier = {n: json.dumps(e) for n, e in _earlier(metadata_path, rules, journal)}
        texts = {n: t for n, t in earlier.items() if _holds(n, earlier, paths, tokenized)}
        fresh = [(name, str(path)) for name, path in paths.items() if name not in texts]
        if progress:
            progress(len(texts), len(paths))
        workers = min(os.cpu_count() or 1, max(1, len(fresh) // 20))
        prepare = partial(_reader, str(tokenized), bounds, quality)
        for (name, path), outcome in guarded(prepare, fresh, workers=workers, limits=limits):
            if isinstance(outcome, Failure):
                outcome = _entry(Path(path), "rejected", reason=outcome.reason)
            journal.add(name, outcome)
            texts[name] = json.dumps(outcome)
            if progress:
                progress(len(texts), len(paths))
        # An entry is text until it is needed: a hundred thousand of them fit into memory.
        relations = _relations((n, json.loads(texts[n])) for n in sorted(paths))
        head = {
            "rules_sha256": rules,
            "source": raw.name,
            **_summed(raw, ((n, {**json.loads(texts[n]), **r}) for n, r in relations.items())),
        }
        write_metadata(
            metadata_path,
            head,
            ((n, {**json.loads(texts[n]), **r}) for n, r in relations.items()),
        )
        write_bytes(metadata_path.with_name("summary.md"), _summary(head, metadata_path).encode())
        _remove_stale(earlier.values(), texts, relations, tokenized)
        finished = True
    finally:
        journal.close(finished=finished)
    return head


def _earlier(metadata_path: Path, rules: str, journal: Journal) -> Iterator[tuple[str, Entry]]:
    """What earlier runs under the same rules found, the latest of a file last."""
    try:
        if read_head(metadata_path)["rules_sha256"] == rules:
            yield from read_entries(metadata_path)
    except (InputError, KeyError):
        pass
    yield from journal.entries()


def _holds(
    name: str, earlier: dict[str, str], paths: dict[str, Path], tokenized: Path, *, of: bool = True
) -> bool:
    """Whether an earlier entry is still true: the file unchanged, and its tokens where they were.

    The tokens of a duplicate are those of its original.
    """
    if name not in earlier or name not in paths:
        return False
    entry = json.loads(earlier[name])
    stat = paths[name].stat()
    if (entry["bytes"], entry["mtime_ns"]) != (stat.st_size, stat.st_mtime_ns):
        return False
    if entry["status"] == "rejected" or (tokenized / entry["tokens"]).is_file():
        return True
    return of and "of" in entry and _holds(entry["of"], earlier, paths, tokenized, of=False)


def _entry(path: Path, status: str, *, reason: str | None = None, **more: Any) -> Entry:
    stat = path.stat()
    return {
        "status": status,
        "reason": reason,
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        **more,
    }


def _reader(tokenized: str, bounds: Bounds, quality: Quality) -> Callable[[tuple[str, str]], Entry]:
    """What a worker needs is loaded here, before its memory is bounded."""
    from lofi.music import vocabulary

    vocabulary()
    return partial(_read_one, Path(tokenized), bounds, quality)


def _read_one(tokenized: Path, bounds: Bounds, quality: Quality, named: tuple[str, str]) -> Entry:
    from lofi import music
    from lofi.originality import fingerprint

    name, path = named[0], Path(named[1])
    try:
        score, repairs = music.read_midi(path, bounds)
        chords = music.hear_chords(score)
        measured = music.measure(score, chords)
        judgement = music.judge(measured, quality)
        if judgement.reason:
            return _entry(
                path, "rejected", reason=judgement.reason, repairs=repairs,
                measured=measured.to_dict(), score=judgement.score, criteria=judgement.parts,
            )  # fmt: skip
        cut = music.segments(music.encode(score, music.labelled_chords(score) or chords), measured)
        if not cut:
            return _entry(path, "rejected", reason="holds no music after cleaning")
    except music.RejectedError as error:
        return _entry(path, "rejected", reason=str(error))
    except MemoryError:
        raise
    except Exception as error:
        # One bad file never stops a folder; what it was is told.
        return _entry(path, "rejected", reason=f"cannot be tokenised: {error!r}"[:200])
    twin = fingerprint(score)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    slug = re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-")[:40] or "untitled"
    tokens = f"{slug}-{digest[:12]}.json"
    figures = {"measured": measured.to_dict(), "score": judgement.score}
    write_json(
        tokenized / tokens,
        {"source": name, "sha256": digest, **figures, "segments": cut},
        indent=None,
    )
    return _entry(
        path,
        "kept",
        sha256=digest,
        music=music.content_hash(cut),
        fingerprint=None if twin is None else base64.b64encode(twin.tobytes()).decode(),
        tokens=tokens,
        token_count=sum(map(len, cut)),
        repairs=repairs,
        **figures,
        criteria=judgement.parts,
    )


# What files are to each other -----------------------------------------------------------------


def _relations(entries: Iterable[tuple[str, Entry]]) -> dict[str, Entry]:
    """For each file, the fields of its entry that depend on the other files.

    The same notes twice are one file and its duplicates. Files that are nearly the same music,
    transposition aside, share a group, which is never cut into training and validation.
    """
    import numpy as np

    from lofi.originality import group_twins

    relations: dict[str, Entry] = {}
    original: dict[str, str] = {}
    twins: list[Any] = []
    for name, entry in entries:
        relations[name] = {}
        if entry["status"] == "rejected":
            continue
        first = original.setdefault(entry["music"], name)
        if first != name:
            relations[name] = {
                "status": "duplicate",
                "reason": f"same music as {first}",
                "of": first,
            }
        else:
            relations[name] = {"status": "kept", "reason": None, "of": None}
            code = entry["fingerprint"]
            twins.append(np.frombuffer(base64.b64decode(code), np.uint32) if code else None)
    names, hashes = list(original.values()), list(original)
    for name, leader in zip(names, group_twins(twins), strict=True):
        relations[name]["group"] = hashes[leader]
    return relations


def _summed(raw: Path, entries: Iterable[tuple[str, Entry]]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    repairs: Counter[str] = Counter()
    groups: Counter[str] = Counter()
    examples: dict[str, str] = {}
    corpora: dict[str, dict[str, Any]] = {}
    for name, entry in entries:
        counts[entry["status"]] += 1
        corpus = corpora.setdefault(corpus_of(name), {"files": 0, "kept": 0, "tokens": 0})
        corpus["files"] += 1
        repairs.update({_kind(r) for r in entry.get("repairs", ())})
        if entry["status"] == "kept":
            corpus["kept"] += 1
            corpus["tokens"] += entry["token_count"]
            groups[entry["group"]] += 1
        elif entry["status"] == "rejected":
            reasons[_kind(entry["reason"])] += 1
            examples.setdefault(_kind(entry["reason"]), name)
    cards = read_cards(raw, list(corpora))
    return {
        "files": counts.total(),
        "kept": counts["kept"],
        "rejected": counts["rejected"],
        "duplicate": counts["duplicate"],
        "reasons": dict(reasons.most_common()),
        "examples": examples,
        "repairs": dict(repairs.most_common()),
        "groups_of_twins": sum(n > 1 for n in groups.values()),
        "largest_group": max(groups.values(), default=0),
        "corpora": {name: {**asdict(cards[name]), **figures} for name, figures in corpora.items()},
    }


_NUMBER = re.compile(r"(?<![\d/.,])(?<!than )(?<!to )(?<!hits )-?\d[\d.,]*\d?(?![\d/])")


def _kind(text: str) -> str:
    """A reason or repair without the file's own numbers, so that like ones are counted together."""
    return _NUMBER.sub("n", text)


def _summary(head: dict[str, Any], metadata_path: Path) -> str:
    told = (
        f"{head['kept']:,} kept, {head['rejected']:,} rejected, {head['duplicate']:,} duplicates. "
        f"{head['groups_of_twins']:,} groups of near twins, the largest of "
        f"{head['largest_group']:,}. Each file's figures or reason: {metadata_path.name}."
    )
    lines = [
        f"# {head['files']:,} MIDI files",
        "",
        told,
        "",
        "| corpus | files | kept | tokens | licence | tier |",
        "|---|---|---|---|---|---|",
    ]
    for name, c in head["corpora"].items():
        lines.append(
            f"| {_cell(name)} | {c['files']:,} | {c['kept']:,} | {c['tokens']:,} "
            f"| {_cell(c['licence'])} | {c['tier']} |"
        )
    if head["reasons"]:
        lines += ["", "| rejected | files | such as |", "|---|---|---|"]
        lines += [
            f"| {_cell(r)} | {n:,} | {_cell(head['examples'][r])} |"
            for r, n in head["reasons"].items()
        ]
    if head["repairs"]:
        lines += ["", "| repaired | files |", "|---|---|"]
        lines += [f"| {_cell(r)} | {n:,} |" for r, n in head["repairs"].items()]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that may hold anything, as one cell of a Markdown table."""
    escaped = re.sub(r"([\\`*_{}\[\]<>()#|~])", r"\\\1", text)
    return escaped.replace("\n", " ")[:160]


def _remove_stale(
    earlier: Iterable[str], texts: dict[str, str], relations: dict[str, Entry], tokenized: Path
) -> None:
    """Remove token files that no kept file has any longer; only ones that were written here."""
    names = {n for n, r in relations.items() if r.get("status") == "kept"}
    current = {json.loads(texts[n])["tokens"] for n in names}
    for text in (*earlier, *texts.values()):
        tokens = json.loads(text).get("tokens")
        if tokens and tokens not in current:
            (tokenized / tokens).unlink(missing_ok=True)
