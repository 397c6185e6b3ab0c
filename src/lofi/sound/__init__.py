"""From a score to a finished master: instruments, effects, loudness, files."""

from lofi.sound._files import write_flac
from lofi.sound._filters import SAMPLE_RATE
from lofi.sound._fluidsynth import check_soundfont, fluidsynth_version
from lofi.sound._heard import heard_at, played_notes
from lofi.sound._render import Master, measure, render, render_excerpt
from lofi.sound._score import Note

__all__ = [
    "SAMPLE_RATE", "Master", "Note", "check_soundfont", "fluidsynth_version", "heard_at",
    "measure", "played_notes", "render", "render_excerpt", "write_flac",
]  # fmt: skip
