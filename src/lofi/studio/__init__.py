"""The studio: settings and the pipeline that joins the rooms."""

from lofi.music import processes
from lofi.studio._batch import BatchResult, make_many
from lofi.studio._catalogue import import_corpora, read_card
from lofi.studio._child import Child, Crashed, Overdue
from lofi.studio._commission import Commission, commission
from lofi.studio._composed import compose_corpus, corpus_diversity
from lofi.studio._dataset import FEW_FILES, build_dataset, train_model
from lofi.studio._evaluate import EVALUATION_STAGES, FULL_REPORT, evaluate
from lofi.studio._make import Package, make, write_score
from lofi.studio._metadata import read_entries, read_head
from lofi.studio._reading import tokenize
from lofi.studio._settings import Settings, load_settings
from lofi.studio._stages import INTERNAL, STAGES, Report, Stage, run_stage, stage_key
from lofi.studio._stats import FIGURES, corpus_stats, draw_stats
from lofi.studio._workers import Limits

__all__ = [
    "EVALUATION_STAGES", "FEW_FILES", "FIGURES", "FULL_REPORT", "INTERNAL", "STAGES",
    "BatchResult", "Child", "Commission", "Crashed", "Limits", "Overdue", "Package", "Report",
    "Settings", "Stage", "build_dataset", "commission", "compose_corpus", "corpus_diversity",
    "corpus_stats", "draw_stats", "evaluate", "import_corpora", "load_settings", "make",
    "make_many", "processes", "read_card", "read_entries", "read_head", "run_stage", "stage_key",
    "tokenize", "train_model", "write_score",
]  # fmt: skip
