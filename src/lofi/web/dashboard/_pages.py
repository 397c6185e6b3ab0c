"""What all pages have in common: how they are drawn and sent, and the files they load."""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from lofi import __version__
from lofi.studio import access
from lofi.web._problems import Kind, ProblemError
from lofi.web._who import identify

router = APIRouter()

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Name, path, icon (a path of 24 x 24), the letter after `g`.
NAVIGATION = (
    ("Overview", "/", "M3 13h8V3H3zM13 21h8V11h-8zM13 3v6h8V3zM3 21h8v-6H3z", "o"),
    ("Create", "/create", "M12 2l2.2 6.3L21 11l-6.8 2.7L12 20l-2.2-6.3L3 11l6.8-2.7z", "c"),
    ("Library", "/library", "M4 4h3v16H4zM9 4h3v16H9zM14 5l3-1 4 15-3 1z", "l"),
    ("Calendar", "/calendar", "M4 6h16v14H4zM4 10h16M8 3v5M16 3v5", "k"),
    ("Community", "/community", "M4 5h16v11H9l-5 4z", "i"),
    ("Analytics", "/analytics", "M4 20V10M10 20V4M16 20v-8M21 20H3", "a"),
    ("Models", "/models", "M3 5c6 0 4 13 18 13", "m"),
    ("Settings", "/settings", "M4 7h10M18 7h2M4 17h2M10 17h10M14 4v6M6 14v6", "s"),
)
_SMALL = 600  # bytes: not worth compressing


# Files -----------------------------------------------------------------------------------------


@cache
def _static() -> tuple[str, dict[str, tuple[bytes, bytes, str]]]:
    """The version of all files together, and each: its bytes, compressed, and its media type."""
    files = {}
    digest = hashlib.sha256()
    folder = resources.files("lofi.web.dashboard") / "static"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.startswith(".") or not file.is_file():
            continue
        content = file.read_bytes()
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        if file.name.endswith(".js"):
            kind = "text/javascript"
        kind += "; charset=utf-8" if kind.startswith("text/") else ""
        files[file.name] = (content, gzip.compress(content, 9, mtime=0), kind)
        digest.update(file.name.encode() + b"\0" + content)
    return digest.hexdigest()[:12], files


@router.get("/static/{version}/{name}")
def static(version: str, name: str, request: Request) -> Response:
    """A file of the pages. Its version is in its address, so a browser may keep it for good."""
    current, files = _static()
    if name not in files:
        raise ProblemError("not-found", "there is no such file.")
    content, squeezed, kind = files[name]
    # An address of another version is one that an older page still holds.
    kept = "public, max-age=31536000, immutable" if version == current else "no-store"
    headers = {"Cache-Control": kept, "Vary": "Accept-Encoding"}
    if _takes_gzip(request):
        return Response(squeezed, media_type=kind, headers=headers | {"Content-Encoding": "gzip"})
    return Response(content, media_type=kind, headers=headers)


@router.get("/favicon.ico")
def favicon() -> Response:
    """Browsers ask for this name whatever a page says."""
    return RedirectResponse(static_url("icon.svg"), 308)


def static_url(name: str) -> str:
    """Where a file of the pages is."""
    return f"/static/{_static()[0]}/{name}"


@cache
def modules(*names: str | None) -> tuple[str, ...]:
    """The files of modules and of all that they import, which a page asks for at once: else each
    is asked for only when one that imports it has come.
    """
    files, found = _static()[1], {}
    waiting = [f"{name}.js" for name in names if name]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = files[name][0].decode()
            waiting += re.findall(r'^import .* from "\./([\w.]+)";$', found[name], re.MULTILINE)
    return tuple(found)


def cover_url(track: Mapping[str, Any]) -> str:
    """Where the small picture of a track is: another address when its package is another one."""
    return f"/api/tracks/{quote(track['id'])}/cover.jpg?v={track['package_sha256'][:12]}"


def _takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


# Pages -----------------------------------------------------------------------------------------


@cache
def environment() -> Environment:
    """The templates. Whatever is shown is escaped; what is misspelt is an error."""
    found = Environment(
        loader=PackageLoader("lofi.web.dashboard"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals |= {
        "navigation": NAVIGATION,
        "static": static_url,
        "modules": modules,
        "module": None,
        "version": __version__,
        "file_url": lambda track_id, name: f"/api/tracks/{quote(track_id)}/files/{quote(name)}",
        "cover_url": cover_url,
    }
    found.filters |= {
        "clock": clock,
        "bytes": human_bytes,
        "compact": compact,
        "query": lambda values: urlencode(values, doseq=True),
        "as_json": lambda value: json.dumps(value, separators=(",", ":"), default=str),
    }
    return found


def page(
    request: Request,
    who: access.Principal | None,
    template: str,
    *,
    status: int = 200,
    **values: Any,
) -> Response:
    """A page of a template, with where it is and who looks at it."""
    told = {"path": request.url.path, "who": who, **values}
    return html(request, environment().get_template(template).render(**told), status)


def html(request: Request, text: str, status: int = 200) -> Response:
    """HTML under the pages' policy, compressed where that is understood."""
    content = text.encode()
    headers = {
        "Content-Security-Policy": CSP,
        # With `no-referrer` a browser would send our own forms with the origin `null`.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Vary": "Accept-Encoding",
    }
    if len(content) > _SMALL and _takes_gzip(request):
        content = gzip.compress(content, 5, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(content, status, headers, "text/html; charset=utf-8")


def refusal(request: Request, kind: Kind, detail: str, remedy: str) -> Response:
    """A problem as a page; who has to log in is sent there, and comes back afterwards."""
    if kind.status == 401:
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(back)}", 303)
    return page(
        request, None, "error.html", status=kind.status, title=kind.title, detail=detail,
        remedy=remedy,
    )  # fmt: skip


def visitor(request: Request) -> access.Principal:
    """Who looks at a page: whoever may read."""
    who = identify(request)
    if not who.may("read"):
        raise ProblemError("forbidden", "this needs the scope 'read'.")
    request.scope["lofi.who"] = who.name
    return who


Visitor = Annotated[access.Principal, Depends(visitor)]


# How figures are written -----------------------------------------------------------------------


def clock(seconds: float | None) -> str:
    """2:05, or 1:02:05; a dash for what is not known."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def human_bytes(count: float) -> str:
    """12.4 MB, in powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def compact(value: float | None) -> str:
    """61.4k; a dash for what is not known."""
    if value is None:
        return "–"
    for step, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= step:
            return f"{value / step:.3g}{unit}"
    return f"{value:.3g}"
