"""From a score to a finished master: instruments, effects, loudness, files."""

from lofi.sound._files import write_flac
from lofi.sound._filters import SAMPLE_RATE
from lofi.sound._render import Master, measure, render

__all__ = ["SAMPLE_RATE", "Master", "measure", "render", "write_flac"]
