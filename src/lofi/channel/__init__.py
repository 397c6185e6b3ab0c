<<<<<<< HEAD
"""The channel: what is said of a track to the world, and how it gets there."""

from lofi.channel._experiments import (
    EXPERIMENT_KINDS,
    EXPERIMENT_MEASURES,
    MOST_ARMS,
    Block,
    Draw,
    Judgement,
    Pair,
    StoppingRule,
    draw_block,
    evidence,
    judge,
)
from lofi.channel._figures import (
    FIGURE_PARTS,
    METRICS,
    RETENTION,
    Collected,
    Figure,
    Known,
    Reading,
    Step,
    Video,
    collect_figures,
    day_of,
    pacific_day_start,
    plan_figures,
    reach_readings,
    read_figures,
)
from lofi.channel._groups import (
    CONFIDENCE,
    FEWEST,
    FEWEST_IN_ALL,
    Comparison,
    Estimate,
    Trend,
    amount_at_age,
    compare_groups,
    trend,
)
=======
"""The channel: what is said of a track to the world, within YouTube's limits; other ways out."""

from lofi.channel._distributor import Sheet, next_isrc, read_isrc, read_upc, sheet_csv
from lofi.channel._feed import Episode, Show, feed_xml
>>>>>>> main
from lofi.channel._listing import (
    Listing,
    TrackFacts,
    chapters,
    check_listing,
    name_track,
    tags_length,
    write_listing,
)
<<<<<<< HEAD
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
    "BUCKETS", "CONFIDENCE", "COSTS", "EXPERIMENT_KINDS", "EXPERIMENT_MEASURES", "FEWEST",
    "FEWEST_IN_ALL", "FIGURES", "FIGURE_PARTS", "MANAGE", "METRICS", "MOST_ARMS", "PACIFIC",
    "RETENTION", "AmbiguousError", "Api", "AuthError", "Block", "BucketState", "Client",
    "Collected", "Comparison", "Draw", "Endpoints", "Estimate", "Figure", "Judgement", "Known",
    "Ledger", "Listing", "Media", "Pair", "QuotaError", "Reading", "RefusedError", "Step",
    "StoppingRule", "Tokens", "TrackFacts", "TransientError", "Trend", "UploadLimitError", "Video",
    "YouTube", "YouTubeError", "amount_at_age", "chapters", "check_listing", "collect_figures",
    "compare_groups", "consent", "day_of", "draw_block", "evidence", "judge", "limits",
    "name_track", "next_reset", "pacific_day", "pacific_day_start", "pages", "plan_figures",
    "reach_readings", "read_client", "read_figures", "redacted", "refresh", "revoke", "states",
    "tags_length", "trend", "write_listing",
=======
from lofi.channel._site import SiteTrack, site_pages

__all__ = [
    "Episode", "Listing", "Sheet", "Show", "SiteTrack", "TrackFacts", "chapters", "check_listing",
    "feed_xml", "name_track", "next_isrc", "read_isrc", "read_upc", "sheet_csv", "site_pages",
    "tags_length", "write_listing",
>>>>>>> main
]  # fmt: skip
