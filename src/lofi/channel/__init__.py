"""The channel: what is said of a track to the world, how it gets there; and other ways out."""

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
    Listing,
    TrackFacts,
    chapters,
    check_listing,
    name_track,
    tags_length,
    write_listing,
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
    "BUCKETS", "CHUNK", "COSTS", "FIGURES", "MANAGE", "MINIMUM", "PACIFIC", "WEEKDAYS",
    "AmbiguousError", "Api", "AuthError", "BestHours", "BucketState", "Client", "Conflict",
    "Endpoints", "Episode", "Hour", "Ledger", "Listing", "Lookalike", "Media", "Opening",
    "QuotaError", "RefusedError", "Rules", "Seen", "SessionGoneError", "Sheet", "Show", "SiteTrack",
    "Slot", "StoppedError", "Tokens", "TrackFacts", "TransientError", "Upload", "UploadLimitError",
    "YouTube", "YouTubeError", "add_to_playlist", "at_local", "chapters", "check_listing",
    "conflicts", "consent", "feed_xml", "fill", "find_lookalikes", "free_openings", "hour_of_week",
    "insert_call", "is_opening", "learn_hours", "limits", "name_track", "next_isrc", "next_reset",
    "open_session", "openings", "pacific_day", "pages", "read_client", "read_isrc", "read_slot",
    "read_states", "read_upc", "read_video", "read_zone", "redacted", "refresh", "rehearsal",
    "revoke", "set_thumbnail", "sheet_csv", "site_pages", "states", "tags_length", "update_video",
    "views_after", "wider", "write_listing",
]  # fmt: skip
