"""What is heard around the music: rain, voices, crickets and the like, made of noise and sines.

Each is a loop of 40 seconds that closes by construction: noise is shaped in the spectrum of the
whole loop, single sounds that reach its end go on at its start, and what swells does so a whole
number of times. So it is laid end to end without a seam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from lofi.sound import _effects as fx
from lofi.sound._filters import SAMPLE_RATE, Audio, bandpass, db_to_gain
from lofi.sound._mastering import loudness_lufs

LOOP_S = 40.0
_N = round(LOOP_S * SAMPLE_RATE)  # 2^5 · 3^2 · 5^3 · 7^2: quick to transform
_VOICE_EVERY = 6  # voices are made at a sixth of the sample rate: they have nothing above 3 kHz
_HOP = 441
_BLOCK = 1 << 16
_SILENT_DB, _LOUD_DB = -45.0, -18.0  # the music from which it makes way, and where it has done so

Shape = Callable[[NDArray[np.float32]], Any]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How an ambience is made and how loud it is.

    `vinyl`: with the mood's crackle and hiss. `make` gives the loop, if there is one. `level_lufs`
    is its loudness where the music is silent; the music itself is at about -16 there, before it is
    mastered. `duck_db` is how far it makes way for the music.
    """

    vinyl: bool = True
    make: Callable[[Generator], Audio] | None = None
    level_lufs: float = -np.inf
    duck_db: float = 0.0


def surround(x: Audio, rng: Generator, around: Surroundings) -> Audio:
    """Add an ambience to the music `x` (2, samples), in place, under it."""
    if around.make is None:
        return x
    loop = around.make(rng)
    loop *= np.float32(db_to_gain(around.level_lufs - loudness_lufs(loop)))
    gain_db = -around.duck_db * _presence(x)
    knots = np.arange(len(gain_db)) * _HOP + _HOP / 2
    first = int(rng.integers(_N))
    n = x.shape[1]
    for start in range(0, n, _BLOCK):
        at = np.arange(start, min(n, start + _BLOCK))
        gain = 10.0 ** (np.interp(at, knots, gain_db) / 20.0)
        x[:, at[0] : at[-1] + 1] += loop[:, (first + at) % _N] * gain.astype(np.float32)
    return x


def _presence(x: Audio, *, attack_s: float = 0.08, release_s: float = 0.9) -> NDArray[np.float64]:
    """How much the music asks for room, 0 to 1, every _HOP samples: at once, and given back slowly.

    It looks at the louder channel.
    """
    n = x.shape[1] // _HOP
    if n == 0:
        return np.zeros(1)
    power = np.square(x[:, : n * _HOP]).max(axis=0).reshape(n, _HOP).mean(axis=1)
    wanted = (10 * np.log10(power + 1e-12) - _SILENT_DB) / (_LOUD_DB - _SILENT_DB)
    attack, release = (float(np.exp(-_HOP / SAMPLE_RATE / s)) for s in (attack_s, release_s))
    state, followed = 0.0, []
    for target in np.clip(wanted, 0.0, 1.0).tolist():
        pole = attack if target > state else release
        state = pole * state + (1 - pole) * target
        followed.append(state)
    return np.array(followed)


# What loops are made of ----------------------------------------------------------------------


def _noise(rng: Generator, shape: Shape, *, apart: float = 1.0, n: int = _N) -> Audio:
    """Noise (2, n) whose spectrum is `shape` of the frequency in Hz, of RMS 1, closed to a loop.

    `apart`: 1 for channels that have nothing in common, 0 for the same in both.
    """
    white = rng.standard_normal((2, n), dtype=np.float32)
    white[1] = np.float32(np.sqrt(1 - apart**2)) * white[0] + np.float32(apart) * white[1]
    hz = np.fft.rfftfreq(n, LOOP_S / n).astype(np.float32)
    made = _wave(_spectrum(white) * np.asarray(shape(hz), np.float32), n)
    return made / made.std()


def _spectrum(x: NDArray[np.floating[Any]], n: int | None = None) -> Any:
    return rfft(x, n)


def _wave(spectrum: NDArray[np.complexfloating[Any, Any]], n: int = _N) -> Audio:
    return np.asarray(irfft(spectrum, n), np.float32)


def _band(low_hz: float, high_hz: float, *, tilt: float = 0.0) -> Shape:
    """A band with soft edges; `tilt` is its slope in dB per octave."""

    def shape(hz: NDArray[np.float32]) -> Any:
        safe = np.maximum(hz, 1.0)
        edges = 1 / np.sqrt((1 + (low_hz / safe) ** 6) * (1 + (safe / high_hz) ** 6))
        return np.where(hz > 0, edges * (safe / 1000.0) ** (tilt / 6.02), 0.0)

    return shape


def _swell(rng: Generator, cycles: Sequence[int], depth: float) -> NDArray[np.float32]:
    """A slow rise and fall around 1 by `depth`: sines that come round so often in the loop."""
    t = np.linspace(0, 2 * np.pi, _N // 100, endpoint=False)
    phases = rng.uniform(0, 2 * np.pi, len(cycles))
    waves = sum(np.sin(c * t + p) for c, p in zip(cycles, phases, strict=True))
    return _drawn_out(1 + depth * waves / np.sqrt(len(cycles)))


def _drawn_out(curve: NDArray[np.float64]) -> NDArray[np.float32]:
    """A curve over the loop, given at equal steps, for every sample of it."""
    places = np.arange(_N) * (len(curve) / _N)
    return np.interp(places, np.arange(len(curve) + 1), np.append(curve, curve[0])).astype(
        np.float32
    )


def _lay(loop: Audio, sound: NDArray[np.float32], at: int, gain: float, pan: float) -> None:
    """Add a single sound at a place of the loop; `pan` is -1 to 1."""
    n, size = loop.shape[1], len(sound)
    at %= n
    until = min(size, n - at)
    for channel, side in zip(loop, (1 - pan, 1 + pan), strict=True):
        weighed = sound * np.float32(gain * side / np.sqrt(1 + pan * pan))
        channel[at : at + until] += weighed[:until]
        channel[: size - until] += weighed[until:]


def _struck(hz: Sequence[float], decay_s: float, *, rise_s: float = 0.0004) -> NDArray[np.float32]:
    """Something small that is struck: sines of these frequencies that die away."""
    t = np.arange(int(7 * decay_s * SAMPLE_RATE)) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * f * t) / (1 + i) for i, f in enumerate(hz))
    return (tone * np.minimum(1, t / rise_s) * np.exp(-t / decay_s)).astype(np.float32)


# The loops -----------------------------------------------------------------------------------


def _rain(rng: Generator) -> Audio:
    loop = _noise(rng, _band(350, 7000, tilt=-3.0), apart=0.8)
    loop += np.float32(0.35) * _noise(rng, _band(70, 350, tilt=-3.0), apart=0.4)
    loop *= _swell(rng, (2, 5, 9), 0.10)
    drops = [_struck([rng.uniform(1100, 5200)], rng.uniform(0.001, 0.006)) for _ in range(32)]
    for _ in range(round(30 * LOOP_S)):
        size = float(np.exp(rng.normal(0.9, 0.7)))
        drop = drops[int(rng.integers(len(drops)))]
        _lay(loop, drop, int(rng.integers(_N)), size, float(rng.uniform(-0.9, 0.9)))
    return loop


_VOWELS = ((300, 870), (640, 1190), (530, 1840), (490, 1350), (390, 1990))  # their formants, Hz


def _voices(rng: Generator, count: int) -> Audio:
    """People who talk at other tables: no words, but the pitch, vowels and pace of speech."""
    n = _N // _VOICE_EVERY
    rate = SAMPLE_RATE / _VOICE_EVERY
    hz = np.fft.rfftfreq(n, 1 / rate)
    spectra = np.zeros((2, len(hz)), np.complex64)
    for _ in range(count):
        pitch, steps = _speech(rng, n)
        # So many whole periods fill the loop.
        cycles = np.cumsum(pitch) / rate
        cycles *= round(cycles[-1]) / cycles[-1]
        buzz = (2 * (cycles % 1.0) - 1).astype(np.float32)
        side = rng.uniform(-0.8, 0.8)
        loud = np.exp(rng.normal(0, 0.4))
        for vowel, level in steps.items():
            filtered = _spectrum(buzz * level) * sum(
                weight / (1 + ((hz - formant) / width) ** 2)
                for formant, width, weight in zip(
                    _VOWELS[vowel], (90, 130), (1.0, 0.6), strict=True
                )
            )
            for i, gain in enumerate((1 - side, 1 + side)):
                spectra[i] += (loud * gain * filtered).astype(np.complex64)
    spectra *= np.asarray(_band(160, 1700)(hz.astype(np.float32)), np.float32)
    return _wave(spectra)


def _speech(rng: Generator, n: int) -> tuple[NDArray[np.float64], dict[int, NDArray[np.float32]]]:
    """The pitch of one who talks, in Hz, and how loud each vowel is: phrases with rests between."""
    steps = round(LOOP_S * 50)
    base = rng.uniform(95, 215)
    tune, levels = np.full(steps, base), {v: np.zeros(steps) for v in range(len(_VOWELS))}
    at, end = float(rng.uniform(0, 4)), LOOP_S
    while at < end:
        syllables = int(rng.integers(4, 16))
        for i in range(syllables):
            length = float(rng.uniform(0.12, 0.26))
            places = np.arange(round(at * 50), round((at + 0.8 * length) * 50)) % steps
            levels[int(rng.integers(len(_VOWELS)))][places] = rng.uniform(0.4, 1.0)
            tune[places] = base * (1.12 - 0.22 * i / syllables + rng.normal(0, 0.04))
            at += length
        at += float(rng.exponential(2.2))
    ring = np.hanning(9) / np.hanning(9).sum()

    def smooth(curve: NDArray[np.float64]) -> NDArray[np.float64]:
        around = np.concatenate([curve[-4:], curve, curve[:4]])
        soft = np.convolve(around, ring, "valid")
        places = np.arange(n) * (steps / n)
        drawn: Any = np.interp(places, np.arange(steps + 1), np.append(soft, soft[0]))
        return drawn

    return smooth(tune), {v: smooth(c).astype(np.float32) for v, c in levels.items()}


def _cafe(rng: Generator) -> Audio:
    loop = _voices(rng, 12)
    loop /= loop.std()
    for _ in range(round(LOOP_S / 4)):
        base = float(rng.uniform(1900, 3400))
        cup = _struck((base, 1.51 * base, 2.37 * base), float(rng.uniform(0.03, 0.09)))
        at, pan = int(rng.integers(_N)), float(rng.uniform(-0.8, 0.8))
        for k in range(int(rng.integers(1, 4))):  # set down, and again on its saucer
            later = round(k * rng.uniform(0.07, 0.16) * SAMPLE_RATE)
            _lay(loop, cup, at + later, float(rng.uniform(0.25, 0.8)) / (1 + k), pan)
    room = fx.room_response(rng, decay_s=0.9)
    loop += np.float32(0.5) * _in_room(loop, room)
    loop += np.float32(0.12) * _noise(rng, _band(60, 900, tilt=-4.0), apart=0.7)
    return loop


def _in_room(loop: Audio, response: Audio) -> Audio:
    """What a room answers to a loop that has been going round for ever."""
    wet = _wave(_spectrum(loop) * _spectrum(response, _N))
    return wet * np.float32(loop.std() / max(float(wet.std()), 1e-9))


def _night(rng: Generator) -> Audio:
    loop = np.zeros((2, _N), np.float32)
    for _ in range(6):
        hz = float(rng.uniform(3900, 4700))
        t = np.arange(int(0.017 * SAMPLE_RATE)) / SAMPLE_RATE
        pulse = (np.hanning(len(t)) * np.sin(2 * np.pi * hz * t)).astype(np.float32)
        chirps = round(LOOP_S * rng.uniform(1.3, 2.4))
        pulses, pace_s = int(rng.integers(3, 5)), float(rng.uniform(0.026, 0.034))
        far, pan = float(np.exp(rng.normal(-0.4, 0.6))), float(rng.uniform(-0.95, 0.95))
        rests = _swell(rng, (int(rng.integers(2, 5)), int(rng.integers(5, 8))), 0.7)
        for chirp in range(chirps):
            at = round((chirp + rng.normal(0, 0.02)) * _N / chirps)
            loud = float(np.clip(rests[at % _N], 0.0, 1.2))
            for k in range(pulses):
                later = round(k * pace_s * SAMPLE_RATE)
                _lay(loop, pulse, at + later, far * loud * (0.7 + 0.3 * k / pulses), pan)
    loop = loop + np.float32(0.25) * _in_room(loop, fx.room_response(rng, decay_s=0.3))
    breeze = _noise(rng, _band(90, 700, tilt=-5.0), apart=0.8) * _swell(rng, (1, 3, 4), 0.35)
    return loop / loop.std() + np.float32(0.9) * breeze


def _fire(rng: Generator) -> Audio:
    flicker = _swell(rng, tuple(int(c) for c in rng.integers(60, 320, 12)), 0.3)
    loop = np.float32(0.4) * _noise(rng, _band(70, 320, tilt=-4.0), apart=0.4) * flicker
    loop += np.float32(0.12) * _noise(rng, _band(900, 6000, tilt=-2.0), apart=0.9)
    snaps = []
    for _ in range(24):
        size = int(rng.uniform(0.004, 0.02) * SAMPLE_RATE)
        burst = bandpass(rng.standard_normal(size).astype(np.float32), 700, 5500, 1)
        snaps.append(burst * np.exp(-np.arange(size, dtype=np.float32) / (0.16 * size)))
    for _ in range(round(2.2 * LOOP_S)):
        at, pan = int(rng.integers(_N)), float(rng.normal(0, 0.35))
        for _ in range(1 + int(rng.poisson(2.5))):  # they come in little flurries
            size = min(5.0, 0.9 * float(rng.pareto(2.4)) + 0.6)
            snap = snaps[int(rng.integers(len(snaps)))]
            place = at + int(rng.exponential(0.09) * SAMPLE_RATE)
            _lay(loop, snap, place, size, float(np.clip(pan, -0.9, 0.9)))
    return loop


def _waves(rng: Generator) -> Audio:
    count = 5
    spans = rng.uniform(0.8, 1.2, count)
    starts = np.concatenate([[0.0], np.cumsum(spans)[:-1]]) * LOOP_S / spans.sum()
    steps = round(LOOP_S * 50)
    t = np.arange(steps) / 50
    swell, wash = np.zeros(steps), np.zeros(steps)
    for start in starts:
        since = (t - start) % LOOP_S
        height = rng.uniform(0.7, 1.0)
        swell += height * (since / 3.0) ** 2 * np.exp(2 * (1 - since / 3.0))
        late = np.maximum(0.0, since - 2.2)
        wash += height * (late / 1.2) * np.exp(1.0 - late / 1.2)
    loop = _noise(rng, _band(70, 900, tilt=-3.0), apart=0.6) * _drawn_out(0.25 + swell)
    foam = _noise(rng, _band(900, 7500, tilt=-3.0), apart=0.9) * _drawn_out(0.06 + wash)
    loop += np.float32(0.8) * foam
    return loop


# By the names of `lofi.brief.AMBIENCES`.
SURROUNDINGS: dict[str, Surroundings] = {
    "vinyl": Surroundings(),
    "rain": Surroundings(make=_rain, level_lufs=-30.0, duck_db=4.0),
    "cafe": Surroundings(make=_cafe, level_lufs=-32.0, duck_db=3.0),
    "night": Surroundings(make=_night, level_lufs=-35.0, duck_db=4.0),
    "fire": Surroundings(make=_fire, level_lufs=-32.0, duck_db=3.0),
    "waves": Surroundings(make=_waves, level_lufs=-30.0, duck_db=5.0),
    "none": Surroundings(vinyl=False),
}
