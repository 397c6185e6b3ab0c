"""The listing: title, description, tags and flags of a track, within YouTube's limits.

Limits and required flags: YouTube Data API v3, `videos` resource and `videos.insert`, as of
November 2026. The words are drawn from a grammar (`_grammar`) by the track's seed; each list is
drawn from with a seed of its own, so that to change one leaves what the others gave.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lofi.brief import PARTS, InputError, Key, Plan, find_mood, pitch_class_name, subseed
from lofi.channel._grammar import Grammar, read_grammar

MUSIC_CATEGORY = "10"
TITLE_MAX_CHARACTERS = 100
DESCRIPTION_MAX_BYTES = 5000
TAGS_MAX_CHARACTERS = 500
CHAPTERS_MIN = 3
CHAPTER_MIN_S = 10.0
LANGUAGES = ("en", "de", "es", "fr", "ja", "pt")
_NAME_MAX_CHARACTERS = 40
_LOOP_BARS = 4  # of the first theme: as many chords as a reader takes in
_SWINGS = 0.54  # from here on off-beats are heard late
_LEADING = ("lead", "guitar", "keys")  # who has the tune, the first of them that plays


@dataclass(frozen=True, slots=True)
class TrackFacts:
    """What is known of a track; of a finished one figures are measured, not asked for.

    Without a `plan` nothing is said of players, chords and chapters. `soundfont` is the name of the
    one that plays, or None for the built-in instruments. `name` is what the track is called, or
    None for what is drawn.
    """

    track_id: str
    mood: str
    bpm: float
    key: str
    duration_s: float
    seed: int
    palette: str
    plan: Plan | None
    soundfont: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What would be sent to `videos.insert`.

    `localizations` are (title, description) by language; `language` is that of the video's own.
    `opening` is the description's first paragraph: what it says in its own words.
    """

    title: str
    description: str
    tags: tuple[str, ...]
    language: str = "en"
    localizations: dict[str, tuple[str, str]] = field(default_factory=dict)
    name: str = ""
    opening: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The request: `snippet`, `status` and `localizations` are its body, `query` the rest."""
        return make_request(
            title=self.title,
            description=self.description,
            tags=self.tags,
            language=self.language,
            localizations=self.localizations,
        )


def make_request(
    *,
    title: str,
    description: str,
    tags: Sequence[str],
    language: str = "en",
    localizations: Mapping[str, tuple[str, str]] | None = None,
    category: str = MUSIC_CATEGORY,
) -> dict[str, Any]:
    """What is sent to `videos.insert`, private, disclosed, and with every flag said."""
    body: dict[str, Any] = {
        "snippet": {
            "title": title,
            "description": description,
            "tags": list(tags),
            "categoryId": category,
            "defaultLanguage": language,
        },
        # Left out, privacyStatus means public: it is always sent.
        "status": {
            "privacyStatus": "private",
            "selfDeclaredMadeForKids": False,
            "containsSyntheticMedia": True,
            "license": "youtube",
            "embeddable": True,
        },
        "query": {"part": "snippet,status", "notifySubscribers": False},
    }
    if localizations:
        body["localizations"] = {
            code: {"title": there, "description": said}
            for code, (there, said) in sorted(localizations.items())
        }
        body["query"]["part"] += ",localizations"
    return body


def name_track(
    mood: str, palette: str, seed: int, *, grammar: Grammar | None = None, take: int = 0
) -> str:
    """An evocative name of a few words, the same for the same brief, grammar and take."""
    grammar = grammar or read_grammar()
    bundle = find_mood(mood).bundle
    chance = _chance(seed, take, "name")
    light = chance.choice(grammar.at("light", palette))
    things = grammar.at("thing", bundle)
    thing, other = chance.sample(things, 2) if len(things) > 1 else (things[0], things[0])
    facts = {
        "light": light,
        "thing": thing,
        "other": other,
        "when": chance.choice(grammar.at("when", palette)),
    }
    template = chance.choice(grammar.at("names"))
    name = _line(grammar.write(template, facts))
    if not name:
        raise InputError(
            f"the template {template[:80]!r} of `names` writes nothing. Change it in the file that "
            "listing.templates names."
        )
    return _shortened(name, _NAME_MAX_CHARACTERS)


def write_listing(
    facts: TrackFacts,
    grammar: Grammar | None = None,
    *,
    languages: Sequence[str] = LANGUAGES,
    take: int = 0,
) -> Listing:
    """The listing of a track: the first of `languages` is its own, the others are localizations.

    The same facts, grammar and take give the same words. Whatever a template writes, what is given
    keeps YouTube's limits. Raises InputError for a language that the grammar does not have.
    """
    grammar = grammar or read_grammar()
    check_languages(languages, grammar)
    words = [_write(facts, grammar, language, take) for language in languages]
    title, description, opening = words[0]
    return Listing(
        title=title,
        description=description,
        tags=_tags(facts, grammar, languages[0], take),
        language=languages[0],
        localizations={
            language: (there, said)
            for language, (there, said, _) in zip(languages[1:], words[1:], strict=True)
        },
        name=_name(facts, grammar, take),
        opening=opening,
    )


def _name(facts: TrackFacts, grammar: Grammar, take: int) -> str:
    if facts.name is not None:
        return _line(facts.name)
    return name_track(facts.mood, facts.palette, facts.seed, grammar=grammar, take=take)


def check_languages(languages: Sequence[str], grammar: Grammar) -> None:
    """Raise InputError unless there are languages, each once, that the grammar can write."""
    if not languages or len(set(languages)) < len(languages):
        raise InputError("listing.languages wants one or more languages, each once: [en, de].")
    for language in languages:
        if language not in grammar.languages:
            raise InputError(
                f"listings are not written in {language!r}, only in {', '.join(grammar.languages)}."
                f" Add languages.{language} to your templates, or leave it out."
            )


def _write(facts: TrackFacts, grammar: Grammar, language: str, take: int) -> tuple[str, str, str]:
    """Title, description and opening in a language."""
    known = _known(facts, grammar, language, take)

    def chance(what: str) -> random.Random:
        return _chance(facts.seed, take, "listing", language, what)

    def drawn(what: str) -> str:
        return _line(grammar.write(chance(what).choice(grammar.at("languages", language, what)),
                                   known))  # fmt: skip

    titles = list(grammar.at("languages", language, "title"))
    chance("title").shuffle(titles)
    written = [_line(grammar.write(t, known)) for t in titles]
    fitting = [t for t in written if t and len(t) <= TITLE_MAX_CHARACTERS]
    title = fitting[0] if fitting else _shortened(written[0] or known["name"], TITLE_MAX_CHARACTERS)

    bundle = find_mood(facts.mood).bundle
    marks = chapters(facts.plan, facts.duration_s, grammar, language) if facts.plan else []
    parts = {
        "opening": drawn("opening"),
        "about": drawn("about"),
        "chapters": "\n".join(f"{clock(t)} {name}" for t, name in marks),
        "disclosure": drawn("disclosure"),
        "hashtags": chance("hashtags").choice(
            grammar.at("languages", language, "hashtags", bundle)
        ),
    }
    layout = chance("description").choice(grammar.at("languages", language, "description"))
    # What need not be said goes first, should it be too long: never who made it.
    for left_out in ((), ("about",), ("about", "hashtags"), ("about", "hashtags", "chapters")):
        told = parts | dict.fromkeys(left_out, "")
        description = _paragraphs(grammar.write(layout, known | told))
        if len(description.encode()) <= DESCRIPTION_MAX_BYTES:
            return title, description, parts["opening"]
    return title, cut_bytes(description, DESCRIPTION_MAX_BYTES).rstrip(), parts["opening"]


def _known(facts: TrackFacts, grammar: Grammar, language: str, take: int) -> dict[str, Any]:
    """What a template may use, in a language."""
    mood = find_mood(facts.mood)
    uses = grammar.at("languages", language, "use", mood.bundle)
    total_s = round(facts.duration_s)
    minutes, seconds = divmod(total_s, 60)
    called = grammar.at("languages", language, "parts")
    playing = {p for s in facts.plan.sections for p in s.parts} if facts.plan else set()
    lead = next((p for p in _LEADING if p in playing), None)
    plan = facts.plan
    return {
        "name": _name(facts, grammar, take),
        "mood": str(grammar.at("languages", language, "mood", mood.name)),
        # The same place in the list of every language: shipped, they say the same there.
        "use": str(uses[int(_chance(facts.seed, take, "use").random() * len(uses))]),
        "bpm": round(facts.bpm),
        "key": _key(facts.key, grammar, language),
        "length": grammar.write(
            grammar.at("languages", language, "length"), {"minutes": minutes, "seconds": seconds}
        ),
        "minutes": round(total_s / 60),
        "players": [str(called[p]) for p in PARTS if p in playing],
        "lead": str(called[lead]) if lead else "",
        "chords": _loop(plan) if plan else [],
        "sections": len(plan.sections) if plan else 0,
        "swing": ("swung" if plan.swing >= _SWINGS else "straight") if plan else "",
        "soundfont": _line(facts.soundfont or ""),
        "palette": facts.palette,
        "track_id": _line(facts.track_id),
    }


def _key(text: str, grammar: Grammar, language: str) -> str:
    """A key as a language calls it."""
    try:
        key = Key.parse(text)
    except InputError:
        return _line(text)
    table = grammar.at("languages", language, "keys")
    note = table["notes"][pitch_class_name(key.tonic, flats=key.flats)]
    return grammar.write(table[key.mode], {"note": str(note)})


def _loop(plan: Plan) -> list[str]:
    """The chords that the first theme begins with: each once where it goes on, one round."""
    theme = next((s for s in plan.sections if s.name == "A"), plan.sections[0])
    found: list[str] = []
    for chord in map(_line, theme.chords[: 2 * _LOOP_BARS]):
        if chord and found[-1:] != [chord]:
            found.append(chord)
    for round_ in range(1, len(found)):
        if all(chord == found[i % round_] for i, chord in enumerate(found)):
            return found[:round_]
    return found


def _tags(facts: TrackFacts, grammar: Grammar, language: str, take: int) -> tuple[str, ...]:
    """The tags of all keyword sets that fit, in their order, each once."""
    mood = find_mood(facts.mood)
    known = _known(facts, grammar, language, take)
    known["shades"] = [a for a in mood.aliases if a != "lofi"]
    written = (grammar.write(t, known) for s in grammar.keywords.values() for t in s["tags"])
    tags = dict.fromkeys(_line(tag) for text in written for tag in text.split(","))
    return fitting_tags([t for t in tags if t])


def chapters(
    plan: Plan, duration_s: float, grammar: Grammar | None = None, language: str = "en"
) -> list[tuple[float, str]]:
    """(start in whole seconds, name) of each section, short ones merged into the one before.

    Empty when fewer than three remain: YouTube then shows none.
    """
    called = (grammar or read_grammar()).at("languages", language, "sections")
    marks: list[tuple[float, str]] = []
    for section in plan.sections:
        start = float(round(section.start_bar * plan.bar_s))
        name = _line(str(called.get(section.name, section.name)))
        if not marks:
            marks.append((0.0, name))
        elif start - marks[-1][0] >= CHAPTER_MIN_S and duration_s - start >= CHAPTER_MIN_S:
            marks.append((start, name))
    return marks if len(marks) >= CHAPTERS_MIN else []


_STAMP = re.compile(r"(?:([0-9]{1,2}):)?([0-9]{1,2}):([0-9]{2})[ \t]+(\S.*)")


def read_chapters(description: str) -> list[tuple[float, str]]:
    """(start in seconds, name) of the lines of a description that YouTube takes for chapters."""
    found = []
    for line in description.splitlines():
        if match := _STAMP.fullmatch(line.strip()):
            hours, minutes, seconds, name = match.groups()
            start_s = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
            found.append((float(start_s), name.strip()))
    return found


def with_chapters(description: str, marks: Sequence[tuple[float, str]]) -> str:
    """A description with these chapters in the place of those that it has, or after its opening.

    Without any, those that it has are taken out.
    """
    lines = description.splitlines()
    stamped = [i for i, line in enumerate(lines) if _STAMP.fullmatch(line.strip())]
    told = [f"{clock(start_s)} {_line(name)}" for start_s, name in marks]
    if stamped:
        at = stamped[0]
    else:  # after the first paragraph
        at = next((i for i, line in enumerate(lines) if not line.strip()), len(lines))
        told = ["", *told] if told else []
    kept = [line for i, line in enumerate(lines) if i not in stamped]
    return _paragraphs("\n".join([*kept[:at], *told, *kept[at:]]))


def clock(seconds: float) -> str:
    """65 as 1:05, 3665 as 1:01:05."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


# Words -------------------------------------------------------------------------------------------


def _chance(seed: int, take: int, *labels: str) -> random.Random:
    """The draws of one list; a take is another set of draws from the same seed."""
    return random.Random(subseed(seed, *labels, *((f"take {take}",) if take else ())))


def plain(text: str) -> str:
    """Without angle brackets, which YouTube refuses, and control characters; lines stay."""
    return "".join(c for c in text if c not in "<>" and (c.isprintable() or c == "\n"))


def _line(text: str) -> str:
    """As one line, without what YouTube refuses."""
    return " ".join(plain(" ".join(text.split())).split())


def _paragraphs(text: str) -> str:
    """Without what YouTube refuses, without spaces at the ends of lines, an empty line at most."""
    lines = [line.strip() for line in plain(text).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _shortened(text: str, limit: int) -> str:
    """Cut between words where it is too long."""
    if len(text) <= limit:
        return text
    return text[:limit].rsplit(" ", 1)[0].strip() if " " in text[:limit].strip() else text[:limit]


def cut_bytes(text: str, limit: int) -> str:
    """The beginning of a text that has at most `limit` bytes in UTF-8."""
    return text.encode()[:limit].decode(errors="ignore")


def tags_length(tags: Sequence[str]) -> int:
    """As YouTube counts: characters, a comma between tags, two more for a tag with a space."""
    return sum(len(t) + 2 * (" " in t) for t in tags) + max(0, len(tags) - 1)


def fitting_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags, without those for which there is no room left."""
    kept: list[str] = []
    for tag in tags:
        if tag and tags_length([*kept, tag]) <= TAGS_MAX_CHARACTERS:
            kept.append(tag)
    return tuple(kept)


def chapter_problems(marks: Sequence[tuple[float, str]]) -> list[str]:
    """Why YouTube would show no chapters, in plain words; nothing where there are none."""
    if not marks:
        return []
    starts = [start_s for start_s, _ in marks]
    broken = []
    if starts[0] != 0:
        broken.append("the first chapter must start at 0:00")
    if len(starts) < CHAPTERS_MIN:
        broken.append(f"there are fewer than {CHAPTERS_MIN} chapters")
    if any(b - a < CHAPTER_MIN_S for a, b in pairwise(starts)):
        broken.append(f"a chapter is shorter than {CHAPTER_MIN_S:g} s or out of order")
    return broken
