"""What orders are made from: presets, kept under a name, and MIDI files to go on from."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Path, UploadFile
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from lofi.brief import InputError
from lofi.music import Bounds
from lofi.studio import BusyError, presets, prompts
from lofi.web._library import shown
from lofi.web._orders import TrackOrder
from lofi.web._problems import ProblemError
from lofi.web._route import Route
from lofi.web._who import Reader, TheStudio, Writer

router = APIRouter(prefix="/api", route_class=Route)

_SHA256 = "fe09b0d781e6f5a9aba2913a14a479e72aef41dc9312875f86e15ecb85ffca1e"  # in examples


# Presets ---------------------------------------------------------------------------------------


class Preset(BaseModel):
    """An order that is kept under a name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Sunday rain",
                    "order": {"mood": "cozy", "bpm": 74, "palette": "teal", "ambience": "rain"},
                    "saved_at": "2026-11-29T08:15:00Z",
                    "saved_by": "owner",
                }
            ]
        }
    )

    name: str
    order: dict[str, Any] = Field(description="What was saved: the body of `POST /api/generate`.")
    saved_at: AwareDatetime
    saved_by: str


class Presets(BaseModel):
    """All presets, by name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "name": "Sunday rain",
                            "order": {"mood": "cozy", "bpm": 74, "ambience": "rain"},
                            "saved_at": "2026-11-29T08:15:00Z",
                            "saved_by": "owner",
                        }
                    ]
                }
            ]
        }
    )

    items: list[Preset]


class PresetOrder(TrackOrder):
    """The order that a preset keeps: any of the words of a single track."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"mood": "cozy", "bpm": 74, "palette": "teal", "ambience": "rain"}]
        },
    )


Name = Annotated[str, Path(max_length=200, examples=["Sunday rain"])]


@router.get("/presets", tags=["presets"], summary="List presets")
def list_presets(studio: TheStudio, _: Reader) -> Presets:
    """Orders that were kept under a name."""
    with studio.database.read() as session:
        return Presets(items=[Preset(**p) for p in presets.listing(session)])


@router.put("/presets/{name:path}", tags=["presets"], summary="Save a preset")
def save_preset(name: Name, order: PresetOrder, who: Writer, studio: TheStudio) -> Preset:
    """Keep an order under a name; one of that name is replaced. Nothing is made."""
    if order.prompt is not None or order.not_before is not None:
        raise InputError(
            "a preset is for any day: leave out `prompt`, which is kept for a while only, and "
            "`not_before`."
        )
    order.to_brief().settled()
    told = order.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    with studio.database.write() as session:
        return Preset(**presets.save(session, name, told, actor=who.name))


@router.delete("/presets/{name:path}", tags=["presets"], summary="Delete a preset", status_code=204)
def delete_preset(name: Name, who: Writer, studio: TheStudio) -> Response:
    """Forget a preset."""
    with studio.database.write() as session:
        presets.delete(session, name, actor=who.name)
    return Response(status_code=204)


# Prompts ---------------------------------------------------------------------------------------


class Heard(BaseModel):
    """A MIDI file that tracks can be made from, and what was heard in it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sha256": _SHA256,
                    "name": "sketch.mid",
                    "parts": ["drums", "bass", "keys"],
                    "bars": 16,
                    "bpm": 76.0,
                    "key": "G major",
                    "mood": "chill",
                    "swing": 0.58,
                    "repairs": [],
                }
            ]
        }
    )

    sha256: str
    name: str = Field(description="As it was sent; what is not printable is escaped.")
    parts: list[str]
    bars: int
    bpm: float
    key: str | None = Field(description="None where nothing tells it.")
    mood: str | None
    swing: float = Field(description="Where the off-beat falls in the beat, 0.5 to 0.67.")
    repairs: list[str] = Field(description="What had to be done to read it.")


Sha256 = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", examples=[_SHA256])]


@router.post(
    "/prompts",
    tags=["presets"],
    summary="Send a MIDI file to go on from",
    openapi_extra={
        "requestBody": {"content": {"multipart/form-data": {"example": {"file": "sketch.mid"}}}}
    },
)
def keep_prompt(
    studio: TheStudio,
    who: Writer,
    file: Annotated[UploadFile, File(description="One MIDI file in 4/4, of at most 2 MB.")],
) -> Heard:
    """Keep a MIDI file for a week, for `prompt` of an order; sent again, it is heard only once."""
    name = shown(file.filename or "unnamed")
    try:
        data = file.file.read(Bounds().max_bytes + 1)
        return Heard(**prompts.keep(studio, data, name, actor=who.name))
    except BusyError as error:
        cause, _rest, remedy = str(error).partition(". ")
        raise ProblemError(
            "unavailable", f"{cause}.", remedy, headers={"Retry-After": "60"}
        ) from error
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


@router.get("/prompts/{sha256}", tags=["presets"], summary="What was heard in a MIDI file")
def read_prompt(sha256: Sha256, studio: TheStudio, _: Reader) -> Heard:
    """What was heard in a file that is still kept."""
    with studio.database.read() as session:
        return Heard(**prompts.find(session, sha256))
