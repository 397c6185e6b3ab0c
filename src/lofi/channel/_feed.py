"""A podcast feed: RSS 2.0 with what podcast directories ask for beyond it.

Sources: the RSS 2.0 specification (rssboard.org), Apple's "Podcast RSS feed requirements" (title,
description, language, category, explicit and a square cover; an enclosure with its bytes and a GUID
that never changes for each episode) and "Podcast Namespace" 1.0 (`podcast:txt` says that the music
was made by a program).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from xml.etree import ElementTree as ET

from lofi.brief import InputError

_ITUNES = "http://www.itunes.com/dtds/podcast-1.0.dtd"
_ATOM = "http://www.w3.org/2005/Atom"
_PODCAST = "https://podcastindex.org/namespace/1.0"


@dataclass(frozen=True, slots=True)
class Show:
    """The feed as a whole. Addresses are absolute; `cover` is square, 1400 to 3000 pixels."""

    title: str
    author: str
    description: str
    address: str
    feed: str
    cover: str
    language: str = "en"
    email: str = ""


@dataclass(frozen=True, slots=True)
class Episode:
    """A track of the feed."""

    guid: str
    title: str
    description: str
    page: str
    audio: str
    size: int  # bytes of the audio
    media_type: str
    duration_s: float
    published_at: datetime
    cover: str


def feed_xml(show: Show, episodes: Sequence[Episode]) -> bytes:
    """The feed, the newest episode first. Raises InputError for an address that is not absolute."""
    for address in (show.address, show.feed, show.cover, *(e.audio for e in episodes)):
        if not address.startswith(("https://", "http://")):
            raise InputError(
                f"a feed needs whole addresses, and {address!r} is none. Give the address where "
                "the site will be, such as https://example.org/lofi."
            )
    for prefix, name in (("itunes", _ITUNES), ("atom", _ATOM), ("podcast", _PODCAST)):
        ET.register_namespace(prefix, name)
    root = ET.Element("rss", version="2.0")
    told = ET.SubElement(root, "channel")
    _texts(
        told,
        ("title", show.title),
        ("link", show.address),
        ("description", show.description),
        ("language", show.language),
        ("generator", "LoFi Empire"),
        (f"{{{_ITUNES}}}author", show.author),
        (f"{{{_ITUNES}}}explicit", "false"),
        (f"{{{_ITUNES}}}type", "episodic"),
        (f"{{{_PODCAST}}}medium", "music"),
        (f"{{{_PODCAST}}}txt", "The music was made by a computer program."),
    )
    ET.SubElement(told, f"{{{_ATOM}}}link", href=show.feed, rel="self", type="application/rss+xml")
    ET.SubElement(told, f"{{{_ITUNES}}}category", text="Music")
    ET.SubElement(told, f"{{{_ITUNES}}}image", href=show.cover)
    if show.email:
        owner = ET.SubElement(told, f"{{{_ITUNES}}}owner")
        _texts(owner, (f"{{{_ITUNES}}}name", show.author), (f"{{{_ITUNES}}}email", show.email))
    for episode in sorted(episodes, key=lambda e: e.published_at, reverse=True):
        item = ET.SubElement(told, "item")
        _texts(
            item,
            ("title", episode.title),
            ("link", episode.page),
            ("description", episode.description),
            ("pubDate", format_datetime(episode.published_at)),
            (f"{{{_ITUNES}}}duration", str(round(episode.duration_s))),
            (f"{{{_ITUNES}}}explicit", "false"),
        )
        ET.SubElement(item, "guid", isPermaLink="false").text = episode.guid
        ET.SubElement(
            item, "enclosure", url=episode.audio, length=str(episode.size), type=episode.media_type
        )
        ET.SubElement(item, f"{{{_ITUNES}}}image", href=episode.cover)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _texts(parent: ET.Element, *pairs: tuple[str, str]) -> None:
    for name, text in pairs:
        ET.SubElement(parent, name).text = text
