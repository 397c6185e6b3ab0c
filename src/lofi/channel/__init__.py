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
from lofi.channel._site import SiteTrack, site_pages

__all__ = [
    "Episode", "Listing", "Sheet", "Show", "SiteTrack", "TrackFacts", "chapters", "check_listing",
    "feed_xml", "name_track", "next_isrc", "read_isrc", "read_upc", "sheet_csv", "site_pages",
    "tags_length", "write_listing",
]  # fmt: skip
