"""All settings in one typed object: defaults, then `config.yaml`, then the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lofi.brief import DURATION_RANGE_S, InputError
from lofi.channel import LANGUAGES
from lofi.music import Architecture, Bounds, Finetuning, Quality, Recipe, Sampling
from lofi.studio._workers import Limits

CONFIG_FILE = Path("config.yaml")


def _listed(value: Any) -> Any:
    """The environment has no lists: `5,30,120` is one."""
    return [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Paths:
    """Where data lies, relative to where the command runs."""

    raw_midi: Path = Path("data/raw_midi")
    tokenized: Path = Path("data/tokenized")
    metadata: Path = Path("data/metadata.json")
    datasets: Path = Path("data/datasets")
    model: Path = Path("models/lofi-gpt2")  # the folder around it is that of all models
    soundfonts: Path = Path("data/soundfonts")
    output: Path = Path("output")


@dataclass(frozen=True, slots=True)
class Split:
    """How the data set is cut."""

    val_share: float = 0.1
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Generation:
    """How a score is written."""

    best_of: int = 4
    threads: int = 2  # engines side by side; any number writes the same music
    attempts: int = 3  # tries, while a score is found to resemble its training corpus


@dataclass(frozen=True, slots=True)
class Video:
    """The video's frame."""

    width: int = 1920
    height: int = 1080
    fps: int = 30
    threads: int = 2


@dataclass(frozen=True, slots=True)
class House:
    """Where the studio keeps what it remembers. Empty: within its folder."""

    folder: Path = Path("data/studio")
    database: str = ""  # postgresql://user:password@host/name
    storage: str = ""  # s3://bucket/prefix, or a folder
    cache: str = ""  # redis://host:6379/0; memory where empty


@dataclass(frozen=True, slots=True)
class Server:
    """Where the studio answers, and to how much."""

    host: str = "127.0.0.1"
    port: int = 8000
    max_body_mb: int = 20
    requests_per_minute: int = 1200  # of one token or address
    works: bool = True  # whether `lofi serve` also carries out jobs


@dataclass(frozen=True, slots=True)
class Work:
    """How much is done at once, and how patiently."""

    compute: int = 0  # tracks composed and played at once; 0: half the cores
    render: int = 0  # tracks drawn at once; 0: one for each core
    network: int = 1  # uploads at once, of all workers together
    network_per_minute: int = 30
    retry_delays_s: Annotated[tuple[float, ...], BeforeValidator(_listed)] = (
        5.0,
        30.0,
        120.0,
    )  # after what may pass
    dead_after_s: float = 10.0  # a worker that has not beaten for so long
    niceness: int = 10


@dataclass(frozen=True, slots=True)
class Daily:
    """The daily run: how many tracks, and what of them is not left to chance."""

    cron: str = ""  # such as "0 6 * * *"; empty: only when `lofi daily` is run
    time_zone: str = "UTC"
    count: int = 3
    # One for each track in turn; empty: by chance.
    moods: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    duration_s: float = 180.0


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How releases are spread over the calendar."""

    time_zone: str = "UTC"  # of the channel: whose days and hours count
    spacing_h: float = 12.0  # at least, between two releases
    per_day: int = 1  # at most


@dataclass(frozen=True, slots=True)
class Wording:
    """What listings are written from, and who else may word them."""

    templates: Path = Path("data/listing.yaml")  # one's own, laid over the shipped ones
    languages: Annotated[tuple[str, ...], BeforeValidator(_listed)] = LANGUAGES
    rewrite_url: str = ""  # of an OpenAI-compatible endpoint, such as http://127.0.0.1:11434/v1
    rewrite_model: str = ""
    rewrite_within_s: float = 60.0


@dataclass(frozen=True, slots=True)
class YouTube:
    """What may be done on YouTube. Nothing is uploaded before `uploads` is true."""

    uploads: bool = False
    playlist: str = ""  # the id of one of the channel's own, for what is released
    units_per_day: int = 10_000  # of the quota; more where Google has granted it
    uploads_per_day: int = 100


class Settings(BaseSettings):
    """Every setting. `LOFI_VIDEO__FPS=24` in the environment sets `video.fps`."""

    model_config = SettingsConfigDict(env_prefix="LOFI_", env_nested_delimiter="__")

    paths: Paths = Field(default_factory=Paths)
    bounds: Bounds = Field(default_factory=Bounds)
    reading: Limits = Field(default_factory=Limits)
    quality: Quality = Field(default_factory=Quality)
    split: Split = Field(default_factory=Split)
    architecture: Architecture = Field(default_factory=Architecture)
    training: Recipe = Field(default_factory=Recipe)
    finetuning: Finetuning = Field(default_factory=Finetuning)
    sampling: Sampling = Field(default_factory=Sampling)
    generation: Generation = Field(default_factory=Generation)
    video: Video = Field(default_factory=Video)
    studio: House = Field(default_factory=House)
    server: Server = Field(default_factory=Server)
    work: Work = Field(default_factory=Work)
    daily: Daily = Field(default_factory=Daily)
    listing: Wording = Field(default_factory=Wording)
    schedule: Scheduling = Field(default_factory=Scheduling)
    youtube: YouTube = Field(default_factory=YouTube)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file, whose values arrive as arguments."""
        return env_settings, init_settings


# Low and high of the numbers that may be set while the studio runs: beyond, no work can be done.
RANGES: dict[str, dict[str, tuple[float, float]]] = {
    "generation": {"best_of": (1, 64), "threads": (1, 64), "attempts": (1, 20)},
    "sampling": {
        "temperature": (0.05, 2.0),
        "top_k": (1, 1000),
        "top_p": (0.01, 1.0),
        "max_length": (64, 1_000_000),
    },
    "video": {"width": (320, 3840), "height": (180, 2160), "fps": (1, 60), "threads": (1, 64)},
    "daily": {"count": (1, 1000), "duration_s": DURATION_RANGE_S},
    "youtube": {"units_per_day": (0, 100_000_000), "uploads_per_day": (0, 100_000)},
}


def check_ranges(group: str, values: Any) -> None:
    """Raise InputError unless the numbers of a group, given as its dataclass, are within RANGES."""
    for name, (low, high) in RANGES.get(group, {}).items():
        value = getattr(values, name)
        if not low <= value <= high:
            raise InputError(
                f"setting {group}.{name}: {value:g} is out of range. Choose {low:g} to {high:g}."
            )


def pinned() -> dict[str, str]:
    """The settings that the environment sets, as `group.name`, with the variable's name.

    Nothing that is set elsewhere goes before them.
    """
    found = {}
    for variable in os.environ:
        group, parted, name = variable.upper().removeprefix("LOFI_").partition("__")
        if parted and variable.upper().startswith("LOFI_"):
            found[f"{group.lower()}.{name.lower()}"] = variable
    return found


def load_settings(path: Path | None = None) -> Settings:
    """Settings from `path`, or from ./config.yaml if there is one.

    Raises InputError that names the file, the setting and what is wrong with it.
    """
    values: Any = {}
    file = path or CONFIG_FILE
    if path is not None or file.is_file():
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{file} cannot be read as settings: {error}") from error
        if not isinstance(values, dict):
            raise InputError(f"{file} must hold settings as `name: value` lines.")
        _refuse_unknown(values, file)
    return check_settings(values, f" in {file} or the environment")


def default_settings() -> Settings:
    """The defaults, and what the environment says where it can be used."""
    try:
        return Settings()
    except ValidationError:
        return Settings.model_construct()


def check_settings(values: dict[str, Any], where: str = "") -> Settings:
    """Settings of these values. Raises InputError that names the first that is wrong."""
    try:
        return Settings(**values)
    except ValidationError as error:
        raise _wrong(error, (), where) from error


def check_group(group: str, values: dict[str, Any]) -> Any:
    """The group of these values, whatever the environment says. Raises InputError."""
    kind: Any = Settings.model_fields[group].annotation
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise _wrong(error, (group,), "") from error


def _wrong(error: ValidationError, group: tuple[str, ...], where: str) -> InputError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in (*group, *first["loc"]))
    return InputError(f"setting {name}{where}: {first['msg']} (it is {first.get('input')!r}).")


def _refuse_unknown(values: dict[str, Any], file: Path) -> None:
    known: dict[str, Any] = {n: f.default_factory for n, f in Settings.model_fields.items()}
    for group, content in values.items():
        names = known.get(group)
        if names is None or not is_dataclass(names):
            raise InputError(f"{file}: unknown group {group!r}. The groups are {', '.join(known)}.")
        for name in content or {}:
            allowed = [f.name for f in fields(names)]
            if name not in allowed:
                raise InputError(
                    f"{file}: unknown setting {group}.{name}. There are {', '.join(allowed)}."
                )
