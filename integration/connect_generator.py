"""The link for programs that need a track and what is heard when in it.

    from integration.connect_generator import get_generator

    made = get_generator().generate(mood="chill", duration=30, bpm=75, key="A minor", seed=7)
    made.audio                     # the master, a FLAC file
    made.timeline.melody[0]        # pitch, velocity, onset and duration in seconds
    made.timeline.chords           # what is really played, beside what was planned
    made.to_dict()                 # all of it, ready for JSON

As a command it prints that JSON:

    python integration/connect_generator.py --mood chill --duration 30
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lofi import Track, make
from lofi.brief import LofiError
from lofi.studio import Settings, Timeline, load_settings


@dataclass(frozen=True, slots=True)
class Metadata:
    """What was measured of a finished track, and what it was made from.

    `bpm` is the score's, `key` heard in its notes, None if there is nothing to hear; `planned_key`
    what it was laid out in. `lufs` and `true_peak_db` are measured by ITU-R BS.1770-4.
    """

    title: str
    mood: str
    seed: int
    bpm: float
    key: str | None
    planned_key: str
    swing: float
    bars: int
    duration_s: float
    lufs: float
    true_peak_db: float
    originality: str


@dataclass(frozen=True, slots=True)
class Generated:
    """A finished track: its files, and what is heard when in it.

    `stems` is empty and `video` None unless they were asked for. Times of `timeline` are those of
    `audio` and `video`; stems and MIDI begin every note at its `written_s`.
    """

    folder: Path
    midi: Path
    audio: Path
    stems: dict[str, Path]
    video: Path | None
    metadata: Metadata
    timeline: Timeline

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: paths, metadata, and the fields of the timeline."""
        return {
            "paths": {
                "folder": str(self.folder),
                "midi": str(self.midi),
                "audio": str(self.audio),
                "stems": {part: str(path) for part, path in self.stems.items()},
                "video": str(self.video) if self.video else None,
            },
            "metadata": {name: getattr(self.metadata, name) for name in Metadata.__slots__},
            **self.timeline.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Generator:
    """Makes tracks with one set of settings, model and SoundFont, into one folder."""

    settings: Settings
    out: Path
    model: Path | None = None
    soundfont: Path | None = None

    def generate(
        self,
        mood: str | None = None,
        duration: float | None = None,
        bpm: float | None = None,
        key: str | None = None,
        seed: int | None = None,
        *,
        stems: bool = False,
        video: bool = False,
        report: Callable[[str, float], None] | None = None,
    ) -> Generated:
        """Make a track; what is left out is drawn by the seed, and the seed by chance.

        `duration` is in seconds, `key` a name such as "A minor". The same arguments with a seed
        give the same bytes. With `video` it is the whole package: video, thumbnail and listing.
        `report` gets (stage, fraction done).

        Raises InputError naming what cannot be used and the remedy, LofiError when a stage fails.
        """
        track = make(
            mood,
            duration,
            bpm,
            key,
            seed,
            self.out,
            model=self.model,
            soundfont=self.soundfont,
            stems=stems,
            video=video,
            settings=self.settings,
            report=report,
        )
        return read_generated(track)


def read_generated(track: Track) -> Generated:
    """What the link tells of a track that is finished."""
    brief, plan, measured = (track.facts[name] for name in ("brief", "plan", "measured"))
    return Generated(
        folder=track.folder,
        midi=track.midi,
        audio=track.master,
        stems=track.stems,
        video=track.video,
        metadata=Metadata(
            title=track.facts["title"],
            mood=brief["mood"],
            seed=brief["seed"],
            bpm=measured["bpm"],
            key=measured["key"],
            planned_key=plan["key"],
            swing=round(plan["swing"], 4),
            bars=plan["bars"],
            duration_s=measured["duration_s"],
            lufs=measured["lufs"],
            true_peak_db=measured["true_peak_db"],
            originality=track.facts["originality"]["summary"],
        ),
        timeline=track.timeline(),
    )


def get_generator(
    *,
    config: str | Path | None = None,
    out: str | Path | None = None,
    model: str | Path | None = None,
    soundfont: str | Path | None = None,
) -> Generator:
    """A generator with the settings of `config`, or of ./config.yaml if there is one.

    `out` is the folder that tracks go to, that of the settings if left out; `model` a folder that
    `lofi train` wrote; `soundfont` a .sf2 or .sf3 file. Raises InputError for bad settings.
    """
    settings = load_settings(None if config is None else Path(config))
    return Generator(
        settings=settings,
        out=settings.paths.output if out is None else Path(out),
        model=None if model is None else Path(model),
        soundfont=None if soundfont is None else Path(soundfont),
    )


def main(arguments: list[str] | None = None) -> int:
    """Make one track and print it as JSON; gives the exit status."""
    parser = argparse.ArgumentParser(
        description="Make a track and print its files, notes, beats, chords and sections as JSON."
    )
    parser.add_argument("--mood", help="such as chill; drawn by the seed if left out")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="120 if left out")
    parser.add_argument("--bpm", type=float, help="by mood if left out")
    parser.add_argument("--key", help="such as 'A minor'")
    parser.add_argument("--seed", type=int, help="the same seed gives the same bytes")
    parser.add_argument("--stems", action="store_true", help="also write one FLAC per part")
    parser.add_argument("--video", action="store_true", help="the whole package, with its video")
    parser.add_argument("--out", help="folder for tracks; output if left out")
    parser.add_argument("--config", help="settings file; ./config.yaml if left out and present")
    asked = vars(parser.parse_args(arguments))
    try:
        generator = get_generator(config=asked.pop("config"), out=asked.pop("out"))
        made = generator.generate(**asked)
    except LofiError as error:
        print(f"connect_generator: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(json.dumps(made.to_dict(), indent=2))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
