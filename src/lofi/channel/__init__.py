"""The channel: what is said of a track to the world, within YouTube's limits."""

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

__all__ = [
    "MINIMUM", "WEEKDAYS", "BestHours", "Conflict", "Hour", "Listing", "Opening", "Rules", "Seen",
    "Slot", "TrackFacts", "at_local", "chapters", "check_listing", "conflicts", "fill",
    "free_openings", "hour_of_week", "is_opening", "learn_hours", "name_track", "openings",
    "read_slot", "read_zone", "tags_length", "views_after", "write_listing",
]  # fmt: skip
