"""Statistics: a figure says what it is named after, on music made so that the answer is known."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import symusic
from hypothesis import given, settings
from hypothesis import strategies as st

from lofi.brief import PARTS, Brief
from lofi.music import DIVERSITY, FIGURES, compose, diversity, statistics
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT, add_track

BEAT, BAR = TICKS_PER_BEAT, TICKS_PER_BAR
Hit = tuple[float, int, int]  # onset in beats, pitch, velocity


def score_of(length_beats: float = 0.5, **parts: Sequence[Hit]) -> symusic.Score:
    score = symusic.Score(BEAT)
    score.tempos.append(symusic.Tempo(0, 80.0))
    for name, hits in parts.items():
        onset, pitch, velocity = (np.array(column) for column in zip(*hits, strict=True))
        onset = np.round(onset * BEAT)
        add_track(score, name, onset, np.full(len(hits), length_beats * BEAT), pitch, velocity)
    return score


def in_bars(bars: int, pattern: Sequence[Hit]) -> list[Hit]:
    return [(4 * bar + at, pitch, v) for bar in range(bars) for at, pitch, v in pattern]


def wandering(bars: int, seed: int = 0) -> list[Hit]:
    """Eighths on pitches by chance: no bar is like another."""
    chance = np.random.default_rng(seed)
    return [(k / 2, int(chance.integers(55, 80)), 70) for k in range(8 * bars)]


SCALE: list[Hit] = [(k / 2, 60 + (0, 2, 4, 5, 7, 9, 11, 12)[k], 70) for k in range(8)]
BACKBEAT: list[Hit] = [
    *((0, 36, 100), (1, 38, 90), (2, 36, 95), (3, 38, 92)),
    *((k / 2, 42, 60) for k in range(8)),
]


def test_every_figure_is_told_with_its_kind_and_unit():
    told = statistics(score_of(keys=SCALE))
    assert list(told) == list(FIGURES)
    assert {f.kind for f in FIGURES.values()} == {"pitch", "rhythm", "drums", "melody", "form"}
    assert {f.kind for f in DIVERSITY.values()} == {"diversity"}
    for figure in (*FIGURES.values(), *DIVERSITY.values()):
        assert figure.unit
        assert figure.meaning
        assert figure.source
        assert figure.low < figure.high


def test_a_loop_has_few_different_bars_and_is_like_itself_at_its_length():
    two_bars = [*SCALE, *((4 + at, 72 - pitch + 60, v) for at, pitch, v in SCALE[:5])]
    loop = [(8 * turn + at, pitch, v) for turn in range(12) for at, pitch, v in two_bars]
    told = statistics(score_of(keys=loop))
    assert told["unique_bar_share"] == pytest.approx(2 / 24)
    assert told["bar_similarity_lag_2"] == pytest.approx(1, abs=1e-6)
    assert told["bar_similarity_lag_1"] < 0.7
    assert told["repetition_4_bars"] == pytest.approx(1, abs=1e-6)
    free = statistics(score_of(keys=wandering(24)))
    assert free["unique_bar_share"] == 1
    assert free["repetition_8_bars"] < 0.5
    assert free["bar_similarity_lag_2"] < 0.5
    assert told["compressed_size"] < free["compressed_size"] / 2


def test_a_stretch_that_comes_back_later_is_found_as_repetition():
    first = wandering(4)
    later = [(4 * 8 + at, pitch, v) for at, pitch, v in first]
    between = [(16 + at, pitch, v) for at, pitch, v in wandering(4, seed=1)]
    told = statistics(score_of(keys=first + between + later))
    alone = statistics(score_of(keys=wandering(12)))
    assert told["repetition_4_bars"] > alone["repetition_4_bars"] + 0.1


def test_a_scale_run_is_all_steps_and_an_arpeggio_of_tenths_all_leaps():
    run = statistics(score_of(lead=SCALE))
    assert run["melody_step_share"] == 1
    assert run["melody_leap_share"] == run["melody_repeat_share"] == 0
    assert run["melody_interval"] == pytest.approx(12 / 7)
    assert run["melody_range"] == 12
    leaps = statistics(score_of(lead=[(k, 60 + 16 * (k % 2), 70) for k in range(9)]))
    assert leaps["melody_leap_share"] == 1
    again = statistics(score_of(lead=[(k, 60, 70) for k in range(9)]))
    assert again["melody_repeat_share"] == 1


def test_an_interval_across_a_long_rest_is_not_heard_as_a_leap():
    apart = SCALE + [(12 + at, pitch + 12, v) for at, pitch, v in SCALE]
    assert statistics(score_of(lead=apart))["melody_leap_share"] == 0


def test_a_melody_rests_where_nothing_of_it_sounds():
    half = [(k, 60 + k, 70) for k in range(9)]
    assert statistics(score_of(0.5, lead=half))["melody_rest_share"] == pytest.approx(0.5)
    assert statistics(score_of(1, lead=half))["melody_rest_share"] == 0


def test_the_melody_is_judged_by_the_harmony_below_it():
    chord = [(4 * bar, pitch, 60) for bar in range(4) for pitch in (48, 52, 55)]  # C major
    tones = [(k, (72, 76, 79, 76)[k % 4], 70) for k in range(16)]
    told = statistics(score_of(4, keys=chord, lead=tones))
    assert told["melody_chord_tone_share"] == 1
    assert told["melody_semitone_clash_share"] == 0
    sharp = [(at, pitch + 1, v) for at, pitch, v in tones]
    told = statistics(score_of(4, keys=chord, lead=sharp))
    assert told["melody_chord_tone_share"] == 0
    assert told["melody_semitone_clash_share"] == 1
    assert math.isnan(statistics(score_of(lead=tones))["melody_chord_tone_share"])


def test_without_a_lead_the_melody_is_the_top_of_the_chords():
    chords = [(k, 72 + k % 3, 70) for k in range(16)] + [(k, 60, 70) for k in range(16)]
    told = statistics(score_of(keys=sorted(chords)))
    assert told["melody_range"] == 2
    assert math.isnan(statistics(score_of(bass=[(k, 40, 70) for k in range(16)]))["melody_range"])


def test_transposing_changes_nothing():
    score, _ = compose(Brief(seed=5, mood="happy").settled(), bars=24)
    higher = score.copy()
    for track in higher.tracks:
        if not track.is_drum:
            for note in track.notes:
                note.pitch += 3
    assert higher.tracks[1].notes[0].pitch == score.tracks[1].notes[0].pitch + 3
    before, after = statistics(score), statistics(higher)
    assert not math.isnan(before["melody_range"])
    for name in FIGURES:
        assert after[name] == pytest.approx(before[name], abs=1e-6, nan_ok=True), name


def test_playing_a_little_late_changes_no_place_in_the_bar():
    late = [(at + 0.1, pitch, v) for at, pitch, v in in_bars(4, SCALE)]
    told, straight = statistics(score_of(keys=late)), statistics(score_of(keys=in_bars(4, SCALE)))
    for name, figure in FIGURES.items():
        if figure.kind in ("rhythm", "form") and name != "longest_silence":
            assert told[name] == pytest.approx(straight[name], nan_ok=True), name


def test_pitch_figures_of_a_known_line():
    told = statistics(score_of(keys=in_bars(4, [(k / 3, 60 + k, 70) for k in range(12)])))
    assert told["pitch_class_entropy"] == pytest.approx(math.log2(12))
    assert told["pitch_class_entropy_4_bars"] == pytest.approx(math.log2(12))
    assert told["scale_consistency"] == pytest.approx(7 / 12)
    assert told["pitch_range"] == 11
    each = [(4 * bar + k, 60 + bar, 70) for bar in range(4) for k in range(4)]
    told = statistics(score_of(keys=each))
    assert told["pitch_class_entropy_1_bar"] == 0
    assert told["pitch_class_entropy"] == told["pitch_class_entropy_4_bars"] == 2


def test_polyphony_counts_what_sounds_and_leaves_silence_out():
    chord = [(8 * k, pitch, 70) for k in range(3) for pitch in (60, 64, 67)]
    assert statistics(score_of(2, keys=chord))["polyphony"] == pytest.approx(3)


def test_parts_that_rub_are_told_from_a_voicing_that_does():
    voicing: list[Hit] = [(0, 64, 70), (0, 65, 70), (2, 64, 70), (2, 65, 70)]
    assert math.isnan(statistics(score_of(keys=voicing))["semitone_clash_share"])
    apart = statistics(score_of(keys=voicing, bass=[(0, 40, 70), (2, 43, 70)]))
    assert apart["semitone_clash_share"] == 0
    rubbing = statistics(score_of(keys=[(0, 64, 70), (2, 64, 70)], lead=[(0, 65, 70), (2, 67, 70)]))
    assert rubbing["semitone_clash_share"] == pytest.approx(0.5)
    ninth = statistics(score_of(keys=[(0, 64, 70)], lead=[(0, 77, 70)]))
    seventh = statistics(score_of(keys=[(0, 64, 70)], lead=[(0, 75, 70)]))
    assert (ninth["semitone_clash_share"], seventh["semitone_clash_share"]) == (1, 0)


def test_rhythm_figures_of_known_patterns():
    beats = statistics(score_of(keys=in_bars(8, [(k, 60, 70) for k in range(4)])))
    assert beats["off_beat_share"] == 0
    assert beats["onset_position_entropy"] == 2
    assert beats["inter_onset_entropy"] == 0
    assert beats["notes_per_beat"] == 1
    assert beats["velocity_spread"] == 0
    assert beats["groove_consistency_next_bar"] == beats["groove_consistency_all_bars"] == 1
    off = statistics(score_of(keys=in_bars(8, [(k + 0.5, 60, 70) for k in range(4)])))
    assert off["off_beat_share"] == 1
    # Two bars of quarters, two with a note on every sixteenth but those: all steps disagree twice.
    other = [(k / 4, 60, 70) for k in range(16) if k % 4]
    quarters = in_bars(2, [(k, 60, 70) for k in range(4)])
    mixed = quarters + [(8 + at, pitch, v) for at, pitch, v in in_bars(2, other)]
    told = statistics(score_of(keys=mixed))
    assert told["groove_consistency_next_bar"] == pytest.approx(2 / 3)
    assert told["groove_consistency_all_bars"] == pytest.approx(2 / 6)


def test_silence_is_that_of_all_parts_together():
    holes = [(4 * bar, 60, 70) for bar in range(5)]
    told = statistics(score_of(1, keys=holes))
    assert told["longest_silence"] == 3
    assert told["empty_beat_share"] == pytest.approx(12 / 17)
    bridged = statistics(score_of(1, keys=holes, drums=[(k, 42, 60) for k in range(17)]))
    assert bridged["longest_silence"] == bridged["empty_beat_share"] == 0


def test_a_backbeat_is_seen_and_ghosts_are_none():
    told = statistics(score_of(0.1, drums=in_bars(8, BACKBEAT)))
    assert told["drum_backbeat_share"] == 1
    assert told["drum_ghost_share"] == 0
    assert told["drum_kit_size"] == 3
    assert told["drum_hits_per_beat"] == 3
    assert told["drum_bar_similarity"] == pytest.approx(1)
    shifted = [(at - 1 if pitch == 38 else at, pitch, v) for at, pitch, v in BACKBEAT]
    assert statistics(score_of(0.1, drums=in_bars(8, shifted)))["drum_backbeat_share"] == 0
    ghosts = [*BACKBEAT, (1.75, 38, 30), (2.25, 38, 30)]
    told = statistics(score_of(0.1, drums=in_bars(8, ghosts)))
    assert told["drum_ghost_share"] == 0.5
    soft = [(at, p, 20 if p == 38 and at == 1 else v) for at, p, v in BACKBEAT]
    assert statistics(score_of(0.1, drums=in_bars(8, soft)))["drum_backbeat_share"] == 0.5


def test_bars_without_drums_say_nothing_about_the_drummer():
    late = [(16 + at, pitch, v) for at, pitch, v in in_bars(4, BACKBEAT)]
    told = statistics(score_of(0.1, drums=in_bars(2, BACKBEAT) + late))
    assert told["drum_hits_per_beat"] == 3
    assert told["drum_backbeat_share"] == 1
    assert told["drum_bar_similarity"] == pytest.approx(1)


def test_what_does_not_apply_is_nan():
    drums = statistics(score_of(0.1, drums=in_bars(4, BACKBEAT)))
    for name, figure in FIGURES.items():
        silence = name in ("empty_beat_share", "longest_silence")
        assert math.isnan(drums[name]) == (figure.kind != "drums" and not silence), name
    pitched = statistics(score_of(keys=in_bars(20, SCALE)))
    assert all(
        math.isnan(pitched[n]) == (f.kind == "drums" or "melody_chord" in n or "clash" in n)
        for n, f in FIGURES.items()
    )
    assert all(math.isnan(value) for value in statistics(symusic.Score(BEAT)).values())
    short = statistics(score_of(keys=SCALE[:3]))
    for name in ("bar_similarity_lag_1", "repetition_4_bars", "melody_range", "compressed_size"):
        assert math.isnan(short[name]), name


def test_drums_do_not_change_the_figures_of_the_pitched_parts():
    line = wandering(12)
    alone, with_drums = (
        statistics(score_of(keys=line)),
        statistics(score_of(keys=line, drums=in_bars(12, BACKBEAT))),
    )
    for name, figure in FIGURES.items():
        if figure.kind != "drums" and name not in ("empty_beat_share", "longest_silence"):
            assert with_drums[name] == pytest.approx(alone[name], nan_ok=True), name


def test_a_score_that_is_not_canonical_or_endless_is_refused():
    with pytest.raises(ValueError, match="96 ticks per quarter"):
        statistics(symusic.Score(96))
    far = score_of(keys=[*SCALE, (4.0 * 3000, 60, 70)])
    with pytest.raises(ValueError, match="bars"):
        statistics(far)
    with pytest.raises(ValueError, match="bars"):
        diversity([far])


NOTE = st.tuples(
    st.integers(0, 40 * BAR), st.integers(0, 6000), st.integers(0, 127), st.integers(0, 127)
)
WILD = st.dictionaries(
    st.sampled_from([*PARTS, "unknown"]), st.lists(NOTE, max_size=60), max_size=5
)


def wild_score(parts: dict[str, list[tuple[int, int, int, int]]]) -> symusic.Score:
    score = symusic.Score(BEAT)
    for name, notes in parts.items():
        track = symusic.Track(name, 0, name == "drums")
        for onset, length, pitch, velocity in notes:
            track.notes.append(symusic.Note(onset, length, pitch, velocity))
        score.tracks.append(track)
    return score


@settings(max_examples=120, deadline=None)
@given(WILD)
def test_wild_scores_give_figures_within_their_bounds_or_nan(parts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = statistics(wild_score(parts))
        together = diversity([wild_score(parts), wild_score(parts)])
    for found, table in ((told, FIGURES), (together, DIVERSITY)):
        for name, value in found.items():
            assert isinstance(value, float)
            bounds = table[name]
            assert math.isnan(value) or (
                math.isfinite(value) and bounds.low <= value <= bounds.high
            ), (name, value)


def test_pieces_that_are_all_the_same_are_not_diverse():
    same = [score_of(lead=wandering(12)) for _ in range(3)]
    told = diversity(same)
    assert list(told) == list(DIVERSITY)
    assert told["corpus_unique_bar_share"] == pytest.approx(1 / 3)
    assert told["shared_bar_share"] == told["shared_melody_window_share"] == 1
    assert told["piece_similarity_mean"] == pytest.approx(1)


def test_pieces_that_are_all_different_are_diverse():
    told = diversity(score_of(lead=wandering(12, seed)) for seed in range(4))
    assert told["corpus_unique_bar_share"] == 1
    assert told["shared_bar_share"] == told["shared_melody_window_share"] == 0
    assert told["piece_similarity_p95"] < 0.5
    assert told["piece_similarity_mean"] <= told["piece_similarity_p95"]


def test_a_transposed_copy_is_found_out():
    line = wandering(12)
    higher = [(at, pitch + 5, v) for at, pitch, v in line]
    told = diversity([score_of(lead=line), score_of(lead=higher)])
    assert told["shared_melody_window_share"] == told["shared_bar_share"] == 1
    assert told["piece_similarity_mean"] == pytest.approx(1)


def test_repeating_oneself_is_not_sharing_with_others():
    told = diversity([score_of(lead=in_bars(20, SCALE)), score_of(lead=wandering(12))])
    assert told["shared_melody_window_share"] == told["shared_bar_share"] == 0
    assert told["corpus_unique_bar_share"] == pytest.approx(13 / 32)


def test_one_piece_and_none_have_no_pairs():
    alone = diversity([score_of(keys=SCALE)])
    assert math.isnan(alone["piece_similarity_mean"])
    assert math.isnan(alone["shared_melody_window_share"])
    assert all(math.isnan(value) for value in diversity([]).values())


def test_of_many_pieces_the_same_pairs_are_drawn_each_time(monkeypatch: pytest.MonkeyPatch):
    pieces = [score_of(keys=wandering(3, seed)) for seed in range(24)]
    whole = diversity(pieces)
    monkeypatch.setattr("lofi.music._statistics._MOST_PAIRS", 200)
    drawn = diversity(pieces)
    assert drawn == diversity(pieces)
    assert drawn["piece_similarity_mean"] != whole["piece_similarity_mean"]
    assert drawn["piece_similarity_mean"] == pytest.approx(whole["piece_similarity_mean"], abs=0.05)
