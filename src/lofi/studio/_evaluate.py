"""How good a model is: tracks over all moods, keys and tempi, measured, beside those who compare.

The same briefs are written by the model, the rule composer, a Markov chain and the model without
controls. Every track is kept as MIDI and JSON under a name that says what it was made from, so an
evaluation that was stopped goes on where it was, and a larger one makes only what is new.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lofi import __version__
from lofi.brief import (
    ALL_KEYS,
    BUNDLES,
    MOODS,
    PARTS,
    TAIL_S,
    Brief,
    InputError,
    Key,
    Plan,
    Section,
    find_mood,
    fit_bars,
    subseed,
)  # fmt: skip
from lofi.studio._files import read_json, sha256_of, write_bytes, write_json
from lofi.studio._settings import Settings
from lofi.studio._stages import compose_checked
from lofi.studio._workers import submit, worker_pool

if TYPE_CHECKING:
    import numpy as np
    import symusic

    from lofi.music import Estimate, Markov, Model, MoodClassifier
    from lofi.originality import Library

T = TypeVar("T")
Report = Callable[[str, float], None]

EVALUATION_STAGES = ("learn", "write", "measure", "moods", "human", "listen", "report")
FULL_REPORT = 100  # tracks below which the intervals are wider than what is to be told apart
SYSTEMS: dict[str, str] = {
    "model": "the model",
    "composer": "rule composer",
    "markov": "Markov chain",
    "untold": "model without controls",
}
"""Who writes: names in files, and how they are called."""

_MOST_LABELLED = 1_200  # pieces of the corpora that the mood classifier learns from
_LABELLED = 600  # pieces that are composed for it where the corpora have too few
_FEW_LABELLED = 20  # of a bundle: fewer in the corpora, and the composer writes all of them
_CHAIN_TOKENS = 4_000_000  # that the Markov chain learns from
_HEARD_SEGMENTS = 400  # of the validation split, for the bits per note
_MOST_HUMAN = 250  # pieces of each folder of the reference
_MOOD_LABEL = b"mood: "
_AT_ONCE = 20  # pieces that a worker reads or composes in one go


@dataclass(frozen=True, slots=True)
class _Job:
    """One track: who writes it, what is asked, and from what."""

    system: str
    index: int
    brief: Brief
    settings: Settings
    model: Path
    chain: Path | None
    source: str
    folder: Path

    @property
    def stem(self) -> Path:
        """The file's path without `.mid` or `.json`."""
        told = [__version__, asdict(self.brief), self.source]
        if self.system != "composer":
            generation = self.settings.generation
            told += [generation.best_of, generation.attempts, asdict(self.settings.sampling)]
        digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:10]
        return self.folder / "tracks" / self.system / f"{self.index:04d}-{digest}"


@dataclass(frozen=True, slots=True)
class _Track:
    """What was measured of a track."""

    system: str
    index: int
    bundle: str
    nearest: str | None
    adherence: dict[str, float]
    music: dict[str, float]
    features: list[float]
    longest_run: int
    cpu_s: float


@dataclass(slots=True)
class _Found:
    """All that an evaluation finds, before it is put into words."""

    tracks: dict[str, list[_Track]] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    ear: dict[str, Any] = field(default_factory=dict)
    human: list[dict[str, float]] = field(default_factory=list)
    diversity: dict[str, dict[str, float]] = field(default_factory=dict)
    surprise: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    works: int = 0


def grid(
    tracks: int, seed: int, *, bars: int | None = None, duration_s: float = 60.0
) -> list[Brief]:
    """Settled briefs over moods, keys and tempi, of a duration or as long as so many bars last.

    The six bundles take turns, and so do the moods within each; every bundle meets all keys equally
    often, and low, middle and high tempi of its moods about equally often.
    """
    chance = random.Random(subseed(seed, "grid"))
    keys = list(ALL_KEYS)
    chance.shuffle(keys)
    briefs = []
    for i in range(tracks):
        turn, place = divmod(i, len(BUNDLES))
        shades = [m for m in MOODS.values() if m.bundle == list(BUNDLES)[place]]
        mood = shades[turn % len(shades)]
        low, high = mood.bpm
        bpm = (low, round((low + high) / 2), high)[(turn // len(shades) + place) % 3]
        key = keys[(4 * place + turn) % len(keys)]
        own = subseed(seed, "track", i) >> 1
        length_s = duration_s if bars is None else bars * 240 / bpm + TAIL_S
        brief = Brief(seed=own, mood=mood.name, bpm=bpm, key=key, duration_s=length_s)
        briefs.append(brief.settled())
    return briefs


def evaluate(
    model_path: Path | None,
    settings: Settings,
    *,
    out: Path,
    tracks: int = 120,
    bars: int | None = None,
    duration_s: float = 60.0,
    seed: int = 1,
    best_of: int | None = None,
    reference: Path | None = None,
    dataset: Path | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Write `out`/report.json and `out`/report.html; gives the former.

    `reference` is a folder of music by people to compare with; `dataset` holds train/ and val/.
    Without them what needs them is absent, and the report says so. `report` gets (stage, fraction
    done). Raises InputError for a model or folder that cannot be used.
    """
    from lofi.music import open_model
    from lofi.picture import write_evaluation

    tell = report or (lambda _stage, _fraction: None)
    model = open_model(model_path)
    data = _data_set(dataset, settings)
    human = _reference_files(reference)
    out.mkdir(parents=True, exist_ok=True)
    workers = os.cpu_count() or 1

    chain = _chain(data, out, tell)
    choice = settings.generation.best_of if best_of is None else best_of
    alone = replace(settings.generation, best_of=choice, threads=1)
    writing = settings.model_copy(update={"generation": alone})
    systems = [name for name in SYSTEMS if name != "markov" or chain]
    jobs = []
    for index, brief in enumerate(grid(tracks, seed, bars=bars, duration_s=duration_s)):
        for system in systems:
            source = {"composer": "", "markov": chain.stem if chain else ""}.get(
                system, model.sha256
            )
            jobs.append(_Job(system, index, brief, writing, model.path, chain, source, out))
    lengths = sorted(fit_bars(job.brief.duration_s, job.brief.bpm or 0) for job in jobs)
    typical_bars = lengths[len(jobs) // 2]
    found = _Found()
    with worker_pool(workers) as pool:
        missing = [job for job in jobs if not _is_written(job)]
        _all(pool, _write_track, [(job,) for job in missing], tell, "write")
        for track in _all(pool, _measure_track, [(job,) for job in jobs], tell, "measure"):
            found.tracks.setdefault(track.system, []).append(track)
        for system in systems:
            mine = [(job.stem.with_suffix(".mid"), None) for job in jobs if job.system == system]
            found.diversity[system] = submit(pool, _diversity, mine).result()
        _learn_moods(pool, found, settings.paths.raw_midi, typical_bars, seed, tell)
        if human:
            groups = [human[i : i + _AT_ONCE] for i in range(0, len(human), _AT_ONCE)]
            read = _all(pool, _read_human, [(g, typical_bars) for g in groups], tell, "human")
            kept = [piece for group in read for piece in group]
            found.human = [figures for _, figures in kept]
            step = max(1, len(kept) // tracks)
            some = [(path, typical_bars) for path, _ in kept[::step]][:tracks]
            found.diversity["human"] = submit(pool, _diversity, some).result()
        tell("human", 1.0)
        if data is not None:
            _listen(pool, found, data, model, chain, seed, tell)
        tell("listen", 1.0)
    found.works = _library(model.path).works
    asked = {
        "model": model_path.resolve().name if model_path else "the shipped model",
        "tracks": tracks,
        "bars": bars,
        "duration_s": None if bars is not None else duration_s,
        "typical_bars": typical_bars,
        "seed": seed,
        "best_of": choice,
        "sampling": asdict(settings.sampling),
        "reference": reference.name if reference else None,
        "reference_pieces": len(found.human),
        "dataset": data is not None,
        "version": __version__,
    }
    told = _in_words(found, model, asked, seed)
    write_json(out / "report.json", told)
    write_evaluation(out / "report.html", told)
    tell("report", 1.0)
    return told


def _all(
    pool: ProcessPoolExecutor,
    work: Callable[..., T],
    arguments: list[tuple[Any, ...]],
    tell: Report,
    stage: str,
) -> list[T]:
    """Have workers call `work` with each; results in the order of the arguments."""
    jobs: dict[Future[T], int] = {submit(pool, work, *a): i for i, a in enumerate(arguments)}
    results: dict[int, T] = {}
    for job in as_completed(jobs):
        results[jobs[job]] = job.result()
        tell(stage, len(results) / len(jobs))
    tell(stage, 1.0)
    return [results[i] for i in range(len(arguments))]


# Tracks --------------------------------------------------------------------------------------


def _is_written(job: _Job) -> bool:
    # The JSON is written last.
    return job.stem.with_suffix(".json").is_file() and job.stem.with_suffix(".mid").is_file()


def _write_track(job: _Job) -> None:
    import time

    from lofi.music import compose, midi_bytes, write_untold, write_with_chain
    from lofi.originality import check

    library = _library(job.model)

    def copied(score: symusic.Score) -> int:
        return check(score, library).longest_run_notes

    more: dict[str, Any] = {
        "sampling": job.settings.sampling,
        "best_of": job.settings.generation.best_of,
        "copied": copied if library.works else None,
    }
    start = time.process_time()
    if job.system == "composer":
        score, plan = compose(job.brief)
    else:
        if job.system == "markov":
            assert job.chain
            made = write_with_chain(job.brief, _loaded_chain(job.chain), **more)
        elif job.system == "untold":
            made = write_untold(job.brief, _model(job.model), **more)
        else:  # as a user gets it, written again where it copies
            made = compose_checked(
                job.brief,
                job.settings.sampling,
                job.settings.generation,
                _model(job.model),
                lambda _stage, _fraction: None,
            )
        score, plan = made.score, made.plan
    cpu_s = time.process_time() - start
    write_bytes(job.stem.with_suffix(".mid"), midi_bytes(score, plan, job.brief.mood))
    told = {
        "system": job.system,
        "brief": {**asdict(job.brief), "key": str(job.brief.key)},
        "plan": {**asdict(plan), "key": str(plan.key)},
        "cpu_s": round(cpu_s, 3),
    }
    write_json(job.stem.with_suffix(".json"), told)


def _measure_track(job: _Job) -> _Track:
    from lofi.music import adherence, measure, mood_features, statistics
    from lofi.originality import check

    path = job.stem.with_suffix(".mid")
    stored = read_json(path.with_suffix(".json"))
    plan = _plan_of(stored["plan"])
    score = _score(path)
    measured, figures = measure(score), statistics(score)
    assert job.brief.mood
    return _Track(
        system=job.system,
        index=job.index,
        bundle=find_mood(job.brief.mood).bundle,
        nearest=measured.bundle,
        adherence=adherence(score, plan, job.brief),
        music=figures,
        features=mood_features(figures, measured),
        longest_run=check(score, _library(job.model)).longest_run_notes,
        cpu_s=stored["cpu_s"],
    )


def _plan_of(told: dict[str, Any]) -> Plan:
    sections = tuple(
        Section(s["name"], s["start_bar"], s["bars"], tuple(s["parts"]), tuple(s["chords"]))
        for s in told["sections"]
    )
    return Plan(told["bpm"], Key.parse(told["key"]), told["swing"], sections, told["levels"])


def _score(path: Path) -> symusic.Score:
    """A file of our own as it stands: what a user gets is what is measured."""
    import symusic

    return symusic.Score.from_midi(path.read_bytes())


@lru_cache(maxsize=1)
def _model(path: Path) -> Model:
    from lofi.music import open_model

    return open_model(path)


@lru_cache(maxsize=1)
def _library(model: Path) -> Library:
    from lofi.originality import build_library, load_library

    melodies = _model(model).melodies
    return load_library(melodies) if melodies.is_file() else build_library([])


def _diversity(files: list[tuple[Path, int | None]]) -> dict[str, float]:
    """Of our own files as they stand (None), or of excerpts of so many bars of anyone's."""
    from lofi.music import diversity

    return diversity(
        score
        for path, bars in files
        if (score := _score(path) if bars is None else _human_excerpt(path, bars)) is not None
    )


# What it is compared with --------------------------------------------------------------------


def _data_set(dataset: Path | None, settings: Settings) -> Path | None:
    folder = dataset or settings.paths.datasets
    if all((folder / split / "tokens.npy").is_file() for split in ("train", "val")):
        return folder
    if dataset is not None:
        raise InputError(f"no data set in {dataset}. Make one with `lofi dataset`.")
    return None


def _chain(data: Path | None, out: Path, tell: Report) -> Path | None:
    """The Markov chain, learnt from the training split unless that was done before."""
    import numpy as np

    from lofi.music import Markov, Segments

    if data is None:
        tell("learn", 1.0)
        return None
    digest = sha256_of(data / "train" / "tokens.npy")[:10]
    path = out / f"markov-{digest}.npz"
    if not path.is_file():
        segments = Segments(data / "train", Markov.context)
        if not len(segments):
            raise InputError(f"the training split in {data} is empty. Run `lofi dataset` again.")
        share = min(1.0, _CHAIN_TOKENS / max(1, int(segments.lengths.sum())))
        chosen = np.linspace(0, len(segments) - 1, max(1, int(share * len(segments)))).astype(int)

        def counted() -> Iterable[np.ndarray]:
            for done, i in enumerate(chosen.tolist()):
                yield segments[i]
                if done % 100 == 0:
                    tell("learn", done / len(chosen))

        Markov.learn(counted()).save(path)
    tell("learn", 1.0)
    return path


@lru_cache(maxsize=1)
def _loaded_chain(path: Path) -> Markov:
    from lofi.music import Markov

    return Markov.load(path)


def _learn_moods(
    pool: ProcessPoolExecutor, found: _Found, corpora: Path, bars: int, seed: int, tell: Report
) -> None:
    """Train the mood classifier on labelled pieces and let it tell the moods of all tracks."""
    import numpy as np

    from lofi.music import MOOD_FEATURES, MoodClassifier, cross_validated

    rows = _labelled_files(pool, corpora, bars, tell)
    of_bundle = [sum(label == b for label, _ in rows) for b in BUNDLES]
    origin = "pieces of the corpora that are labelled with their mood"
    if min(of_bundle) < _FEW_LABELLED:
        origin = "pieces of the rule composer, written for this"
        blocks = [
            (seed, range(i, min(i + _AT_ONCE, _LABELLED)), bars)
            for i in range(0, _LABELLED, _AT_ONCE)
        ]
        done = _all(pool, _composed_labelled, blocks, tell, "moods")
        rows = [row for block in done for row in block]
    labels = [label for label, _ in rows]
    features = np.array([row for _, row in rows])
    told = cross_validated(features, labels, seed)
    classifier: MoodClassifier = MoodClassifier.learn(features, labels)
    for system, tracks in found.tracks.items():
        found.told[system] = classifier.tell(np.array([t.features for t in tracks]))
    found.ear = {
        "pieces": len(rows),
        "origin": origin,
        "features": list(MOOD_FEATURES),
        "cross_validated": {
            b: sum(t == b for t, own in zip(told, labels, strict=True) if own == b)
            / max(1, labels.count(b))
            for b in BUNDLES
        },
    }
    tell("moods", 1.0)


def _labelled_files(
    pool: ProcessPoolExecutor, corpora: Path, bars: int, tell: Report
) -> list[tuple[str, list[float]]]:
    files = sorted(corpora.rglob("*.mid")) if corpora.is_dir() else []
    # A label is told by its bytes: most corpora have none and need not be parsed to say so.
    labelled = [path for path in files if path.is_file() and _MOOD_LABEL in path.read_bytes()]
    count = min(_MOST_LABELLED, len(labelled))
    paths = [labelled[i * len(labelled) // count] for i in range(count)]
    groups = [paths[i : i + _AT_ONCE] for i in range(0, count, _AT_ONCE)]
    return [
        row
        for group in _all(pool, _read_labelled, [(g, bars) for g in groups], tell, "moods")
        for row in group
    ]


def _read_labelled(paths: list[Path], bars: int) -> list[tuple[str, list[float]]]:
    """The bundle that a file's label names, and its features, of files that have a label."""
    from lofi.music import RejectedError, excerpt, labelled_mood, read_midi

    rows = []
    for path in paths:
        try:
            score, _ = read_midi(path)
            mood = labelled_mood(score)
            bundle = find_mood(mood).bundle if mood else None
        except (RejectedError, InputError):
            continue
        cut = excerpt(score, bars)
        if bundle and cut is not None:
            rows.append((bundle, _features(cut)))
    return rows


def _composed_labelled(seed: int, numbers: range, bars: int) -> list[tuple[str, list[float]]]:
    """Pieces of the rule composer on briefs of their own, every bundle equally often."""
    from lofi.music import compose

    rows = []
    for i in numbers:
        bundle = list(BUNDLES)[i % len(BUNDLES)]
        shades = [m.name for m in MOODS.values() if m.bundle == bundle]
        mood = shades[i // len(BUNDLES) % len(shades)]
        brief = Brief(seed=subseed(seed, "labelled", i) >> 1, mood=mood).settled()
        rows.append((bundle, _features(compose(brief, bars=bars)[0])))
    return rows


def _features(score: symusic.Score) -> list[float]:
    from lofi.music import measure, mood_features, statistics

    return mood_features(statistics(score), measure(score))


def _reference_files(reference: Path | None) -> list[Path]:
    """MIDI of a folder, evenly spread, at most 250 of each folder directly within it."""
    if reference is None:
        return []
    if not reference.is_dir():
        raise InputError(f"there is no folder {reference}. --reference takes one of MIDI files.")
    groups: dict[str, list[Path]] = {}
    for path in sorted(p for p in reference.rglob("*") if p.suffix.lower() in (".mid", ".midi")):
        groups.setdefault(path.relative_to(reference).parts[0], []).append(path)
    if all(len(group) == 1 for group in groups.values()):  # files, not folders
        groups = {"": [path for group in groups.values() for path in group]}
    if not any(groups.values()):
        raise InputError(f"{reference} holds no MIDI files. --reference takes a folder of them.")
    chosen = []
    for group in groups.values():
        count = min(_MOST_HUMAN, len(group))
        chosen += [group[i * len(group) // count] for i in range(count)]
    return chosen


def _human_excerpt(path: Path, bars: int) -> symusic.Score | None:
    from lofi.music import RejectedError, excerpt, read_midi

    try:
        return excerpt(read_midi(path)[0], bars)
    except RejectedError:  # not in 4/4, most of them
        return None


def _read_human(paths: list[Path], bars: int) -> list[tuple[Path, dict[str, float]]]:
    from lofi.music import statistics

    found = []
    for path in paths:
        score = _human_excerpt(path, bars)
        if score is not None:
            found.append((path, statistics(score)))
    return found


def _listen(
    pool: ProcessPoolExecutor,
    found: _Found,
    data: Path,
    model: Model,
    chain: Path | None,
    seed: int,
    tell: Report,
) -> None:
    """What the music of the validation split costs each listener."""
    from lofi.music import Markov, Segments

    total = len(Segments(data / "val", Markov.context))
    chosen = random.Random(subseed(seed, "listen")).sample(
        range(total), min(_HEARD_SEGMENTS, total)
    )
    listeners = [s for s in ("model", "markov", "untold") if s != "markov" or chain]
    blocks = [
        (listener, data, model.path, chain, chosen[i : i + _AT_ONCE])
        for listener in listeners
        for i in range(0, len(chosen), _AT_ONCE)
    ]
    for block, costs in zip(blocks, _all(pool, _heard, blocks, tell, "listen"), strict=True):
        found.surprise.setdefault(block[0], []).extend(costs)


def _heard(
    listener: str, data: Path, model: Path, chain: Path | None, numbers: list[int]
) -> list[tuple[float, int]]:
    from lofi.music import Markov, Segments, surprise

    segments = Segments(data / "val", Markov.context)
    if listener == "markov":
        assert chain
        logits, heard = _loaded_chain(chain).logits, _loaded_chain(chain)
    else:
        logits, heard = _hearing(model), _model(model)
    told = listener != "untold"
    return [
        surprise(logits, segments[i], bpe=heard.bpe, context=heard.context, controls=told)
        for i in numbers
    ]


@lru_cache(maxsize=1)
def _hearing(model: Path) -> Callable[[np.ndarray], np.ndarray]:
    from lofi.music import hearing

    return hearing(_model(model))


# The report ----------------------------------------------------------------------------------


def _in_words(found: _Found, model: Model, asked: dict[str, Any], seed: int) -> dict[str, Any]:
    """All figures with their intervals, as JSON; NaN stands as null."""
    report = {
        "format": 1,
        "model": {
            "name": asked.pop("model"),
            "sha256": model.sha256,
            "architecture": model.card["architecture"],
            "works_compared": found.works,
        },
        "asked": asked,
        "systems": {
            name: {
                "title": SYSTEMS[name],
                "tracks": len(tracks),
                "cpu_s_per_track": round(sum(t.cpu_s for t in tracks) / len(tracks), 2),
            }
            for name, tracks in found.tracks.items()
        },
        "adherence": _adherence(found, seed),
        "moods": _moods(found, seed),
        "music": _music(found, seed),
        "diversity": _diversity_figures(found),
        "bits_per_note": _bits(found, seed),
        "originality": _originality(found, seed),
    }
    report["targets"] = _targets(report)
    return _plain(report)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def _told(found: Estimate) -> dict[str, Any]:
    return asdict(found)


def _column(tracks: list[_Track], name: str) -> np.ndarray:
    import numpy as np

    return np.array([t.adherence.get(name, math.nan) for t in tracks])


def _adherence(found: _Found, seed: int) -> dict[str, Any]:
    import numpy as np

    from lofi.music import ADHERENCE, estimate

    report: dict[str, Any] = {}
    for name, promise in ADHERENCE.items():
        systems: dict[str, Any] = {}
        for system, tracks in found.tracks.items():
            if name == "mood_nearest":
                values = np.array([float(t.nearest == t.bundle) for t in tracks])
            elif name == "mood_classified":
                pairs = zip(tracks, found.told[system], strict=True)
                values = np.array([float(t.bundle == told) for t, told in pairs])
            else:
                values = _column(tracks, name)
            systems[system] = _told(estimate(values, seed=seed))
            if name == "duration_error":
                systems[system]["largest"] = float(values.max())
        report[name] = {**asdict(promise), "systems": systems}
    report["density_followed"]["parts"] = {
        part: {
            system: _told(estimate(_column(tracks, f"density_{part}"), seed=seed))
            for system, tracks in found.tracks.items()
        }
        for part in PARTS
    }
    return report


def _moods(found: _Found, seed: int) -> dict[str, Any]:
    import numpy as np

    from lofi.music import estimate

    names = list(BUNDLES)
    systems: dict[str, Any] = {}
    for system, tracks in found.tracks.items():
        confusion = np.zeros((len(names), len(names)), int)
        recalled: dict[str, list[float]] = {name: [] for name in names}
        for track, told in zip(tracks, found.told[system], strict=True):
            confusion[names.index(track.bundle), names.index(told)] += 1
            recalled[track.bundle].append(float(told == track.bundle))
        systems[system] = {
            "confusion": confusion.tolist(),
            "recall": {n: _told(estimate(np.array(v), seed=seed)) for n, v in recalled.items()},
        }
    return {"bundles": names, "classifier": found.ear, "systems": systems}


def _music(found: _Found, seed: int) -> dict[str, Any]:
    import numpy as np

    from lofi.music import FIGURES, distance, estimate, half_split

    report: dict[str, Any] = {}
    for name, figure in FIGURES.items():
        human = np.array([f[name] for f in found.human])
        human = human[~np.isnan(human)]
        band = [float(v) for v in np.percentile(human, (5, 25, 50, 75, 95))] if len(human) else None
        noise = half_split(human, seed=seed)
        systems: dict[str, Any] = {}
        for system, tracks in found.tracks.items():
            values = np.array([t.music[name] for t in tracks])
            known = values[~np.isnan(values)]
            middle = _told(estimate(values, np.median, seed=seed))
            systems[system] = {
                "median": middle,
                "percentiles": (
                    [float(v) for v in np.percentile(known, (5, 25, 50, 75, 95))]
                    if len(known)
                    else None
                ),
                "inside": (
                    band[0] <= middle["value"] <= band[4] if band and middle["count"] else None
                ),
                "distance": distance(values, human),
                "values": [round(float(v), 4) for v in known],
            }
        report[name] = {
            "kind": figure.kind,
            "unit": figure.unit,
            "meaning": figure.meaning,
            "source": figure.source,
            "human": (
                {
                    "pieces": len(human),
                    "percentiles": band,
                    "half_split_median": noise.median,
                    "half_split_distance": noise.distance,
                }
                if band
                else None
            ),
            "systems": systems,
        }
    return report


def _diversity_figures(found: _Found) -> dict[str, Any]:
    from lofi.music import DIVERSITY

    return {
        name: {
            "unit": figure.unit,
            "meaning": figure.meaning,
            "source": figure.source,
            "systems": {system: figures[name] for system, figures in found.diversity.items()},
        }
        for name, figure in DIVERSITY.items()
    }


def _bits(found: _Found, seed: int) -> dict[str, Any] | None:
    import numpy as np

    from lofi.music import ratio

    if not found.surprise:
        return None
    systems = {}
    for system, costs in found.surprise.items():
        nats, notes = np.array(costs, float).T
        systems[system] = _told(ratio(nats / math.log(2), notes, seed=seed))
    return {"segments": len(next(iter(found.surprise.values()))), "systems": systems}


def _originality(found: _Found, seed: int) -> dict[str, Any] | None:
    import numpy as np

    from lofi.music import COPIED_NOTES, estimate

    if not found.works:
        return None
    systems = {}
    for system, tracks in found.tracks.items():
        runs = np.array([t.longest_run for t in tracks], float)
        systems[system] = {
            "percentiles": {str(p): float(np.percentile(runs, p)) for p in (50, 90, 95, 99, 100)},
            "at_most_limit": _told(estimate(runs <= COPIED_NOTES, seed=seed)),
            "values": [t.longest_run for t in tracks],
        }
    return {"limit_notes": COPIED_NOTES, "works": found.works, "systems": systems}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %".replace(".0 %", " %")


def _targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What the model should reach, in words, and whether it does."""
    rows: list[dict[str, Any]] = []

    def add(title: str, asked: str, reached: str, passed: bool | None) -> None:
        rows.append({"title": title, "asked": asked, "reached": reached, "passed": passed})

    for name, figure in report["adherence"].items():
        mine = figure["systems"]["model"]
        if name == "mood_classified":
            recall = {
                b: e["value"]
                for b, e in report["moods"]["systems"]["model"]["recall"].items()
                if e["count"]
            }
            worst = min(recall, key=lambda b: recall[b])
            add(
                figure["title"], f"every mood ≥ {_percent(figure['at_least'])}",
                f"{_percent(mine['value'])} in all, least {worst} {_percent(recall[worst])}",
                recall[worst] >= figure["at_least"],
            )  # fmt: skip
        elif figure["at_most"] is not None:
            add(
                figure["title"], f"≤ {figure['at_most']:g} {figure['unit']} in every track",
                f"mean {mine['value']:.2f}, largest {mine['largest']:.2f} {figure['unit']}",
                mine["largest"] <= figure["at_most"],
            )  # fmt: skip
        elif figure["at_least"] is not None:
            least = figure["at_least"]
            add(
                figure["title"], f"{'≥ ' if least < 1 else ''}{_percent(least)}",
                _percent(mine["value"]), mine["value"] >= least,
            )  # fmt: skip
    judged = {
        name: figure["systems"]["model"]["inside"]
        for name, figure in report["music"].items()
        if figure["systems"]["model"]["inside"] is not None
    }
    outside = [name.replace("_", " ") for name, inside in judged.items() if not inside]
    add(
        "Music like music by people", "every median inside the human 5-95 % band",
        (
            f"{len(judged) - len(outside)} of {len(judged)}"
            + (f"; outside: {', '.join(outside)}" if outside else "")
            if judged
            else "not measured: no --reference"
        ),
        not outside if judged else None,
    )  # fmt: skip
    original = report["originality"]
    if original is None:
        add("Longest copied run", "≤ 12 notes in 99 %", "not measured: no melodies.npz", None)
    else:
        share = original["systems"]["model"]["at_most_limit"]["value"]
        add(
            "Longest copied run", f"≤ {original['limit_notes']} notes in 99 % of tracks",
            f"{_percent(share)}; longest {max(original['systems']['model']['values'])} notes",
            share >= 0.99,
        )  # fmt: skip
    return rows
