"""The channel: what is said of a track to the world, within YouTube's limits; other ways out."""

from lofi.channel._distributor import Sheet, next_isrc, read_isrc, read_upc, sheet_csv
from lofi.channel._feed import Episode, Show, feed_xml
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
from lofi.channel._site import SiteTrack, site_pages
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
    "BucketState", "Client", "Endpoints", "Episode", "Ledger", "Listing", "Media", "QuotaError",
    "RefusedError", "Sheet", "Show", "SiteTrack", "Tokens", "TrackFacts", "TransientError",
    "UploadLimitError", "YouTube", "YouTubeError", "chapters", "check_listing", "consent",
    "feed_xml", "limits", "name_track", "next_isrc", "next_reset", "pacific_day", "pages",
    "read_client", "read_isrc", "read_upc", "redacted", "refresh", "revoke", "sheet_csv",
    "site_pages", "states", "tags_length", "write_listing",
]  # fmt: skip
