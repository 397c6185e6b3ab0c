"""What the studio works with: models, tables, library."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Query, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from lofi.brief import AMBIENCES, BUNDLES, MOODS, PALETTES, TEMPLATES, InputError
from lofi.studio import BusyError, judge_upload, models
from lofi.web._problems import ProblemError
from lofi.web._route import Route
from lofi.web._who import Reader, TheStudio, Writer

router = APIRouter(route_class=Route)

_LIBRARY_S = 300.0
_NAME_LENGTH = 120
_SHA256 = "fe09b0d781e6f5a9aba2913a14a479e72aef41dc9312875f86e15ecb85ffca1e"  # in examples


# What a form offers ----------------------------------------------------------------------------


class MoodInfo(BaseModel):
    """A mood, and what it means in figures that can be measured."""

    name: str
    aliases: list[str]
    bundle: str = Field(description="Moods of one bundle differ in tempo and colours alone.")
    bpm: tuple[int, int]
    palettes: list[str] = Field(description="The colours it is drawn in by chance.")
    major_share: float
    density: tuple[float, float] = Field(description="Notes per beat, over all parts.")
    velocity: tuple[int, int]
    register_: tuple[int, int] = Field(alias="register", description="MIDI pitch above the bass.")


class Moods(BaseModel):
    """All moods."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "name": "chill",
                            "aliases": ["lofi", "mellow"],
                            "bundle": "chill",
                            "bpm": [72, 84],
                            "palettes": ["dusk", "teal"],
                            "major_share": 0.4,
                            "density": [4.8, 7.6],
                            "velocity": [64, 80],
                            "register": [60, 67],
                        }
                    ]
                }
            ]
        }
    )

    items: list[MoodInfo]


class PaletteInfo(BaseModel):
    """A palette: colours by what they are for, as #rrggbb."""

    name: str
    colours: dict[str, list[str]]


class Palettes(BaseModel):
    """All palettes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "name": "dusk",
                            "colours": {
                                "sky": ["#2b2350", "#c4587d", "#ffc48a"],
                                "warm": ["#ffd08a"],
                            },
                        }
                    ]
                }
            ]
        }
    )

    items: list[PaletteInfo]


class TemplateInfo(BaseModel):
    """What moves to the music in the video."""

    name: str
    description: str


class Templates(BaseModel):
    """All templates."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"name": "bars", "description": "a row of spectrum bars along the desk"}
                    ]
                }
            ]
        }
    )

    items: list[TemplateInfo]


@router.get("/api/moods", tags=["tables"], summary="Moods")
def list_moods(_: Reader) -> Moods:
    """The moods that can be asked for."""
    found = []
    for mood in MOODS.values():
        bundle = BUNDLES[mood.bundle]
        found.append(
            MoodInfo(
                name=mood.name,
                aliases=list(mood.aliases),
                bundle=mood.bundle,
                bpm=mood.bpm,
                palettes=list(mood.palettes),
                major_share=bundle.major_share,
                density=bundle.density,
                velocity=bundle.velocity,
                register=bundle.register,
            )
        )
    return Moods(items=found)


@router.get("/api/palettes", tags=["tables"], summary="Palettes")
def list_palettes(_: Reader) -> Palettes:
    """The palettes that can be asked for."""
    return Palettes(
        items=[
            PaletteInfo(
                name=name,
                colours={k: [v] if isinstance(v, str) else list(v) for k, v in colours.items()},
            )
            for name, colours in PALETTES.items()
        ]
    )


@router.get("/api/templates", tags=["tables"], summary="Video templates")
def list_templates(_: Reader) -> Templates:
    """The templates that can be asked for."""
    return Templates(items=[TemplateInfo(name=n, description=d) for n, d in TEMPLATES.items()])


class AmbienceInfo(BaseModel):
    """What can be heard around the music."""

    name: str
    description: str


class Ambiences(BaseModel):
    """All ambiences, the one that is heard where nothing is asked for first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"items": [{"name": "rain", "description": "steady rain, with drops close by"}]}
            ]
        }
    )

    items: list[AmbienceInfo]


@router.get("/api/ambiences", tags=["tables"], summary="Ambiences")
def list_ambiences(_: Reader) -> Ambiences:
    """The ambiences that can be asked for."""
    return Ambiences(items=[AmbienceInfo(name=n, description=d) for n, d in AMBIENCES.items()])


# Models and what they learned from -------------------------------------------------------------


class CorpusInfo(BaseModel):
    """Music that a model learned from."""

    name: str
    source: str | None
    licence: str | None
    attribution: str | None
    tier: str | None
    files: int | None = None
    kept: int | None = None
    tokens: int | None = None


class EvaluationInfo(BaseModel):
    """How a model was evaluated, in short."""

    problem: str | None = Field(description="Why the report cannot be read.")
    tracks: int | None
    reached: int | None = Field(description="Targets that it reached, of those that were judged.")
    judged: int | None
    of_sha256: str | None = Field(description="Of which graph: another one than now is older.")


class ModelInfo(BaseModel):
    """A model, as its card tells of it."""

    name: str
    shipped: bool
    usable: bool
    problem: str | None = Field(description="Why it cannot be used.")
    tier: str | None = None
    sha256: str | None = None
    architecture: dict[str, Any] | None = None
    steps: int | None = None
    train_tokens: int | None = None
    val_loss_nats_per_token: float | None = None
    val_bits_per_note: float | None = None
    fine_tuned_from: str | None = Field(None, description="The hash of the model it began from.")
    corpora: list[CorpusInfo] = []
    evaluation: EvaluationInfo | None = Field(
        None, description="`GET /api/models/{name}/evaluation` has it whole."
    )


class Models(BaseModel):
    """The shipped model and those of the models folder."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "name": "shipped",
                            "shipped": True,
                            "usable": True,
                            "problem": None,
                            "tier": "ship",
                            "sha256": _SHA256,
                            "architecture": {"family": "gpt2", "n_layer": 4},
                            "steps": 2500,
                            "train_tokens": 17572360,
                            "val_loss_nats_per_token": 1.3848,
                            "val_bits_per_note": 3.04,
                            "corpora": [
                                {
                                    "name": "composed",
                                    "source": "LoFi Empire rule composer, seed 1, 6000 pieces",
                                    "licence": "Apache-2.0",
                                    "attribution": "LoFi Empire",
                                    "tier": "ship",
                                    "files": 6000,
                                    "kept": 6000,
                                    "tokens": 19417459,
                                }
                            ],
                        }
                    ]
                }
            ]
        }
    )

    items: list[ModelInfo]


@router.get("/api/models", tags=["library"], summary="Models")
def list_models(studio: TheStudio, _: Reader) -> Models:
    """The models at hand, and why one cannot be used."""
    return Models(items=[ModelInfo(**m) for m in models.listing(studio.settings())])


class ReferenceCorpus(BaseModel):
    """A corpus of works that tracks are compared with."""

    name: str
    works: int
    source: str | None
    licence: str | None
    attribution: str | None
    tier: str | None


class Library(BaseModel):
    """What tracks of a model are compared with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "shipped",
                    "works": 6436,
                    "melodies": 14534,
                    "review_bits": 90.8,
                    "block_bits": 133.4,
                    "corpora": [
                        {
                            "name": "composed",
                            "source": "LoFi Empire rule composer, seed 1, 6000 pieces",
                            "licence": "Apache-2.0",
                            "attribution": "LoFi Empire",
                            "tier": "ship",
                            "works": 6000,
                        }
                    ],
                }
            ]
        }
    )

    model: str
    works: int
    melodies: int
    review_bits: float = Field(description="From so many bits a resemblance is worth a review.")
    block_bits: float
    corpora: list[ReferenceCorpus]


class Works(BaseModel):
    """A page of the works of a corpus."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"items": ["composed/piece-1-00000.mid"], "total": 6000, "limit": 100, "offset": 0}
            ]
        }
    )

    items: list[str]
    total: int
    limit: int
    offset: int


AnyModel = Annotated[str | None, Query(max_length=200, description="The shipped one if left out.")]


@router.get("/api/library", tags=["library"], summary="What tracks are compared with")
def read_library(studio: TheStudio, _: Reader, model: AnyModel = None) -> Library:
    """The works that the originality check knows, by corpus. It knows no others."""
    found = models.find(studio.settings(), model)
    told = studio.cache.get_or_make(
        "originality", f"library/{found.sha256}", lambda: models.reference(found), ttl_s=_LIBRARY_S
    )
    return Library(model=model or "shipped", **told)


@router.get("/api/library/{corpus}", tags=["library"], summary="The works of a corpus")
def read_corpus(
    corpus: str,
    studio: TheStudio,
    _: Reader,
    model: AnyModel = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
) -> Works:
    """The names of the works, a page of them."""
    found = models.find(studio.settings(), model)
    names, total = models.works(found, corpus, limit=limit, offset=offset)
    return Works(items=names, total=total, limit=limit, offset=offset)


# Music from outside ----------------------------------------------------------------------------


class Match(BaseModel):
    """A work that the music resembles."""

    work: str
    work_part: str
    part: str
    bits: float
    query_bars: tuple[int, int] = Field(description="First and last bar here, from 1.")
    reference_notes: tuple[int, int]
    transposition: int
    matched_notes: int


class Originality(BaseModel):
    """What the music resembles among the works of the library."""

    verdict: str
    summary: str
    works: int
    melodies: int
    review_bits: float
    block_bits: float
    longest_run_notes: int
    best: Match | None
    matches: list[Match]


class Judged(BaseModel):
    """A MIDI file, judged."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "song.mid",
                    "sha256": _SHA256,
                    "measured": {
                        "bpm": 80.0,
                        "key": "C major",
                        "bars": 32,
                        "density": 5.1,
                        "parts": {"drums": 512, "keys": 240},
                    },
                    "quality": 0.87,
                    "reason": None,
                    "repairs": [],
                    "originality": {
                        "verdict": "pass",
                        "summary": "no match above 90.8 bits in 6,436 works",
                        "works": 6436,
                        "melodies": 2,
                        "review_bits": 90.8,
                        "block_bits": 133.4,
                        "longest_run_notes": 7,
                        "best": {
                            "work": "composed/piece-1-00412.mid",
                            "work_part": "lead",
                            "part": "lead",
                            "bits": 41.2,
                            "query_bars": [5, 8],
                            "reference_notes": [17, 40],
                            "transposition": -3,
                            "matched_notes": 19,
                        },
                        "matches": [
                            {
                                "work": "composed/piece-1-00412.mid",
                                "work_part": "lead",
                                "part": "lead",
                                "bits": 41.2,
                                "query_bars": [5, 8],
                                "reference_notes": [17, 40],
                                "transposition": -3,
                                "matched_notes": 19,
                            }
                        ],
                    },
                }
            ]
        }
    )

    name: str = Field(description="As it was sent; what is not printable is escaped.")
    sha256: str
    measured: dict[str, Any] = Field(description="bpm, key, bars, parts, density and more.")
    quality: float = Field(description="0 to 1: how fit it is to learn from.")
    reason: str | None = Field(description="Why it is not fit to learn from.")
    repairs: list[str]
    originality: Originality


@router.post(
    "/api/check",
    tags=["library"],
    summary="Judge a MIDI file",
    openapi_extra={
        "requestBody": {"content": {"multipart/form-data": {"example": {"file": "song.mid"}}}}
    },
)
def check_file(
    studio: TheStudio,
    _: Writer,
    file: Annotated[UploadFile, File(description="One MIDI file of at most 2 MB.")],
) -> Judged:
    """What a MIDI file measures, and what it resembles. It is not kept."""
    most = studio.settings().bounds.max_bytes
    try:
        found = judge_upload(studio, file.file.read(most + 1))
    except BusyError as error:
        cause, _rest, remedy = str(error).partition(". ")
        raise ProblemError(
            "unavailable", f"{cause}.", remedy, headers={"Retry-After": "60"}
        ) from error
    except InputError as error:
        raise InputError(f"{shown(file.filename or 'unnamed')}: {error}") from error
    report = found["originality"]
    matches = [Match(**m) for m in report["matches"]]
    return Judged(
        name=shown(file.filename or "unnamed"),
        sha256=found["sha256"],
        measured=found["measured"],
        quality=found["judgement"]["score"],
        reason=found["judgement"]["reason"],
        repairs=found["repairs"],
        originality=Originality(
            **{**report, "matches": matches, "best": matches[0] if matches else None}
        ),
    )


def shown(name: str) -> str:
    """A file's name as text that is safe to print."""
    told = "".join(c if c.isprintable() and c != "\\" else f"\\u{ord(c):04x}" for c in name)
    return told if len(told) <= _NAME_LENGTH else f"{told[:_NAME_LENGTH]}…"
