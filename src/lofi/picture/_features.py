"""What the picture hears: spectrum bands from the audio, kicks and melody from the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from symusic import Score

BANDS = 64
_FFT_SIZE = 4096
_LOWEST_HZ, _HIGHEST_HZ = 50.0, 6_500.0  # above, lo-fi is filtered away
_RANGE_DB = 30.0
_QUIET_DB = -50.0
"""A band whose loud moments lie below this (dB of full scale) is hiss and stays short."""
_FALL_S = 0.22
_KICK_PITCHES = (35, 36)
_KICK_FADE_S = 0.17
SPARK_LIFE_S = 2.2


@dataclass(frozen=True)
class Features:
    """One row per drawn picture."""

    times_s: NDArray[np.float64]
    bands: NDArray[np.float32]
    """`(pictures, BANDS)`, 0..1, low to high."""
    kick: NDArray[np.float32]
    """`(pictures,)`, 1 on a hard kick, fading within a beat."""
    kicks_so_far: NDArray[np.int64]
    notes: NDArray[np.float64]
    """`(notes, 2)` onset in seconds and MIDI pitch of the lead, by onset."""

    def sounding(self, picture: int) -> list[tuple[float, float]]:
        """Age in seconds and pitch of the melody notes whose spark still flies."""
        now = self.times_s[picture]
        # An onset is written in fewer digits than a picture's moment: one that falls on it may be
        # some hundred nanoseconds ahead, and no age is below 0 or beyond a spark's life.
        first, last = np.searchsorted(self.notes[:, 0], (now - SPARK_LIFE_S, now + 1e-6))
        return [
            (float(np.clip(now - onset, 0.0, SPARK_LIFE_S)), float(pitch))
            for onset, pitch in self.notes[first:last]
        ]


def listen(
    score: Score, audio: NDArray[np.float32], rate: int, pictures: int, rate_hz: float
) -> Features:
    """Features for `pictures` pictures drawn at `rate_hz`; `audio` is `(channels, samples)`."""
    times_s = np.arange(pictures) / rate_hz
    seconds = score.to("Second")
    kicks = sorted(
        (float(note.time), note.velocity / 127.0)
        for track in seconds.tracks
        if track.is_drum
        for note in track.notes
        if note.pitch in _KICK_PITCHES
    )
    kick, kicks_so_far = _kick_envelope(kicks, times_s)
    melody = sorted(
        (note.time, note.pitch)
        for track in seconds.tracks
        if track.name == "lead"
        for note in track.notes
    )
    return Features(
        times_s=times_s,
        bands=spectrum_bands(audio, rate, pictures, rate_hz),
        kick=kick,
        kicks_so_far=kicks_so_far,
        notes=np.array(melody, dtype=np.float64).reshape(-1, 2),
    )


def _kick_envelope(
    kicks: list[tuple[float, float]], times_s: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if not kicks:
        return np.zeros(len(times_s), np.float32), np.zeros(len(times_s), np.int64)
    onsets, velocities = np.array(kicks, dtype=np.float64).T
    # A picture shows the kick that falls within its own time, so no kick comes late.
    step_s = times_s[1] if len(times_s) > 1 else 0.0
    count = np.searchsorted(onsets, times_s + step_s / 2, side="right")
    latest = np.maximum(count - 1, 0)
    age_s = np.maximum(times_s - onsets[latest], 0.0)
    strength = velocities[latest] ** 0.5 * np.exp(-age_s / _KICK_FADE_S)
    return np.where(count > 0, strength, 0.0).astype(np.float32), count


def _mel(frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2595.0 * np.log10(1.0 + frequency_hz / 700.0)


def mel_bank(rate: int, bands: int = BANDS) -> NDArray[np.float32]:
    """`(bands, bins)` triangular filters of unit sum, evenly spaced in mels (O'Shaughnessy)."""
    low, high = _mel(np.array([_LOWEST_HZ, min(_HIGHEST_HZ, rate * 0.45)]))
    edges = 700.0 * (10.0 ** (np.linspace(low, high, bands + 2) / 2595.0) - 1.0)
    bins = np.fft.rfftfreq(_FFT_SIZE, 1.0 / rate)
    bank = np.zeros((bands, len(bins)), np.float32)
    for band in range(bands):
        lower, centre, upper = edges[band : band + 3]
        rising = (bins - lower) / (centre - lower)
        falling = (upper - bins) / (upper - centre)
        bank[band] = np.clip(np.minimum(rising, falling), 0.0, None)
        if not bank[band].any():
            bank[band, np.argmin(np.abs(bins - centre))] = 1.0
        bank[band] /= bank[band].sum()
    return bank


def spectrum_bands(
    audio: NDArray[np.float32], rate: int, pictures: int, rate_hz: float
) -> NDArray[np.float32]:
    """`(pictures, BANDS)` levels 0..1 that rise at once and fall like a meter.

    Each band is scaled to its own loud moments over the piece, so that treble moves as much as
    bass; silence stays at 0.
    """
    power = _band_power(audio, rate, pictures, rate_hz)
    level_db = 10.0 * np.log10(power + 1e-12)
    whole = np.percentile(level_db, 99.5)
    loud_db = 0.35 * whole + 0.65 * np.percentile(level_db, 98.5, axis=0)
    loud_db = np.convolve(np.pad(loud_db, 4, mode="edge"), np.full(9, 1 / 9), "valid")
    loud_db = np.maximum(loud_db, _QUIET_DB)
    level = np.clip((level_db - (loud_db - _RANGE_DB)) / (_RANGE_DB * 1.1), 0.0, 1.0) ** 1.6
    padded = np.pad(level, ((0, 0), (1, 1)), mode="edge")
    level = 0.2 * padded[:, :-2] + 0.6 * padded[:, 1:-1] + 0.2 * padded[:, 2:]
    fall = np.exp(-1.0 / (rate_hz * _FALL_S))
    meter = np.zeros(BANDS)
    result = np.empty((pictures, BANDS), np.float32)
    for picture in range(pictures):
        meter = np.maximum(level[picture], meter * fall)
        result[picture] = meter
    return result


def _band_power(
    audio: NDArray[np.float32], rate: int, pictures: int, rate_hz: float, chunk: int = 256
) -> NDArray[np.float64]:
    """`(pictures, BANDS)` mean power per bin; full-scale sine ≈ 1 in its own bin."""
    half = _FFT_SIZE // 2
    window = np.hanning(_FFT_SIZE).astype(np.float32)
    window /= window.sum() / 2.0
    bank = mel_bank(rate).T
    starts = np.round(np.arange(pictures) * rate / rate_hz).astype(np.int64) - half
    offsets = np.arange(_FFT_SIZE)
    power = np.empty((pictures, BANDS))
    last = audio.shape[1] - 1
    for begin in range(0, pictures, chunk):
        index = starts[begin : begin + chunk, None] + offsets
        inside = (index >= 0) & (index <= last)
        index = np.clip(index, 0, last)
        mono = audio[:, index].mean(axis=0, dtype=np.float32) * inside
        spectrum = np.asarray(fft.rfft(mono * window, axis=1))
        power[begin : begin + chunk] = (np.abs(spectrum) ** 2).astype(np.float32) @ bank
    return power
