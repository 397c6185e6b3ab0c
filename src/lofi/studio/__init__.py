"""The studio: settings, the stages of a track, and the service that carries jobs out.

Public names are loaded when first used, so that making a track loads no database.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lofi.music import processes
    from lofi.studio import _access as access
    from lofi.studio import _accounts as accounts
    from lofi.studio import _analytics as analytics
    from lofi.studio import _answers as answers
    from lofi.studio import _calendar as calendar
    from lofi.studio import _community as community
    from lofi.studio import _details as details
    from lofi.studio import _experiments as experiments
    from lofi.studio import _figures as figures
    from lofi.studio import _jobs as jobs
    from lofi.studio import _keeping as keeping
    from lofi.studio import _listings as listings
    from lofi.studio import _models as models
    from lofi.studio import _presets as presets
    from lofi.studio import _prompts as prompts
    from lofi.studio import _releases as releases
    from lofi.studio import _remakes as remakes
    from lofi.studio import _rounds as rounds
    from lofi.studio import _slots as slots
    from lofi.studio import _tracks as tracks
    from lofi.studio import _trainings as trainings
    from lofi.studio import _uploads as uploads
    from lofi.studio._accounts import YouTubeError
    from lofi.studio._answers import KeyReusedError, once
    from lofi.studio._batch import BatchResult, make_many
    from lofi.studio._calendar import upcoming
    from lofi.studio._catalogue import import_corpora, read_card
    from lofi.studio._child import Child, Crashed, Overdue
    from lofi.studio._commission import Commission, commission
    from lofi.studio._compared import Compared, compare
    from lofi.studio._composed import compose_corpus, corpus_diversity
    from lofi.studio._database import Database, DatabaseError
    from lofi.studio._dataset import FEW_FILES, build_dataset, train_model
    from lofi.studio._deliver import Delivery, Ordered, deliver, order_or_resume, under_way, watch
    from lofi.studio._doctor import Finding, examine
    from lofi.studio._errors import ConflictError, NotFoundError
    from lofi.studio._evaluate import EVALUATION_STAGES, FULL_REPORT, evaluate
    from lofi.studio._exits import (
        Written,
        release_sheet,
        write_distributor,
        write_samples,
        write_site,
    )
    from lofi.studio._judge import BusyError, judge_upload
    from lofi.studio._make import Package, make, write_score
    from lofi.studio._metadata import read_entries, read_head
    from lofi.studio._preflight import Preflight, preflight
    from lofi.studio._queue import lanes_of
    from lofi.studio._reading import tokenize
    from lofi.studio._samples import hear
    from lofi.studio._settings import RANGES, Settings, default_settings, load_settings, pinned
    from lofi.studio._stages import INTERNAL, PREVIEW, STAGES, Report, Stage, run_stage, stage_key
    from lofi.studio._stats import FIGURES, corpus_stats, data_set, draw_stats, spread
    from lofi.studio._storage import collect_garbage
    from lofi.studio._studio import WRITABLE, Studio, lock_folder, open_database, open_studio
    from lofi.studio._timeline import TimedChord, TimedNote, TimedSection, Timeline, read_timeline
    from lofi.studio._watch import Seen, Watch, events
    from lofi.studio._workers import Limits

_HOME = {
    "_accounts": ("YouTubeError",),
    "_answers": (
        "KeyReusedError",
        "once",
    ),
    "_batch": (
        "BatchResult",
        "make_many",
    ),
    "_calendar": ("upcoming",),
    "_catalogue": (
        "import_corpora",
        "read_card",
    ),
    "_child": (
        "Child",
        "Crashed",
        "Overdue",
    ),
    "_commission": (
        "Commission",
        "commission",
    ),
    "_compared": (
        "Compared",
        "compare",
    ),
    "_composed": (
        "compose_corpus",
        "corpus_diversity",
    ),
    "_database": (
        "Database",
        "DatabaseError",
    ),
    "_dataset": (
        "FEW_FILES",
        "build_dataset",
        "train_model",
    ),
    "_deliver": (
        "Delivery",
        "Ordered",
        "deliver",
        "order_or_resume",
        "under_way",
        "watch",
    ),
    "_doctor": (
        "Finding",
        "examine",
    ),
    "_errors": (
        "ConflictError",
        "NotFoundError",
    ),
    "_evaluate": (
        "EVALUATION_STAGES",
        "FULL_REPORT",
        "evaluate",
    ),
    "_exits": (
        "Written",
        "release_sheet",
        "write_distributor",
        "write_samples",
        "write_site",
    ),
    "_judge": (
        "BusyError",
        "judge_upload",
    ),
    "_make": (
        "Package",
        "make",
        "write_score",
    ),
    "_metadata": (
        "read_entries",
        "read_head",
    ),
    "_preflight": (
        "Preflight",
        "preflight",
    ),
    "_queue": ("lanes_of",),
    "_reading": ("tokenize",),
    "_samples": ("hear",),
    "_settings": (
        "RANGES",
        "Settings",
        "default_settings",
        "load_settings",
        "pinned",
    ),
    "_stages": (
        "INTERNAL",
        "PREVIEW",
        "STAGES",
        "Report",
        "Stage",
        "run_stage",
        "stage_key",
    ),
    "_stats": (
        "FIGURES",
        "corpus_stats",
        "data_set",
        "draw_stats",
        "spread",
    ),
    "_storage": ("collect_garbage",),
    "_studio": (
        "WRITABLE",
        "Studio",
        "lock_folder",
        "open_database",
        "open_studio",
    ),
    "_timeline": (
        "TimedChord",
        "TimedNote",
        "TimedSection",
        "Timeline",
        "read_timeline",
    ),
    "_watch": (
        "Seen",
        "Watch",
        "events",
    ),
    "_workers": ("Limits",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
_MODULES = {
    "access": "_access",
    "answers": "_answers",
    "accounts": "_accounts",
    "analytics": "_analytics",
    "calendar": "_calendar",
    "community": "_community",
    "details": "_details",
    "experiments": "_experiments",
    "figures": "_figures",
    "jobs": "_jobs",
    "keeping": "_keeping",
    "listings": "_listings",
    "models": "_models",
    "presets": "_presets",
    "prompts": "_prompts",
    "releases": "_releases",
    "remakes": "_remakes",
    "rounds": "_rounds",
    "slots": "_slots",
    "tracks": "_tracks",
    "trainings": "_trainings",
    "uploads": "_uploads",
}  # whose functions are used by the module's name

__all__ = [
    "EVALUATION_STAGES",
    "FEW_FILES",
    "FIGURES",
    "FULL_REPORT",
    "INTERNAL",
    "PREVIEW",
    "RANGES",
    "STAGES",
    "WRITABLE",
    "BatchResult",
    "BusyError",
    "Child",
    "Commission",
    "Compared",
    "ConflictError",
    "Crashed",
    "Database",
    "DatabaseError",
    "Delivery",
    "Finding",
    "KeyReusedError",
    "Limits",
    "NotFoundError",
    "Ordered",
    "Overdue",
    "Package",
    "Preflight",
    "Report",
    "Seen",
    "Settings",
    "Stage",
    "Studio",
    "TimedChord",
    "TimedNote",
    "TimedSection",
    "Timeline",
    "Watch",
    "Written",
    "YouTubeError",
    "access",
    "accounts",
    "analytics",
    "answers",
    "build_dataset",
    "calendar",
    "collect_garbage",
    "commission",
    "community",
    "compare",
    "compose_corpus",
    "corpus_diversity",
    "corpus_stats",
    "data_set",
    "default_settings",
    "deliver",
    "details",
    "draw_stats",
    "evaluate",
    "events",
    "examine",
    "experiments",
    "figures",
    "hear",
    "import_corpora",
    "jobs",
    "judge_upload",
    "keeping",
    "lanes_of",
    "listings",
    "load_settings",
    "lock_folder",
    "make",
    "make_many",
    "models",
    "once",
    "open_database",
    "open_studio",
    "order_or_resume",
    "pinned",
    "preflight",
    "presets",
    "processes",
    "prompts",
    "read_card",
    "read_entries",
    "read_head",
    "read_timeline",
    "release_sheet",
    "releases",
    "remakes",
    "rounds",
    "run_stage",
    "slots",
    "spread",
    "stage_key",
    "tokenize",
    "tracks",
    "train_model",
    "trainings",
    "under_way",
    "upcoming",
    "uploads",
    "watch",
    "write_distributor",
    "write_samples",
    "write_score",
    "write_site",
]


def __getattr__(name: str) -> object:
    if name == "processes":
        from lofi.music import processes

        return processes
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{_MODULES[name]}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
