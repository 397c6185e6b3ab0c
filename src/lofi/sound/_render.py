"""The console: from a score to a finished master, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lofi.brief import AMBIENCES, TAIL_S, InputError, one_of
from lofi.sound import _effects as fx
from lofi.sound import _fluidsynth, _kit, _mastering
from lofi.sound._ambience import SURROUNDINGS, surround
from lofi.sound._characters import Character, chance, draw_character
from lofi.sound._filters import (
    SAMPLE_RATE,
    Audio,
    db_to_gain,
    highpass,
    low_shelf,
    lowpass,
)
from lofi.sound._score import PartNotes, excerpt, kick_hits, let_ring, read_score

if TYPE_CHECKING:
    import symusic

RING_S = 0.6  # of the tail at full level before the last fade begins
FADE_LEAST_S = TAIL_S - RING_S  # where the tail is short, the fade begins within the last bar
FADE_IN_S = 0.002
_CUT_FADE_S = 0.4  # where an excerpt breaks off

_MIX_LUFS = -16.0  # what the tape sees
_STEM_CEILING_DB = -1.0


@dataclass(frozen=True, slots=True)
class Master:
    """A finished piece: audio (2, n) float32, and what it measures.

    `stems` holds, when they were asked for, the parts (2, n) levelled and panned but before the bus
    effects; their sum is the dry mix. One gain common to all keeps every stem under -1 dBFS.
    """

    samples: NDArray[np.float32]
    rate: int
    lufs: float
    true_peak_db: float
    stems: dict[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Strip:
    """One channel strip of the console.

    `level_lufs` is where the part's loud moments sit in the mix, against the other parts;
    `kit_lufs` and `font_lufs` are what it measures at mezzo piano before any gain, from the
    built-in kit and from a usual General MIDI SoundFont; `reverb_send` is how much of it the room
    hears.
    """

    level_lufs: float
    kit_lufs: float
    font_lufs: float
    reverb_send: float = 1.0
    pan: float = 0.0
    highpass_hz: float | None = None
    lowpass_hz: float | None = None


STRIPS: dict[str, Strip] = {
    "drums": Strip(-18.5, kit_lufs=-12, font_lufs=-32, reverb_send=0.25),
    "bass": Strip(-21.0, kit_lufs=-15, font_lufs=-36, reverb_send=0.25, lowpass_hz=2200),
    "keys": Strip(-19.0, kit_lufs=-6, font_lufs=-29, pan=-0.08, highpass_hz=110),
    "guitar": Strip(-20.5, kit_lufs=-21, font_lufs=-35, pan=-0.22, highpass_hz=90),
    "lead": Strip(-20.0, kit_lufs=-12, font_lufs=-32, reverb_send=1.2, pan=0.18, highpass_hz=180),
    "pad": Strip(-26.0, kit_lufs=-15, font_lufs=-33, highpass_hz=120),
}


def stem_gain_db(measured_lufs: float, strip: Strip, *, from_soundfont: bool) -> float:
    """The fader of a part: half way between a fixed gain and one that fully levels it.

    The fixed half keeps a part that plays softly, or only a few hats, soft; the levelling half, on
    gated loudness so that rests do not count, evens out registers and voicings. SoundFonts differ
    more than players do, so there the correction is stronger.
    """
    nominal_lufs = strip.font_lufs if from_soundfont else strip.kit_lufs
    if not math.isfinite(measured_lufs):
        return strip.level_lufs - nominal_lufs
    share, reach_db = (0.8, 12.0) if from_soundfont else (0.5, 5.0)
    correction_db = np.clip(share * (nominal_lufs - measured_lufs), -reach_db, reach_db)
    return float(strip.level_lufs - nominal_lufs + correction_db)


def _play_stems(
    parts: dict[str, PartNotes], n_samples: int, soundfont: Path | None
) -> Iterator[tuple[str, Audio]]:
    """(part, stem) one by one, so that a stem's memory is free before the next is needed."""
    if soundfont is None:
        for part, part_notes in parts.items():
            yield part, _kit.play(part, part_notes.notes, n_samples)
    else:
        stems = _fluidsynth.play(parts, n_samples, soundfont)
        for part in parts:
            yield part, stems.pop(part)


def _level_and_pan(part: str, stem: Audio, character: Character, from_soundfont: bool) -> Audio:
    strip = STRIPS[part]
    measured = _mastering.loudness_lufs(stem)
    fader_db = stem_gain_db(measured, strip, from_soundfont=from_soundfont)
    if part == "drums":
        fader_db += character.drums_db
    fader = np.float32(db_to_gain(fader_db))
    for channel, side in zip(stem, _kit.pan_gains(strip.pan), strict=True):
        channel *= fader * side
    return stem


def _channel_effects(
    part: str, stem: Audio, character: Character, kicks: list[tuple[float, float]]
) -> Audio:
    """What a part passes on its own before it meets the others."""
    strip = STRIPS[part]
    if strip.highpass_hz:
        stem = highpass(stem, strip.highpass_hz)
    if strip.lowpass_hz:
        stem = lowpass(stem, strip.lowpass_hz)
    if part == "drums":
        # Already dull and noisy, so what folds back is not heard: no oversampling here.
        return fx.saturate(stem, 3.0, bias=0.03, oversample=1)
    if part == "keys":
        stem = fx.chorus(stem, character.chorus_mix)
    elif part == "pad":
        stem = fx.chorus(stem, min(0.6, 1.4 * character.chorus_mix), rate_hz=0.31, base_ms=14.0)
    depth_db = character.duck_db * (0.6 if part == "bass" else 1.0)
    return fx.duck(stem, kicks, depth_db)


def _tape_and_console(x: Audio, character: Character, rng: Callable[[str], Generator]) -> Audio:
    x = fx.wow_and_flutter(x, rng("wow"), **character.tape)
    loudness = _mastering.loudness_lufs(x)
    if math.isfinite(loudness):
        x *= np.float32(db_to_gain(_MIX_LUFS - loudness))
    x = fx.saturate(x, character.drive_db)
    x = fx.crush(
        x,
        rng("crush"),
        bits=character.crush_bits,
        rate_hz=character.crush_rate_hz,
        mix=character.crush_mix,
    )
    x = lowpass(x, character.lowpass_hz, 3)
    x = highpass(x, 32.0)
    x = low_shelf(x, 110.0, character.warmth_db)
    x = fx.widen(x, character.width)
    return fx.compress(x)


def _finished_stems(stems: dict[str, Audio], ring_until_s: float) -> dict[str, Audio]:
    """Fade the stems like the master and bring all by one gain under the ceiling, in place."""
    if not stems:
        return stems
    peak = max(float(np.abs(stem).max()) for stem in stems.values())
    gain = np.float32(min(1.0, db_to_gain(_STEM_CEILING_DB) / max(peak, 1e-9)))
    for stem in stems.values():
        fx.fade_ends(stem, fade_in_s=FADE_IN_S, ring_until_s=ring_until_s)
        stem *= gain
    return stems


def render(
    score: symusic.Score,
    *,
    bars: int,
    bpm: float,
    bundle: str,
    seed: int,
    tail_s: float = TAIL_S,
    soundfont: Path | None = None,
    ambience: str | None = None,
    keep_stems: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Master:
    """Play, mix and master a score of `bars` bars of 4/4 at `bpm`.

    Tracks are named after `lofi.brief.PARTS`; another name goes to the nearest part by its program.
    `bundle` (a key of `lofi.brief.BUNDLES`) and `seed` decide the effects; the same arguments give
    the same samples. The result lasts `bars * 240 / bpm + tail_s` seconds, at -14 LUFS and below
    -1 dBTP; what sounds at the end of the last bar rings through the tail and fades. Without a
    `soundfont` the built-in instruments play. `ambience` is one of `lofi.brief.AMBIENCES`, the
    first if left out; no stem has it. `progress` is called with the share done, 0 to 1.

    Raises InputError for an empty score, an unusable track, an unknown name or a bad SoundFont;
    LofiError when a SoundFont is given and FluidSynth is not installed.
    """
    if bars < 1 or not bpm > 0:
        raise InputError(
            f"cannot render {bars} bars at {bpm:g} bpm: both must be positive numbers."
        )
    around = SURROUNDINGS[one_of(ambience or next(iter(AMBIENCES)), AMBIENCES, "ambience")]
    tell = progress or (lambda _share: None)
    tell(0.0)
    character = draw_character(bundle, seed)
    parts = read_score(score, bars=bars, bpm=bpm)
    music_s = bars * 240.0 / bpm
    let_ring(parts, end_s=music_s, beat_s=60.0 / bpm, ring_s=tail_s)
    n_samples = round((music_s + tail_s) * SAMPLE_RATE)
    ring_until_s = music_s + min(RING_S, tail_s - FADE_LEAST_S)
    kicks = kick_hits(parts)

    def rng(label: str) -> Generator:
        return chance(seed, label)

    stems: dict[str, Audio] = {}
    mix: Audio | None = None
    send = np.zeros(n_samples, np.float32)
    for done, (part, played) in enumerate(_play_stems(parts, n_samples, soundfont), start=1):
        stem = _level_and_pan(part, played, character, soundfont is not None)
        if keep_stems:
            stems[part] = stem.copy()
        stem = _channel_effects(part, stem, character, kicks)
        send += (stem[0] + stem[1]) * np.float32(0.5 * STRIPS[part].reverb_send)
        mix = fx.sum_into(mix, stem)
        del played, stem
        tell(0.55 * done / len(parts))
    assert mix is not None  # read_score never returns an empty band
    room = fx.room_response(rng("room"), decay_s=character.reverb_s)
    mix = fx.add_reverb(mix, send, room, character.reverb_mix)
    del send
    tell(0.62)
    mix = _tape_and_console(mix, character, rng)
    tell(0.82)
    mix = surround(mix, rng("ambience"), around)
    if around.vinyl:
        mix = fx.add_crackle(
            mix, rng("crackle"), per_second=character.crackle_per_s, level_db=character.crackle_db
        )
        mix = fx.add_hiss(mix, rng("hiss"), hiss_db=character.hiss_db, rumble_db=-64.0)
    mix = fx.fade_ends(mix, fade_in_s=FADE_IN_S, ring_until_s=ring_until_s)
    samples, lufs, peak_db = _mastering.master(mix)
    tell(1.0)
    return Master(samples, SAMPLE_RATE, lufs, peak_db, _finished_stems(stems, ring_until_s))


def render_excerpt(
    score: symusic.Score,
    *,
    from_bar: int,
    length_s: float,
    bars: int,
    bpm: float,
    **how: Any,
) -> Master:
    """As `render` does it, but only `length_s` seconds from `from_bar` on, faded where it is cut.

    What is heard is played anew: where the tape wavers and the vinyl crackles is not where it does
    in the whole piece. It begins earlier, or is shorter, where the score is too short.
    """
    bar_s = 240.0 / bpm
    needed = min(bars, math.ceil((length_s + RING_S) / bar_s))
    first = max(0, min(from_bar, bars - needed))
    part = excerpt(score, first_bar=first, bars=needed)
    # What rings on after the last bar is wanted only where the piece itself ends before the cut.
    tail_s = max(FADE_LEAST_S, length_s - needed * bar_s)
    played = render(part, bars=needed, bpm=bpm, tail_s=tail_s, **how)
    samples = played.samples[:, : round(length_s * SAMPLE_RATE)].copy()
    fade = round(_CUT_FADE_S * SAMPLE_RATE)
    samples[:, -fade:] *= np.cos(np.linspace(0, np.pi / 2, fade, dtype=np.float32)) ** 2
    return Master(samples, played.rate, played.lufs, played.true_peak_db)


def measure(samples: NDArray[Any], rate: int) -> tuple[float, float]:
    """(integrated loudness in LUFS, true peak in dBTP) of audio (2, n) or mono (n,), float ±1.

    Both by ITU-R BS.1770-4; minus infinity for silence.
    """
    planes = np.atleast_2d(np.asarray(samples, dtype=np.float32))
    return _mastering.loudness_lufs(planes, rate), _mastering.true_peak_db(planes)
