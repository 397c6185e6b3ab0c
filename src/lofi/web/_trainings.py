"""Training runs and what is known of models: started, followed, stopped, heard, compared."""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from lofi.studio import BusyError, Studio, data_set, hear, models, spread, trainings
from lofi.web._files import disposition
from lofi.web._problems import ProblemError
from lofi.web._route import Route
from lofi.web._who import Admin, Reader, TheStudio

router = APIRouter(prefix="/api", route_class=Route)

_SPREAD_S = 24 * 3600.0

State = Literal["running", "stopping", "finished", "stopped", "failed"]


class TrainingView(BaseModel):
    """A training run, as it stands. Losses are nats per token."""

    name: str = Field(description="Of its model folder.")
    state: State = Field(
        description="`finished` has a model; `stopped` and `failed` can go on from a checkpoint."
    )
    problem: str | None
    pid: int | None = Field(description="Of the process that trains.")
    base: str | None = Field(description="The model it started from; null where it was none, or by "
                             "hand.")  # fmt: skip
    learning_rate: float | None = Field(description="Where it was given.")
    started_by: str | None
    started_at: str | None = Field(description="While it runs.")
    updated_at: str | None
    step: int
    steps: int | None
    loss: float | None
    val_loss: float | None
    val_bits_per_note: float | None
    best_step: int | None
    best_val_loss: float | None
    resumable_from: int | None = Field(description="The step of its newest checkpoint.")
    steps_per_s: float | None
    left_s: int | None
    usable: bool = Field(description="Whether there is a model in its folder.")


_VIEW = {
    "name": "mine",
    "state": "running",
    "problem": None,
    "pid": 4121,
    "base": "shipped",
    "learning_rate": None,
    "started_by": "owner",
    "started_at": "2026-11-28T03:12:09Z",
    "updated_at": "2026-11-28T03:20:44Z",
    "step": 420,
    "steps": 900,
    "loss": 1.4127,
    "val_loss": 1.3904,
    "val_bits_per_note": 3.11,
    "best_step": 400,
    "best_val_loss": 1.3904,
    "resumable_from": 400,
    "steps_per_s": 0.92,
    "left_s": 521,
    "usable": False,
}


class Trainings(BaseModel):
    """All runs: those that go on first, then the newest."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"possible": True, "why_not": None, "items": [_VIEW]}]}
    )

    possible: bool = Field(description="Whether one can be started here.")
    why_not: str | None = Field(description="With the remedy.")
    items: list[TrainingView]


class EvaluatedView(BaseModel):
    """An evaluation on the validation split."""

    step: int
    loss: float
    bits_per_note: float | None


class CheckpointView(BaseModel):
    """What a run can go on from."""

    step: int
    size: int = Field(description="In bytes.")
    written_at: str | None
    loss: float | None = Field(description="Where it was evaluated at that step.")
    bits_per_note: float | None
    best: bool


class SampleView(BaseModel):
    """Eight bars that it played."""

    step: int
    picture: bool = Field(description="Whether there is a picture of its notes.")


class TrainingDetail(TrainingView):
    """A run with its curves, checkpoints and samples, and the end of what it said."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_VIEW,
                    "train": [[410, 1.4203], [420, 1.4127]],
                    "evaluations": [{"step": 400, "loss": 1.3904, "bits_per_note": 3.11}],
                    "checkpoints": [
                        {
                            "step": 400,
                            "size": 47_000_000,
                            "written_at": "2026-11-28T03:20:01Z",
                            "loss": 1.3904,
                            "bits_per_note": 3.11,
                            "best": True,
                        }
                    ],
                    "samples": [{"step": 400, "picture": True}],
                    "log": "train 40% step 360/900  loss 1.431  0.92 steps/s, 10 min left\n",
                }
            ]
        }
    )

    train: list[tuple[int, float]] = Field(description="Step and loss, thinned to some hundred.")
    evaluations: list[EvaluatedView]
    checkpoints: list[CheckpointView]
    samples: list[SampleView]
    log: str


class NewTraining(BaseModel):
    """A run that is asked for. What is left out is as in the settings."""

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={
            "examples": [{"name": "mine"}, {"name": "longer", "base": None, "steps": 5000}]
        },
    )

    name: str = Field(max_length=64, description="Of the model folder that it makes.")
    base: str | None = Field(
        "shipped", max_length=64, description="The model to start from; null to learn from nothing."
    )
    steps: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Batches in all. With a base: enough to read each segment a few times.",
    )
    learning_rate: float | None = Field(None, gt=0, le=1)
    batch_size: int | None = Field(None, ge=1, le=4096, description="Segments in one batch.")


class Longer(BaseModel):
    """How far a run goes on."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"steps": 2000}]})

    steps: int | None = Field(
        None, ge=1, le=10_000_000, description="Batches in all; as before if left out."
    )


Name = Annotated[str, Path(max_length=64, examples=["mine"])]


@router.get("/trainings", tags=["models"], summary="Training runs")
def list_trainings(who: Reader, studio: TheStudio) -> Trainings:
    """The runs of the models folder, and whether one can be started here."""
    settings = studio.settings()
    why_not = trainings.refusal(settings)
    items = [TrainingView(**run) for run in trainings.listing(settings)]
    return Trainings(possible=why_not is None, why_not=why_not, items=items)


@router.post("/trainings", status_code=201, tags=["models"], summary="Start a training run")
def start_training(
    new: NewTraining, response: Response, who: Admin, studio: TheStudio
) -> TrainingDetail:
    """A process of its own, which goes on when the server is stopped. One at a time.

    It gives way to everything else on the machine. Asked twice, the second is a conflict.
    """
    made = trainings.start(studio, trainings.TrainingOrder(**new.model_dump()), actor=who.name)
    response.headers["Location"] = f"/api/trainings/{new.name}"
    return TrainingDetail(**made)


@router.get("/trainings/{name}", tags=["models"], summary="A training run")
def read_training(name: Name, who: Reader, studio: TheStudio) -> TrainingDetail:
    """A run with its curves, checkpoints and samples."""
    return TrainingDetail(**trainings.view(studio.settings(), name))


@router.post("/trainings/{name}/stop", status_code=202, tags=["models"], summary="Stop a run")
def stop_training(name: Name, who: Admin, studio: TheStudio) -> TrainingDetail:
    """It ends after the step it is at, with a checkpoint; asked a second time, at once."""
    return TrainingDetail(**trainings.stop(studio, name, actor=who.name))


@router.post("/trainings/{name}/resume", tags=["models"], summary="Have a run go on")
def resume_training(name: Name, longer: Longer, who: Admin, studio: TheStudio) -> TrainingDetail:
    """From its newest checkpoint, with the settings that it was started with."""
    made = trainings.resume(studio, name, steps=longer.steps, actor=who.name)
    return TrainingDetail(**made)


_BYTES = {
    "audio/midi": {"example": "(its bytes)"},
    "image/png": {"example": "(its bytes)"},
    "audio/flac": {"example": "(its bytes)"},
}


@router.get(
    "/trainings/{name}/samples/{step}.{kind}",
    tags=["models"],
    summary="A sample of a run",
    responses={200: {"description": "The file.", "content": _BYTES}},
    response_class=Response,
)
def read_sample(
    name: Name,
    step: Annotated[int, Path(ge=0, le=10**9, examples=[400])],
    kind: Literal["mid", "png", "flac"],
    who: Reader,
    studio: TheStudio,
) -> Response:
    """The eight bars that it played at a step: as MIDI, as a picture, or as sound.

    The sound is made when it is first asked for, which takes some seconds, and kept for a while.
    """
    settings = studio.settings()
    path = trainings.sample(settings, name, f"step-{step:05d}.{'png' if kind == 'png' else 'mid'}")
    if kind == "flac":
        try:
            path = hear(studio, path)
        except BusyError as error:
            raise ProblemError(
                "unavailable", str(error), "Try again in a minute.", headers={"Retry-After": "30"}
            ) from error
    media_type = {"mid": "audio/midi", "png": "image/png", "flac": "audio/flac"}[kind]
    shown = disposition(f"{name} step {step}.{kind}", saved=kind == "mid")
    headers = {"Content-Disposition": shown, "Cache-Control": "private, no-cache"}
    return FileResponse(path, media_type=media_type, headers=headers)


# Models ----------------------------------------------------------------------------------------


class Figure(BaseModel):
    """A figure of several models."""

    group: str
    title: str
    unit: str
    better: Literal["more", "less"] | None
    band: tuple[float, float] | None = Field(description="5 to 95 % of music by people.")
    values: list[dict[str, float | None] | None] = Field(
        description="For each model `value`, and `low` and `high` where it has a 95 % interval."
    )


class Comparison(BaseModel):
    """Models side by side."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "models": ["shipped", "mine"],
                    "alike": True,
                    "figures": [
                        {
                            "group": "As asked",
                            "title": "Bars exact",
                            "unit": "share",
                            "better": "more",
                            "band": None,
                            "values": [{"value": 1.0, "low": 1.0, "high": 1.0}, None],
                        }
                    ],
                }
            ]
        }
    )

    models: list[str]
    alike: bool = Field(description="Whether all were evaluated on the same briefs.")
    figures: list[Figure]


@router.get("/models/compare", tags=["models"], summary="Models side by side")
def compare_models(
    who: Reader,
    studio: TheStudio,
    model: Annotated[list[str], Query(min_length=2, max_length=4, examples=[["shipped", "mine"]])],
) -> Comparison:
    """The figures of their cards and evaluations."""
    found = models.compare(studio.settings(), model)
    return Comparison(**{**found, "models": [m["name"] for m in found["models"]]})


@router.get(
    "/models/{name}/evaluation",
    tags=["models"],
    summary="The evaluation of a model",
    responses={200: {"content": {"application/json": {"example": {"targets": [], "music": {}}}}}},
)
def read_evaluation(
    name: Annotated[str, Path(max_length=200, examples=["shipped"])], who: Reader, studio: TheStudio
) -> dict[str, Any]:
    """`report.json` as `lofi evaluate MODEL --report MODEL/evaluation` wrote it."""
    return models.report(studio.settings(), name)


@router.get(
    "/models/{name}/evaluation.html",
    tags=["models"],
    summary="The evaluation of a model as a page",
    responses={200: {"content": {"text/html": {"example": "(a page)"}}}},
    response_class=HTMLResponse,
)
def show_evaluation(
    name: Annotated[str, Path(max_length=200, examples=["shipped"])],
    request: Request,
    who: Reader,
    studio: TheStudio,
) -> HTMLResponse:
    """Drawn from the figures. It may run nothing and load nothing, whatever stands in them."""
    text, style = models.report_page(studio.settings(), name)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    )
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


class DataSet(BaseModel):
    """What there is to learn from."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "read": {"files": 120, "kept": 98, "rejected": 20, "duplicate": 2},
                    "cut": {"files": {"train": 88, "val": 10}},
                    "spread": {"files": 120, "kept": 98, "figures": [], "shares": {}},
                }
            ]
        }
    )

    read: dict[str, Any] | None = Field(description="The head of data/metadata.json.")
    cut: dict[str, Any] | None = Field(description="data/datasets/dataset.json.")
    spread: dict[str, Any] | None = Field(
        description="How tempo, density and the like spread over the files, as histograms."
    )


@router.get("/dataset", tags=["models"], summary="What there is to learn from")
def read_dataset(who: Reader, studio: TheStudio) -> DataSet:
    """What was read, what became of it, what it is like, and what it is cut into."""
    return DataSet(**whole_data_set(studio))


def whole_data_set(studio: Studio) -> dict[str, Any]:
    """The data set with how its figures spread; that is kept until its file changes."""
    settings = studio.settings()
    told = data_set(settings)
    file, found = settings.paths.metadata, None
    if told["read"] is not None:
        stat = file.stat()
        key = f"dataset/{file.absolute()}/{stat.st_mtime_ns}/{stat.st_size}/{settings.quality}"
        found = studio.cache.get_or_make(
            "originality",
            hashlib.sha256(key.encode()).hexdigest(),
            lambda: spread(file, settings.quality),
            ttl_s=_SPREAD_S,
        )
    return told | {"spread": found}
