"""A track looked at closely: its wave, its notes, pieces of its stems, what it resembles; and made
again in part, as a new version of it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lofi.brief import PALETTES, TEMPLATES
from lofi.studio import details, once, remakes
from lofi.web._files import disposition, matches
from lofi.web._jobs import JOB_URL, replayed
from lofi.web._orders import NAME, Ordered, Word, named
from lofi.web._route import IdempotencyKey, Route
from lofi.web._tracks import Track, told_track
from lofi.web._who import Reader, TheStudio, Writer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = APIRouter(route_class=Route)


class Peaks(BaseModel):
    """The wave of a master, at places that lie equally far apart."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"duration_s": 121.3, "peak": [12, 96, 118], "rms": [4, 31, 40]}]
        }
    )

    duration_s: float
    peak: list[int] = Field(description="The highest sample, 0 to 255: full scale.")
    rms: list[int] = Field(description="The power, on the same scale.")


class Chord(BaseModel):
    """A chord, as it is heard and as it was planned."""

    start_s: float
    end_s: float
    played: str | None
    planned: str | None
    as_planned: bool


class SectionTimes(BaseModel):
    """A section, and the parts that play in it."""

    name: str
    start_s: float
    end_s: float
    start_bar: int
    bars: int
    parts: list[str]


class Timeline(BaseModel):
    """What is heard when."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "duration_s": 121.3,
                    "bpm": 76.0,
                    "beats_s": [0.004, 0.794, 1.583, 2.372],
                    "bars_s": [0.004],
                    "sections": [
                        {
                            "name": "intro",
                            "start_s": 0.004,
                            "end_s": 12.63,
                            "start_bar": 0,
                            "bars": 4,
                            "parts": ["keys"],
                        }
                    ],
                    "chords": [
                        {
                            "start_s": 0.004,
                            "end_s": 3.16,
                            "played": "Am9",
                            "planned": "Am9",
                            "as_planned": True,
                        }
                    ],
                    "melody_part": "keys",
                    "notes": {"keys": [[57, 71, 0.004, 1.2, 0.0]]},
                    "stems": ["keys"],
                }
            ]
        }
    )

    duration_s: float
    bpm: float
    beats_s: list[float]
    bars_s: list[float]
    sections: list[SectionTimes]
    chords: list[Chord]
    melody_part: str | None
    notes: dict[str, list[tuple[int, int, float, float, float]]] = Field(
        description="By part: [pitch, velocity, onset_s, duration_s, written_s]. The last one is "
        "the onset in the MIDI file and on the stems; the tape of the master runs unevenly."
    )
    stems: list[str] = Field(description="The parts that have a file of their own.")


class DrawnMatch(BaseModel):
    """The two lines of a resemblance on one grid; a note is [beat, beats, pitch]."""

    first_bar: int
    bars: int
    yours: list[tuple[float, float, int]]
    theirs: list[tuple[float, float, int]] = Field(
        description="Transposed into the key of the track and brought to its tempo."
    )
    pairs: list[tuple[int, int, bool]] = Field(
        description="Which note goes with which, and whether their pitches agree."
    )


class Resemblance(BaseModel):
    """A work that the track resembles, with both lines where they can be drawn."""

    work: str
    work_part: str
    part: str
    bits: float
    query_bars: tuple[int, int]
    reference_notes: tuple[int, int]
    transposition: int
    matched_notes: int
    drawn: DrawnMatch | None


class Resemblances(BaseModel):
    """`originality.json` of a track, its matches drawn."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "verdict": "pass",
                    "works": 1240,
                    "melodies": 2,
                    "review_bits": 36.0,
                    "block_bits": 48.0,
                    "matches": [
                        {
                            "work": "composed/0412",
                            "work_part": "lead",
                            "part": "lead",
                            "bits": 21.4,
                            "query_bars": [9, 10],
                            "reference_notes": [3, 9],
                            "transposition": -2,
                            "matched_notes": 6,
                            "drawn": {
                                "first_bar": 9,
                                "bars": 2,
                                "yours": [[0.0, 1.0, 69], [1.0, 0.5, 72]],
                                "theirs": [[0.0, 1.0, 69], [1.0, 0.5, 71]],
                                "pairs": [[0, 0, True], [1, 1, False]],
                            },
                        }
                    ],
                    "longest_run_notes": 6,
                    "summary": "no match above 36 bits in 1,240 works",
                    "undrawn": None,
                }
            ]
        }
    )

    verdict: str
    works: int
    melodies: int
    review_bits: float
    block_bits: float
    matches: list[Resemblance]
    longest_run_notes: int
    summary: str
    undrawn: str | None = Field(description="Why nothing could be drawn.")


def _answer(request: Request, found: details.Detail) -> Response:
    """A detail as it is kept, compressed, to whoever takes it so; nothing to who has it."""
    etag = f'"{found.tag}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
    if matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(found.gzipped, headers=headers, media_type="application/json")
    return Response(gzip.decompress(found.gzipped), headers=headers, media_type="application/json")


@router.get(
    "/api/tracks/{track_id}/cover.jpg",
    tags=["files"],
    summary="The picture of a track, small",
    responses={
        200: {
            "description": "A JPEG, 480 pixels wide.",
            "content": {"image/jpeg": {"example": "(its bytes)"}},
        }
    },
    response_class=Response,
)
def read_cover(
    track_id: str,
    request: Request,
    studio: TheStudio,
    _: Reader,
    v: Annotated[
        str | None,
        Query(max_length=64, description="Anything: an address with it is kept for good."),
    ] = None,
) -> Response:
    """The thumbnail as lists show it, a tenth of its bytes."""
    sha256, data = details.cover(studio, track_id)
    etag = f'"{sha256}"'
    kept = "private, no-cache" if v is None else "private, max-age=31536000, immutable"
    headers = {"ETag": etag, "Cache-Control": kept}
    if matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type="image/jpeg")


@router.get(
    "/api/tracks/{track_id}/cover-as.jpg",
    tags=["files"],
    summary="The picture of a track as it would be",
    responses={
        200: {
            "description": "A JPEG, 640 pixels wide.",
            "content": {"image/jpeg": {"example": "(its bytes)"}},
        }
    },
    response_class=Response,
)
def read_other_cover(
    track_id: str,
    request: Request,
    studio: TheStudio,
    _: Reader,
    palette: Annotated[str, Query(max_length=60, examples=["teal"])],
    picture_seed: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
) -> Response:
    """The thumbnail in another palette or of another room, before it is ordered."""
    tag, data = details.other_cover(studio, track_id, palette, picture_seed)
    etag = f'"{tag}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type="image/jpeg")


@router.get(
    "/api/tracks/{track_id}/peaks",
    tags=["files"],
    summary="The wave of a track",
    response_model=Peaks,
)
def read_peaks(track_id: str, request: Request, studio: TheStudio, _: Reader) -> Response:
    """The highest sample and the power of the master at some two thousand places."""
    return _answer(request, details.peaks(studio, track_id))


@router.get(
    "/api/tracks/{track_id}/timeline",
    tags=["files"],
    summary="What is heard when",
    response_model=Timeline,
)
def read_timeline(track_id: str, request: Request, studio: TheStudio, _: Reader) -> Response:
    """Notes, beats, bars, chords and sections of a track, in seconds of its master."""
    return _answer(request, details.timeline(studio, track_id))


@router.get(
    "/api/tracks/{track_id}/resemblances",
    tags=["files"],
    summary="What a track resembles, note by note",
    response_model=Resemblances,
)
def read_resemblances(track_id: str, request: Request, studio: TheStudio, _: Reader) -> Response:
    """The report of originality; each match with both melodies laid side by side."""
    return _answer(request, details.resemblances(studio, track_id))


@router.get(
    "/api/tracks/{track_id}/pieces/{name:path}",
    tags=["files"],
    summary="A piece of an audio file",
    responses={
        200: {
            "description": "FLAC, 16 bits.",
            "content": {"audio/flac": {"example": "(its bytes)"}},
        }
    },
    response_class=Response,
)
def read_piece(
    track_id: str,
    name: str,
    studio: TheStudio,
    _: Reader,
    start_s: Annotated[float, Query(ge=0, le=100_000, allow_inf_nan=False)] = 0.0,
    length_s: Annotated[
        float, Query(ge=details.PIECE_S[0], le=details.PIECE_S[1], allow_inf_nan=False)
    ] = 10.0,
) -> Response:
    """Some seconds of the master or of a stem. Put one after the other they have no seam."""
    data = details.piece(studio, track_id, name, start_s, length_s)
    return Response(
        data,
        media_type="audio/flac",
        headers={
            "Cache-Control": "private, max-age=600",
            "Content-Disposition": disposition(f"{track_id} {start_s:g} s.flac", saved=False),
        },
    )


# Made again ------------------------------------------------------------------------------------


class Rerender(BaseModel):
    """What is to be otherwise; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"palette": "teal", "template": "wave", "picture_seed": 12},
                {"stems": True},
            ]
        },
    )

    palette: Word | None = Field(None, description=f"One of {', '.join(PALETTES)}.")
    template: Word | None = Field(None, description=f"One of {', '.join(TEMPLATES)}.")
    picture_seed: int | None = Field(
        None,
        ge=0,
        le=2**63 - 1,
        description="Settles the room that the pictures show; the music keeps its own seed.",
    )
    stems: bool | None = Field(None, description="Whether one file for each part is written.")
    soundfont: str | None = Field(
        None,
        pattern=NAME,
        description="The name of a .sf2 or .sf3 file in `paths.soundfonts`, or `kit`: the "
        "instruments of the house.",
    )


class Rerendered(Ordered):
    """The job that makes a track again."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": "1f0c22d94c4d1f6e", "url": "/api/jobs/1f0c22d94c4d1f6e"}]
        }
    )


@router.post(
    "/api/tracks/{track_id}/rerender",
    tags=["tracks"],
    status_code=202,
    summary="Make a track again in part",
    response_description="The job. `Location` is where to look.",
)
def rerender(
    track_id: str,
    order: Rerender,
    who: Writer,
    studio: TheStudio,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Rerendered:
    """Order a new version of a track: other pictures, its stems, other instruments.

    Stages that come out the same are taken over: the music is not composed again. The pictures
    show the title that the track has now. As the package is another one then, it waits for a
    person's approval again; older versions stay and can be chosen.
    """
    soundfont = order.soundfont
    changes = remakes.Changes(
        palette=order.palette,
        template=order.template,
        picture_seed=order.picture_seed,
        stems=order.stems,
        soundfont=soundfont
        if soundfont in (None, remakes.KIT)
        else named(studio.base.paths.soundfonts, soundfont, "SoundFont"),
    )

    def prepare() -> Callable[[Session], dict[str, Any]]:
        write = remakes.prepare_remake(studio, track_id, changes, actor=who.name)
        return lambda session: {"job": write(session)}

    request = f"rerender {track_id} {order.model_dump_json(exclude_unset=True)}"
    done, again = once(studio.database, who.name, idempotency_key, request, prepare, status=202)
    if again:
        replayed(response)
    else:
        studio.start([done["job"]])
    response.headers["Location"] = JOB_URL.format(done["job"])
    return Rerendered(id=done["job"], url=JOB_URL.format(done["job"]))


@router.post(
    "/api/tracks/{track_id}/versions/{job_id}/use",
    tags=["tracks"],
    summary="Go back to a version",
)
def use_version(
    track_id: str, job_id: str, response: Response, studio: TheStudio, who: Writer
) -> Track:
    """Have a track be what one of its jobs made. What was decided about those bytes holds again."""
    remakes.use_version(studio, track_id, job_id, actor=who.name)
    return told_track(studio, track_id, response)
