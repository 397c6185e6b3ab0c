"""The preflight: all that must hold before a track goes out, as one table of rules.

Each rule says where it comes from. A rule that blocks keeps a track from being sent; one that warns
is for a person to weigh. What is not known is told as such and neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from lofi.channel._alike import (
    MELODIES_ALIKE,
    RECENT_DAYS,
    THUMBNAILS_ALIKE,
    TITLES_ALIKE,
    Words,
    melody_alikeness,
    most_alike,
    thumbnail_alikeness,
    title_alikeness,
)
from lofi.channel._listing import (
    DESCRIPTION_MAX_BYTES,
    TAGS_MAX_CHARACTERS,
    TITLE_MAX_CHARACTERS,
    chapter_problems,
    read_chapters,
    tags_length,
)
from lofi.channel._media import Encoding, Picture

PRIVACIES = ("private", "unlisted", "public")  # each lets more people see it
THUMBNAIL_MAX_BYTES = 2_000_000
HASHTAGS_MAX = 60
LONG_S = 15 * 60

# YouTube's categories that a video may be given, as `videoCategories.list` tells of the US.
CATEGORIES = {
    "1": "Film & Animation", "2": "Autos & Vehicles", "10": "Music", "15": "Pets & Animals",
    "17": "Sports", "19": "Travel & Events", "20": "Gaming", "22": "People & Blogs",
    "23": "Comedy", "24": "Entertainment", "25": "News & Politics", "26": "Howto & Style",
    "27": "Education", "28": "Science & Technology", "29": "Nonprofits & Activism",
}  # fmt: skip

_VIDEOS = "YouTube Data API, videos resource: developers.google.com/youtube/v3/docs/videos"
_INSERT = "YouTube Data API, videos.insert: developers.google.com/youtube/v3/docs/videos/insert"
_CHAPTERS = "YouTube Help, Video chapters: support.google.com/youtube/answer/9884579"
_HASHTAGS = "YouTube Help, Use hashtags: support.google.com/youtube/answer/6390658"
_SYNTHETIC = (
    "YouTube Help, Disclosing use of altered or synthetic content: "
    "support.google.com/youtube/answer/14328491"
)
_KIDS = "YouTube Help, Made for kids: support.google.com/youtube/answer/9528076"
_THUMBNAILS = "YouTube Help, Add video thumbnails: support.google.com/youtube/answer/72431"
_ENCODING = (
    "YouTube Help, Recommended upload encoding settings: support.google.com/youtube/answer/1722171"
)
_LONG = "YouTube Help, Upload longer videos: support.google.com/youtube/answer/71673"
_QUOTA = "YouTube Data API, quota: developers.google.com/youtube/v3/determine_quota_cost"
_POLICY = (
    "YouTube Help, Channel monetization policies, inauthentic content: "
    "support.google.com/youtube/answer/1311392"
)
_OURS = "our own rule"

Severity = Literal["block", "warn"]
Outcome = Literal["ok", "warn", "block", "unknown"]


@dataclass(frozen=True, slots=True)
class Approved:
    """A person's approval of exactly these bytes: how public it may become, and what they noted."""

    privacy: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Recent:
    """An own release of the last 90 days. What is None could not be told."""

    what: str
    title: str
    melody: str | None = None
    thumbnail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """All that is known of a track that would go out. What is None is not known.

    `listing` is as `Listing.to_dict`. `uploads_left` and `units_left` are of today's quota, and
    `units_needed` what comes with the upload. `recent` are the own releases of the last 90 days;
    `that_day` how many there are on the day it would go out, of `most_a_day` (0: any number).
    `moment` is now.
    """

    listing: Mapping[str, Any]
    video: Encoding | None = None
    thumbnail: Picture | None = None
    melody: str | None = None
    verdict: str = "not checked"
    approval: Approved | None = None
    uploads_left: int | None = None
    units_left: int | None = None
    units_needed: int = 50  # thumbnails.set
    recent: Sequence[Recent] | None = None
    that_day: int | None = None
    most_a_day: int = 0
    moment: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Why a rule cannot be looked at."""

    why: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must hold. `check` tells what is wrong, nothing where all is well."""

    id: str
    says: str
    source: str
    severity: Severity
    about: Literal["listing", "files", "track", "channel"]
    check: Callable[[Candidate], Sequence[str] | Unknown]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a rule."""

    id: str
    says: str
    source: str
    severity: Severity
    outcome: Outcome
    detail: str

    def to_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return {n: getattr(self, n) for n in self.__slots__}


def preflight(candidate: Candidate) -> list[Finding]:
    """What came of every rule, in the order of the table."""
    return [_find(rule, candidate) for rule in RULES]


def passes(findings: Sequence[Finding]) -> bool:
    """Whether nothing keeps the track from being sent."""
    return all(f.outcome != "block" for f in findings)


def check_listing(listing: Mapping[str, Any]) -> list[str]:
    """Every limit that a listing (as `Listing.to_dict`) breaks, in plain words."""
    found = (_find(r, Candidate(listing=listing)) for r in RULES if r.about == "listing")
    return [f.detail for f in found if f.outcome == "block"]


def _find(rule: Rule, candidate: Candidate) -> Finding:
    found = rule.check(candidate)
    outcome: Outcome
    if isinstance(found, Unknown):
        outcome, detail = "unknown", found.why
    else:
        outcome, detail = (rule.severity if found else "ok"), "; ".join(found)
    return Finding(rule.id, rule.says, rule.source, rule.severity, outcome, detail)


# What a listing says -----------------------------------------------------------------------------


def _part(c: Candidate, name: str) -> Mapping[str, Any]:
    return c.listing.get(name) or {}


def _text(c: Candidate, name: str) -> str:
    return str(_part(c, "snippet").get(name) or "")


def _tags(c: Candidate) -> list[str]:
    return [str(t) for t in _part(c, "snippet").get("tags") or []]


def _localized(c: Candidate) -> list[tuple[str, str, str]]:
    """(language, title, description) of all localizations."""
    return [
        (code, str(said.get("title") or ""), str(said.get("description") or ""))
        for code, said in _part(c, "localizations").items()
    ]


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _brackets(text: str) -> bool:
    return "<" in text or ">" in text


def _when(wrong: bool, says: str) -> list[str]:
    return [says] if wrong else []


def _strange(c: Candidate) -> list[str]:
    """What is no text: halves of characters, and characters that steer where others go."""
    texts = {"title": _text(c, "title"), "description": _text(c, "description")}
    texts |= {f"tag {tag[:20]!r}": tag for tag in _tags(c)}
    for code, title, description in _localized(c):
        texts |= {f"{code} title": title, f"{code} description": description}
    return [
        f"the {what} holds the character U+{ord(bad):04X}"
        for what, text in texts.items()
        if (bad := next((x for x in text if _is_strange(x, "title" in what or "tag" in what)), ""))
    ]


def _is_strange(character: str, one_line: bool) -> bool:
    code = ord(character)
    if character in "\n\t\r":
        return one_line
    controls = code < 32 or 127 <= code < 160 or 0x2028 <= code <= 0x2029
    turning = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069  # text the other way round
    return controls or turning or 0xD800 <= code < 0xE000


def _localizations(c: Candidate) -> list[str]:
    wrong = []
    for code, title, description in _localized(c):
        if not title.strip():
            wrong.append(f"the {code} title is empty")
        if len(title) > TITLE_MAX_CHARACTERS:
            wrong.append(f"the {code} title is longer than {TITLE_MAX_CHARACTERS} characters")
        if _bytes(description) > DESCRIPTION_MAX_BYTES:
            wrong.append(f"the {code} description is longer than {DESCRIPTION_MAX_BYTES} bytes")
        if _brackets(title + description):
            wrong.append(f"the {code} text holds < or >")
        if code == _part(c, "snippet").get("defaultLanguage"):
            wrong.append(f"{code} is the video's own language and cannot be a localization too")
        wrong += [f"{code}: {w}" for w in chapter_problems(read_chapters(description))]
    if _part(c, "localizations") and not _part(c, "snippet").get("defaultLanguage"):
        wrong.append("defaultLanguage is missing: localizations need it")
    return wrong


def _category(c: Candidate) -> list[str]:
    category = _text(c, "categoryId")
    return _when(
        category not in CATEGORIES, f"categoryId {category!r} is none of {', '.join(CATEGORIES)}"
    )


def _parts(c: Candidate) -> list[str]:
    part = _part(c, "query").get("part") or ""
    told = part.split(",") if isinstance(part, str) else list(part)
    there = [p for p in ("snippet", "status", "localizations") if c.listing.get(p)]
    return [f"{p} is sent and not named in part: it would be dropped" for p in there
            if p not in told]  # fmt: skip


def _publish_at(c: Candidate) -> list[str]:
    status = _part(c, "status")
    if "publishAt" not in status:
        return []
    wrong = _when(
        status.get("privacyStatus") != "private", "publishAt goes only with privacyStatus private"
    )
    try:
        at = datetime.fromisoformat(str(status["publishAt"]).replace("Z", "+00:00"))
    except ValueError:
        return [*wrong, "publishAt is no moment in ISO 8601"]
    if at.tzinfo is None:
        return [*wrong, "publishAt has no time zone"]
    passed = c.moment is not None and at <= c.moment
    return wrong + _when(passed, "publishAt has passed: it would be public")


def _chapters(c: Candidate) -> list[str]:
    marks = read_chapters(_text(c, "description"))
    wrong = chapter_problems(marks)
    length_s = c.video.duration_s if c.video else None
    if marks and length_s is not None and marks[-1][0] >= length_s:
        wrong.append("a chapter begins after the video has ended")
    return wrong


# What the files are ------------------------------------------------------------------------------

_NO_VIDEO = "there is no video"
_NO_THUMBNAIL = Unknown("there is no thumbnail")


def _of_video(check: Callable[[Encoding], Sequence[str]]) -> Callable[[Candidate], Any]:
    return lambda c: check(c.video) if c.video else Unknown(_NO_VIDEO)


def _of_thumbnail(check: Callable[[Picture], Sequence[str]]) -> Callable[[Candidate], Any]:
    return lambda c: check(c.thumbnail) if c.thumbnail else _NO_THUMBNAIL


def _container(v: Encoding) -> list[str]:
    return [
        *_when(v.container != "mp4", f"the container is {v.container}, not MP4"),
        *_when(not v.faststart, "the index stands behind the media, not in front (faststart)"),
        *_when(v.edit_lists > 0, "there is an edit list"),
    ]


def _picture_coding(v: Encoding) -> list[str]:
    return [
        *_when(v.video_codec != "h264", f"the video is {v.video_codec}, not H.264"),
        *_when(v.profile != "High", f"the profile is {v.profile or 'not told'}, not High"),
        *_when(v.pixel_format != "yuv420p", f"pixels are {v.pixel_format}, not 4:2:0 (yuv420p)"),
        *_when(v.b_frames > 2, f"{v.b_frames} B-frames stand in a row, more than 2"),
        *_when(
            v.longest_group > max(1.0, v.fps / 2) + 0.5,
            f"a group of pictures has {v.longest_group} frames, more than half of {v.fps:g}",
        ),
    ]


def _frame(v: Encoding) -> list[str]:
    return [
        *_when(v.height < 720, f"{v.width}×{v.height} is no HD: at least 1280×720"),
        *_when(v.width * 9 != v.height * 16, f"{v.width}×{v.height} is not 16:9"),
        *_when(not 23 <= v.fps <= 60, f"{v.fps:g} frames a second, not 24 to 60"),
    ]


def _sound_coding(v: Encoding) -> list[str]:
    return [
        *_when(
            v.audio_codec != "aac" or v.audio_profile not in ("", "LC"),
            f"the sound is {v.audio_codec} {v.audio_profile}".rstrip() + ", not AAC-LC",
        ),
        *_when(v.sample_rate != 48_000, f"the sound has {v.sample_rate} Hz, not 48000"),
        *_when(v.channels != 2, f"the sound has {v.channels} channels, not 2"),
        *_when(
            v.audio_bit_rate < 320_000,
            f"the sound has {v.audio_bit_rate / 1000:.0f} kb/s, well below 384",
        ),
    ]


def _lengths(v: Encoding) -> list[str]:
    return _when(
        abs(v.video_s - v.audio_s) > 0.5,
        f"the picture lasts {v.video_s:.1f} s, the sound {v.audio_s:.1f} s",
    )


# What the track and the channel are --------------------------------------------------------------


def _originality(c: Candidate) -> list[str]:
    if c.verdict != "block" or (c.approval and c.approval.note):
        return []
    return ["it resembles a work of the library too much, and no approval says why it may go out"]


def _approval(c: Candidate) -> list[str]:
    return _when(c.approval is None, "nobody has approved exactly these bytes")


def _how_public(c: Candidate) -> list[str]:
    status = _part(c, "status")
    # What is private until a moment is public after it.
    asked = "public" if "publishAt" in status else str(status.get("privacyStatus"))
    allowed = c.approval.privacy if c.approval else "private"
    if asked not in PRIVACIES or allowed not in PRIVACIES:
        return []
    return _when(
        PRIVACIES.index(asked) > PRIVACIES.index(allowed),
        f"it would be {asked}; the approval allows {allowed}" if c.approval
        else f"it would be {asked}, and there is no approval",
    )  # fmt: skip


def _uploads(c: Candidate) -> list[str] | Unknown:
    if c.uploads_left is None:
        return Unknown("no account is connected, so no quota is counted")
    return _when(c.uploads_left < 1, "no upload is left today")


def _units(c: Candidate) -> list[str] | Unknown:
    if c.units_left is None:
        return Unknown("no account is connected, so no quota is counted")
    return _when(
        c.units_left < c.units_needed,
        f"{c.units_left} units are left today; what follows the upload costs {c.units_needed}",
    )


def _per_day(c: Candidate) -> list[str] | Unknown:
    if not c.most_a_day:
        return []
    if c.that_day is None:
        return Unknown("the releases of the day are not known")
    return _when(
        c.that_day >= c.most_a_day,
        f"{c.that_day} of at most {c.most_a_day} go out on that day already",
    )


_NO_RECENT = Unknown("the recent releases are not known")


def _same_title(c: Candidate) -> list[str] | Unknown:
    if c.recent is None:
        return _NO_RECENT
    title = _text(c, "title").casefold().split()
    same = [r.what for r in c.recent if r.title.casefold().split() == title]
    return _when(bool(same), f"{', '.join(same[:3])} has the same title")


def _alike_title(c: Candidate) -> list[str] | Unknown:
    if c.recent is None:
        return _NO_RECENT
    words = Words("", _text(c, "title"), "")
    much, _, other = most_alike(words, (Words(r.what, r.title, "") for r in c.recent))
    if other is None or much < 1.0:
        return []
    share = title_alikeness(words.title, other.title)
    return [f"{share:.0%} of its words and pairs are those of {other.name}: {other.title!r}"]


def _alike(
    c: Candidate, own: str | None, of: Callable[[Recent], str | None],
    measure: Callable[[str, str], float], limit: float, says: str,
) -> list[str] | Unknown:  # fmt: skip
    if c.recent is None:
        return _NO_RECENT
    if own is None:
        return Unknown("of this track it could not be told")
    compared = [(measure(own, there), r) for r in c.recent if (there := of(r)) is not None]
    much, other = max(compared, key=lambda pair: pair[0], default=(0.0, None))
    if other is not None and much >= limit:
        return [f"{much:.0%} {says} {other.what}"]
    if left := len(c.recent) - len(compared):
        return Unknown(f"{left} of {len(c.recent)} recent releases do not tell theirs")
    return []


def _alike_melody(c: Candidate) -> list[str] | Unknown:
    if c.approval and c.approval.note:  # a person says why
        return []
    return _alike(c, c.melody, lambda r: r.melody, melody_alikeness, MELODIES_ALIKE,
                  "of its melodic phrases are those of")  # fmt: skip


def _alike_thumbnail(c: Candidate) -> list[str] | Unknown:
    own = c.thumbnail.likeness if c.thumbnail else None
    return _alike(c, own, lambda r: r.thumbnail, thumbnail_alikeness, THUMBNAILS_ALIKE,
                  "of its thumbnail looks like that of")  # fmt: skip


# The table ---------------------------------------------------------------------------------------

_HASHTAG = re.compile(r"(?:^|\s)#\w+")

RULES: tuple[Rule, ...] = (
    Rule("title", "there is a title", _VIDEOS, "block", "listing",
         lambda c: _when(not _text(c, "title").strip(), "the title is empty")),
    Rule("title-length", f"the title has at most {TITLE_MAX_CHARACTERS} characters", _VIDEOS,
         "block", "listing",
         lambda c: _when(len(_text(c, "title")) > TITLE_MAX_CHARACTERS,
                         f"the title is longer than {TITLE_MAX_CHARACTERS} characters")),
    Rule("title-brackets", "the title holds neither < nor >", _VIDEOS, "block", "listing",
         lambda c: _when(_brackets(_text(c, "title")), "the title holds < or >")),
    Rule("description-bytes", f"the description has at most {DESCRIPTION_MAX_BYTES} bytes in UTF-8",
         _VIDEOS, "block", "listing",
         lambda c: _when(_bytes(_text(c, "description")) > DESCRIPTION_MAX_BYTES,
                         f"the description is longer than {DESCRIPTION_MAX_BYTES} bytes")),
    Rule("description-brackets", "the description holds neither < nor >", _VIDEOS, "block",
         "listing",
         lambda c: _when(_brackets(_text(c, "description")), "the description holds < or >")),
    Rule("tags-length", f"the tags count at most {TAGS_MAX_CHARACTERS} characters: with a comma "
         "between them and two more for a tag with a space", _VIDEOS, "block", "listing",
         lambda c: _when(tags_length(_tags(c)) > TAGS_MAX_CHARACTERS,
                         f"the tags count more than {TAGS_MAX_CHARACTERS} characters")),
    Rule("tags-plain", "no tag is empty or holds a comma, < or >", _VIDEOS, "block", "listing",
         lambda c: _when(any(_brackets(t) for t in _tags(c)), "a tag holds < or >")
         + _when(any("," in t for t in _tags(c)), "a tag holds a comma: it would be two")
         + _when(not all(t.strip() for t in _tags(c)), "a tag is empty")),
    Rule("text", "all texts are whole characters, titles and tags in one line", _OURS, "block",
         "listing", _strange),
    Rule("category", "the category is one that a video may be given", _VIDEOS, "block", "listing",
         _category),
    Rule("localizations", "every localization keeps the same limits, beside a default language",
         _VIDEOS, "block", "listing", _localizations),
    Rule("parts", "part names all that is sent", _INSERT, "block", "listing", _parts),
    Rule("privacy", "privacyStatus is said: left out it means public since 2 November 2026",
         _INSERT, "block", "listing",
         lambda c: _when(_part(c, "status").get("privacyStatus") not in PRIVACIES,
                         "privacyStatus must be said: private, unlisted or public")),
    Rule("publish-at", "a moment of publication lies ahead, of a video that is private until then",
         _VIDEOS, "block", "listing", _publish_at),
    Rule("synthetic", "generated music is disclosed (containsSyntheticMedia)", _SYNTHETIC, "block",
         "listing",
         lambda c: _when(_part(c, "status").get("containsSyntheticMedia") is not True,
                         "containsSyntheticMedia must be true: the music is generated")),
    Rule("kids", "whether it is made for kids is said", _KIDS, "block", "listing",
         lambda c: _when(not isinstance(_part(c, "status").get("selfDeclaredMadeForKids"), bool),
                         "selfDeclaredMadeForKids must be said")),
    Rule("notify", "whether subscribers are told is said: left out they are", _INSERT, "block",
         "listing",
         lambda c: _when(not isinstance(_part(c, "query").get("notifySubscribers"), bool),
                         "notifySubscribers must be said: left out it is true")),
    Rule("chapters", "chapters begin at 0:00, are three or more, in order, each 10 s or longer",
         _CHAPTERS, "block", "listing", _chapters),
    Rule("hashtags", f"there are at most {HASHTAGS_MAX} hashtags: of more, none counts", _HASHTAGS,
         "block", "listing",
         lambda c: _when(
             len(_HASHTAG.findall(f"{_text(c, 'title')}\n{_text(c, 'description')}"))
             > HASHTAGS_MAX, f"there are more than {HASHTAGS_MAX} hashtags")),
    Rule("video", "there is a video", _INSERT, "block", "files",
         lambda c: _when(c.video is None, _NO_VIDEO)),
    Rule("container", "MP4 with its index in front and no edit list", _ENCODING, "warn", "files",
         _of_video(_container)),
    Rule("picture-coding", "H.264 High, 4:2:0, at most two B-frames, a key frame every half second",
         _ENCODING, "warn", "files", _of_video(_picture_coding)),
    Rule("frame", "HD or larger, 16:9, 24 to 60 frames a second", _ENCODING, "warn", "files",
         _of_video(_frame)),
    Rule("sound-coding", "AAC-LC, stereo, 48 kHz, about 384 kb/s", _ENCODING, "warn", "files",
         _of_video(_sound_coding)),
    Rule("same-length", "sound and picture are equally long", _OURS, "block", "files",
         _of_video(_lengths)),
    Rule("long", "15 minutes at most, unless the account is verified", _LONG, "warn", "files",
         _of_video(lambda v: _when(v.duration_s > LONG_S,
                                   f"it lasts {v.duration_s / 60:.1f} minutes"))),
    Rule("thumbnail", "there is a thumbnail", _OURS, "warn", "files",
         lambda c: _when(c.thumbnail is None, "there is none: YouTube would choose a frame")),
    Rule("thumbnail-bytes", "the thumbnail has at most 2 MB", _THUMBNAILS, "block", "files",
         _of_thumbnail(lambda p: _when(p.bytes > THUMBNAIL_MAX_BYTES,
                                       f"it has {p.bytes / 1e6:.2f} MB"))),
    Rule("thumbnail-kind", "the thumbnail is a JPEG or PNG of 1280×720, or larger and 16:9",
         _THUMBNAILS, "block", "files",
         _of_thumbnail(lambda p: _when(p.kind not in ("jpeg", "png"), f"it is {p.kind}")
                       + _when(p.width < 1280 or p.width * 9 != p.height * 16,
                               f"it is {p.width}×{p.height}"))),
    Rule("originality", "it copies no work of the library, or an approval says why it may go out",
         "the originality report of the track", "block", "track", _originality),
    Rule("originality-sure", "its originality was checked, and needs no second look",
         "the originality report of the track", "warn", "track",
         lambda c: _when(c.verdict in ("review", "not checked"), f"the verdict is: {c.verdict}")),
    Rule("approval", "a person has approved exactly these bytes", _OURS, "block", "track",
         _approval),
    Rule("how-public", "it becomes no more public than was approved", _OURS, "block", "track",
         _how_public),
    Rule("uploads-left", "an upload of today's quota is left", _QUOTA, "block", "channel",
         _uploads),
    Rule("units-left", "enough units of today's quota are left", _QUOTA, "block", "channel",
         _units),
    # The schedule keeps this by itself; a person may have it otherwise.
    Rule("per-day", "no more go out on a day than was set", f"{_OURS}, after {_POLICY}", "warn",
         "channel", _per_day),
    Rule("same-title", f"no release of the last {RECENT_DAYS} days has the same title", _POLICY,
         "block", "channel", _same_title),
    Rule("alike-title", f"no title of the last {RECENT_DAYS} days is much like it (from "
         f"{TITLES_ALIKE:.0%} of words and pairs of words)", _POLICY, "warn", "channel",
         _alike_title),
    Rule("alike-sound", f"no release of the last {RECENT_DAYS} days has its melodies (from "
         f"{MELODIES_ALIKE:.0%} of phrases), or an approval says why it may go out", _POLICY,
         "block", "channel", _alike_melody),
    Rule("alike-thumbnail", f"no thumbnail of the last {RECENT_DAYS} days looks like it (from "
         f"{THUMBNAILS_ALIKE:.0%})", _POLICY, "warn", "channel", _alike_thumbnail),
)  # fmt: skip
