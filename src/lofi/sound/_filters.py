"""The filters that instruments, effects and meters share, and decibels.

Every function filters along the last axis and keeps the input's float type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

SAMPLE_RATE = 44_100

FloatArray = NDArray[np.floating[Any]]
Audio = NDArray[np.float32]


def db_to_gain(db: float) -> float:
    """The factor that changes an amplitude by `db` decibels."""
    return float(10.0 ** (db / 20.0))


def gain_to_db(gain: float) -> float:
    """Decibels of an amplitude; minus infinity for zero."""
    return float(20.0 * np.log10(gain)) if gain > 0 else -np.inf


def _apply(sos: Any, x: FloatArray) -> Any:
    # Coefficients of the same type as the signal: float64 ones would double the memory.
    return sosfilt(np.asarray(sos, dtype=x.dtype), x, axis=-1)


def lowpass(x: FloatArray, cutoff_hz: float, order: int = 2) -> Any:
    """Butterworth low-pass."""
    return _apply(butter(order, cutoff_hz, "low", fs=SAMPLE_RATE, output="sos"), x)


def highpass(x: FloatArray, cutoff_hz: float, order: int = 2) -> Any:
    """Butterworth high-pass."""
    return _apply(butter(order, cutoff_hz, "high", fs=SAMPLE_RATE, output="sos"), x)


def bandpass(x: FloatArray, low_hz: float, high_hz: float, order: int = 2) -> Any:
    """Butterworth band-pass."""
    return _apply(butter(order, [low_hz, high_hz], "band", fs=SAMPLE_RATE, output="sos"), x)


def low_shelf(x: FloatArray, corner_hz: float, gain_db: float) -> Any:
    """Low shelf of slope 1, from Robert Bristow-Johnson's audio EQ cookbook."""
    a = 10.0 ** (gain_db / 40.0)
    w = 2.0 * np.pi * corner_hz / SAMPLE_RATE
    cos_w = np.cos(w)
    slope = 2.0 * np.sqrt(a) * np.sin(w) / np.sqrt(2.0)
    b0 = a * ((a + 1) - (a - 1) * cos_w + slope)
    b1 = 2 * a * ((a - 1) - (a + 1) * cos_w)
    b2 = a * ((a + 1) - (a - 1) * cos_w - slope)
    a0 = (a + 1) + (a - 1) * cos_w + slope
    a1 = -2 * ((a - 1) + (a + 1) * cos_w)
    a2 = (a + 1) + (a - 1) * cos_w - slope
    return _apply(np.array([[b0, b1, b2, a0, a1, a2]]) / a0, x)
