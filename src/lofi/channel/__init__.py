"""The channel: what is said of a track to the world, and how it gets there."""

from lofi.channel._classify import COMMENT_CATEGORIES, GUESSING, Guess, classify, classify_all
from lofi.channel._comments import (
    COMMENT_LISTINGS,
    MODERATIONS,
    MOST_MODERATED,
    NOT_IN_THE_API,
    SEGMENTS,
    RemoteComment,
    Segment,
    Thread,
    ThreadPage,
    check_reply,
    read_replies,
    read_thread_page,
    read_threads,
    segment_of,
    send_reply,
    set_comment_state,
)
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
from lofi.channel._replies import (
    BLANK,
    REPLY_FACTS,
    REPLY_TEMPLATES,
    UNANSWERED,
    check_reply_templates,
    reply_facts,
    suggest_reply,
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
    "BLANK", "BUCKETS", "COMMENT_CATEGORIES", "COMMENT_LISTINGS", "COSTS", "FIGURES", "GUESSING",
    "MANAGE", "MODERATIONS", "MOST_MODERATED", "NOT_IN_THE_API", "PACIFIC", "REPLY_FACTS",
    "REPLY_TEMPLATES", "SEGMENTS", "UNANSWERED", "AmbiguousError", "Api", "AuthError",
    "BucketState", "Client", "Endpoints", "Episode", "Guess", "Ledger", "Listing", "Media",
    "QuotaError", "RefusedError", "RemoteComment", "Segment", "Sheet", "Show", "SiteTrack",
    "Thread", "ThreadPage", "Tokens", "TrackFacts", "TransientError", "UploadLimitError", "YouTube",
    "YouTubeError", "chapters", "check_listing", "check_reply", "check_reply_templates", "classify",
    "classify_all", "consent", "feed_xml", "limits", "name_track", "next_isrc", "next_reset",
    "pacific_day", "pages", "read_client", "read_isrc", "read_replies", "read_thread_page",
    "read_threads", "read_upc", "redacted", "refresh", "reply_facts", "revoke", "segment_of",
    "send_reply", "set_comment_state", "sheet_csv", "site_pages", "states", "suggest_reply",
    "tags_length", "write_listing",
]  # fmt: skip
