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
from lofi.channel._hours import (
    MINIMUM,
    BestHours,
    Hour,
    Seen,
    hour_of_week,
    learn_hours,
    views_after,
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
from lofi.channel._oauth import (
    FIGURES,
    MANAGE,
    Client,
    Tokens,
    consent,
    read_client,
    refresh,
    revoke,
)
from lofi.channel._preflight import (
    CATEGORIES,
    PRIVACIES,
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
from lofi.channel._quota import (
    BUCKETS,
    COSTS,
    PACIFIC,
    BucketState,
    Ledger,
    limits,
    next_reset,
    pacific_day,
    states,
)
from lofi.channel._rewrite import (
    Endpoint,
    rewrite,
)
from lofi.channel._site import (
    SiteTrack,
    site_pages,
)
from lofi.channel._slots import (
    WEEKDAYS,
    Conflict,
    Opening,
    Rules,
    Slot,
    at_local,
    conflicts,
    fill,
    free_openings,
    is_opening,
    openings,
    read_slot,
    read_zone,
)
from lofi.channel._upload import (
    CHUNK,
    Lookalike,
    SessionGoneError,
    StoppedError,
    Upload,
    add_to_playlist,
    find_lookalikes,
    insert_call,
    shape_call,
    open_session,
    read_states,
    read_video,
    rehearsal,
    set_thumbnail,
    update_video,
    wider,
)
from lofi.channel._youtube import (
    AmbiguousError,
    Api,
    AuthError,
    Endpoints,
    Media,
    QuotaError,
    RefusedError,
    TransientError,
    UploadLimitError,
    YouTube,
    YouTubeError,
    pages,
    redacted,
)

__all__ = [
    "BUCKETS", "CATEGORIES", "CHAPTERS_MIN", "CHAPTER_MIN_S", "CHUNK", "COSTS",
    "DESCRIPTION_MAX_BYTES", "FIGURES", "LANGUAGES", "MANAGE", "MELODIES_ALIKE", "MINIMUM",
    "PACIFIC", "PRIVACIES", "RECENT_DAYS", "RULES", "TAGS_MAX_CHARACTERS", "THUMBNAILS_ALIKE",
    "TITLES_ALIKE", "TITLE_MAX_CHARACTERS", "WEEKDAYS", "AmbiguousError", "Api", "Approved",
    "AuthError", "BestHours", "BucketState", "Candidate", "Client", "Conflict", "Encoding",
    "Endpoint", "Endpoints", "Episode", "Finding", "Grammar", "Hour", "Ledger", "Listing",
    "Lookalike", "Media", "Opening", "Picture", "QuotaError", "Recent", "RefusedError", "Rule",
    "Rules", "Seen", "SessionGoneError", "Sheet", "Show", "SiteTrack", "Slot", "StoppedError",
    "Tokens", "TrackFacts", "TransientError", "Upload", "UploadLimitError", "Words", "YouTube",
    "YouTubeError", "add_to_playlist", "at_local", "chapter_problems", "chapters",
    "check_languages", "check_listing", "clock", "conflicts", "consent", "feed_xml", "fill",
    "find_lookalikes", "fitting_tags", "free_openings", "hour_of_week", "insert_call",
    "is_opening", "learn_hours", "limits", "make_request", "melody_alikeness", "most_alike",
    "name_track", "next_isrc", "next_reset", "open_session", "openings", "pacific_day", "pages",
    "passes", "preflight", "read_chapters", "read_client", "read_encoding", "read_grammar",
    "read_isrc", "read_picture", "read_slot", "read_states", "read_upc", "read_video",
    "read_zone", "redacted", "refresh", "rehearsal", "revoke", "rewrite", "set_thumbnail",
    "shape_call", "sheet_csv", "shipped_grammar", "site_pages", "states", "tags_length",
    "thumbnail_alikeness", "title_alikeness", "update_video", "views_after", "wider",
    "with_chapters", "words_alike", "write_listing",
]  # fmt: skip
