"""Tape, vinyl, room and console: the effects that make a clean recording a lo-fi one.

All take and return float32 audio of shape (2, samples) at 44.1 kHz. Those that say "in place"
change the array they are given, to keep a long piece within memory, and return it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, oaconvolve, resample_poly, sosfilt

from lofi.sound._filters import (
    SAMPLE_RATE,
    Audio,
    FloatArray,
    bandpass,
    db_to_gain,
    highpass,
    lowpass,
)

_BLOCK = 1 << 16
_CONTROL_HZ = 200  # rate at which slow modulations are drawn before they are interpolated


# Tape ----------------------------------------------------------------------------------------


def _read_delayed(
    x: Audio, delay_at: Callable[[FloatArray], FloatArray], longest_delay: float
) -> Audio:
    """`x` (samples,) read late, by 4-point Hermite interpolation.

    `delay_at` gives the delay in samples, at least 2, for an array of sample positions.
    """
    n = len(x)
    lead = int(longest_delay) + 4
    padded = np.pad(x, (lead, 4))
    y = np.empty_like(x)
    half, one_and_half = np.float32(0.5), np.float32(1.5)
    two, two_and_half = np.float32(2.0), np.float32(2.5)
    for start in range(0, n, _BLOCK):
        stop = min(n, start + _BLOCK)
        now = np.arange(start, stop, dtype=np.float64)
        position = now + lead - delay_at(now)
        index = position.astype(np.int64)
        f = (position - index).astype(np.float32)
        before, here, after, beyond = (padded[index + k] for k in (-1, 0, 1, 2))
        c1 = half * (after - before)
        c2 = before - two_and_half * here + two * after - half * beyond
        c3 = half * (beyond - before) + one_and_half * (here - after)
        y[start:stop] = ((c3 * f + c2) * f + c1) * f + here
    return y


def tape_delay(
    n: int,
    rng: Generator,
    *,
    wow_pct: float,
    flutter_pct: float,
    drift_pct: float = 0.0,
    wow_hz: float = 0.55,
    flutter_hz: float = 7.3,
) -> tuple[FloatArray, FloatArray]:
    """How late an unsteady tape is over `n` samples: (places heard, delay there), in samples.

    Depths are peak deviations of speed in percent. The deviation is drawn as speed and integrated
    to a delay, so the depth heard is the depth asked for, whatever its rate. (A delay that follows
    noise directly is many times deeper.) Between the places the delay is a straight line.
    """
    n_control = n * _CONTROL_HZ // SAMPLE_RATE + 16
    t = np.arange(n_control) / _CONTROL_HZ
    wow_phase, breath_phase = rng.uniform(0, 2 * np.pi, 2)
    speed = wow_pct * np.sin(2 * np.pi * wow_hz * t + wow_phase)
    breath = (1 + 0.3 * np.sin(2 * np.pi * 0.11 * t + breath_phase)) / 1.3
    wander = 1.5 * np.sin(2 * np.pi * 0.9 * t)
    speed += flutter_pct * breath * np.sin(2 * np.pi * flutter_hz * t + wander)
    if drift_pct:
        settle = 20 * _CONTROL_HZ
        band = butter(2, [0.08, 0.6], "band", fs=_CONTROL_HZ, output="sos")
        drift = np.asarray(sosfilt(band, rng.standard_normal(n_control + settle)))[settle:]
        speed += drift_pct * drift / np.abs(drift).max()
    delay = -np.cumsum(speed - speed.mean()) / 100.0 * SAMPLE_RATE / _CONTROL_HZ
    delay -= delay.min()
    delay += 2.0
    return np.arange(n_control) * (SAMPLE_RATE / _CONTROL_HZ), delay


def wow_and_flutter(x: Audio, rng: Generator, **depths: float) -> Audio:
    """The unsteady speed of a tape, in place; `depths` are those of `tape_delay`."""
    knots, delay = tape_delay(x.shape[1], rng, **depths)
    for channel in x:
        channel[:] = _read_delayed(channel, lambda at: np.interp(at, knots, delay), delay.max())
    return x


def saturate(x: Audio, drive_db: float, *, bias: float = 0.08, oversample: int = 2) -> Audio:
    """Tape saturation in place: `tanh` with a little bias, of unit gain for quiet signals.

    Oversampling keeps the harmonics that `tanh` makes above Nyquist from folding back.
    """
    drive = np.float32(db_to_gain(drive_db))
    rest = np.tanh(np.float32(bias))
    unit = drive * (1 - rest * rest)
    n = x.shape[1]
    margin = 64 if oversample > 1 else 0  # longer than the resampling filters
    for channel in x:
        source = channel.copy() if margin else channel
        for start in range(0, n, _BLOCK):
            stop = min(n, start + _BLOCK)
            low, high = max(0, start - margin), min(n, stop + margin)
            y = source[low:high]
            if oversample > 1:
                y = resample_poly(y, oversample, 1)
            y = (np.tanh(drive * y + np.float32(bias)) - rest) / unit
            if oversample > 1:
                y = resample_poly(y, 1, oversample)
            channel[start:stop] = y[start - low : stop - low]
    return x


def crush(x: Audio, rng: Generator, *, bits: float, rate_hz: float, mix: float) -> Audio:
    """An early sampler in parallel, in place: fewer samples, fewer bits (dithered), `mix` of it."""
    n = x.shape[1]
    hold = SAMPLE_RATE / rate_hz
    steps = np.float32(2.0 ** (bits - 1))
    y = np.empty(n, np.float32)
    for channel in x:
        dull = lowpass(channel, min(0.46 * rate_hz, 16_000), 4)
        for start in range(0, n, _BLOCK):
            stop = min(n, start + _BLOCK)
            held = (np.floor(np.arange(start, stop) / hold) * hold + 0.5).astype(np.int64)
            scaled = dull[np.minimum(held, n - 1)] * steps
            dither = rng.random(stop - start, dtype=np.float32) - np.float32(0.5)
            y[start:stop] = np.round(scaled + dither) / steps
        del dull
        y[:] = lowpass(y, 0.5 * rate_hz, 4)
        channel *= np.float32(1 - mix)
        y *= np.float32(mix)
        channel += y
    return x


# Space ---------------------------------------------------------------------------------------


def chorus(
    x: Audio, mix: float, *, depth_ms: float = 2.2, rate_hz: float = 0.45, base_ms: float = 9.0
) -> Audio:
    """A slowly moving double in place, half a turn apart in the two channels, which widens.

    Over a cycle both channels pass through the same delays, so neither gets louder.
    """
    base = base_ms * SAMPLE_RATE / 1000
    depth = depth_ms * SAMPLE_RATE / 1000
    turn = 2 * np.pi * rate_hz / SAMPLE_RATE
    for channel, side in zip(x, (1, -1), strict=True):
        swing = side * depth
        moved = _read_delayed(
            channel, lambda at, swing=swing: base + swing * np.sin(turn * at), base + depth
        )
        channel *= np.float32(1 - 0.5 * mix)
        channel += np.float32(mix) * moved
    return x


def room_response(rng: Generator, *, decay_s: float, predelay_s: float = 0.018) -> Audio:
    """The impulse response (2, samples) of a dull room, of unit gain from 250 Hz to 2 kHz.

    `decay_s` is the time to -60 dB. Noise that loses its treble as it decays, and nine echoes.
    """
    n = int(1.1 * decay_s * SAMPLE_RATE)
    t = np.arange(n, dtype=np.float32) / SAMPLE_RATE
    noise = rng.standard_normal((2, n)).astype(np.float32)
    bright = lowpass(noise, 6700) * np.exp(-9.0 * t / decay_s)
    dull = lowpass(noise, 2100) * np.exp(-6.91 * t / decay_s)
    response = 0.35 * bright + dull
    response *= np.minimum(1.0, t / 0.012)
    response = highpass(response.astype(np.float32), 250)
    echoes = np.zeros_like(response)
    for k in range(9):
        at = int(rng.uniform(0.004, 0.045) * SAMPLE_RATE)
        echoes[k % 2, at] += rng.choice((-1, 1)) * 3 * 0.8**k
    response += lowpass(echoes, 5000)
    response = np.pad(response, ((0, 0), (int(predelay_s * SAMPLE_RATE), 0)))
    # The room is dull, so its energy is in the mids: that is where "mix" has to mean what it says.
    spectrum = np.abs(np.fft.rfft(response, axis=1))
    frequencies_hz = np.fft.rfftfreq(response.shape[1], 1 / SAMPLE_RATE)
    mids = spectrum[:, (frequencies_hz > 250) & (frequencies_hz < 2000)]
    return (response / np.sqrt((mids**2).mean(axis=1, keepdims=True))).astype(np.float32)


def add_reverb(x: Audio, send: Audio, response: Audio, mix: float) -> Audio:
    """Add `mix` of the room's answer to `send` to `x`, in place; `send` is mono (samples,)."""
    chunk = 16 * _BLOCK  # the spectra of a long piece in one go would take several times its size
    for start in range(0, x.shape[1], chunk):
        dry = send[start : start + chunk]
        for channel, channel_response in zip(x, response, strict=True):
            rest = channel[start:]
            wet = oaconvolve(dry, channel_response)[: len(rest)].astype(np.float32)
            rest[: len(wet)] += np.float32(mix) * wet
    return x


def widen(x: Audio, width: float, *, mono_below_hz: float = 120.0) -> Audio:
    """Scale the difference of the channels by `width`, in place, and leave none in the bass."""
    middle = (x[0] + x[1]) * np.float32(0.5)
    side = highpass((x[0] - x[1]) * np.float32(0.5 * width), mono_below_hz, 4)
    x[0] = middle + side
    x[1] = middle - side
    return x


# Dynamics ------------------------------------------------------------------------------------


def _scale_by_curve_db(x: Audio, curve_db: FloatArray, hop: int, offset: float) -> Audio:
    """Multiply `x` in place by a gain given in dB every `hop` samples."""
    n = x.shape[1]
    knots = np.arange(len(curve_db)) * hop + offset
    for start in range(0, n, _BLOCK):
        stop = min(n, start + _BLOCK)
        gain_db = np.interp(np.arange(start, stop), knots, curve_db)
        x[:, start:stop] *= (10.0 ** (gain_db / 20.0)).astype(np.float32)
    return x


def duck(
    x: Audio,
    kicks: Iterable[tuple[float, float]],
    depth_db: float,
    *,
    attack_s: float = 0.006,
    release_s: float = 0.18,
) -> Audio:
    """Make way for the kick drum, in place. `kicks` are (onset in seconds, strength 0-1)."""
    hop = 32
    n_hops = x.shape[1] // hop + 2
    depth = np.zeros(n_hops, np.float32)
    t = np.arange(int(4 * release_s * SAMPLE_RATE / hop)) * (hop / SAMPLE_RATE)
    shape = np.minimum(1.0, t / attack_s) * np.exp(-np.maximum(0.0, t - attack_s) / release_s)
    for onset_s, strength in kicks:
        at = int(onset_s * SAMPLE_RATE / hop)
        m = min(len(shape), n_hops - at)
        if m > 0:
            depth[at : at + m] = np.maximum(depth[at : at + m], strength * shape[:m])
    return _scale_by_curve_db(x, -depth_db * depth, hop, 0.0)


def compress(
    x: Audio,
    *,
    threshold_db: float = -20.0,
    ratio: float = 2.0,
    attack_s: float = 0.025,
    release_s: float = 0.2,
    knee_db: float = 6.0,
    makeup_db: float = 1.0,
) -> Audio:
    """Bus compressor in place: feed-forward, soft knee, both channels by the louder one.

    D. Giannoulis, M. Massberg, J. D. Reiss, "Digital dynamic range compressor design", 2012.
    """
    hop = 64
    n = x.shape[1]
    n_hops = -(-n // hop)
    power = np.zeros(n_hops * hop, np.float32)
    power[:n] = np.maximum(np.abs(x[0]), np.abs(x[1])) ** 2
    level_db = 10 * np.log10(power.reshape(n_hops, hop).mean(axis=1) + 1e-12)
    over = level_db - threshold_db
    in_knee = (over + knee_db / 2) ** 2 / (2 * knee_db)
    excess = np.where(over < -knee_db / 2, 0, np.where(over > knee_db / 2, over, in_knee))
    wanted_db = (1 / ratio - 1) * excess
    attack = float(np.exp(-hop / SAMPLE_RATE / attack_s))
    release = float(np.exp(-hop / SAMPLE_RATE / release_s))
    state, followed = 0.0, []
    for target in wanted_db.tolist():
        pole = attack if target < state else release
        state = pole * state + (1 - pole) * target
        followed.append(state)
    return _scale_by_curve_db(x, np.array(followed) + makeup_db, hop, hop / 2)


# Vinyl ---------------------------------------------------------------------------------------


def add_crackle(x: Audio, rng: Generator, *, per_second: float, level_db: float) -> Audio:
    """Clicks of many sizes and places, and a dull pop now and then, added in place."""
    n = x.shape[1]
    margin = 4000
    count = rng.poisson(per_second * n / SAMPLE_RATE)
    at = rng.integers(0, max(1, n - margin), count)
    size = db_to_gain(level_db) * np.exp(rng.normal(0, 0.9, count)) * rng.choice((-1, 1), count)
    pan = np.clip(rng.normal(0, 0.25, count), -1, 1)
    pops = rng.integers(0, max(1, n - margin), rng.poisson(0.12 * n / SAMPLE_RATE))
    for channel, side in zip(x, (1 - pan, 1 + pan), strict=True):
        clicks = np.zeros(n, np.float32)
        np.add.at(clicks, at, (size * side).astype(np.float32))
        channel += np.float32(3) * bandpass(clicks, 900, 7000, 1)
        thuds = np.zeros(n, np.float32)
        thuds[pops] = 6 * db_to_gain(level_db)
        channel += np.float32(4) * bandpass(thuds, 120, 900, 2)
    return x


def add_hiss(x: Audio, rng: Generator, *, hiss_db: float, rumble_db: float) -> Audio:
    """Tape hiss and turntable rumble added in place; the levels are RMS.

    Eleven seconds of it, laid end over end with crossfades of equal power.
    """
    n = x.shape[1]
    length = min(n, 11 * SAMPLE_RATE)
    noise = rng.standard_normal((2, length), dtype=np.float32)
    hiss = highpass(lowpass(noise, 9000, 1), 400, 1)
    rumble = lowpass(noise[::-1], 60, 2)
    bed = hiss * np.float32(db_to_gain(hiss_db) / hiss.std())
    bed += rumble * np.float32(db_to_gain(rumble_db) / rumble.std())
    fade = min(SAMPLE_RATE // 4, length // 4)
    ramp = np.sqrt(np.linspace(0, 1, fade, dtype=np.float32))
    bed[:, :fade] *= ramp
    bed[:, -fade:] *= ramp[::-1]
    for start in range(-fade, n, length - fade):
        low, high = max(0, start), min(n, start + length)
        x[:, low:high] += bed[:, low - start : high - start]
    return x


def fade_ends(x: Audio, *, fade_in_s: float, ring_until_s: float) -> Audio:
    """Fade in at the start, and from `ring_until_s` to silence at the very end, in place."""
    n_in = int(fade_in_s * SAMPLE_RATE)
    n_out = x.shape[1] - int(ring_until_s * SAMPLE_RATE)
    rise = np.sin(np.linspace(0, np.pi / 2, n_in, dtype=np.float32)) ** 2
    x[:, :n_in] *= rise
    if n_out > 0:
        fall = np.cos(np.linspace(0, np.pi / 2, n_out, dtype=np.float32)) ** 2
        fall[-1] = 0.0
        x[:, -n_out:] *= fall
    return x


def sum_into(total: Audio | None, x: Audio) -> Audio:
    """`total + x`, in the memory of whichever is there."""
    if total is None:
        return x
    total += x
    return total


__all__: Sequence[str] = [
    "add_crackle", "add_hiss", "add_reverb", "chorus", "compress", "crush", "duck", "fade_ends",
    "room_response", "saturate", "sum_into", "widen", "wow_and_flutter",
]  # fmt: skip
