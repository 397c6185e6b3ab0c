"""The channel: what is said of a track to the world, within YouTube's limits."""

from lofi.channel._listing import (
    Listing,
    TrackFacts,
    chapters,
    check_listing,
    name_track,
    tags_length,
    write_listing,
)

__all__ = [
    "Listing", "TrackFacts", "chapters", "check_listing", "name_track", "tags_length",
    "write_listing",
]  # fmt: skip
