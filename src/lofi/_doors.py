"""The studio for scripts: `from lofi import make`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lofi.brief import Brief, Key, read_form, read_parts, read_swing

if TYPE_CHECKING:
    from lofi.studio import Settings, Timeline


@dataclass(frozen=True, slots=True)
class Track:
    """A finished track: its folder, and `facts`, what its `track.json` says."""

    folder: Path
    facts: dict[str, Any]

    @property
    def midi(self) -> Path:
        """The score."""
        return self.folder / "track.mid"

    @property
    def master(self) -> Path:
        """The sound: FLAC, 24 bit, 44.1 kHz, stereo."""
        return self.folder / "master.flac"

    @property
    def stems(self) -> dict[str, Path]:
        """The parts as FLAC files, by name; empty unless they were asked for."""
        return {p.stem: p for p in sorted((self.folder / "stems").glob("*.flac"))}

    @property
    def video(self) -> Path | None:
        """The video, or None for score and sound alone."""
        return self._if_there("video.mp4")

    @property
    def thumbnail(self) -> Path | None:
        """The thumbnail, or None for score and sound alone."""
        return self._if_there("thumbnail.jpg")

    @property
    def listing(self) -> Path | None:
        """Title, description and tags as JSON, or None for score and sound alone."""
        return self._if_there("listing.json")

    def timeline(self) -> Timeline:
        """What is heard when: notes, beats, chords and sections in seconds."""
        from lofi.studio import read_timeline

        return read_timeline(self.folder)

    def _if_there(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.is_file() else None


def make(
    mood: str | None = None,
    duration: float | None = None,
    bpm: float | None = None,
    key: str | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    *,
    form: str | None = None,
    chords: str | None = None,
    instruments: str | None = None,
    swing: str | None = None,
    density: str | None = None,
    palette: str | None = None,
    template: str | None = None,
    ambience: str | None = None,
    model: str | Path | None = None,
    soundfont: str | Path | None = None,
    stems: bool = False,
    video: bool = True,
    settings: Settings | None = None,
    report: Callable[[str, float], None] | None = None,
) -> Track:
    """Make a track: `make(mood="chill", duration=60, bpm=75, key="A minor", seed=7)`.

    What is left out is drawn by `seed`, and the seed by chance; words are those of `lofi make`.
    `duration` is in seconds. Without `video` it is score and sound alone, which is quicker.
    `out` is the folder for tracks, that of `settings` if left out, and `settings` those of
    ./config.yaml. `report` gets (stage, fraction done).

    Raises InputError (of `lofi.brief`) that names what cannot be used and the remedy, LofiError
    when the disk or a stage fails; then nothing is left behind.
    """
    import secrets

    loop = None
    asked_key = None if key is None else Key.parse(key)
    if chords is not None:
        from lofi.music import key_of_chords, read_chords

        loop = read_chords(chords)
        asked_key = asked_key or key_of_chords(loop)
    brief = Brief(
        seed=secrets.randbelow(2**31) if seed is None else seed,
        mood=mood,
        bpm=bpm,
        key=asked_key,
        duration_s=duration,
        palette=palette,
        template=template,
        form=None if form is None else read_form(form),
        chords=loop,
        parts=None if instruments is None else read_parts(instruments),
        swing=None if swing is None else read_swing(swing),
        density=density,
        ambience=ambience,
    )
    brief.settled()  # a wrong brief is told before anything heavy is loaded
    from lofi import studio

    package = studio.make(
        brief,
        studio.load_settings() if settings is None else settings,
        model_path=None if model is None else Path(model),
        soundfont=None if soundfont is None else Path(soundfont),
        keep_stems=stems,
        pictures=video,
        out=None if out is None else Path(out),
        report=report,
    )
    return Track(package.path, package.track)
