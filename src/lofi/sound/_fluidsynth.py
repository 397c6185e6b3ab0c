"""Play any SoundFont through FluidSynth's C library, called with `ctypes`.

All parts sound in one pass, each on a MIDI channel and an audio group of its own, in float32.
FluidSynth starts notes on its own blocks of 64 samples, so an onset may be up to 1.4 ms late.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lofi.brief import PARTS, InputError, LofiError
from lofi.sound._filters import SAMPLE_RATE, Audio
from lofi.sound._score import PartNotes

# Where package managers put the library when the loader does not look there by itself.
_LIBRARY_NAMES = (
    "libfluidsynth.so.3",
    "libfluidsynth.so.2",
    "/opt/homebrew/lib/libfluidsynth.dylib",  # Homebrew on Apple silicon
    "/usr/local/lib/libfluidsynth.dylib",  # Homebrew on Intel
    "/opt/local/lib/libfluidsynth.dylib",  # MacPorts
    "libfluidsynth-3.dll",
)
_REMEDY = (
    "a SoundFont needs the FluidSynth library, and it was not found. Install it with "
    "'apt install libfluidsynth3' on Debian or Ubuntu, 'dnf install fluidsynth-libs' on Fedora, "
    "'brew install fluid-synth' on macOS ('pip install fluidsynth' is another thing), "
    "or leave the SoundFont out to use the built-in instruments."
)

_Buffers = POINTER(c_float)
# name: (result, arguments), of the functions used here.
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "new_fluid_settings": (c_void_p, []),
    "delete_fluid_settings": (None, [c_void_p]),
    "fluid_settings_setnum": (c_int, [c_void_p, c_char_p, c_double]),
    "fluid_settings_setint": (c_int, [c_void_p, c_char_p, c_int]),
    "new_fluid_synth": (c_void_p, [c_void_p]),
    "delete_fluid_synth": (None, [c_void_p]),
    "fluid_set_log_function": (c_void_p, [c_int, c_void_p, c_void_p]),
    "fluid_version_str": (c_char_p, []),
    "fluid_is_soundfont": (c_int, [c_char_p]),
    "fluid_synth_sfload": (c_int, [c_void_p, c_char_p, c_int]),
    "fluid_synth_set_channel_type": (c_int, [c_void_p, c_int, c_int]),
    "fluid_synth_program_select": (c_int, [c_void_p, c_int, c_int, c_int, c_int]),
    "fluid_synth_noteon": (c_int, [c_void_p, c_int, c_int, c_int]),
    "fluid_synth_noteoff": (c_int, [c_void_p, c_int, c_int]),
    "fluid_synth_process": (
        c_int,
        [c_void_p, c_int, c_int, c_void_p, c_int, POINTER(_Buffers)],
    ),
}
_LOG_LEVELS = 5
_DRUM_BANK = 128


@cache
def load_library() -> Any:
    """FluidSynth's C library with its signatures. Raises LofiError with the remedy if missing."""
    found = ctypes.util.find_library("fluidsynth")
    for name in (found, *_LIBRARY_NAMES) if found else _LIBRARY_NAMES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        for function_name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, function_name)
            function.restype = result
            function.argtypes = arguments
        for level in range(_LOG_LEVELS):
            # Its messages would go to stderr; what matters is raised as an exception below.
            library.fluid_set_log_function(level, None, None)
        return library
    raise LofiError(_REMEDY)


def fluidsynth_version() -> str:
    """Such as `2.3.1`. Raises LofiError if the library is missing."""
    return load_library().fluid_version_str().decode()


@contextmanager
def _synthesizer(library: Any, groups: int) -> Iterator[Any]:
    settings = library.new_fluid_settings()
    library.fluid_settings_setnum(settings, b"synth.sample-rate", float(SAMPLE_RATE))
    library.fluid_settings_setnum(settings, b"synth.gain", 0.5)
    for name, value in (
        ("audio-channels", groups),
        ("audio-groups", groups),
        ("reverb.active", 0),
        ("chorus.active", 0),
        ("polyphony", 512),
        ("dynamic-sample-loading", 1),
    ):
        library.fluid_settings_setint(settings, f"synth.{name}".encode(), value)
    synth = library.new_fluid_synth(settings)
    try:
        if not synth:
            raise LofiError("FluidSynth could not start; its library may be damaged. Reinstall it.")
        yield synth
    finally:
        if synth:
            library.delete_fluid_synth(synth)
        library.delete_fluid_settings(settings)


def check_soundfont(soundfont: Path) -> None:
    """Raise InputError unless `soundfont` is a SoundFont file, LofiError without FluidSynth."""
    if not soundfont.is_file():
        raise InputError(
            f"SoundFont {str(soundfont)!r} does not exist. "
            "Give the path of an .sf2 or .sf3 file, or none to use the built-in instruments."
        )
    if not load_library().fluid_is_soundfont(str(soundfont).encode()):
        raise _unusable(soundfont)


def _unusable(soundfont: Path) -> InputError:
    return InputError(
        f"{str(soundfont)!r} is not a SoundFont that FluidSynth can read. "
        "Give an intact .sf2 or .sf3 file, or none to use the built-in instruments."
    )


def _select_preset(
    library: Any, synth: Any, channel: int, font: int, part: str, program: int, soundfont: Path
) -> None:
    """The preset of that program; else the part's usual one; else the font's first."""
    drums = part == "drums"
    library.fluid_synth_set_channel_type(synth, channel, int(drums))
    if drums:
        wanted = ((_DRUM_BANK, 0), (0, 0))
    else:
        wanted = ((0, program), (0, PARTS[part].program), (0, 0))
    for bank, preset in wanted:
        if library.fluid_synth_program_select(synth, channel, font, bank, preset) == 0:
            return
    raise InputError(
        f"SoundFont {str(soundfont)!r} has no preset for the {part} "
        f"({'bank 128' if drums else f'program {program}'}). Use one with the General MIDI sounds."
    )


def play(parts: dict[str, PartNotes], n_samples: int, soundfont: Path) -> dict[str, Audio]:
    """The stems of all parts, part name -> (2, n_samples) float32, played by `soundfont`.

    Raises InputError for a missing or unreadable SoundFont or one without a needed preset,
    LofiError when FluidSynth is not installed.
    """
    check_soundfont(soundfont)
    library = load_library()
    stems = {part: np.zeros((2, n_samples), np.float32) for part in parts}
    channels = [channel for stem in stems.values() for channel in stem]
    with _synthesizer(library, len(parts)) as synth:
        font = library.fluid_synth_sfload(synth, str(soundfont).encode(), 0)
        if font < 0:
            raise _unusable(soundfont)
        events: list[tuple[int, int, int, int, int]] = []
        for channel, (part, part_notes) in enumerate(parts.items()):
            _select_preset(library, synth, channel, font, part, part_notes.program, soundfont)
            for note in part_notes.notes:
                on = round(note.start_s * SAMPLE_RATE)
                off = max(on + 1, round((note.start_s + note.duration_s) * SAMPLE_RATE))
                # At the same sample a note ends (velocity 0) before the next one starts.
                events.append((off, 0, channel, note.pitch, 0))
                events.append((on, 1, channel, note.pitch, note.velocity))
        events.sort()
        position = 0

        def render_until(stop: int) -> None:
            nonlocal position
            if stop <= position:
                return
            buffers = (_Buffers * len(channels))(
                *(
                    ctypes.cast(channel.ctypes.data + position * channel.itemsize, _Buffers)
                    for channel in channels
                )
            )
            # It adds to its output buffers, which is why they start as zeros.
            library.fluid_synth_process(synth, stop - position, 0, None, len(channels), buffers)
            position = stop

        for at, starts, channel, pitch, velocity in events:
            render_until(min(at, n_samples))
            if starts:
                library.fluid_synth_noteon(synth, channel, pitch, velocity)
            else:
                library.fluid_synth_noteoff(synth, channel, pitch)
        render_until(n_samples)
    return stems
