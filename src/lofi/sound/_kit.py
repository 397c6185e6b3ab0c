"""The built-in band: six instruments made of sines, noise and filters, played to the sample.

A sound is a function `(pitch, velocity 0-1, samples) -> mono float32`; velocity is its colour, the
player sets how loud it is. It is made once for every (pitch, velocity layer) that a part plays,
only as long as its longest note, laid down at each of its onsets and let go, so no more than one
lives at a time. Causal filters and sequential noise make a shorter sound the exact beginning of a
longer one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lofi.brief import subseed
from lofi.sound._filters import SAMPLE_RATE, Audio, bandpass, highpass, lowpass
from lofi.sound._score import Note

VELOCITY_LAYERS = 6
_DRUM_TAKES = 3  # recordings of each drum that alternate, so that no two hits in a row are equal
_TWO_PI = np.float32(2.0 * np.pi)


def _time_s(n: int) -> Audio:
    return np.arange(n, dtype=np.float32) / np.float32(SAMPLE_RATE)


def _hz(pitch: int) -> float:
    return 440.0 * 2.0 ** ((pitch - 69) / 12.0)


def _phase(frequency_hz: float, n: int) -> Audio:
    """Phase in radians, wrapped in float64 first: a large float32 phase would be heard as noise."""
    turns = np.arange(n) * (frequency_hz / SAMPLE_RATE)
    turns -= np.floor(turns)
    return turns.astype(np.float32) * _TWO_PI


def _sine(frequency_hz: float, n: int) -> Audio:
    return np.sin(_phase(frequency_hz, n))


def _decay(t: Audio, time_constant_s: float) -> Audio:
    return np.exp(t * np.float32(-1.0 / time_constant_s))


def _attack(t: Audio, attack_s: float) -> Audio:
    return np.minimum(np.float32(1.0), t * np.float32(1.0 / attack_s))


def _noise(n: int, *labels: object) -> Audio:
    """White noise that is the same for the same labels, whatever the seed of the piece."""
    return np.random.default_rng(subseed(0, "kit", *labels)).standard_normal(n).astype(np.float32)


def _add_burst(
    x: Audio, amount: float, low_hz: float, high_hz: float, decay_s: float, *labels: object
) -> None:
    """Add the short noise of a hammer, finger or mallet to the start of `x`, in place."""
    n = min(len(x), int(9 * decay_s * SAMPLE_RATE))
    burst = bandpass(_noise(n, *labels), low_hz, high_hz) * _decay(_time_s(n), decay_s)
    x[:n] += np.float32(amount) * burst


# Pitched instruments -------------------------------------------------------------------------


def electric_piano(pitch: int, velocity: float, n: int) -> Audio:
    """Two-operator FM tine piano; velocity opens the modulation, the pickup and the filter."""
    f = _hz(pitch)
    t = _time_s(n)
    phase = _phase(f, n)
    size = 2.0 ** ((60 - pitch) / 24.0)  # low bars ring longer
    decay_s = 2.6 * size

    index = (0.25 + 1.5 * velocity**2) * min(1.0, 2.0 ** ((72 - pitch) / 18.0))
    bend = np.float32(index) * _decay(t, 0.55 * size) * np.sin(phase + np.float32(0.3))
    detune = np.float32(0.15) * _sine(2.003 * f, n) * _decay(t, 0.8)
    body = np.sin(phase + bend + detune)

    ratio = 14.0 if 14 * f < 9000 else max(2, int(9000 / f))
    strike = np.float32(0.10 + 0.55 * velocity) * _decay(t, 0.09) * _sine(ratio * f, n)
    tine = np.sin(phase + strike)

    envelope = 0.75 * _decay(t, decay_s) + 0.25 * _decay(t, 0.18 * decay_s)
    x = (np.float32(0.72) * body + np.float32(0.28) * tine) * envelope
    # The tine sits off the pickup's centre: an asymmetric curve, which gives even harmonics.
    offset = np.float32(0.22 * velocity)
    x = np.tanh(np.float32(1.2) * (x + offset)) - np.tanh(np.float32(1.2) * offset)
    _add_burst(x, 0.02 * velocity, 300, 1800, 0.012, "hammer", pitch)
    x *= _attack(t, 0.0025)
    return lowpass(x, min(6500.0, 1400 + 5200 * velocity))


def upright_bass(pitch: int, velocity: float, n: int) -> Audio:
    """Ten slightly inharmonic partials, each with its own decay, as of a plucked gut string."""
    f = _hz(pitch)
    t = _time_s(n)
    x = np.zeros(n, np.float32)
    inharmonicity = 4e-5
    pluck_at = 0.19  # of the string's length
    for h in range(1, 11):
        partial_hz = h * f * np.sqrt(1 + inharmonicity * h * h)
        if partial_hz > 3500:
            break
        level = abs(np.sin(np.pi * h * pluck_at)) / h ** (1.25 - 0.25 * velocity)
        x += np.float32(level) * _sine(partial_hz, n) * _decay(t, 1 / (1.3 + 0.55 * h**1.15))
    _add_burst(x, 0.10 * velocity, 60, 700, 0.018, "finger", pitch)
    x = np.tanh(np.float32(1.3) * x) * _attack(t, 0.006)
    return lowpass(x, 700 + 1800 * velocity)


def nylon_guitar(pitch: int, velocity: float, n: int) -> Audio:
    """Karplus-Strong string with fractional tuning, plus two resonances of the body.

    K. Karplus and A. Strong, "Digital synthesis of plucked-string and drum timbres", 1983.
    """
    loss, brightness = 0.9965, 0.55
    # The averaging filter in the loop delays by (1 - brightness); the string makes up the rest.
    period = SAMPLE_RATE / _hz(pitch) - (1 - brightness)
    whole = int(period)
    part = period - whole
    taps = (
        loss * brightness * (1 - part),
        loss * (brightness * part + (1 - brightness) * (1 - part)),
        loss * (1 - brightness) * part,
    )
    pluck = lowpass(_noise(whole + 2, "nylon", pitch), 1200 + 5000 * velocity)
    # Plucked at 23 % of the string: the comb that this leaves in the spectrum.
    pluck -= np.float32(0.9) * np.roll(pluck, int(0.23 * whole))
    pluck *= np.hanning(whole + 2).astype(np.float32) ** np.float32(0.3)

    lead_in = whole + 2  # samples of rest before the string, for the taps to look back on
    x = np.zeros(lead_in + max(n, whole + 2), np.float32)
    x[lead_in : lead_in + len(pluck)] = pluck
    for start in range(lead_in, len(x), whole):
        # One period at a time: its samples depend only on the period before.
        stop = min(start + whole, len(x))
        for lag, tap in enumerate(taps):
            x[start:stop] += np.float32(tap) * x[start - whole - lag : stop - whole - lag]
    x = x[lead_in : lead_in + n]
    peak = np.abs(x[: 4 * whole]).max() + np.float32(1e-9)
    x = x + np.float32(0.5) * bandpass(x, 90, 130) + np.float32(0.35) * bandpass(x, 190, 260)
    return np.float32(0.9) * lowpass(x, 5200) / peak


def vibraphone(pitch: int, velocity: float, n: int) -> Audio:
    """The three tuned modes of a bar (1 : 4 : 10), with the slow tremolo of the motor."""
    f = _hz(pitch)
    t = _time_s(n)
    x = _sine(f, n) * _decay(t, 1.9)
    if 4 * f < 12_000:
        x += np.float32(0.10 + 0.22 * velocity) * _sine(3.98 * f, n) * _decay(t, 0.42)
    if 9.9 * f < 14_000:
        x += np.float32(0.02 + 0.10 * velocity) * _sine(9.9 * f, n) * _decay(t, 0.09)
    x *= np.float32(0.89) + np.float32(0.11) * np.cos(_phase(4.6, n))
    _add_burst(x, 0.03 * velocity, 600, 3000, 0.008, "mallet", pitch)
    x *= _attack(t, 0.0015)
    return np.float32(0.8) * lowpass(x, 3000 + 7000 * velocity)


def warm_pad(pitch: int, velocity: float, n: int) -> Audio:
    """Four detuned voices of soft harmonics behind a low-pass, fading in over most of a second."""
    f = _hz(pitch)
    x = np.zeros(n, np.float32)
    start = np.random.default_rng(subseed(0, "kit", "pad", pitch)).uniform(0, 2 * np.pi, 4)
    for voice, detune in enumerate((-0.0045, -0.0015, 0.0017, 0.0048)):
        phase = _phase(f * (1 + detune), n) + np.float32(start[voice])
        for h in range(1, 9):
            if h * f > 3000:
                break
            x += np.float32(0.25 / h**1.6) * np.sin(h * phase)
    x *= _attack(_time_s(n), 0.9)
    return np.float32(0.6) * lowpass(x, 900 + 1100 * velocity)


@dataclass(frozen=True, slots=True)
class Instrument:
    """How a pitched part sounds, and how long a note takes to die once released."""

    sound: Callable[[int, float, int], Audio]
    release_s: float


INSTRUMENTS: dict[str, Instrument] = {
    "bass": Instrument(upright_bass, 0.09),
    "keys": Instrument(electric_piano, 0.18),
    "guitar": Instrument(nylon_guitar, 0.15),
    "lead": Instrument(vibraphone, 0.50),
    "pad": Instrument(warm_pad, 1.20),
}


# Drums ---------------------------------------------------------------------------------------


def _dust(x: Audio, *, drive: float = 1.6, cutoff_hz: float = 8500.0) -> Audio:
    """As an early sampler would play it back: 26 kHz, overdriven, 12 bits, dull."""
    rate, bits = 26_040, 12
    n = len(x)
    step = rate / SAMPLE_RATE
    held = np.floor(np.arange(n) * step) / step
    x = np.interp(held, np.arange(n), lowpass(x, min(cutoff_hz, 0.45 * rate)))
    x = np.tanh(drive * x) / np.tanh(drive)
    steps = 2.0 ** (bits - 1)
    return lowpass((np.round(x * steps) / steps).astype(np.float32), cutoff_hz)


def _samples(seconds: float) -> int:
    return int(seconds * SAMPLE_RATE)


def kick(velocity: float, take: int) -> Audio:
    """A sine that falls from 170 to 47 Hz, and a click."""
    t = _time_s(_samples(0.55))
    pitch_hz = 47 + 95 * _decay(t, 0.028) + 30 * _decay(t, 0.006)
    turns = np.cumsum(pitch_hz, dtype=np.float64) / SAMPLE_RATE
    x = np.sin(2 * np.pi * turns).astype(np.float32) * _decay(t, 0.16)
    click = lowpass(_noise(len(t), "kick", take), 1000 + 2500 * velocity)
    x += np.float32(0.18) * click * _decay(t, 0.005)
    return _dust(np.float32(1.1) * x, drive=1.6 + velocity, cutoff_hz=3000 + 3000 * velocity)


def snare(velocity: float, take: int) -> Audio:
    """Two modes of the head under the noise of the wires."""
    t = _time_s(_samples(0.45))
    head = np.sin(_phase(182, len(t)) + np.float32(np.pi / 2) * (1 - _decay(t, 0.01)))
    x = np.float32(0.55) * head * _decay(t, 0.075)
    x += np.float32(0.3) * _sine(331, len(t)) * _decay(t, 0.05)
    wires = bandpass(_noise(len(t), "snare", take), 900, 5000 + 3000 * velocity)
    x += np.float32(0.62) * wires * _decay(t, 0.07 + 0.04 * velocity)
    return _dust(x, drive=1.8, cutoff_hz=5000 + 2500 * velocity)


def rim(velocity: float, take: int) -> Audio:
    """Side stick: two short, hard modes."""
    t = _time_s(_samples(0.15))
    x = _sine(1680 + 6 * take, len(t)) * _decay(t, 0.012)
    x += np.float32(0.6) * _sine(620, len(t)) * _decay(t, 0.02)
    return np.float32(0.7) * _dust(x, cutoff_hz=5000 + 4000 * velocity)


def clap(velocity: float, take: int) -> Audio:
    """Three hands that miss each other by 11 ms, and the room."""
    t = _time_s(_samples(0.35))
    envelope = np.float32(0.5) * _decay(np.maximum(t - np.float32(0.022), 0), 0.07)
    for onset_s in (0.0, 0.011, 0.022):
        late = t - np.float32(onset_s)
        envelope += np.where(late >= 0, _decay(np.maximum(late, 0), 0.006), 0)
    x = bandpass(_noise(len(t), "clap", take), 800, 3500 + 3000 * velocity)
    return np.float32(0.8) * _dust(x * envelope)


def _cymbal(velocity: float, take: int, decay_s: float, length_s: float, level: float) -> Audio:
    """Six square waves in the ratios of a drum machine's hi-hat, and noise, above 6 kHz."""
    t = _time_s(_samples(length_s))
    metal = np.zeros(len(t), np.float32)
    for frequency_hz in (410.6, 608.8, 739.2, 1045.4, 1080.0, 1600.0):
        metal += np.sign(_sine(frequency_hz + 1.3 * take, len(t))) / np.float32(6)
    x = np.float32(0.5) * highpass(metal, 6500)
    x += np.float32(0.42) * highpass(_noise(len(t), "cymbal", decay_s, take), 6000)
    x *= _decay(t, decay_s)
    return np.float32(1.1 * level) * _dust(x, cutoff_hz=7500 + 2500 * velocity)


def closed_hat(velocity: float, take: int) -> Audio:
    """Hi-hat, shut; a harder stroke leaves it open a little longer."""
    return _cymbal(velocity, take, 0.035 + 0.02 * velocity, 0.3, 1.0)


def open_hat(velocity: float, take: int) -> Audio:
    """Hi-hat, open."""
    return _cymbal(velocity, take, 0.22, 0.9, 1.0)


def ride(velocity: float, take: int) -> Audio:
    """Ride cymbal."""
    return _cymbal(velocity, take, 0.5, 1.6, 0.5)


def crash(velocity: float, take: int) -> Audio:
    """Crash cymbal."""
    return _cymbal(velocity, take, 0.7, 2.4, 0.8)


def shaker(velocity: float, take: int) -> Audio:
    """Grains that rush to one side and stop."""
    t = _time_s(_samples(0.14))
    swell = np.exp(-(((t - np.float32(0.045)) / np.float32(0.028)) ** 2))
    x = bandpass(_noise(len(t), "shaker", take), 4500, 7500 + 2000 * velocity)
    return np.float32(0.6) * _dust(x * swell * _attack(t, 0.004))


def _drum_skin(frequency_hz: float, decay_s: float, level: float) -> Callable[[float, int], Audio]:
    """A tom, conga or bongo: a sine that sags a third as it decays."""

    def skin(velocity: float, take: int) -> Audio:
        t = _time_s(_samples(4 * decay_s))
        pitch_hz = frequency_hz * (1 + 0.3 * velocity * _decay(t, 0.04))
        turns = np.cumsum(pitch_hz, dtype=np.float64) / SAMPLE_RATE
        x = np.sin(2 * np.pi * turns).astype(np.float32) * _decay(t, decay_s)
        x += np.float32(0.12) * lowpass(_noise(len(t), "skin", take), 3000) * _decay(t, 0.006)
        return np.float32(level) * _dust(x, cutoff_hz=3500 + 3000 * velocity)

    return skin


@dataclass(frozen=True, slots=True)
class Drum:
    """One instrument of the drum kit and its place between the speakers (-1 left, 1 right)."""

    sound: Callable[[float, int], Audio]
    pan: float
    pitches: tuple[int, ...]


# General MIDI's drum map, with Roland's hi-hat edges (22, 26); what is missing becomes a rim.
_RIM = Drum(rim, -0.10, (31, 37, 75, 76, 77))
DRUMS: tuple[Drum, ...] = (
    Drum(kick, 0.0, (35, 36)),
    Drum(snare, 0.05, (38, 40)),
    _RIM,
    Drum(clap, 0.05, (39,)),
    Drum(closed_hat, 0.15, (22, 42, 44)),
    Drum(open_hat, 0.20, (26, 46)),
    Drum(ride, -0.20, (51, 53, 59)),
    Drum(crash, -0.25, (49, 52, 55, 57)),
    Drum(shaker, -0.25, (54, 69, 70, 82)),
    Drum(_drum_skin(82, 0.22, 0.8), 0.25, (41, 43)),
    Drum(_drum_skin(110, 0.20, 0.8), 0.10, (45, 47)),
    Drum(_drum_skin(147, 0.18, 0.8), -0.15, (48, 50)),
    Drum(_drum_skin(205, 0.12, 0.6), 0.30, (61, 63, 64, 66)),
    Drum(_drum_skin(310, 0.09, 0.6), 0.30, (60, 62, 65)),
)
_DRUM_OF_PITCH = {pitch: drum for drum in DRUMS for pitch in drum.pitches}
_HI_HATS = frozenset({22, 26, 42, 44, 46})
_CHOKE_S = 0.012


# Playing -------------------------------------------------------------------------------------


def _layer(velocity: int) -> int:
    """The colour (0 to 5) in which a MIDI velocity sounds."""
    return min(VELOCITY_LAYERS - 1, velocity * VELOCITY_LAYERS // 128)


def _layer_velocity(layer: int) -> float:
    return (layer + 0.5) / VELOCITY_LAYERS


def _loudness(velocity: int) -> np.float32:
    """The gain of a MIDI velocity: half of it is 7 dB softer, so that ghost notes stay ghosts."""
    return np.float32((velocity / 127) ** 1.2)


def _onset(note: Note) -> int:
    return round(note.start_s * SAMPLE_RATE)


def _play_pitched(instrument: Instrument, notes: Iterable[Note], out: Audio) -> None:
    by_sound: dict[tuple[int, int], list[tuple[int, int, np.float32]]] = defaultdict(list)
    for note in notes:
        held = round(note.duration_s * SAMPLE_RATE)
        placed_note = (_onset(note), held, _loudness(note.velocity))
        by_sound[note.pitch, _layer(note.velocity)].append(placed_note)
    release = _samples(instrument.release_s)
    fall = np.linspace(1, 0, release, dtype=np.float32) ** 2
    for (pitch, layer), placed in sorted(by_sound.items()):
        longest = max(min(held + release, out.shape[1] - at) for at, held, _ in placed)
        sound = instrument.sound(pitch, _layer_velocity(layer), longest)
        for at, held, gain in placed:
            note_sound = gain * sound[: min(held + release, out.shape[1] - at)]
            released = note_sound[held:]
            released *= fall[: len(released)]
            out[:, at : at + len(note_sound)] += note_sound


def _play_drums(notes: list[Note], out: Audio) -> None:
    hat_onsets = sorted({_onset(note) for note in notes if note.pitch in _HI_HATS})
    next_hat = dict(pairwise(hat_onsets))
    choke = np.linspace(1, 0, _samples(_CHOKE_S), dtype=np.float32)

    by_sound: dict[tuple[int, int, int], list[tuple[int, np.float32]]] = defaultdict(list)
    strokes: dict[int, int] = defaultdict(int)
    for note in notes:
        take = strokes[note.pitch] % _DRUM_TAKES
        strokes[note.pitch] += 1
        hit_key = note.pitch, _layer(note.velocity), take
        by_sound[hit_key].append((_onset(note), _loudness(note.velocity)))
    for (pitch, layer, take), placed in sorted(by_sound.items()):
        drum = _DRUM_OF_PITCH.get(pitch, _RIM)
        sound = drum.sound(_layer_velocity(layer), take)
        fade = _samples(0.02)
        sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        sides = pan_gains(drum.pan)
        for at, gain in placed:
            hit = gain * sound[: out.shape[1] - at]
            if pitch in _HI_HATS and at in next_hat:
                # The two plates of a hi-hat sound once at a time: the next stroke stops this one.
                stop = next_hat[at] - at
                tail = hit[stop : stop + len(choke)]
                tail *= choke[: len(tail)]
                hit = hit[: stop + len(choke)]
            for channel, side in enumerate(sides):
                out[channel, at : at + len(hit)] += side * hit


def pan_gains(pan: float) -> tuple[np.float32, np.float32]:
    """Left and right gains of equal power for a pan of -1 (left) to 1 (right); 1 and 1 at 0."""
    angle = (pan + 1) * np.pi / 4
    return np.float32(np.sqrt(2) * np.cos(angle)), np.float32(np.sqrt(2) * np.sin(angle))


def play(part: str, notes: list[Note], n_samples: int) -> Audio:
    """The stem of one part, (2, n_samples) float32; every onset falls on its nearest sample.

    Pitched parts are centred, drums spread as a kit stands. Notes past the end are left out.
    """
    out = np.zeros((2, n_samples), np.float32)
    notes = [note for note in notes if _onset(note) < n_samples]
    if part == "drums":
        _play_drums(notes, out)
    else:
        _play_pitched(INSTRUMENTS[part], notes, out)
    return out
