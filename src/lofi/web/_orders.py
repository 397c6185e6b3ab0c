"""Orders, in the words of the command line: `POST /api/generate` and `POST /api/preview`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from lofi.brief import (
    AMBIENCES,
    BPM_RANGE,
    DENSITIES,
    DURATION_RANGE_S,
    MOODS,
    PALETTES,
    PARTS,
    SECTIONS,
    SWINGS,
    TEMPLATES,
    Brief,
    InputError,
    Key,
    find_mood,
    one_of,
    read_duration,
    read_form,
    read_parts,
    read_swing,
)
from lofi.studio import Studio, access, jobs, once, prompts
from lofi.web._jobs import JOB_URL, JobId, replayed
from lofi.web._route import IdempotencyKey, Route
from lofi.web._who import TheStudio, Writer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = APIRouter(prefix="/api", tags=["jobs"], route_class=Route)

MOST = 100  # tracks in one request


def _read(reader: Callable[[Any], object]) -> AfterValidator:
    """Check a value with the function that will read it."""

    def check(value: Any) -> Any:
        try:
            reader(value)
        except InputError as error:
            raise PydanticCustomError("input", "{told}", {"told": str(error)}) from error
        return value

    return AfterValidator(check)


def _loop(text: str) -> object:
    from lofi.music import read_chords

    return read_chords(text)


def _words(value: str | list[str]) -> str:
    return value if isinstance(value, str) else " ".join(value)


NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"  # of a file in a folder: it names no other folder

Word = Annotated[str, Field(max_length=60)]
Text = Annotated[str, Field(max_length=1000)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Prompt(BaseModel):
    """A MIDI file that was sent to `POST /api/prompts`, and what is to be made from it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "sha256": "fe09b0d781e6f5a9aba2913a14a479e72aef41dc9312875f86e15ecb85ffca1e",
                    "how": "vary",
                    "keep": ["drums", "bass"],
                }
            ]
        },
    )

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    how: Literal["continue", "vary"] = Field(
        description="`continue`: it stays as it is, and new sections follow until `duration`, "
        "twice its length if left out. `vary`: its form, chords, key and length stay."
    )
    keep: (
        Annotated[
            Text | Annotated[list[Word], Field(max_length=20)],
            _read(lambda v: read_parts(_words(v))),
        ]
        | None
    ) = Field(None, description="The parts that stay in a variation. Drums and bass if left out.")


class TrackOrder(BaseModel):
    """One track, or several of one brief. What is left out is drawn by the seed."""

    model_config = ConfigDict(extra="forbid")

    mood: Annotated[Word, _read(find_mood)] | None = Field(
        None, description=f"One of {', '.join(MOODS)}."
    )
    bpm: Number | None = Field(
        None, ge=BPM_RANGE[0], le=BPM_RANGE[1], description="Tempo. By mood if left out."
    )
    key: Annotated[Word, _read(Key.parse)] | None = Field(
        None, description="Such as `C major`, `Am`, `F# minor`."
    )
    duration: Annotated[Number | Word, _read(lambda v: read_duration(str(v)))] | None = Field(
        None,
        description=f"Seconds, or `2:30`: {DURATION_RANGE_S[0]:g} s to "
        f"{DURATION_RANGE_S[1] / 60:g} min, met exactly.",
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=2**63 - 1,
        description="The same brief, seed and model give the same bytes. Drawn if left out.",
    )
    form: Annotated[Text, _read(read_form)] | None = Field(
        None,
        description=f"Sections in order, among {', '.join(SECTIONS)}, with bars where they "
        "matter: `intro:4 A:8 B outro`.",
    )
    chords: Annotated[Text, _read(_loop)] | None = Field(
        None, description="A loop, one chord a bar: `Am9 D7 Gmaj9 Cmaj7`."
    )
    instruments: (
        Annotated[
            Text | Annotated[list[Word], Field(max_length=20)],
            _read(lambda v: read_parts(_words(v))),
        ]
        | None
    ) = Field(None, description=f"Who may play: {', '.join(PARTS)}, as a list or a text.")
    swing: Annotated[Number | Word, _read(lambda v: read_swing(str(v)))] | None = Field(
        None,
        description=f"{', '.join(SWINGS)}; or where the off-beat falls, 50 to 67 percent.",
    )
    density: Annotated[Word, _read(lambda v: one_of(v, DENSITIES, "density"))] | None = Field(
        None, description=f"One of {', '.join(DENSITIES)}."
    )
    palette: Annotated[Word, _read(lambda v: one_of(v, PALETTES, "palette"))] | None = Field(
        None, description=f"One of {', '.join(PALETTES)}."
    )
    template: Annotated[Word, _read(lambda v: one_of(v, TEMPLATES, "template"))] | None = Field(
        None, description="; ".join(f"{name}: {what}" for name, what in TEMPLATES.items()) + "."
    )
    ambience: Annotated[Word, _read(lambda v: one_of(v, AMBIENCES, "ambience"))] | None = Field(
        None,
        description="What is heard around the music. "
        + "; ".join(f"{name}: {what}" for name, what in AMBIENCES.items())
        + f". {next(iter(AMBIENCES))} if left out.",
    )
    prompt: Prompt | None = Field(None, description="A MIDI file to go on from, or to vary.")
    temperature: Number | None = Field(
        None, ge=0.05, le=2.0, description="Sampling: below 1 plainer, above 1 wilder."
    )
    top_k: int | None = Field(
        None, ge=1, le=1000, description="Sampling: among how many likeliest tokens."
    )
    top_p: Number | None = Field(
        None, ge=0.01, le=1.0, description="Sampling: among what share of likelihood."
    )
    count: int = Field(1, ge=1, le=MOST, description="Tracks of this brief, each of its own seed.")
    model: str | None = Field(
        None,
        pattern=NAME,
        description="The name of a folder beside `paths.model`. The shipped model if left out.",
    )
    soundfont: str | None = Field(
        None,
        pattern=NAME,
        description="The name of a .sf2 or .sf3 file in `paths.soundfonts`.",
    )
    stems: bool = Field(False, description="Also write one file for each part.")
    priority: int | None = Field(
        None, ge=1, le=9, description="1 goes first. 1 for one track, 5 for several, if left out."
    )
    not_before: AwareDatetime | None = Field(None, description="When it may begin.")

    def to_brief(self) -> Brief:
        """The brief; what is wrong with a single field was told before."""
        loop = key = None
        if self.key is not None:
            key = Key.parse(self.key)
        if self.chords is not None:
            from lofi.music import key_of_chords, read_chords

            loop = read_chords(self.chords)
            if self.prompt is None:  # else it is that of the file
                key = key or key_of_chords(loop)
        return Brief(
            seed=secrets.randbelow(2**31) if self.seed is None else self.seed,
            mood=self.mood,
            bpm=self.bpm,
            key=key,
            duration_s=None if self.duration is None else read_duration(str(self.duration)),
            palette=self.palette,
            template=self.template,
            form=None if self.form is None else read_form(self.form),
            chords=loop,
            parts=None if self.instruments is None else read_parts(_words(self.instruments)),
            swing=None if self.swing is None else read_swing(str(self.swing)),
            density=self.density,
            ambience=self.ambience,
        )

    def sampling(self) -> dict[str, float]:
        """The sampling that is asked for."""
        asked = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
        return {name: value for name, value in asked.items() if value is not None}


class Generate(TrackOrder):
    """One track, several of one brief (`count`), or several briefs (`tracks`)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {},
                {"mood": "dreamy", "key": "Eb major", "bpm": 70, "duration": "2:30", "seed": 7},
                {
                    "mood": "focus",
                    "form": "intro:4 A:8 B:8 outro:4",
                    "bpm": 80,
                    "chords": "Dm9 G13 | Cmaj9",
                    "instruments": ["drums", "bass", "keys"],
                    "swing": "light",
                    "density": "sparse",
                    "palette": "teal",
                    "template": "wave",
                    "ambience": "rain",
                    "stems": True,
                },
                {"mood": "chill", "count": 3, "priority": 5},
                {"tracks": [{"mood": "sleep", "duration": 600}, {"mood": "happy"}]},
            ]
        },
    )

    tracks: list[TrackOrder] | None = Field(
        None,
        min_length=1,
        max_length=MOST,
        description=f"Several briefs instead of one; at most {MOST} tracks in all.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Generate:
        if self.tracks is not None and self.model_fields_set != {"tracks"}:
            other = sorted(self.model_fields_set - {"tracks"})
            raise ValueError(f"give either `tracks` or {', '.join(other)}, not both")
        if sum(order.count for order in self.each()) > MOST:
            raise ValueError(f"at most {MOST} tracks can be ordered at once")
        return self

    def each(self) -> list[TrackOrder]:
        """The orders, whichever way they were given."""
        return [self] if self.tracks is None else list(self.tracks)


class PreviewOrder(TrackOrder):
    """Ten seconds of a track, or of several candidates for it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"mood": "dreamy", "bpm": 70, "seed": 7}, {"mood": "chill", "count": 2}]
        },
    )

    count: int = Field(
        1, ge=1, le=4, description="Candidates: the seed of each is one more than the last."
    )


class Ordered(BaseModel):
    """A job that was ordered, and where it is looked at."""

    id: str
    url: str


class OrderedJobs(BaseModel):
    """What was ordered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "1f0c22d94c4d1f6e",
                    "jobs": [{"id": "1f0c22d94c4d1f6e", "url": "/api/jobs/1f0c22d94c4d1f6e"}],
                    "batch_id": None,
                }
            ]
        }
    )

    jobs: list[Ordered]
    batch_id: str | None = Field(description="What several jobs have in common.")
    id: str | None = Field(None, description="The job, where it is a single one.")


@router.post(
    "/generate",
    status_code=202,
    summary="Order tracks",
    response_description="The jobs, which wait for their turn. `Location` is where to look.",
)
def generate(
    order: Generate,
    who: Writer,
    studio: TheStudio,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> OrderedJobs:
    """Order a track; or several of one brief with `count`; or several briefs with `tracks`.

    All of them are ordered, or none.
    """
    return _ordered(
        f"generate {order.model_dump_json(exclude_unset=True)}",
        lambda: [o for each in order.each() for o in _orders(studio.orders, studio, each)],
        who,
        studio,
        response,
        idempotency_key,
    )


@router.post(
    "/preview",
    status_code=202,
    summary="Order a preview",
    response_description="The jobs, which wait for their turn. `Location` is where to look.",
)
def preview(
    order: PreviewOrder,
    who: Writer,
    studio: TheStudio,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> OrderedJobs:
    """Hear ten seconds of a track before it is made: from where the music is there in full.

    The whole score is composed and none of it drawn: a track that is ordered of the same brief and
    seed takes the score over. `file_url` of the finished job is the sound; it is kept for a day.
    """
    return _ordered(
        f"preview {order.model_dump_json(exclude_unset=True)}",
        lambda: _orders(studio.preview_orders, studio, order),
        who,
        studio,
        response,
        idempotency_key,
    )


@router.post(
    "/preview/{job_id}/make",
    status_code=202,
    summary="Order the track of a preview",
    response_description="The job, which waits for its turn. `Location` is where to look.",
)
def make_preview(
    job_id: JobId,
    who: Writer,
    studio: TheStudio,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> OrderedJobs:
    """Make the whole track that a preview was of: the same brief, seed, model and settings."""
    return _ordered(
        f"make {job_id}",
        lambda: [studio.full_order(job_id)],
        who,
        studio,
        response,
        idempotency_key,
    )


def _ordered(
    request: str,
    orders_of: Callable[[], list[jobs.Order]],
    who: access.Principal,
    studio: Studio,
    response: Response,
    idempotency_key: str | None,
) -> OrderedJobs:
    def prepare() -> Callable[[Session], dict[str, Any]]:
        orders = orders_of()
        batch_id = jobs.new_id() if len(orders) > 1 else None

        def write(session: Session) -> dict[str, Any]:
            ids = jobs.submit(session, orders, actor=who.name, batch_id=batch_id)
            return {"jobs": ids, "batch_id": batch_id}

        return write

    done, again = once(studio.database, who.name, idempotency_key, request, prepare, status=202)
    ids, batch_id = done["jobs"], done["batch_id"]
    if again:
        replayed(response)
    else:
        studio.start(ids)
    single = ids[0] if len(ids) == 1 else None
    response.headers["Location"] = (
        JOB_URL.format(single) if single else f"/api/jobs?batch={batch_id}"
    )
    return OrderedJobs(
        jobs=[Ordered(id=i, url=JOB_URL.format(i)) for i in ids], batch_id=batch_id, id=single
    )


def _orders(
    orders: Callable[..., list[jobs.Order]], studio: Studio, order: TrackOrder
) -> list[jobs.Order]:
    paths = studio.base.paths
    prompt = None
    if (asked := order.prompt) is not None:
        keep = None if asked.keep is None else read_parts(_words(asked.keep))
        with studio.database.read() as session:
            prompt = prompts.prompt(session, asked.sha256, asked.how, keep)
    return orders(
        order.to_brief(),
        count=order.count,
        model=named(paths.model.parent, order.model, "model"),
        soundfont=named(paths.soundfonts, order.soundfont, "SoundFont"),
        keep_stems=order.stems,
        priority=order.priority,
        not_before=order.not_before,
        sampling=order.sampling(),
        prompt=prompt,
    )


def named(folder: Path, name: str | None, what: str) -> Path | None:
    """What lies in a folder under that name, which leads to no other folder."""
    if name is None:
        return None
    there = sorted(p.name for p in (folder.iterdir() if folder.is_dir() else ()) if _is(p, what))
    if name not in there:
        known = f"There are {', '.join(there[:20])}." if there else f"There is no {what} at all."
        raise InputError(f"unknown {what} {name!r}. {known}")
    return folder / name


def soundfonts(studio: Studio) -> list[str]:
    """The SoundFonts that can be asked for, by name."""
    folder = studio.base.paths.soundfonts
    return sorted(p.name for p in (folder.iterdir() if folder.is_dir() else ()) if _is(p, "SF"))


def _is(path: Path, what: str) -> bool:
    if what == "model":
        return path.is_dir() and not path.name.startswith(".")
    return path.is_file() and path.suffix.lower() in (".sf2", ".sf3")
