"""A minimal SoundFont 2.01 writer, so that the FluidSynth tests bring their own instruments.

One preset is one instrument; its zones are mono samples over ranges of keys and velocities.
Section numbers are those of the SoundFont 2.01 Technical Specification.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Generators (section 8.1.2).
_KEY_RANGE, _VELOCITY_RANGE = 43, 44
_RELEASE, _ATTENUATION = 38, 48
_INSTRUMENT, _SAMPLE_ID, _SAMPLE_MODES, _SCALE_TUNING, _ROOT_KEY = 41, 53, 54, 56, 58
_SAMPLE_GAP = 46  # zero samples the specification asks for after each sample


@dataclass(frozen=True)
class Zone:
    """A sample (n,) float ±1 and where it sounds."""

    sample: NDArray[np.float32]
    root: int
    keys: tuple[int, int] = (0, 127)
    velocities: tuple[int, int] = (0, 127)
    release_s: float = 0.1


@dataclass(frozen=True)
class Preset:
    """A named program of a bank (128 for drums)."""

    name: str
    bank: int
    program: int
    zones: tuple[Zone, ...]


def _chunk(tag: bytes, body: bytes) -> bytes:
    padded = body + b"\0" * (len(body) % 2)  # FluidSynth refuses chunks of odd length
    return tag + struct.pack("<I", len(padded)) + padded


def _list(kind: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", kind + b"".join(chunks))


def _name(text: str) -> bytes:
    return text.encode("ascii")[:19].ljust(20, b"\0")


def _timecents(seconds: float) -> int:
    return round(1200 * math.log2(max(seconds, 1e-3)))


def _generators(zone: Zone, sample_id: int, peak: float) -> list[bytes]:
    def signed(generator: int, amount: int) -> bytes:
        return struct.pack("<Hh", generator, amount)

    def key_span(generator: int, span: tuple[int, int]) -> bytes:
        return struct.pack("<HBB", generator, *span)

    # Section 8.5: ranges stand first, the sample last.
    return [
        key_span(_KEY_RANGE, zone.keys),
        key_span(_VELOCITY_RANGE, zone.velocities),
        signed(_RELEASE, _timecents(zone.release_s)),
        signed(_ATTENUATION, max(0, round(-200 * math.log10(min(1.0, peak))))),
        signed(_SAMPLE_MODES, 0),
        signed(_SCALE_TUNING, 0 if zone.keys[0] == zone.keys[1] else 100),
        signed(_ROOT_KEY, zone.root),
        signed(_SAMPLE_ID, sample_id),
    ]


def write_sf2(path: Path, name: str, presets: tuple[Preset, ...], rate: int) -> None:
    """Write the presets as a SoundFont file at that sample rate."""
    samples = bytearray()
    sample_headers, instruments, instrument_bags, instrument_generators = b"", b"", b"", b""
    preset_headers, preset_bags, preset_generators = b"", b"", b""
    zone_count, generator_count, sample_count = 0, 0, 0
    for index, preset in enumerate(presets):
        preset_headers += struct.pack(
            "<20sHHHIII", _name(preset.name), preset.program, preset.bank, index, 0, 0, 0
        )
        preset_bags += struct.pack("<HH", index, 0)
        preset_generators += struct.pack("<HH", _INSTRUMENT, index)
        instruments += struct.pack("<20sH", _name(preset.name), zone_count)
        for zone in preset.zones:
            peak = float(np.abs(zone.sample).max())
            start = len(samples) // 2
            samples += np.round(zone.sample / peak * 32_000).astype("<i2").tobytes()
            end = len(samples) // 2
            samples += b"\0\0" * _SAMPLE_GAP
            sample_headers += struct.pack(
                "<20sIIIIIBbHH",
                _name(preset.name),
                *(start, end, start, end, rate),
                *(zone.root, 0, 0, 1),
            )
            instrument_bags += struct.pack("<HH", generator_count, 0)
            generators = _generators(zone, sample_count, peak)
            instrument_generators += b"".join(generators)
            generator_count += len(generators)
            zone_count += 1
            sample_count += 1
    # Every list ends with a record that says where the one before it stops (section 7).
    preset_headers += struct.pack("<20sHHHIII", _name("EOP"), 0, 0, len(presets), 0, 0, 0)
    preset_bags += struct.pack("<HH", len(presets), 0)
    preset_generators += struct.pack("<HH", 0, 0)
    instruments += struct.pack("<20sH", _name("EOI"), zone_count)
    instrument_bags += struct.pack("<HH", generator_count, 0)
    instrument_generators += struct.pack("<HH", 0, 0)
    sample_headers += struct.pack("<20sIIIIIBbHH", _name("EOS"), 0, 0, 0, 0, 0, 0, 0, 0, 0)
    modulators = b"\0" * 10
    body = (
        b"sfbk"
        + _list(
            b"INFO",
            _chunk(b"ifil", struct.pack("<HH", 2, 1)),
            _chunk(b"isng", b"EMU8000\0"),
            _chunk(b"INAM", name.encode("ascii") + b"\0"),
        )
        + _list(b"sdta", _chunk(b"smpl", bytes(samples)))
        + _list(
            b"pdta",
            _chunk(b"phdr", preset_headers),
            _chunk(b"pbag", preset_bags),
            _chunk(b"pmod", modulators),
            _chunk(b"pgen", preset_generators),
            _chunk(b"inst", instruments),
            _chunk(b"ibag", instrument_bags),
            _chunk(b"imod", modulators),
            _chunk(b"igen", instrument_generators),
            _chunk(b"shdr", sample_headers),
        )
    )
    path.write_bytes(_chunk(b"RIFF", body))
