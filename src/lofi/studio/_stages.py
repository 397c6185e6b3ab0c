"""The stages of a track: each reads files from a folder and writes files into it.

A stage needs nothing but the commission and its inputs, so it may run in another process, or on
another machine, than the one before. What only later stages want to know lies in `internal/`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lofi import __version__
from lofi.brief import Brief, LofiError, Plan, find_mood, subseed
from lofi.music import (
    COPIED_NOTES,
    Composition,
    Model,
    Sampling,
    Source,
    generate,
    measure,
    midi_bytes,
    read_midi,
    read_source,
)
from lofi.studio._commission import Commission, Prompt, from_plain, to_plain
from lofi.studio._files import read_json, sha256_of, write_bytes, write_json
from lofi.studio._settings import Generation

if TYPE_CHECKING:
    import symusic

Report = Callable[[str, float], None]

INTERNAL = "internal"  # the folder of what only stages read; no package has it

PREVIEW = "preview.flac"
PREVIEW_S = 10.0

_PROMPT = f"{INTERNAL}/prompt.mid"
_SCORE = "track.mid"
_MASTER = "master.flac"
_STEMS = "stems/*"
_COMPOSED = f"{INTERNAL}/compose.json"
_HEARD = f"{INTERNAL}/sound.json"
_LEGIBLE = f"{INTERNAL}/thumbnail.json"
_OPTIONAL = (_STEMS, _PROMPT)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage, and all that a scheduler wants to know of it.

    `lane` is what it is busy with, "compute" or "render". `needs` are the stages whose files it
    reads, `reads` those files, and those given from outside (stems and a prompt where there are
    any). `limit_s` is how long it may take on one slow core, about ten times what it does. `told`
    is what of the commission decides its bytes, besides the files it reads and the libraries that
    it is `made_with`. `run` writes its files, each whole or not at all, and gives their names.
    """

    name: str
    lane: str
    needs: tuple[str, ...]
    reads: tuple[str, ...]
    limit_s: Callable[[Commission], float]
    told: Callable[[Commission], Any]
    run: Callable[[Commission, Path, Report], list[str]]
    made_with: tuple[str, ...] = ()


def stage_key(stage: Stage, commission: Commission, inputs: Mapping[str, str]) -> str:
    """A SHA-256 of all that decides the files of a stage: the same key, the same files.

    `inputs` has the SHA-256 of the files of the stages it needs, by name; those that it does not
    read count for nothing. Raises LofiError if one is missing.
    """
    read = {n: h for n, h in inputs.items() if any(fnmatchcase(n, r) for r in stage.reads)}
    _refuse_missing(stage, read)
    versions = {name: _version(name) for name in stage.made_with}
    told = [__version__, versions, stage.name, stage.told(commission), read]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@cache
def _version(library: str) -> str:
    return importlib.metadata.version(library)


def given(commission: Commission) -> dict[str, str]:
    """The files that come from outside: the SHA-256 of each, by the name that stages read."""
    return {_PROMPT: commission.prompt.sha256} if commission.prompt else {}


def run_stage(name: str, commission: Commission, folder: Path, report: Report) -> list[str]:
    """Run a stage in a folder that has its inputs; gives the names of what it wrote, sorted.

    `report` gets (stage, fraction done); what it raises stops the stage. Raises LofiError when an
    input is missing or the stage fails, OSError when a file cannot be written.
    """
    stage = ALL_STAGES[name]
    _refuse_missing(stage, {r for r in stage.reads if (folder / r).is_file()})
    folder.mkdir(parents=True, exist_ok=True)
    report(name, 0.0)
    written = stage.run(commission, folder, report)
    report(name, 1.0)
    return sorted(written)


def _refuse_missing(stage: Stage, there: Mapping[str, str] | set[str]) -> None:
    missing = [r for r in stage.reads if r not in there and r not in _OPTIONAL]
    if missing:
        raise LofiError(
            f"the stage {stage.name!r} lacks {', '.join(missing)}. Run {', '.join(stage.needs)} "
            "before it."
        )


# Composing ---------------------------------------------------------------------------------------

_RESEMBLES = {"review": 1, "block": 2}  # worse the higher; the other verdicts ask nobody to look


def compose_checked(
    brief: Brief,
    sampling: Sampling,
    generation: Generation,
    model: Model,
    report: Report,
    *,
    source: Source | None = None,
    keep: tuple[str, ...] | None = None,
) -> Composition:
    """The score of a settled brief.

    One that resembles the training corpus of its model so much that somebody would have to look at
    it, or has more notes in a row in common with it than by chance, is written again with another
    seed derived from the brief's, a few times at most; the one that copies least stands.
    """
    from lofi.originality import check

    library = _library(model)
    tries: list[tuple[tuple[int, int], Composition]] = []
    for attempt in range(max(1, generation.attempts)):
        tried = brief if attempt == 0 else replace(brief, seed=subseed(brief.seed, attempt) >> 1)
        composition = generate(
            tried,
            model,
            source=source,
            keep=keep,
            sampling=sampling,
            best_of=generation.best_of,
            threads=generation.threads,
            copied=(lambda score: check(score, library).longest_run_notes)
            if library.works
            else None,
            progress=lambda f: report("compose", 0.95 * f),
        )
        found = check(composition.score, library)
        copies = _RESEMBLES.get(found.verdict, 0), max(0, found.longest_run_notes - COPIED_NOTES)
        tries.append((copies, composition))
        if copies == (0, 0):
            break
    report("compose", 1.0)
    return min(tries, key=lambda t: t[0])[1]


def _library(model: Model) -> Any:
    """The melodies that the model has learned from; empty if it does not say."""
    from lofi.originality import build_library

    path = model.melodies
    return _loaded(path, path.stat().st_mtime_ns) if path.is_file() else build_library([])


@lru_cache(maxsize=1)
def _loaded(path: Path, _modified_ns: int) -> Any:
    """Loaded once for several stages: it takes a second and a half."""
    from lofi.originality import load_library

    return load_library(path)


def _compose(c: Commission, folder: Path, report: Report) -> list[str]:
    assert c.brief.mood
    model = c.open_model()
    source = keep = None
    if c.prompt:
        source = replace(read_source(folder / _PROMPT), name=c.prompt.outline.name)
        keep = c.prompt.keep
    made = compose_checked(
        c.brief, c.sampling, c.generation, model, report, source=source, keep=keep
    )
    write_bytes(folder / _SCORE, midi_bytes(made.score, made.plan, c.brief.mood))
    written = measure(read_midi(folder / _SCORE)[0])
    told = {
        "plan": to_plain(made.plan),
        "measured": {**written.to_dict(), "key": written.key or str(made.plan.key)},
        "choices": made.choices,
        "arrangement": made.arrangement,
        "model": _learned_from(model),
    }
    write_json(folder / _COMPOSED, told)
    return [_SCORE, _COMPOSED]


def _learned_from(model: Model) -> dict[str, Any]:
    """A model's hash, tier, corpora and their licences."""
    dataset = model.card["dataset"]
    stated = ("source", "licence", "attribution", "tier", "kept")
    return {
        "sha256": model.sha256,
        "tier": model.card.get("tier", "test"),
        "trained_on": {
            name: {k: corpus[k] for k in stated if k in corpus}
            for name, corpus in dataset.get("corpora", {}).items()
        },
        "dataset_sha256": dataset.get("sha256"),
    }


def _score(folder: Path) -> symusic.Score:
    """The score as it was written: a file of our own needs no reading into shape."""
    import symusic

    return symusic.Score.from_midi((folder / _SCORE).read_bytes())


def _plan(composed: dict[str, Any]) -> Plan:
    return from_plain(Plan, composed["plan"], "plan")


def _subtitle(composed: dict[str, Any]) -> str:
    measured = composed["measured"]
    return f"{measured['bpm']:.0f} bpm · {measured['key']}"


def _check(c: Commission, folder: Path, _report: Report) -> list[str]:
    from lofi.originality import check

    found = check(_score(folder), _library(c.open_model()))
    write_json(folder / "originality.json", found.to_dict())
    return ["originality.json"]


# Rendering ---------------------------------------------------------------------------------------


def _sound(c: Commission, folder: Path, report: Report) -> list[str]:
    import soundfile

    from lofi import sound

    assert c.brief.mood
    c.check_soundfont()
    composed = read_json(folder / _COMPOSED)
    plan = _plan(composed)
    master = sound.render(
        _score(folder),
        bars=plan.bars,
        bpm=plan.bpm,
        bundle=find_mood(c.brief.mood).bundle,
        seed=c.brief.seed,
        tail_s=plan.tail_s,
        soundfont=c.soundfont,
        ambience=c.brief.ambience,
        keep_stems=c.keep_stems,
        progress=lambda f: report("sound", 0.9 * f),
    )
    # The track's name follows the picture's palette and would tie the sound to it.
    subtitle = _subtitle(composed)
    title = f"{c.brief.mood.capitalize()} lofi · {subtitle}"
    tags = {"title": title, "artist": "LoFi Empire", "comment": f"{c.brief.mood}, {subtitle}"}
    sound.write_flac(folder / _MASTER, master.samples, master.rate, tags=tags)
    stems = {f"stems/{part}.flac": stem for part, stem in master.stems.items()}
    for name, stem in stems.items():
        (folder / name).parent.mkdir(exist_ok=True)
        sound.write_flac(folder / name, stem, master.rate)
    heard, rate = soundfile.read(folder / _MASTER, dtype="float32", always_2d=True)
    lufs, true_peak_db = sound.measure(heard.T, rate)
    figures = {"duration_s": len(heard) / rate, "lufs": lufs, "true_peak_db": true_peak_db}
    write_json(folder / _HEARD, figures)
    return [_MASTER, *stems, _HEARD]


def _preview(c: Commission, folder: Path, report: Report) -> list[str]:
    """Ten seconds of the sound, from where the music is there in full."""
    from lofi import sound

    assert c.brief.mood
    c.check_soundfont()
    composed = read_json(folder / _COMPOSED)
    plan = _plan(composed)
    full = max(plan.sections, key=lambda s: (s.name in ("A", "A'", "B"), len(s.parts)))
    master = sound.render_excerpt(
        _score(folder),
        from_bar=full.start_bar,
        length_s=PREVIEW_S,
        bars=plan.bars,
        bpm=plan.bpm,
        bundle=find_mood(c.brief.mood).bundle,
        seed=c.brief.seed,
        soundfont=c.soundfont,
        ambience=c.brief.ambience,
        progress=lambda f: report("preview", 0.95 * f),
    )
    sound.write_flac(folder / PREVIEW, master.samples, master.rate)
    return [PREVIEW]


def _picture(c: Commission, folder: Path, report: Report) -> list[str]:
    import numpy as np
    import soundfile

    from lofi import picture

    assert c.brief.palette
    assert c.brief.template
    heard, rate = soundfile.read(folder / _MASTER, dtype="float32", always_2d=True)
    picture.render_video(
        folder / "video.mp4",
        score=_score(folder),
        audio=np.ascontiguousarray(heard.T, np.float32),
        rate=rate,
        palette=c.brief.palette,
        template=c.brief.template,
        title=c.title,
        subtitle=_subtitle(read_json(folder / _COMPOSED)),
        seed=c.picture_seed,
        width=c.video.width,
        height=c.video.height,
        fps=c.video.fps,
        threads=c.video.threads,
        progress=lambda f: report("picture", f),
    )
    return ["video.mp4"]


def _thumbnail(c: Commission, folder: Path, _report: Report) -> list[str]:
    from lofi import picture

    assert c.brief.palette
    legibility = picture.render_thumbnail(
        folder / "thumbnail.jpg",
        palette=c.brief.palette,
        title=c.title,
        subtitle=f"{c.brief.mood} lofi",
        seed=c.picture_seed,
    )
    write_json(folder / _LEGIBLE, asdict(legibility))
    return ["thumbnail.jpg", _LEGIBLE]


# Words -------------------------------------------------------------------------------------------


def _listing(c: Commission, folder: Path, _report: Report) -> list[str]:
    from lofi import channel

    assert c.brief.mood
    assert c.brief.palette
    composed = read_json(folder / _COMPOSED)
    listing = channel.write_listing(
        channel.TrackFacts(
            track_id=c.track_id,
            mood=c.brief.mood,
            bpm=composed["measured"]["bpm"],
            key=composed["measured"]["key"],
            duration_s=read_json(folder / _HEARD)["duration_s"],
            seed=c.brief.seed,
            palette=c.brief.palette,
            plan=_plan(composed),
            soundfont=c.soundfont.name if c.soundfont else None,
            name=c.remake.title if c.remake else None,
        ),
        c.grammar,
        languages=c.words.languages,
        take=c.take,
    )
    write_json(folder / "listing.json", listing.to_dict())
    return ["listing.json"]


def _package(c: Commission, folder: Path, _report: Report) -> list[str]:
    return describe(c, folder)


def describe(c: Commission, folder: Path) -> list[str]:
    """Write `track.json` and `provenance.json` of what a folder holds: with pictures or without."""
    pictured = (folder / _LEGIBLE).is_file()
    composed, heard = read_json(folder / _COMPOSED), read_json(folder / _HEARD)
    originality = read_json(folder / "originality.json")
    plan = _plan(composed)
    track: dict[str, Any] = {
        "id": c.track_id if pictured else f"{c.track_id}-sound",
        "title": c.title,
        "brief": _plain(c.brief),
        "plan": {**asdict(plan), "key": str(plan.key), "bars": plan.bars},
        "measured": {
            "bpm": round(composed["measured"]["bpm"], 3),
            "key": composed["measured"]["key"],
            "duration_s": round(heard["duration_s"], 3),
            "lufs": round(heard["lufs"], 2),
            "true_peak_db": round(heard["true_peak_db"], 2),
            "score": composed["measured"],
            **({"thumbnail": read_json(folder / _LEGIBLE)} if pictured else {}),
        },
        "originality": {name: originality[name] for name in ("verdict", "summary")},
        "choices": composed["choices"],
        "arrangement": composed["arrangement"],
        "likeness": _likeness(folder),
    }
    write_json(folder / "provenance.json", _provenance(c, composed["model"]))
    track["files"] = {name: sha256_of(folder / name) for name in _public(folder)}
    track["asked"] = _plain(c.asked)
    write_json(folder / "track.json", track)
    return ["provenance.json", "track.json"]


def _likeness(folder: Path) -> dict[str, str]:
    """What later releases are compared with: the melodies' MinHash, and a coarse thumbnail."""
    from lofi import channel, originality

    found: dict[str, str] = {}
    signature = originality.fingerprint(_score(folder))
    if signature is not None:
        found["melody"] = "".join(f"{int(value):08x}" for value in signature)
    if (folder / "thumbnail.jpg").is_file():
        picture = channel.read_picture((folder / "thumbnail.jpg").read_bytes())
        found["thumbnail"] = picture.likeness
    return found


def _public(folder: Path) -> list[str]:
    """The files of a package but `track.json`, which tells of them."""
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    hidden = ("track.json", f"{INTERNAL}/*", ".*", "*/.*")
    return sorted(n for n in names if not any(fnmatchcase(n, h) for h in hidden))


def _plain(brief: Brief) -> dict[str, Any]:
    """What a brief asks for, as plain values; what it leaves open is left out."""
    told = {**asdict(brief), "key": str(brief.key) if brief.key else None}
    return {name: value for name, value in told.items() if value is not None}


def _provenance(c: Commission, model: dict[str, Any]) -> dict[str, Any]:
    """What a track was made from: seed, settings, versions, model, corpora and their licences."""
    return {
        "seed": c.brief.seed,
        "brief": _plain(c.brief),
        **({"remake": asdict(c.remake)} if c.remake else {}),
        "settings": {
            "sampling": asdict(c.sampling),
            "generation": _writing(c),
            "video": asdict(c.video),
        },
        "listing": {
            "take": c.take,
            "languages": list(c.words.languages),
            "templates_sha256": hashlib.sha256(c.words.templates.encode()).hexdigest()
            if c.words.templates
            else None,
        },
        "model": model,
        "soundfont": (
            {"name": c.soundfont.name, "sha256": c.soundfont_sha256} if c.soundfont else None
        ),
        **({"prompt": _made_from(c.prompt)} if c.prompt else {}),
        "versions": {
            "lofi-empire": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            **{name: _version(name) for name in _LIBRARIES},
        },
    }


def _made_from(prompt: Prompt) -> dict[str, Any]:
    """The MIDI file that a track was made from, and how."""
    return {
        "name": prompt.outline.name,
        "sha256": prompt.sha256,
        "how": "continue" if prompt.keep is None else "vary",
        "keep": None if prompt.keep is None else list(prompt.keep),
    }


# The table ---------------------------------------------------------------------------------------


def _writing(c: Commission) -> dict[str, Any]:
    """The settings that decide a score: any number of threads writes the same."""
    return {n: v for n, v in asdict(c.generation).items() if n != "threads"}


def _worded(c: Commission) -> list[Any]:
    """What decides the words of a listing, besides the track."""
    named = [c.remake.title] if c.remake else []
    return [c.take, c.words.languages, c.words.templates, *named]


def _music(c: Commission) -> dict[str, Any]:
    """The brief but for what no note hears."""
    unheard = ("palette", "template", "ambience")
    return {n: v for n, v in asdict(c.brief).items() if n not in unheard}


def _played(c: Commission) -> list[Any]:
    """What decides how a score sounds; an ambience only where one is asked for."""
    told = [c.brief.mood, c.brief.seed, c.soundfont_sha256, *filter(None, [c.brief.ambience])]
    if c.soundfont:
        from lofi import sound

        told.append(sound.fluidsynth_version())
    return told


def _within(base_s: float, per_second: float) -> Callable[[Commission], float]:
    """So much, and so much for each second of music."""
    return lambda c: base_s + per_second * (c.brief.duration_s or 0.0)


def _while_encoding(c: Commission) -> float:
    """Encoding costs by the pixel; eight seconds of work for one of music in 1080p30."""
    frame = max(0.25, c.video.width * c.video.height * c.video.fps / (1920 * 1080 * 30))
    return _within(180.0, 8.0 * frame)(c)


# The libraries that decide the bytes of a stage's files: another version may write others.
_COMPOSES = ("miditok", "numpy", "onnxruntime", "symusic")
_COMPARES = ("numpy", "symusic")
_SOUNDS = ("numpy", "scipy", "soundfile", "symusic")
_FILMS = ("av", "numpy", "scipy", "skia-python", "symusic")
_DRAWS = ("numpy", "scipy", "skia-python")
_LIBRARIES = tuple(sorted({*_COMPOSES, *_SOUNDS, *_FILMS}))

# What a track is made in, in order; `lofi make` runs just these.
STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            name="compose",
            lane="compute",
            needs=(),
            reads=(_PROMPT,),
            limit_s=_within(300.0, 5.0),
            told=lambda c: [
                _music(c), asdict(c.sampling), _writing(c), c.model_sha256,
                *([c.prompt.keep] if c.prompt else []),
            ],
            run=_compose,
            made_with=_COMPOSES,
        ),
        Stage(
            name="check",
            lane="compute",
            needs=("compose",),
            reads=(_SCORE,),
            limit_s=_within(120.0, 1.0),
            told=lambda c: c.model_sha256,
            run=_check,
            made_with=_COMPARES,
        ),
        Stage(
            name="sound",
            lane="compute",
            needs=("compose",),
            reads=(_SCORE, _COMPOSED),
            limit_s=_within(120.0, 3.0),
            told=lambda c: [*_played(c), c.keep_stems],
            run=_sound,
            made_with=_SOUNDS,
        ),
        Stage(
            name="picture",
            lane="render",
            needs=("compose", "sound"),
            reads=(_SCORE, _COMPOSED, _MASTER),
            limit_s=_while_encoding,
            # Here threads do count: x264 with two writes other bytes than with one.
            told=lambda c: [
                c.title, c.brief.palette, c.brief.template, c.picture_seed, asdict(c.video)
            ],
            run=_picture,
            made_with=_FILMS,
        ),
        Stage(
            name="thumbnail",
            lane="render",
            needs=(),
            reads=(),
            limit_s=_within(180.0, 0.0),
            told=lambda c: [c.title, c.brief.palette, c.brief.mood, c.picture_seed],
            run=_thumbnail,
            made_with=_DRAWS,
        ),
        Stage(
            name="listing",
            lane="render",
            needs=("compose", "sound"),
            reads=(_COMPOSED, _HEARD),
            limit_s=_within(60.0, 0.0),
            told=lambda c: [
                c.track_id, c.brief.mood, c.brief.seed, c.brief.palette,
                c.soundfont.name if c.soundfont else None, *_worded(c),
            ],
            run=_listing,
        ),
        Stage(
            name="package",
            lane="render",
            needs=("compose", "check", "sound", "picture", "thumbnail", "listing"),
            reads=(
                _SCORE, _COMPOSED, "originality.json", _MASTER, _STEMS, _HEARD, "video.mp4",
                "thumbnail.jpg", _LEGIBLE, "listing.json",
            ),
            limit_s=_within(120.0, 1.0),
            told=lambda c: [
                c.track_id, _plain(c.asked), _plain(c.brief), asdict(c.sampling), _writing(c),
                asdict(c.video), c.soundfont.name if c.soundfont else None, c.soundfont_sha256,
                asdict(c.remake) if c.remake else None, platform.python_version(),
                platform.machine(), *_worded(c),
            ],
            run=_package,
            made_with=_LIBRARIES,
        ),
    )
}  # fmt: skip

# A preview has the score of the whole track, so that a track ordered after it takes that over.
_PREVIEW_STAGES: dict[str, Stage] = {
    "compose": STAGES["compose"],
    "preview": Stage(
        name="preview",
        lane="compute",
        needs=("compose",),
        reads=(_SCORE, _COMPOSED),
        limit_s=_within(180.0, 0.0),
        told=_played,
        run=_preview,
        made_with=_SOUNDS,
    ),
}

# The stages of each kind of job.
KINDS: dict[str, dict[str, Stage]] = {"track": STAGES, "preview": _PREVIEW_STAGES}
ALL_STAGES: dict[str, Stage] = {**STAGES, **_PREVIEW_STAGES}
