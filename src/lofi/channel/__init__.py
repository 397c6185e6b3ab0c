"""The channel: what is said of a track to the world, and what must hold before it is.

Heavy libraries (jinja2, av, skia, httpx) are imported when something is done with them.
"""

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
    words_alike,
)
from lofi.channel._grammar import Grammar, read_grammar, shipped_grammar
from lofi.channel._listing import (
    CHAPTER_MIN_S,
    CHAPTERS_MIN,
    DESCRIPTION_MAX_BYTES,
    LANGUAGES,
    TAGS_MAX_CHARACTERS,
    TITLE_MAX_CHARACTERS,
    Listing,
    TrackFacts,
    chapter_problems,
    chapters,
    check_languages,
    clock,
    fitting_tags,
    make_request,
    name_track,
    read_chapters,
    tags_length,
    with_chapters,
    write_listing,
)
from lofi.channel._media import Encoding, Picture, read_encoding, read_picture
from lofi.channel._preflight import (
    CATEGORIES,
    RULES,
    Approved,
    Candidate,
    Finding,
    Recent,
    Rule,
    check_listing,
    passes,
    preflight,
)
from lofi.channel._rewrite import Endpoint, rewrite

__all__ = [
    "CATEGORIES", "CHAPTERS_MIN", "CHAPTER_MIN_S", "DESCRIPTION_MAX_BYTES", "LANGUAGES",
    "MELODIES_ALIKE", "RECENT_DAYS", "RULES", "TAGS_MAX_CHARACTERS", "THUMBNAILS_ALIKE",
    "TITLES_ALIKE", "TITLE_MAX_CHARACTERS", "Approved", "Candidate", "Encoding", "Endpoint",
    "Finding", "Grammar", "Listing", "Picture", "Recent", "Rule", "TrackFacts", "Words",
    "chapter_problems", "chapters", "check_languages", "check_listing", "clock", "fitting_tags",
    "make_request", "melody_alikeness", "most_alike", "name_track", "passes", "preflight",
    "read_chapters", "read_encoding", "read_grammar", "read_picture", "rewrite",
    "shipped_grammar", "tags_length", "thumbnail_alikeness", "title_alikeness", "with_chapters",
    "words_alike", "write_listing",
]  # fmt: skip
