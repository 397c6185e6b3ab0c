"""From a brief to a package: compose, check, sound, picture, thumbnail, listing, written together.

The folder is filled under a hidden name and renamed when it is whole.
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lofi import __version__
from lofi.brief import Brief, InputError, LofiError, find_mood, subseed
from lofi.music import (
    Composition,
    Model,
    Source,
    brief_for,
    generate,
    measure,
    midi_bytes,
    open_model,
    read_midi,
)
from lofi.studio._files import sha256_of, write_bytes, write_json
from lofi.studio._settings import Settings

STAGES = ("compose", "sound", "video", "thumbnail", "listing")
Report = Callable[[str, float], None]

# A package is mostly its video: 1080p30 measured at about 0.5 MB a second, doubled for safety.
_BYTES_PER_SECOND = 1_000_000
_BYTES_AT_LEAST = 50_000_000


@dataclass(frozen=True, slots=True)
class Package:
    """A finished package: its folder and what `track.json` says."""

    path: Path
    track: dict[str, Any]


def make(
    brief: Brief,
    settings: Settings,
    *,
    model_path: Path | None = None,
    soundfont: Path | None = None,
    keep_stems: bool = False,
    out: Path | None = None,
    report: Report | None = None,
) -> Package:
    """Write the whole package of a brief into a folder of `out`.

    What the brief leaves open is drawn by its seed. `report` gets (stage, fraction done). Raises
    InputError for a brief, model or SoundFont that cannot be used, LofiError when the disk or a
    stage fails; then nothing is left behind.
    """
    asked, brief = brief, brief.settled()
    assert brief.duration_s
    model = open_model(model_path)
    if soundfont is not None and not soundfont.is_file():
        raise InputError(f"there is no SoundFont {soundfont}. Give a .sf2 or .sf3 file.")
    folder = out or settings.paths.output
    tell = report or (lambda _stage, _fraction: None)
    with writing_into(folder, brief.duration_s):
        track_id = name_of(brief, settings, model, soundfont)
        aside = Path(tempfile.mkdtemp(prefix=f".{track_id}.", dir=folder))
        try:
            aside.chmod(0o755)
            track = _fill(aside, track_id, brief, settings, model, soundfont, keep_stems, tell)
            track["asked"] = _plain(asked)
            write_json(aside / "track.json", track)
            return Package(_settle(aside, folder / track_id), track)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def write_score(
    brief: Brief,
    settings: Settings,
    *,
    model_path: Path | None,
    out: Path,
    source: Source | None = None,
    keep: tuple[str, ...] | None = None,
    report: Report | None = None,
) -> Composition:
    """Write only the MIDI file of a brief to `out`.

    It goes on from `source`, or varies it where parts to `keep` are named: see `generate`.
    """
    brief = brief_for(source, brief, vary=keep is not None) if source else brief.settled()
    model = open_model(model_path)
    tell = report or (lambda _stage, _fraction: None)
    with writing_into(out.parent, 0.0):
        composition, _ = compose_checked(brief, settings, model, tell, source=source, keep=keep)
        write_bytes(out, midi_bytes(composition.score, composition.plan, brief.mood))
    return composition


def name_of(brief: Brief, settings: Settings, model: Model, soundfont: Path | None) -> str:
    """The folder's name: what the track is called and a hash of all that makes its sound."""
    import hashlib
    import re

    from lofi.channel import name_track

    assert brief.mood
    assert brief.palette
    told = json.dumps(
        [
            __version__,
            asdict(brief),
            asdict(settings.sampling),
            settings.generation.best_of,
            model.sha256,
            sha256_of(soundfont) if soundfont else None,
        ]
    )
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    name = name_track(brief.mood, brief.palette, brief.seed)
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + "-" + digest


@contextmanager
def writing_into(folder: Path, duration_s: float) -> Iterator[None]:
    """See that `folder` can be written and has room; turn disk errors into sentences."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "no permission", str(folder))
        need = _BYTES_AT_LEAST + int(duration_s * _BYTES_PER_SECOND) if duration_s else 1_000_000
        free = shutil.disk_usage(folder).free
        if free < need:
            raise LofiError(
                f"the disk of {folder} has {free / 1e6:,.0f} MB free, this needs up to "
                f"{need / 1e6:,.0f} MB. Free some space or choose another --out."
            )
        yield
    except FileExistsError as error:
        raise InputError(f"{folder} is a file, not a folder. Choose another --out.") from error
    except PermissionError as error:
        raise LofiError(
            f"no permission to write {error.filename or folder}. Choose another --out or change "
            "its permissions."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LofiError(
                f"the disk of {folder} is full. Free some space or choose another --out; nothing "
                "was left behind."
            ) from error
        raise LofiError(f"{error.filename or folder}: {error.strerror or error}.") from error


def _settle(aside: Path, final: Path) -> Path:
    """Give a whole folder its final name, in place of an earlier one of the same track."""
    old = aside.with_name(f"{aside.name}.old")
    if final.exists():
        final.rename(old)
    aside.rename(final)
    shutil.rmtree(old, ignore_errors=True)
    return final


def compose_checked(
    brief: Brief,
    settings: Settings,
    model: Model,
    tell: Report,
    *,
    source: Source | None = None,
    keep: tuple[str, ...] | None = None,
) -> tuple[Composition, Any]:
    """The score of a settled brief and its originality report.

    A score that copies its training corpus is written again with another seed derived from the
    brief's, a few times at most; the last report stands, whatever it says.
    """
    from dataclasses import replace

    from lofi.originality import build_library, check, load_library

    library = load_library(model.melodies) if model.melodies.is_file() else build_library([])
    composition = verdict = None
    for attempt in range(max(1, settings.generation.attempts)):
        tried = brief if attempt == 0 else replace(brief, seed=subseed(brief.seed, attempt) >> 1)
        composition = generate(
            tried,
            model,
            source=source,
            keep=keep,
            sampling=settings.sampling,
            best_of=settings.generation.best_of,
            threads=settings.generation.threads,
            copied=(lambda score: check(score, library).longest_run_notes)
            if library.works
            else None,
            progress=lambda f: tell("compose", 0.95 * f),
        )
        verdict = check(composition.score, library)
        if verdict.verdict != "block":
            break
    assert composition
    tell("compose", 1.0)
    return composition, verdict


def _fill(
    folder: Path,
    track_id: str,
    brief: Brief,
    settings: Settings,
    model: Model,
    soundfont: Path | None,
    keep_stems: bool,
    tell: Report,
) -> dict[str, Any]:
    import soundfile

    from lofi import channel, picture, sound

    assert brief.mood
    assert brief.palette
    assert brief.template
    composition, report = compose_checked(brief, settings, model, tell)
    score, plan = composition.score, composition.plan
    write_bytes(folder / "track.mid", midi_bytes(score, plan, brief.mood))
    write_json(folder / "originality.json", report.to_dict())
    written = measure(read_midi(folder / "track.mid")[0])

    name = channel.name_track(brief.mood, brief.palette, brief.seed)
    subtitle = f"{written.bpm:.0f} bpm · {written.key}"
    master = sound.render(
        score,
        bars=plan.bars,
        bpm=plan.bpm,
        bundle=find_mood(brief.mood).bundle,
        seed=brief.seed,
        tail_s=plan.tail_s,
        soundfont=soundfont,
        keep_stems=keep_stems,
        progress=lambda f: tell("sound", 0.9 * f),
    )
    tags = {"title": name, "artist": "LoFi Empire", "comment": f"{brief.mood}, {subtitle}"}
    sound.write_flac(folder / "master.flac", master.samples, master.rate, tags=tags)
    for part, stem in master.stems.items():
        (folder / "stems").mkdir(exist_ok=True)
        sound.write_flac(folder / "stems" / f"{part}.flac", stem, master.rate)
    heard, rate = soundfile.read(folder / "master.flac", dtype="float32", always_2d=True)
    lufs, true_peak_db = sound.measure(heard.T, rate)
    duration_s = len(heard) / rate
    tell("sound", 1.0)

    picture.render_video(
        folder / "video.mp4",
        score=score,
        audio=master.samples,
        rate=master.rate,
        palette=brief.palette,
        template=brief.template,
        title=name,
        subtitle=subtitle,
        seed=brief.seed,
        width=settings.video.width,
        height=settings.video.height,
        fps=settings.video.fps,
        threads=settings.video.threads,
        progress=lambda f: tell("video", f),
    )
    tell("video", 1.0)
    legibility = picture.render_thumbnail(
        folder / "thumbnail.jpg",
        palette=brief.palette,
        title=name,
        subtitle=f"{brief.mood} lofi",
        seed=brief.seed,
    )
    tell("thumbnail", 1.0)
    listing = channel.write_listing(
        channel.TrackFacts(
            track_id=track_id,
            mood=brief.mood,
            bpm=written.bpm,
            key=written.key or str(plan.key),
            duration_s=duration_s,
            seed=brief.seed,
            palette=brief.palette,
            plan=plan,
        )
    )
    write_json(folder / "listing.json", listing.to_dict())
    track: dict[str, Any] = {
        "id": track_id,
        "title": name,
        "brief": _plain(brief),
        "plan": {**asdict(plan), "key": str(plan.key), "bars": plan.bars},
        "measured": {
            "bpm": round(written.bpm, 3),
            "key": written.key,
            "duration_s": round(duration_s, 3),
            "lufs": round(lufs, 2),
            "true_peak_db": round(true_peak_db, 2),
            "score": written.to_dict(),
            "thumbnail": asdict(legibility),
        },
        "originality": {"verdict": report.verdict, "summary": report.summary},
        "choices": composition.choices,
        "arrangement": composition.arrangement,
    }
    write_json(folder / "provenance.json", provenance(brief, settings, model, soundfont))
    track["files"] = {
        p.relative_to(folder).as_posix(): sha256_of(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }
    tell("listing", 1.0)
    return track


def _plain(brief: Brief) -> dict[str, Any]:
    """What a brief asks for, as plain values; what it leaves open is left out."""
    told = {**asdict(brief), "key": str(brief.key) if brief.key else None}
    return {name: value for name, value in told.items() if value is not None}


def provenance(
    brief: Brief, settings: Settings, model: Model, soundfont: Path | None
) -> dict[str, Any]:
    """What a track was made from: seed, settings, versions, model, corpora and their licences."""
    libraries = (
        "numpy",
        "scipy",
        "onnxruntime",
        "miditok",
        "symusic",
        "soundfile",
        "skia-python",
        "av",
    )
    corpora = model.card["dataset"].get("corpora", {})
    return {
        "seed": brief.seed,
        "brief": _plain(brief),
        "settings": {
            "sampling": asdict(settings.sampling),
            "generation": asdict(settings.generation),
            "video": asdict(settings.video),
        },
        "model": {
            "sha256": model.sha256,
            "tier": model.card.get("tier", "test"),
            "trained_on": {
                name: {
                    k: c[k] for k in ("source", "licence", "attribution", "tier", "kept") if k in c
                }
                for name, c in corpora.items()
            },
            "dataset_sha256": model.card["dataset"].get("sha256"),
        },
        "soundfont": (
            {"name": soundfont.name, "sha256": sha256_of(soundfont)} if soundfont else None
        ),
        "versions": {
            "lofi-empire": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            **{n: importlib.metadata.version(n) for n in libraries},
        },
    }
