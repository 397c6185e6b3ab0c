"""What is said of tracks: drawn when they are ordered, changed by people, looked at before sending.

A track's effective listing is what a person made of it, or else the package's own. An approval is
of the package and of what a person changed: see `_tracks.content_sha256`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi import channel
from lofi.brief import InputError, Key, LofiError, Plan, Section
from lofi.channel import TrackFacts, Words
from lofi.studio._commission import Commission, read_words
from lofi.studio._errors import ConflictError
from lofi.studio._events import record
from lofi.studio._tables import Listing, Track, now

if TYPE_CHECKING:
    from lofi.studio._settings import Wording
    from lofi.studio._studio import Studio

KEY_VARIABLE = "LOFI_REWRITE_KEY"
_TAKES = 60  # how often it is drawn again before the least alike of them is taken
_DAYS = timedelta(days=channel.RECENT_DAYS)


# Drawing -----------------------------------------------------------------------------------------


class Drawing:
    """Draws names and words for orders, within one transaction: each unlike those before it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._recent: channel.Said | None = None

    def draw(self, wanted: Commission) -> Commission:
        """The commission with a take whose words no other listing of the last 90 days has.

        An order of what was ordered before has the take that it had: so it is the same track. When
        every take is like some other, the one that is so least is taken; the preflight tells.
        """
        sha256 = wanted.sha256
        earlier = self._session.scalar(
            sa.select(Listing.take)
            .where(Listing.commission_sha256 == sha256)
            .order_by(Listing.created_at)
            .limit(1)
        )
        if earlier is not None:
            chosen = replace(wanted, take=earlier)
            words = _expected(chosen)
        else:
            if self._recent is None:
                self._recent = channel.Said(recent_words(self._session))
            least, chosen, words = float("inf"), wanted, _expected(wanted)
            for take in range(_TAKES):
                tried = replace(wanted, take=take)
                if self._recent.names(tried.title):
                    continue  # a name is soon drawn; all that is said takes longer
                said = _expected(tried)
                much = self._recent.too_alike(said)
                if much < least:
                    least, chosen, words = much, tried, said
                if not much:
                    break
        if self._recent is not None:
            self._recent.add(words)
        if self._session.get(Listing, chosen.track_id) is None:
            self._session.add(
                Listing(
                    track_id=chosen.track_id,
                    commission_sha256=sha256,
                    take=chosen.take,
                    **asdict(words),
                )
            )
            self._session.flush()
        return chosen


def recent_words(session: Session, *, but: str | None = None) -> list[Words]:
    """What the listings of the last 90 days say, but for that of one track."""
    rows = session.execute(
        sa.select(Listing.name, Listing.title, Listing.opening).where(
            Listing.created_at >= now() - _DAYS, Listing.track_id != (but or "")
        )
    )
    return [Words(*row) for row in rows]


def _expected(wanted: Commission) -> Words:
    """What a listing will say, as far as it is known before there is any music."""
    brief = wanted.brief
    assert brief.mood
    assert brief.palette
    assert brief.bpm
    assert brief.duration_s
    listing = channel.write_listing(
        TrackFacts(
            track_id="",
            mood=brief.mood,
            bpm=brief.bpm,
            key=str(brief.key),
            duration_s=brief.duration_s,
            seed=brief.seed,
            palette=brief.palette,
            plan=None,
        ),
        wanted.grammar,
        languages=wanted.words.languages[:1],
        take=wanted.take,
    )
    return Words(listing.name, listing.title, listing.opening)


def keep_drawn(
    session: Session, track: Track, wanted: Commission, listing: Mapping[str, Any]
) -> None:
    """Remember the listing of a package that was made; what a person changed stays."""
    row = session.get(Listing, track.id)
    if row is None:
        row = Listing(track_id=track.id, commission_sha256=wanted.sha256, take=wanted.take)
        session.add(row)
    row.drawn, row.name = dict(listing), wanted.title
    if row.edited is None:
        _remember_words(row, listing)


def _remember_words(row: Listing, listing: Mapping[str, Any]) -> None:
    said = _words_of(listing)
    row.title, row.opening = said.title, said.opening


def _words_of(listing: Mapping[str, Any]) -> Words:
    """Title and opening of a listing; its name, which the picture shows, is left out."""
    snippet = listing["snippet"]
    return Words("", snippet["title"], snippet["description"].split("\n", 1)[0])


# The effective listing ---------------------------------------------------------------------------


def effective(session: Session, track: Track) -> tuple[dict[str, Any], str]:
    """What would be said of a track, as `Listing.to_dict` of the channel, and its SHA-256."""
    row = session.get(Listing, track.id)
    listing = _drawn(row, track) if row is None or row.edited is None else row.edited
    return listing, sha256_of(listing)


def sha256_of(listing: Mapping[str, Any]) -> str:
    """A hash of all that a listing says."""
    told = json.dumps(listing, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()


def package_listing(session: Session, track: Track) -> dict[str, Any]:
    """What was drawn for a track, whatever a person made of it."""
    return _drawn(session.get(Listing, track.id), track)


def _drawn(row: Listing | None, track: Track) -> dict[str, Any]:
    """The package's listing; of a track from before listings were kept, what its facts give."""
    if row is not None and row.drawn is not None:
        return row.drawn
    return channel.write_listing(_facts_of(track)).to_dict()


def _facts_of(track: Track) -> TrackFacts:
    """What is known of a finished track."""
    facts = track.facts or {}
    return TrackFacts(
        track_id=track.id,
        mood=track.mood,
        bpm=track.bpm,
        key=track.key,
        duration_s=track.duration_s,
        seed=track.seed,
        palette=track.palette,
        plan=_plan_of(facts),
        name=facts.get("title", track.title),
    )


def _plan_of(facts: Mapping[str, Any]) -> Plan | None:
    try:
        plan = facts["plan"]
        return Plan(
            bpm=plan["bpm"],
            key=Key.parse(plan["key"]),
            swing=plan["swing"],
            sections=tuple(
                Section(s["name"], s["start_bar"], s["bars"], tuple(s["parts"]), tuple(s["chords"]))
                for s in plan["sections"]
            ),
            tail_s=plan["tail_s"],
        )
    except (KeyError, TypeError):
        return None


def request(
    listing: Mapping[str, Any], *, privacy: str = "private", publish_at: datetime | None = None
) -> dict[str, Any]:
    """The call of YouTube's API that a listing makes: its method, parameters and body.

    Raises InputError for a moment of publication of a video that is not to be public.
    """
    params, body = channel.shape_call(listing, privacy=privacy, publish_at=publish_at)
    return {"method": "youtube.videos.insert", "params": params, "body": body}


# For people --------------------------------------------------------------------------------------


def view(session: Session, track: Track) -> dict[str, Any]:
    """A track's listing as plain values: what it says, how much room is left, what is wrong."""
    row = session.get(Listing, track.id)
    listing, sha256 = effective(session, track)
    edited = row is not None and row.edited is not None
    return {
        "track_id": track.id,
        **described(listing),
        "sha256": sha256,
        "edited": edited,
        "edited_by": row.edited_by if row and edited else None,
        "edited_at": row.edited_at.isoformat() if row and edited and row.edited_at else None,
        "request": request(listing),
    }


def described(listing: Mapping[str, Any]) -> dict[str, Any]:
    """What a listing says, for an editor: its fields, counts, what is wrong, and what one sees."""
    snippet = listing["snippet"]
    title, description, tags = snippet["title"], snippet["description"], snippet["tags"]
    marks = channel.read_chapters(description)
    paragraphs = [p for p in description.split("\n\n") if p.strip()]
    hashtags = [w for w in description.split() if w.startswith("#") and len(w) > 1]
    return {
        "title": title,
        "description": description,
        "tags": list(tags),
        "category": snippet["categoryId"],
        "language": snippet["defaultLanguage"],
        "localizations": {
            code: {"title": said["title"], "description": said["description"]}
            for code, said in (listing.get("localizations") or {}).items()
        },
        "chapters": _told_chapters(marks),
        "counts": {
            "title_characters": len(title),
            "title_characters_max": channel.TITLE_MAX_CHARACTERS,
            "description_bytes": len(description.encode(errors="surrogatepass")),
            "description_bytes_max": channel.DESCRIPTION_MAX_BYTES,
            "tags_characters": channel.tags_length(tags),
            "tags_characters_max": channel.TAGS_MAX_CHARACTERS,
            "chapters": len(marks),
            "chapters_min": channel.CHAPTERS_MIN,
            "chapter_min_s": channel.CHAPTER_MIN_S,
        },
        "problems": channel.check_listing(listing),
        # YouTube shows the first three hashtags by the title, and chapters along the bar.
        "preview": {
            "title": title,
            "hashtags": hashtags[:3],
            "opening": paragraphs[0] if paragraphs else "",
            "chapters": _told_chapters(marks) if not channel.chapter_problems(marks) else [],
        },
    }


def _told_chapters(marks: Sequence[tuple[float, str]]) -> list[dict[str, Any]]:
    return [{"start_s": t, "clock": channel.clock(t), "name": name} for t, name in marks]


def shipped_templates() -> str:
    """The text of the shipped templates."""
    return channel.shipped_grammar()


def try_templates(wording: Wording, file: Path | None = None) -> dict[str, Any]:
    """What templates (of the settings, or of a file) write of an example. Raises InputError."""
    words = read_words(replace(wording, templates=file or wording.templates))
    facts = TrackFacts(
        track_id="example-1f2e3d4c", mood="chill", bpm=76.0, key="A minor", duration_s=125.0,
        seed=7, palette="dusk",
        plan=Plan(
            bpm=76.0, key=Key.parse("A minor"), swing=0.58,
            sections=tuple(
                Section(name, start, 8, ("drums", "bass", "keys", "lead"), ("Am9", "D7") * 8)
                for start, name in ((0, "A"), (8, "B"), (16, "A'"), (24, "outro"))
            ),
        ),
    )  # fmt: skip
    made = channel.write_listing(
        facts, channel.read_grammar(words.templates), languages=words.languages
    )
    titles = {made.language: made.title}
    titles |= {code: title for code, (title, _) in made.localizations.items()}
    own = file or wording.templates
    return {
        "templates": str(own) if words.templates else "the shipped templates",
        "titles": titles,
        "description": made.description,
        "tags": list(made.tags),
    }


def keyword_sets(wording: Wording) -> list[dict[str, Any]]:
    """The keyword sets by name, with their tags as they are written and where they come from."""
    grammar = channel.read_grammar(read_words(wording).templates)
    return [
        {"name": name, "source": str(table["source"]), "tags": [str(t) for t in table["tags"]]}
        for name, table in grammar.keywords.items()
    ]


# Changing ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What a person changes of a listing; None leaves as it is.

    `chapters` are (start in seconds, name) and take the place of those in the description.
    `localizations` are (title, description) by language, all of them.
    """

    title: str | None = None
    description: str | None = None
    tags: Sequence[str] | None = None
    category: str | None = None
    language: str | None = None
    localizations: Mapping[str, tuple[str, str]] | None = None
    chapters: Sequence[tuple[float, str]] | None = None


def edited(listing: Mapping[str, Any], edit: Edit) -> dict[str, Any]:
    """A listing as a person changed it: whether it keeps the limits is not looked at."""
    snippet = listing["snippet"]
    there = listing.get("localizations") or {}
    localizations = {code: (said["title"], said["description"]) for code, said in there.items()}
    if edit.localizations is not None:
        localizations = {
            code: (_title(title), _description(description))
            for code, (title, description) in edit.localizations.items()
        }
    description = snippet["description"]
    if edit.description is not None:
        description = _description(edit.description)
    if edit.chapters is not None:
        description = channel.with_chapters(description, edit.chapters)
    made = channel.make_request(
        title=snippet["title"] if edit.title is None else _title(edit.title),
        description=description,
        tags=snippet["tags"] if edit.tags is None else [_title(t) for t in edit.tags],
        category=edit.category or snippet["categoryId"],
        language=edit.language or snippet["defaultLanguage"],
        localizations=localizations,
    )
    return {**made, "status": listing["status"]}


def whole(listing: Mapping[str, Any]) -> Edit:
    """The edit that makes any listing into this one."""
    snippet = listing["snippet"]
    there = listing.get("localizations") or {}
    return Edit(
        title=snippet["title"],
        description=snippet["description"],
        tags=snippet["tags"],
        category=snippet["categoryId"],
        language=snippet["defaultLanguage"],
        localizations={c: (said["title"], said["description"]) for c, said in there.items()},
    )


def _title(text: str) -> str:
    return unicodedata.normalize("NFC", re.sub(" {2,}", " ", text).strip(" "))


def _description(text: str) -> str:
    lines = text.replace("\r\n", "\n").split("\n")
    return unicodedata.normalize("NFC", "\n".join(line.rstrip() for line in lines).strip())


def change(
    session: Session, track_id: str, edit: Edit, *, actor: str, sha256: str | None = None
) -> Track:
    """Keep what a person made of a track's listing. What was approved has to be approved again.

    `sha256` is that of the listing which the person looked at, if they say so. Raises InputError
    that names every limit the listing would break, and nothing is changed; NotFoundError; and
    StaleError if somebody has changed it meanwhile.
    """
    from lofi.studio import _tracks

    track = _tracks.find(session, track_id, lock=True)
    before, there = effective(session, track)
    require_same(track, there, sha256)
    after = edited(before, edit)
    problems = channel.check_listing(after)
    if problems:
        raise InputError(f"the listing cannot go out like this: {'; '.join(problems)}. Change it.")
    row = _row(session, track)
    _keep(session, track, row, None if after == _drawn(row, track) else after, actor, before)
    return track


def reset(session: Session, track_id: str, *, actor: str, sha256: str | None = None) -> Track:
    """Give a track the listing of its package again. Raises NotFoundError, StaleError."""
    from lofi.studio import _tracks

    track = _tracks.find(session, track_id, lock=True)
    before, there = effective(session, track)
    require_same(track, there, sha256)
    _keep(session, track, _row(session, track), None, actor, before)
    return track


def require_same(track: Track, there: str, sha256: str | None) -> None:
    """Raise StaleError if a listing is another than the one that was looked at."""
    if sha256 is not None and sha256 != there:
        from lofi.studio._tracks import StaleError

        raise StaleError(
            f"the listing of track {track.id} was changed since you looked at it. Look again and "
            "decide anew."
        )


def _row(session: Session, track: Track) -> Listing:
    row = session.get(Listing, track.id)
    if row is None:
        drawn = _drawn(None, track)
        row = Listing(
            track_id=track.id, commission_sha256="", take=0, drawn=drawn, name=track.title
        )
        _remember_words(row, drawn)
        session.add(row)
    return row


def _keep(
    session: Session, track: Track, row: Listing, after: dict[str, Any] | None, actor: str,
    before: Mapping[str, Any],
) -> None:  # fmt: skip
    from lofi.studio import _tracks

    now_said = after or _drawn(row, track)
    if now_said == before:
        return
    row.edited = after
    row.edited_sha256 = sha256_of(after) if after else None
    row.edited_by, row.edited_at = (actor, now()) if after else (None, None)
    _remember_words(row, now_said)
    session.flush()
    _tracks.settle(session, track)
    parts = ("snippet", "localizations")
    fields = sorted(
        f"{part}.{name}"
        for part in parts
        for name in {*(now_said.get(part) or {}), *(before.get(part) or {})}
        if (now_said.get(part) or {}).get(name) != (before.get(part) or {}).get(name)
    )
    record(
        session, actor, "edited" if after else "reset", "listing", track.id,
        fields=fields, sha256=sha256_of(now_said),
    )  # fmt: skip


# Other words -------------------------------------------------------------------------------------


def drawn_again(session: Session, track: Track, wording: Wording, *, after: int) -> dict[str, Any]:
    """Other words for a finished track, not kept: the next take that is unlike recent listings.

    Its name stays: it stands on the thumbnail. Gives `take` and `listing`. Raises InputError for
    templates that cannot be used, ConflictError when no take is unlike the others.
    """
    words = read_words(wording)
    grammar = channel.read_grammar(words.templates, str(wording.templates))
    facts = _facts_of(track)
    recent = channel.Said(replace(w, name="") for w in recent_words(session, but=track.id))
    said, _ = effective(session, track)
    recent.add(_words_of(said))
    for take in range(after + 1, after + 1 + _TAKES):
        made = channel.write_listing(facts, grammar, languages=words.languages, take=take)
        if not recent.too_alike(Words("", made.title, made.opening)):
            return {"take": take, "listing": made.to_dict()}
    raise ConflictError(
        f"{_TAKES} draws were all like listings of the last {channel.RECENT_DAYS} days. Write it "
        "yourself, or add titles and openings to your templates."
    )


def rewritten(studio: Studio, track_id: str) -> dict[str, Any]:
    """A listing worded anew by the endpoint of the settings, not kept. Gives the listing.

    What it answers passes the same rules as every listing, or is refused. Raises InputError when no
    endpoint is set, LofiError when it does not answer or what it says cannot be used.
    """
    from lofi.studio import _tracks

    wording = studio.settings().listing
    if not wording.rewrite_url or not wording.rewrite_model:
        raise InputError(
            "no endpoint is set that could reword listings. Set listing.rewrite_url and "
            "listing.rewrite_model; nothing needs them."
        )
    with studio.database.read() as session:
        track = _tracks.find(session, track_id)
        listing, _ = effective(session, track)
        name = (track.facts or {}).get("title", track.title)
        recent = recent_words(session, but=track.id)
    endpoint = channel.Endpoint(
        url=wording.rewrite_url,
        model=wording.rewrite_model,
        key=os.environ.get(KEY_VARIABLE, ""),
        within_s=wording.rewrite_within_s,
    )
    made = channel.rewrite(listing, name, endpoint)
    much, what, _ = channel.most_alike(_words_of(made), [replace(w, name="") for w in recent])
    if much >= 1.0:
        raise LofiError(
            f"the endpoint's wording was refused: {what} is like that of a recent listing. Ask it "
            "again, or write it yourself."
        )
    return made
