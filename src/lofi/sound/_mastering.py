"""Loudness and peaks as broadcasters measure them, and a master that meets both.

ITU-R BS.1770-4: K-weighting, gated loudness over blocks of 400 ms, true peak by 4x oversampling.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d
from scipy.signal import firwin, resample_poly, sosfilt

from lofi.brief import MASTER_LUFS, MASTER_PEAK_DB
from lofi.sound._filters import SAMPLE_RATE, Audio, FloatArray, db_to_gain, gain_to_db

_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_OVERSAMPLE = 4
_LIMITER_BLOCK = 67  # samples: a look-ahead of 1.5 ms
_LIMITER_RELEASE_S = 0.06
_PEAK_WINDOW: Any = ("kaiser", 8.0)
_PEAK_FILTER: Audio = np.asarray(
    firwin(24 * _OVERSAMPLE + 1, 1 / _OVERSAMPLE, window=_PEAK_WINDOW), dtype=np.float32
)


def _k_weighting(rate: int) -> NDArray[np.float64]:
    """The two biquads of BS.1770, (2, 6), for any sample rate.

    The standard tabulates 48 kHz only; these are the analogue prototypes behind its table
    (B. De Man, "Evaluation of implementations of the EBU R128 loudness measurement", 2018).
    """
    f0, gain_db, q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k = math.tan(math.pi * f0 / rate)
    vh = 10 ** (gain_db / 20)
    vb = vh**0.4996667741545416
    a0 = 1 + k / q + k * k
    shelf = [
        (vh + vb * k / q + k * k) / a0,
        2 * (k * k - vh) / a0,
        (vh - vb * k / q + k * k) / a0,
        1.0,
        2 * (k * k - 1) / a0,
        (1 - k / q + k * k) / a0,
    ]
    f0, q = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * f0 / rate)
    a0 = 1 + k / q + k * k
    high = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]
    return np.array([shelf, high])


def loudness_lufs(x: Audio, rate: int = SAMPLE_RATE) -> float:
    """Integrated loudness of `x` (channels, samples); minus infinity for silence or under 0.4 s.

    Channels weigh 1 each, as left and right do.
    """
    step = round(rate / 10)
    n_steps = x.shape[1] // step
    if n_steps < 4:
        return -math.inf
    sos = _k_weighting(rate)
    state = np.zeros((2, x.shape[0], 2))
    power = np.empty(n_steps)
    chunk = 100  # steps at a time: float64 copies of ten seconds, not of the whole piece
    for first in range(0, n_steps, chunk):
        last = min(n_steps, first + chunk)
        weighted, state = sosfilt(sos, x[:, first * step : last * step], axis=-1, zi=state)
        squared = np.square(weighted).reshape(x.shape[0], last - first, step)
        power[first:last] = squared.mean(axis=2).sum(axis=0)
    blocks = (power[:-3] + power[1:-2] + power[2:-1] + power[3:]) / 4

    def gated(threshold_lufs: float) -> NDArray[np.float64]:
        return blocks[blocks > 10 ** ((threshold_lufs + 0.691) / 10)]

    def lufs(kept: NDArray[np.float64]) -> float:
        return float(-0.691 + 10 * np.log10(kept.mean()))

    audible = gated(_ABSOLUTE_GATE_LUFS)
    if not len(audible):
        return -math.inf
    return lufs(gated(max(_ABSOLUTE_GATE_LUFS, lufs(audible) + _RELATIVE_GATE_LU)))


def _peak_envelope(x: Audio, ignore_below: float = 0.0) -> Audio:
    """(samples,): the greatest true peak of any channel around each sample.

    Stretches whose sample peak stays under `ignore_below` keep it: they are too quiet to matter.
    """
    n = x.shape[1]
    envelope = np.abs(x[0])
    for channel in x[1:]:
        np.maximum(envelope, np.abs(channel), out=envelope)
    block, margin = 2048, 16
    n_blocks = -(-n // block)
    padded = np.zeros(n_blocks * block, np.float32)
    padded[:n] = envelope
    hot = np.flatnonzero(padded.reshape(n_blocks, block).max(axis=1) >= ignore_below)
    del padded
    runs = np.split(hot, np.flatnonzero(np.diff(hot) > 1) + 1) if len(hot) else []
    for run in runs:
        for first in range(run[0], run[-1] + 1, 128):
            start = first * block
            stop = min(n, min(first + 128, run[-1] + 1) * block)
            low, high = max(0, start - margin), min(n, stop + margin)
            for channel in x:
                dense = np.abs(
                    resample_poly(channel[low:high], _OVERSAMPLE, 1, window=_PEAK_FILTER)
                )
                dense = dense[(start - low) * _OVERSAMPLE : (stop - low) * _OVERSAMPLE]
                peaks = dense.reshape(-1, _OVERSAMPLE).max(axis=1)
                np.maximum(envelope[start:stop], peaks, out=envelope[start:stop])
    return envelope


def true_peak_db(x: Audio) -> float:
    """True peak of `x` (channels, samples) in dBTP; minus infinity for silence."""
    if x.shape[1] == 0:
        return -math.inf
    sample_peak = float(np.abs(x).max())
    # Between samples a band-limited wave may stand higher, but not from 6 dB below the highest.
    return gain_to_db(float(_peak_envelope(x, ignore_below=sample_peak / 2).max()))


def _limit(x: Audio, gain: float, peaks: FloatArray, ceiling: float, out: Audio) -> None:
    """Write `gain * x` into `out`, turned down where its true peaks would pass the ceiling.

    `peaks` holds the greatest true peak of `x` in every block of `_LIMITER_BLOCK` samples. The gain
    that each block needs, recovering exponentially, is held one block to either side and joined by
    straight lines between the blocks' centres: no line rises above what the block itself needs.
    """
    needed = np.minimum(1.0, ceiling / np.maximum(gain * peaks, 1e-9))
    pole = math.exp(-_LIMITER_BLOCK / SAMPLE_RATE / _LIMITER_RELEASE_S)
    state, followed = 1.0, []
    for most in needed.tolist():
        state = min(most, 1 - (1 - state) * pole)
        followed.append(state)
    held = gain * minimum_filter1d(np.array(followed), 3)
    centres = (np.arange(len(held)) + 0.5) * _LIMITER_BLOCK - 0.5
    chunk = 1 << 16
    for start in range(0, x.shape[1], chunk):
        stop = min(x.shape[1], start + chunk)
        curve = np.interp(np.arange(start, stop), centres, held).astype(np.float32)
        np.multiply(x[:, start:stop], curve, out=out[:, start:stop])


def _block_peaks(envelope: Audio) -> FloatArray:
    n_blocks = -(-len(envelope) // _LIMITER_BLOCK)
    padded = np.zeros(n_blocks * _LIMITER_BLOCK, np.float32)
    padded[: len(envelope)] = envelope
    return padded.reshape(n_blocks, _LIMITER_BLOCK).max(axis=1)


def master(
    x: Audio, *, target_lufs: float = MASTER_LUFS, ceiling_db: float = MASTER_PEAK_DB
) -> tuple[Audio, float, float]:
    """`x` (2, samples) at the loudness asked for under the ceiling; its LUFS and its dBTP.

    One gain, then a look-ahead true-peak limiter; what the limiter takes is given back by more gain
    until the loudness is within 0.03 LU. The peaks are measured once, since they scale with the
    gain. The ceiling has the last word. Silence is returned as it is.
    """
    safety_db = 0.1
    loudness = loudness_lufs(x)
    if not math.isfinite(loudness):
        return x, loudness, true_peak_db(x)
    ceiling = db_to_gain(ceiling_db - safety_db)
    gain_db = target_lufs - loudness
    hot = 0.6 * ceiling / db_to_gain(gain_db)
    peaks = _block_peaks(_peak_envelope(x, ignore_below=hot))
    y = np.empty_like(x)
    for _ in range(6):
        _limit(x, db_to_gain(gain_db), peaks, ceiling, y)
        loudness = loudness_lufs(y)
        if abs(loudness - target_lufs) < 0.03:
            break
        gain_db += target_lufs - loudness
    peak_db = true_peak_db(y)
    if peak_db > ceiling_db:
        cut_db = ceiling_db - safety_db - peak_db
        y *= np.float32(db_to_gain(cut_db))
        peak_db += cut_db
        loudness += cut_db
    return y, loudness, peak_db
