"""What a track is made from, as one value that travels as JSON."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from lofi import __version__
from lofi.brief import DURATION_RANGE_S, Brief, InputError, Key
from lofi.channel import LANGUAGES, Grammar, check_languages, name_track, read_grammar
from lofi.music import Model, Outline, Sampling, brief_for, open_model, parts_to_write
from lofi.studio._files import sha256_of
from lofi.studio._settings import Generation, Settings, Video, Wording

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Remake:
    """The track that is made again, under its own name: a new version of it, and no other track.

    `title` is what it is called by now, which its pictures show; `picture_seed` settles the room
    they show, as the seed of the brief does where a track is made for the first time.
    """

    track_id: str
    title: str
    picture_seed: int


@dataclass(frozen=True, slots=True)
class Words:
    """What a listing is written from: the text of one's own templates, and the languages."""

    templates: str = ""
    languages: tuple[str, ...] = LANGUAGES


@dataclass(frozen=True, slots=True)
class Prompt:
    """A MIDI file that a track is made from: gone on from, or varied where `keep` names parts."""

    sha256: str
    outline: Outline
    keep: tuple[str, ...] | None = None

    def settled(self, asked: Brief) -> Brief:
        """The brief of what is made from it. Raises InputError for what cannot be asked of it."""
        brief = brief_for(self.outline, asked, vary=self.keep is not None)
        if self.keep is not None:
            parts_to_write(self.outline, brief, self.keep)
        assert brief.duration_s
        low, high = DURATION_RANGE_S
        if not low <= brief.duration_s <= high:
            raise InputError(
                f"what is made from {self.outline.name} would last {brief.duration_s:.0f} s; a "
                f"track lasts {low:g} seconds to {high / 60:g} minutes. Send a piece of another "
                "length."
            )
        return brief


@dataclass(frozen=True, slots=True)
class Commission:
    """What a track is made from: the brief and all that decides how it turns out.

    `asked` is the brief as it was given, `brief` the same settled. Paths are absolute; `model` is
    None for the shipped one. The hashes are those of the files when the track was asked for. `take`
    is which draw of name and words it is: the first that is not like another of the last 90 days.
    `remake` is None for a track that is made for the first time.
    """

    asked: Brief
    brief: Brief
    model: Path | None
    model_sha256: str
    soundfont: Path | None
    soundfont_sha256: str | None
    keep_stems: bool
    sampling: Sampling
    generation: Generation
    video: Video
    words: Words = Words()
    take: int = 0
    prompt: Prompt | None = None
    remake: Remake | None = None

    @property
    def grammar(self) -> Grammar:
        """What the listing is drawn from. Raises InputError if it cannot be read by now."""
        return read_grammar(self.words.templates)

    @property
    def title(self) -> str:
        """What the track is called: decided by mood, palette, seed and take, or a person since."""
        if self.remake:
            return self.remake.title
        assert self.brief.mood
        assert self.brief.palette
        return name_track(
            self.brief.mood,
            self.brief.palette,
            self.brief.seed,
            grammar=self.grammar,
            take=self.take,
        )

    @property
    def track_id(self) -> str:
        """The package's name: the title and a hash of what makes the sound and the picture."""
        if self.remake:
            return self.remake.track_id
        called = re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "track"
        return f"{called}-{self.sha256[:8]}"

    @property
    def sha256(self) -> str:
        """A hash of what makes the sound and the picture, whatever the track is called."""
        told = [
            __version__,
            told_brief(self.brief),
            asdict(self.sampling),
            self.generation.best_of,
            self.model_sha256,
            self.soundfont_sha256,
        ]
        if self.prompt:
            told.append([self.prompt.sha256, self.prompt.keep])
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    @property
    def picture_seed(self) -> int:
        """What settles the room that video and thumbnail show."""
        return self.remake.picture_seed if self.remake else self.brief.seed

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values; `from_json` gives back an equal commission."""
        return to_plain(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Commission:
        """What `to_json` gave. What is left out has its default.

        Raises InputError for a name or value that this version does not know.
        """
        found = from_plain(cls, value, "commission")
        for key in (found.asked.key, found.brief.key):
            if key is not None and Key.parse(str(key)) != key:
                raise InputError(f"the commission cannot be read: there is no key {key!r}.")
        # The form of a track that goes on from another is that of what follows, not of the whole.
        whole = replace(found.brief, form=None) if found.prompt else found.brief
        if whole.settled() != whole:
            raise InputError("the commission cannot be read: its brief is not settled.")
        return found

    def open_model(self) -> Model:
        """The model that was commissioned. Raises InputError if it is another one by now."""
        model = open_model(self.model)
        if model.sha256 != self.model_sha256:
            raise InputError(
                f"the model in {model.path} has changed since this track was asked for. Ask for "
                "the track again."
            )
        return model

    def check_soundfont(self) -> None:
        """Raise InputError if the SoundFont is gone or another one by now."""
        if self.soundfont is None:
            return
        if not self.soundfont.is_file():
            raise InputError(f"there is no SoundFont {self.soundfont}. Give a .sf2 or .sf3 file.")
        if sha256_of(self.soundfont) != self.soundfont_sha256:
            raise InputError(
                f"the SoundFont {self.soundfont} has changed since this track was asked for. Ask "
                "for the track again."
            )


def commission(
    brief: Brief,
    settings: Settings,
    *,
    model_path: Path | None = None,
    soundfont: Path | None = None,
    keep_stems: bool = False,
    prompt: Prompt | None = None,
) -> Commission:
    """Settle a brief and gather what decides the track.

    Raises InputError for a brief, model, SoundFont or frame that cannot be used.
    """
    from lofi.picture import check_frame

    settled = prompt.settled(brief) if prompt else brief.settled()
    check_frame(settings.video.width, settings.video.height, settings.video.fps)
    model = open_model(model_path)
    if soundfont is not None and not soundfont.is_file():
        raise InputError(f"there is no SoundFont {soundfont}. Give a .sf2 or .sf3 file.")
    gathered = Commission(
        asked=brief,
        brief=settled,
        model=model_path.absolute() if model_path else None,
        model_sha256=model.sha256,
        soundfont=soundfont.absolute() if soundfont else None,
        soundfont_sha256=sha256_of(soundfont) if soundfont else None,
        keep_stems=keep_stems,
        sampling=settings.sampling,
        generation=settings.generation,
        video=settings.video,
        words=read_words(settings.listing),
        prompt=prompt,
    )
    # A duration of 32 would come back from its journey as 32.0 and be told so in `track.json`.
    return Commission.from_json(gathered.to_json())


def read_words(wording: Wording) -> Words:
    """What listings are written from now.

    Raises InputError for templates that cannot be used, with the line, and for a language that they
    do not have.
    """
    path, text = wording.templates, ""
    if path.exists():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as templates: {error}.") from error
    check_languages(wording.languages, read_grammar(text, str(path)))
    return Words(text if text.strip() else "", wording.languages)


def told_brief(brief: Brief) -> dict[str, Any]:
    """A settled brief as values; an ambience that is not asked for is no part of it."""
    told = asdict(brief)
    if brief.ambience is None:
        del told["ambience"]
    return told


# Dataclasses as JSON values ----------------------------------------------------------------------


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def to_plain(value: Any) -> Any:
    """A dataclass of ours as JSON values."""
    return _adapter(type(value)).dump_python(value, mode="json")


def from_plain(kind: type[T], value: object, what: str) -> T:
    """What `to_plain` gave. Raises InputError for a name or a value that is not understood."""
    from pydantic import ValidationError

    try:
        found = _adapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "value"
        raise InputError(f"the {what} cannot be read: {name}: {first['msg']}.") from error
    # What was passed over, or taken for something else, does not come back as it was given.
    if strange := _strange(value, to_plain(found), ""):
        raise InputError(f"the {what} cannot be read: {strange} is not known to this version.")
    return found


def _strange(given: Any, understood: Any, name: str) -> str | None:
    """The first name in `given` that is missing or other in `understood`."""
    if isinstance(given, Mapping) and isinstance(understood, Mapping):
        for key, value in given.items():
            inner = f"{name}.{key}" if name else str(key)
            if key not in understood:
                return inner
            if found := _strange(value, understood[key], inner):
                return found
        return None
    if isinstance(given, list | tuple) and isinstance(understood, list):
        if len(given) != len(understood):
            return name
        pairs = zip(given, understood, strict=True)
        return next((f for a, b in pairs if (f := _strange(a, b, name))), None)
    return None if given == understood else name
