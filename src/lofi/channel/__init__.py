"""The channel: what is said of a track to the world, and how it gets there."""

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
    "BUCKETS", "CHUNK", "COSTS", "FIGURES", "MANAGE", "PACIFIC", "AmbiguousError", "Api",
    "AuthError", "BucketState", "Client", "Endpoints", "Ledger", "Listing", "Lookalike", "Media",
    "QuotaError", "RefusedError", "SessionGoneError", "StoppedError", "Tokens", "TrackFacts",
    "TransientError", "Upload", "UploadLimitError", "YouTube", "YouTubeError", "add_to_playlist",
    "chapters", "check_listing", "consent", "find_lookalikes", "insert_call", "limits",
    "name_track", "next_reset", "open_session", "pacific_day", "pages", "read_client",
    "read_states", "read_video", "redacted", "refresh", "rehearsal", "revoke", "set_thumbnail",
    "states", "tags_length", "update_video", "wider", "write_listing",
]  # fmt: skip
