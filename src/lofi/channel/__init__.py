"""The channel: what is said of a track, what must hold before it goes out, and how it does.

Heavy libraries (jinja2, av, skia, httpx, google) are imported when something is done with them.
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
from lofi.channel._distributor import (
    Sheet,
    next_isrc,
    read_isrc,
    read_upc,
    sheet_csv,
)
from lofi.channel._feed import (
    Episode,
    Show,
    feed_xml,
)
from lofi.channel._grammar import (
    Grammar,
    read_grammar,
    shipped_grammar,
)
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
    check_listing,
    clock,
    fitting_tags,
    make_request,
    name_track,
    read_chapters,
    tags_length,
    with_chapters,
    write_listing,
)
from lofi.channel._media import (
    Encoding,
    Picture,
    read_encoding,
    read_picture,
)
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
from lofi.channel._rewrite import (
    Endpoint,
    rewrite,
)
from lofi.channel._site import (
    SiteTrack,
    site_pages,
)

__all__ = [
    "CATEGORIES", "CHAPTERS_MIN", "CHAPTER_MIN_S", "DESCRIPTION_MAX_BYTES", "LANGUAGES",
    "MELODIES_ALIKE", "RECENT_DAYS", "RULES", "TAGS_MAX_CHARACTERS", "THUMBNAILS_ALIKE",
    "TITLES_ALIKE", "TITLE_MAX_CHARACTERS", "Approved", "Candidate", "Encoding", "Endpoint",
    "Episode", "Finding", "Grammar", "Listing", "Picture", "Recent", "Rule", "Sheet", "Show",
    "SiteTrack", "TrackFacts", "Words", "chapter_problems", "chapters", "check_languages",
    "check_listing", "clock", "feed_xml", "fitting_tags", "make_request", "melody_alikeness",
    "most_alike", "name_track", "next_isrc", "passes", "preflight", "read_chapters",
    "read_encoding", "read_grammar", "read_isrc", "read_picture", "read_upc", "rewrite",
    "sheet_csv", "shipped_grammar", "site_pages", "tags_length", "thumbnail_alikeness",
    "title_alikeness", "with_chapters", "words_alike", "write_listing",
]  # fmt: skip
