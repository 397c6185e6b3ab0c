"""What is heard around the music, and ten seconds of a piece."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sound_loop import loop

from lofi.brief import AMBIENCES, Brief, InputError
from lofi.sound import SAMPLE_RATE, render, render_excerpt
from lofi.sound._ambience import LOOP_S, SURROUNDINGS, surround
from lofi.sound._characters import chance
from lofi.sound._mastering import loudness_lufs
from lofi.sound._score import excerpt, read_score

MADE = [name for name, around in SURROUNDINGS.items() if around.make]
N = round(LOOP_S * SAMPLE_RATE)


def made(name: str, seed: int = 7) -> np.ndarray:
    make = SURROUNDINGS[name].make
    assert make
    return make(chance(seed, "ambience"))


def test_each_ambience_that_can_be_asked_for_is_made():
    assert list(SURROUNDINGS) == list(AMBIENCES)
    assert len(MADE) == 5
    with pytest.raises(InputError, match="Did you mean 'rain'"):
        Brief(seed=1, ambience="rainy").settled()


@pytest.mark.parametrize("name", MADE)
def test_it_has_its_level_no_seam_and_makes_way_for_the_music(name: str):
    going_round = made(name)
    kind = replace(SURROUNDINGS[name], make=lambda _: going_round.copy())

    def around(x: np.ndarray) -> np.ndarray:
        return surround(x.copy(), chance(7, "ambience"), kind)

    alone = around(np.zeros((2, N + SAMPLE_RATE), np.float32))
    assert loudness_lufs(alone[:, :N]) == pytest.approx(kind.level_lufs, abs=0.3)
    assert np.array_equal(alone[:, :SAMPLE_RATE], alone[:, N:])  # it goes round
    # Across the seam it moves as it does elsewhere.
    seam = np.abs(going_round[:, 0] - going_round[:, -1])
    assert np.all(seam <= np.quantile(np.abs(np.diff(going_round)), 0.999))

    t = np.arange(N) / SAMPLE_RATE
    tone = np.tile(0.3 * np.sin(2 * np.pi * 55 * t), (2, 1)).astype(np.float32)
    drop_db = loudness_lufs(alone[:, :N]) - loudness_lufs(around(tone) - tone)
    assert drop_db == pytest.approx(kind.duck_db, abs=0.5)


def test_each_seed_has_an_ambience_of_its_own_and_always_the_same():
    assert np.array_equal(made("fire"), made("fire"))
    assert not np.array_equal(made("fire"), made("fire", seed=8))
    crickets = np.abs(np.fft.rfft(made("night").mean(axis=0)))
    hz = np.fft.rfftfreq(N, 1 / SAMPLE_RATE)
    above = hz > 1500
    assert 3800 < hz[above][crickets[above].argmax()] < 4800


def test_the_usual_ambience_is_what_was_always_heard_and_none_is_clean():
    def played(ambience: str | None) -> np.ndarray:
        return render(
            loop(2, bpm=90), bars=2, bpm=90, bundle="chill", seed=1, ambience=ambience
        ).samples

    usual = played(None)
    assert Brief(seed=1, ambience="vinyl").settled() == Brief(seed=1).settled()
    quiet, rainy = played("none"), played("rain")
    assert not np.array_equal(quiet, usual)
    # The last half second is nothing but the ring of a chord, and what is around it.
    end = slice(-SAMPLE_RATE // 2, -SAMPLE_RATE // 10)
    assert np.abs(rainy[:, end]).std() > np.abs(quiet[:, end]).std()


def test_an_excerpt_is_ten_seconds_from_where_it_is_asked_for():
    how = {"bpm": 90.0, "bundle": "chill", "seed": 1}
    heard = render_excerpt(loop(12, bpm=90), from_bar=4, length_s=10.0, bars=12, **how)
    assert heard.samples.shape == (2, 10 * SAMPLE_RATE)
    assert abs(heard.samples[:, -1]).max() < 1e-3
    assert np.abs(heard.samples[:, : SAMPLE_RATE // 2]).max() > 0.05
    assert np.abs(heard.samples[:, -SAMPLE_RATE:]).max() > 0.05
    # Of a piece that is hardly longer it is the end, with its ring.
    short = render_excerpt(loop(3, bpm=90), from_bar=2, length_s=10.0, bars=3, **how)
    assert short.samples.shape == (2, 10 * SAMPLE_RATE)


def test_an_excerpt_has_the_notes_of_its_bars():
    whole = read_score(loop(6, bpm=80), bars=6, bpm=80)
    part = read_score(excerpt(loop(6, bpm=80), first_bar=2, bars=2), bars=2, bpm=80)
    bar_s = 240 / 80
    for name in ("drums", "bass", "lead"):
        asked = {
            (n.pitch, round(n.start_s - 2 * bar_s, 3))
            for n in whole[name].notes
            if 2 * bar_s <= n.start_s < 4 * bar_s
        }
        kept = {(n.pitch, round(n.start_s, 3)) for n in part[name].notes}
        assert asked <= kept
        assert all(start_s == 0 for _, start_s in kept - asked)  # what sounds already
        assert name != "drums" or kept == asked
