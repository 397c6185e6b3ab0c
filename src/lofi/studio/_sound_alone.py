"""From a brief to score and sound alone, without pictures."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lofi.brief import Brief, InputError, find_mood
from lofi.music import Model, measure, midi_bytes, open_model, read_midi
from lofi.studio._files import sha256_of, write_bytes, write_json
from lofi.studio._make import (
    Package,
    Report,
    _plain,
    _settle,
    compose_checked,
    name_of,
    provenance,
    writing_into,
)
from lofi.studio._settings import Settings


def make_sound(
    brief: Brief,
    settings: Settings,
    *,
    model_path: Path | None = None,
    soundfont: Path | None = None,
    keep_stems: bool = False,
    out: Path | None = None,
    report: Report | None = None,
) -> Package:
    """Write a package without video, thumbnail and listing into a folder of `out`.

    Its files hold the same bytes as those of `make`; the folder's name ends in `-sound`, so that
    it never takes a whole package's place. Arguments and errors are those of `make`.
    """
    asked, brief = brief, brief.settled()
    assert brief.duration_s
    model = open_model(model_path)
    if soundfont is not None and not soundfont.is_file():
        raise InputError(f"there is no SoundFont {soundfont}. Give a .sf2 or .sf3 file.")
    folder = out or settings.paths.output
    tell = report or (lambda _stage, _fraction: None)
    with writing_into(folder, brief.duration_s):
        track_id = name_of(brief, settings, model, soundfont) + "-sound"
        aside = Path(tempfile.mkdtemp(prefix=f".{track_id}.", dir=folder))
        try:
            aside.chmod(0o755)
            track = _fill(aside, brief, settings, model, soundfont, keep_stems, tell)
            track = {"id": track_id, **track, "asked": _plain(asked)}
            write_json(aside / "track.json", track)
            return Package(_settle(aside, folder / track_id), track)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _fill(
    folder: Path,
    brief: Brief,
    settings: Settings,
    model: Model,
    soundfont: Path | None,
    keep_stems: bool,
    tell: Report,
) -> dict[str, Any]:
    import soundfile

    from lofi import channel, sound

    assert brief.mood
    assert brief.palette
    composition, originality = compose_checked(brief, settings, model, tell)
    plan = composition.plan
    write_bytes(folder / "track.mid", midi_bytes(composition.score, plan, brief.mood))
    write_json(folder / "originality.json", originality.to_dict())
    written = measure(read_midi(folder / "track.mid")[0])
    title = channel.name_track(brief.mood, brief.palette, brief.seed)
    subtitle = f"{written.bpm:.0f} bpm · {written.key}"
    master = sound.render(
        composition.score,
        bars=plan.bars,
        bpm=plan.bpm,
        bundle=find_mood(brief.mood).bundle,
        seed=brief.seed,
        tail_s=plan.tail_s,
        soundfont=soundfont,
        keep_stems=keep_stems,
        progress=lambda f: tell("sound", 0.9 * f),
    )
    tags = {"title": title, "artist": "LoFi Empire", "comment": f"{brief.mood}, {subtitle}"}
    sound.write_flac(folder / "master.flac", master.samples, master.rate, tags=tags)
    for part, stem in master.stems.items():
        (folder / "stems").mkdir(exist_ok=True)
        sound.write_flac(folder / "stems" / f"{part}.flac", stem, master.rate)
    heard, rate = soundfile.read(folder / "master.flac", dtype="float32", always_2d=True)
    lufs, true_peak_db = sound.measure(heard.T, rate)
    write_json(folder / "provenance.json", provenance(brief, settings, model, soundfont))
    tell("sound", 1.0)
    return {
        "title": title,
        "brief": _plain(brief),
        "plan": {**asdict(plan), "key": str(plan.key), "bars": plan.bars},
        "measured": {
            "bpm": round(written.bpm, 3),
            "key": written.key,
            "duration_s": round(len(heard) / rate, 3),
            "lufs": round(lufs, 2),
            "true_peak_db": round(true_peak_db, 2),
            "score": written.to_dict(),
        },
        "originality": {"verdict": originality.verdict, "summary": originality.summary},
        "choices": composition.choices,
        "arrangement": composition.arrangement,
        "files": {
            p.relative_to(folder).as_posix(): sha256_of(p)
            for p in sorted(folder.rglob("*"))
            if p.is_file()
        },
    }
