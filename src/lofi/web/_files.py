"""The files of tracks and jobs: listed, sent in whole or in part, and all in one archive."""

from __future__ import annotations

import itertools
import re
import zipfile
from collections.abc import Iterator
from email.utils import format_datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from lofi.studio import Studio, tracks
from lofi.web._problems import problem
from lofi.web._route import Route
from lofi.web._who import Reader, TheStudio

router = APIRouter(tags=["files"], route_class=Route)

_SIGNED_S = 3600


class File(BaseModel):
    """A file of a track."""

    name: str = Field(examples=["master.flac"])
    kind: str = Field(description="`score`, `audio`, `video`, `image`, `data` or `other`.")
    media_type: str
    size: int = Field(description="In bytes.")
    sha256: str
    stage: str = Field(description="The stage that made it.")
    url: str


FILE_EXAMPLE = {
    "name": "master.flac",
    "kind": "audio",
    "media_type": "audio/flac",
    "size": 18_204_113,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "stage": "sound",
    "url": "/api/tracks/quiet-harbour-1f0c2d3e/files/master.flac",
}


class Files(BaseModel):
    """The files of a track, and where they come all in one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [FILE_EXAMPLE],
                    "archive": "/api/tracks/quiet-harbour-1f0c2d3e/package.zip",
                }
            ]
        }
    )

    items: list[File]
    archive: str


def file_url(track_id: str, name: str) -> str:
    """Where a file of a track is."""
    return f"/api/tracks/{quote(track_id)}/files/{quote(name)}"


@router.get("/api/tracks/{track_id}/files", summary="The files of a track")
def list_files(track_id: str, studio: TheStudio, _: Reader) -> Files:
    """All that is in the package, with hashes and addresses."""
    with studio.database.read() as session:
        track = tracks.find(session, track_id)
        found = [tracks.described(a) for a in tracks.files(session, track.job_id)]
    items = [File(**f, url=file_url(track_id, f["name"])) for f in found]
    return Files(items=items, archive=f"/api/tracks/{quote(track_id)}/package.zip")


_BYTES = {"application/octet-stream": {"example": "(its bytes, with its own media type)"}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": _BYTES},
    206: {"description": "The part that was asked for.", "content": _BYTES},
    304: {"description": "It is the one that `If-None-Match` names."},
    307: {"description": "The storage sends it, from an address that holds for an hour."},
    416: {"description": "There is no such part."},
}
Download = Annotated[
    Literal["0", "1"], Query(description="1: to be saved, and not shown in the browser.")
]


@router.head("/api/tracks/{track_id}/files/{name:path}", include_in_schema=False)
@router.get(
    "/api/tracks/{track_id}/files/{name:path}",
    summary="A file of a track",
    responses=_RESPONSES,
    response_class=Response,
)
def track_file(
    track_id: str,
    name: str,
    request: Request,
    studio: TheStudio,
    _: Reader,
    download: Download = "0",
) -> Response:
    """The bytes of a file, or of one range of them."""
    with studio.database.read() as session:
        track = tracks.find(session, track_id)
        found = tracks.described(tracks.file(session, track.job_id, name))
    return _answer(request, studio, found, f"{track_id} {_last(name)}", saved=download == "1")


@router.head("/api/jobs/{job_id}/files/{name:path}", include_in_schema=False)
@router.get(
    "/api/jobs/{job_id}/files/{name:path}",
    summary="A file that a job has made",
    responses=_RESPONSES,
    response_class=Response,
)
def job_file(
    job_id: str, name: str, request: Request, studio: TheStudio, _: Reader, download: Download = "0"
) -> Response:
    """The bytes of a file, also of a job that is not finished."""
    with studio.database.read() as session:
        found = tracks.described(tracks.file(session, job_id, name))
    return _answer(request, studio, found, f"{job_id} {_last(name)}", saved=download == "1")


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _answer(
    request: Request, studio: Studio, file: dict[str, Any], save_as: str, *, saved: bool
) -> Response:
    """A file as RFC 9110 has it: conditions first, then one range or the whole."""
    sha256, size, media_type = file["sha256"], file["size"], file["media_type"]
    etag = f'"{sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        # A file of that name may be made anew: it is kept, and asked for each time.
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition(save_as, saved=saved),
        "X-Content-Type-Options": "nosniff",
    }
    if matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        headers["Content-Length"] = str(size)
        return Response(headers=headers, media_type=media_type)
    if saved:
        url = studio.storage.signed_url(
            sha256, expires_s=_SIGNED_S, filename=save_as, media_type=media_type
        )
        if url:
            return RedirectResponse(url, 307, headers={"Cache-Control": "no-store"})
    wanted = request.headers.get("range", "")
    # A part of another file would be put together with what the client has of the old one.
    if request.headers.get("if-range", etag) != etag:
        wanted = ""
    found = read_range(wanted, size)
    if found == "unsatisfiable":
        return problem(
            request.scope,
            "no-such-range",
            f"the file has {size:,} bytes, and none of those that were asked for.",
            "Ask for a range within it.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    status, (start, stop) = (206, found) if found else (200, (0, size))
    if found:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    whole = (0, None) if not found else (start, stop)
    return StreamingResponse(
        _begun(studio.storage.read(sha256, *whole)), status, headers=headers, media_type=media_type
    )


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, the first already read: what cannot be read is told before half is sent."""
    first = next(pieces, b"")
    return itertools.chain((first,), pieces)


_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)


def read_range(header: str, size: int) -> tuple[int, int] | Literal["unsatisfiable"] | None:
    """The bytes (start, stop) that a Range header asks for.

    None stands for the whole: there is no header, or one that has several ranges or none.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None  # no range at all
    return (start, stop) if start < stop else "unsatisfiable"


def matches(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names this entity tag."""
    named = [t.strip().removeprefix("W/") for t in header.split(",")]
    return etag in named or "*" in named


def disposition(name: str, *, saved: bool) -> str:
    """A Content-Disposition of a file that is saved under `name`: RFC 6266, RFC 5987."""
    kept = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in name).strip(
        ". "
    )
    kept = kept or "file"
    plain = re.sub(r"[^A-Za-z0-9 ._-]", "_", kept)
    how = "attachment" if saved else "inline"
    encoded = quote(kept, safe="", errors="replace")
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


# All in one ------------------------------------------------------------------------------------


@router.head("/api/tracks/{track_id}/package.zip", include_in_schema=False)
@router.get(
    "/api/tracks/{track_id}/package.zip",
    summary="All files of a track in one archive",
    responses={
        200: {
            "description": "A ZIP archive.",
            "content": {"application/zip": {"example": "(its bytes)"}},
        }
    },
    response_class=Response,
)
def package(track_id: str, request: Request, studio: TheStudio, _: Reader) -> Response:
    """A ZIP archive, written while it is sent; most of its files are compressed already."""
    with studio.database.read() as session:
        track = tracks.find(session, track_id)
        found = tracks.files(session, track.job_id)
        made_at, sha256 = track.created_at, track.package_sha256
    etag = f'"{sha256}.zip"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition(f"{track_id}.zip", saved=True),
        "Last-Modified": format_datetime(made_at, usegmt=True),
        "X-Content-Type-Options": "nosniff",
    }
    if matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return Response(headers=headers, media_type="application/zip")
    files = [(f"{track_id}/{a.name}", a.sha256, a.size) for a in found]
    pieces = zipped(studio, files, made_at.timetuple()[:6])
    return StreamingResponse(_begun(pieces), headers=headers, media_type="application/zip")


class _Sink:
    """A stream that cannot seek: what was written is taken out again."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> Iterator[bytes]:
        written, self._written = self._written, []
        return iter(written)


def zipped(
    studio: Studio, files: list[tuple[str, str, int]], moment: tuple[int, ...]
) -> Iterator[bytes]:
    """A ZIP archive of files (name, sha256, size), in pieces. ZIP64 where a size demands it."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[arg-type]
        for name, sha256, size in files:
            entry = zipfile.ZipInfo(name, date_time=moment)  # type: ignore[arg-type]
            entry.external_attr = 0o644 << 16
            entry.file_size = size  # from which it sees whether ZIP64 is needed
            with archive.open(entry, "w") as out:
                for piece in studio.storage.read(sha256):
                    out.write(piece)
                    yield from sink.take()
    yield from sink.take()
