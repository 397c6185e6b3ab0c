"""The studio: settings and the pipeline that joins the rooms."""

from lofi.studio._batch import BatchResult, make_many
from lofi.studio._corpus import build_dataset, compose_corpus, find_midi, tokenize, train_model
from lofi.studio._make import STAGES, Package, make, write_score
from lofi.studio._settings import Settings, load_settings

__all__ = [
    "STAGES", "BatchResult", "Package", "Settings", "build_dataset", "compose_corpus", "find_midi",
    "load_settings", "make", "make_many", "tokenize", "train_model", "write_score",
]  # fmt: skip
