"""A catalogue as a static site: pages without scripts, for any web server or a bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class SiteTrack:
    """A track of the site. Its files are `audio/SLUG.mp3` and `pictures/SLUG.jpg`."""

    slug: str
    title: str
    mood: str
    bpm: float
    key: str
    duration_s: float
    chapters: tuple[tuple[float, str], ...] = ()


def site_pages(show: str, about: str, address: str, tracks: Sequence[SiteTrack]) -> dict[str, str]:
    """The text files of a site by name. `address` is where it will be, or empty."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    drawn = Environment(
        loader=PackageLoader("lofi.channel", "site"), autoescape=True, undefined=StrictUndefined
    )
    told = [_told(t) for t in tracks]
    common = {"show": show, "about": about}
    first = f"{address}/pictures/{told[0]['slug']}.jpg" if told and address else ""
    index = drawn.get_template("index.html")
    pages = {
        "style.css": resources.files("lofi.channel").joinpath("site", "style.css").read_text(),
        "index.html": index.render(
            **common, title=show, address=address and f"{address}/", picture=first, root="",
            tracks=told,
        ),
    }  # fmt: skip
    page = drawn.get_template("track.html")
    for i, t in enumerate(told):
        beside = {
            "previous": told[i - 1] if i else None,
            "next": told[i + 1] if i + 1 < len(told) else None,
        }
        pages[f"tracks/{t['slug']}.html"] = page.render(
            show=show,
            about=f"{t['title']}: {t['mood']} lo-fi, {t['bpm']} bpm, {t['key']}.",
            title=f"{t['title']} · {show}",
            address=address and f"{address}/tracks/{t['slug']}.html",
            picture=f"{address}/pictures/{t['slug']}.jpg",
            root="../",
            t=t | beside,
        )
    return pages


def _told(track: SiteTrack) -> dict[str, Any]:
    return {
        "slug": track.slug,
        "title": track.title,
        "mood": track.mood,
        "bpm": f"{track.bpm:.4g}",
        "key": track.key,
        "clock": clock(track.duration_s),
        "chapters": [(clock(at), name) for at, name in track.chapters],
    }


def clock(seconds: float) -> str:
    """2:05, or 1:02:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
