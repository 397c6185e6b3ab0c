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
    "BUCKETS", "COSTS", "FIGURES", "MANAGE", "PACIFIC", "AmbiguousError", "Api", "AuthError",
    "BucketState", "Client", "Endpoints", "Ledger", "Listing", "Media", "QuotaError",
    "RefusedError", "Tokens", "TrackFacts", "TransientError", "UploadLimitError", "YouTube",
    "YouTubeError", "chapters", "check_listing", "consent", "limits", "name_track", "next_reset",
    "pacific_day", "pages", "read_client", "redacted", "refresh", "revoke", "states", "tags_length",
    "write_listing",
]  # fmt: skip
