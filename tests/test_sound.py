from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import symusic
from sf2 import Preset, Zone, write_sf2
from sound_loop import loop

from lofi.brief import BUNDLES, PARTS, TAIL_S, InputError, LofiError
from lofi.sound import SAMPLE_RATE, Master, _fluidsynth, _kit, measure, render, write_flac
from lofi.sound import _effects as fx
from lofi.sound._characters import draw_character
from lofi.sound._mastering import loudness_lufs, master
from lofi.sound._score import Note, read_score

BARS, BPM = 3, 83.0


def sine(frequency_hz: float, seconds: float, level_db: float, rate: int = SAMPLE_RATE):
    t = np.arange(round(seconds * rate)) / rate
    wave = 10 ** (level_db / 20) * np.sin(2 * np.pi * frequency_hz * t)
    return np.stack([wave, wave]).astype(np.float32)


def centroid_hz(x: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(x))
    return float((np.fft.rfftfreq(len(x), 1 / SAMPLE_RATE) * spectrum).sum() / spectrum.sum())


@pytest.fixture(scope="module")
def piece() -> Master:
    return render(loop(BARS, bpm=BPM), bars=BARS, bpm=BPM, bundle="chill", seed=1, keep_stems=True)


# The finished piece --------------------------------------------------------------------------


def test_a_piece_lasts_its_bars_and_the_tail_to_the_sample(piece):
    assert piece.samples.shape == (2, round((BARS * 240 / BPM + TAIL_S) * SAMPLE_RATE))
    assert piece.samples.dtype == np.float32


@pytest.mark.parametrize("tail_s", [0.4, 1.7, 7.5])
def test_a_tail_of_any_length_fades_to_silence(tail_s: float):
    played = render(loop(2, bpm=BPM), bars=2, bpm=BPM, bundle="sleep", seed=1, tail_s=tail_s)
    assert played.samples.shape[1] == round((2 * 240 / BPM + tail_s) * SAMPLE_RATE)
    assert np.abs(played.samples[:, -50:]).max() < 1e-4
    step = SAMPLE_RATE // 2
    levels = [played.samples[:, -k * step : (1 - k) * step or None].std() for k in (4, 3, 2, 1)]
    assert levels == sorted(levels, reverse=True)  # a fade, no cut


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_written_file_is_at_minus_14_lufs_and_below_minus_1_dbtp(tmp_path, bundle):
    piece = render(loop(2, bpm=90), bars=2, bpm=90, bundle=bundle, seed=5)
    write_flac(tmp_path / "piece.flac", piece.samples, piece.rate)
    read, rate = soundfile.read(tmp_path / "piece.flac", dtype="float32")
    lufs, peak_db = measure(read.T, rate)
    assert lufs == pytest.approx(-14, abs=0.2)
    assert peak_db <= -1.0
    assert (lufs, peak_db) == pytest.approx((piece.lufs, piece.true_peak_db), abs=0.01)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(piece):
    def again(seed: int) -> bytes:
        score = loop(BARS, bpm=BPM)
        return render(score, bars=BARS, bpm=BPM, bundle="chill", seed=seed).samples.tobytes()

    assert again(1) == piece.samples.tobytes()
    assert again(2) != piece.samples.tobytes()


def test_the_last_chord_rings_into_the_tail_and_ends_in_silence(piece):
    end = round(BARS * 240 / BPM * SAMPLE_RATE)
    ringing = piece.samples[:, end : end + SAMPLE_RATE // 2]
    assert ringing.std() > 0.1 * piece.samples[:, :end].std()
    assert np.abs(piece.samples[:, -50:]).max() < 1e-4
    assert np.all(piece.samples[:, -1] == 0)


def test_there_is_no_click_at_either_end(piece):
    x = piece.samples
    assert np.abs(x[:, 0]).max() == 0
    loudest_step = np.abs(np.diff(x)).max()
    assert np.abs(np.diff(x[:, :20])).max() < 0.2 * loudest_step
    assert np.abs(np.diff(x[:, -SAMPLE_RATE // 10 :])).max() < 0.01 * loudest_step


def test_silence_between_the_notes_is_never_digital(piece):
    quiet = piece.samples[:, : -SAMPLE_RATE // 2].reshape(2, -1)
    windows = quiet[:, : quiet.shape[1] // 441 * 441].reshape(2, -1, 441)
    assert windows.std(axis=2).min() > 1e-6


def test_stems_are_the_parts_that_play_as_long_as_the_master_and_unclipped(piece):
    assert list(piece.stems) == ["drums", "bass", "keys", "lead", "pad"]
    for stem in piece.stems.values():
        assert stem.shape == piece.samples.shape
        assert stem.dtype == np.float32
        assert 0.005 < np.abs(stem).max() < 1.0
    assert render(loop(1), bars=1, bpm=80, bundle="sleep", seed=1).stems == {}


def test_the_sum_of_the_stems_is_the_music_of_the_master(piece):
    def loudness_curve(x):
        x = x.mean(axis=0)[: x.shape[1] // 4410 * 4410]
        return np.sqrt((x.reshape(-1, 4410) ** 2).mean(axis=1))

    dry = loudness_curve(sum(piece.stems.values()))
    assert np.corrcoef(dry, loudness_curve(piece.samples))[0, 1] > 0.8


def test_a_sleepy_piece_is_darker_than_an_upbeat_one():
    def high_share(bundle: str) -> float:
        x = render(loop(2), bars=2, bpm=80, bundle=bundle, seed=3).samples.mean(axis=0)
        power = np.abs(np.fft.rfft(x)) ** 2
        return float(power[np.fft.rfftfreq(len(x), 1 / SAMPLE_RATE) > 6000].sum() / power.sum())

    assert high_share("sleep") < 0.3 * high_share("upbeat")


def test_every_bundle_has_its_own_character_and_every_seed_its_shade():
    lowpass_hz = {bundle: draw_character(bundle, 1).lowpass_hz for bundle in BUNDLES}
    assert sorted(lowpass_hz, key=lowpass_hz.__getitem__)[0] == "sleep"
    assert sorted(lowpass_hz, key=lowpass_hz.__getitem__)[-1] == "upbeat"
    assert len({draw_character("chill", seed) for seed in range(20)}) == 20
    wettest = max(BUNDLES, key=lambda bundle: draw_character(bundle, 1).chorus_mix)
    assert wettest == "dreamy"


def test_progress_rises_from_nothing_to_all():
    shares: list[float] = []
    render(loop(1), bars=1, bpm=80, bundle="focus", seed=1, progress=shares.append)
    assert shares[0] == 0.0
    assert shares[-1] == 1.0
    assert shares == sorted(shares)


# What a score may bring ----------------------------------------------------------------------


def test_an_empty_score_is_refused():
    with pytest.raises(InputError, match="no notes"):
        render(symusic.Score(480), bars=4, bpm=80, bundle="chill", seed=1)


def test_an_unknown_bundle_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="'dreamy'"):
        render(loop(1), bars=1, bpm=80, bundle="dreamyy", seed=1)


@pytest.mark.parametrize(
    ("name", "program", "part"),
    [("Rhodes", 4, "keys"), ("Violins", 48, "pad"), ("BASS ", 0, "bass"), ("Flute", 73, "lead")],
)
def test_a_track_by_another_name_goes_to_the_nearest_part(name, program, part):
    score = loop(1, parts=("keys",))
    score.tracks[0].name = name
    score.tracks[0].program = program
    assert list(read_score(score, bars=1, bpm=80)) == [part]


def test_a_track_that_no_part_can_play_is_named():
    score = loop(1, parts=("keys",))
    score.tracks[0].name = "Helicopter"
    score.tracks[0].program = 125
    with pytest.raises(InputError, match="Helicopter"):
        render(score, bars=1, bpm=80, bundle="chill", seed=1)


def test_notes_past_the_last_bar_are_left_out():
    assert read_score(loop(4), bars=2, bpm=80) == read_score(loop(2), bars=2, bpm=80)


def test_a_lead_of_three_notes_is_not_blown_up():
    score = loop(4, parts=("keys", "lead"))
    lead = score.tracks[1]
    full = render(score, bars=4, bpm=80, bundle="chill", seed=1, keep_stems=True).stems["lead"]
    while len(lead.notes) > 3:
        lead.notes.pop()
    sparse = render(score, bars=4, bpm=80, bundle="chill", seed=1, keep_stems=True).stems["lead"]
    assert np.abs(sparse).max() < 1.3 * np.abs(full).max()


def test_a_part_that_plays_softly_stays_soft():
    def loudness(velocity: int) -> float:
        score = loop(2, parts=("drums", "keys"), velocity=velocity)
        piece = render(score, bars=2, bpm=80, bundle="chill", seed=1, keep_stems=True)
        keys, drums = (loudness_lufs(piece.stems[part]) for part in ("keys", "drums"))
        return keys - drums

    assert 2.5 < loudness(80) - loudness(40) < 7


# The built-in band ---------------------------------------------------------------------------


def test_a_kick_lands_on_its_sample():
    on_the_one = _kit.play("drums", [Note(36, 0.0, 0.1, 100)], SAMPLE_RATE)
    at = 12_345
    later = _kit.play("drums", [Note(36, at / SAMPLE_RATE, 0.1, 100)], SAMPLE_RATE)
    assert np.all(later[:, :at] == 0)
    assert np.array_equal(later[:, at:], on_the_one[:, :-at])
    assert np.abs(on_the_one[0, :20]).max() > 1e-4


@pytest.mark.parametrize("part", [part for part in PARTS if part != "drums"])
def test_playing_harder_is_brighter_and_louder(part):
    def played(velocity: int) -> np.ndarray:
        return _kit.play(part, [Note(60, 0.0, 1.0, velocity)], SAMPLE_RATE)[0]

    soft, hard = played(35), played(115)
    assert centroid_hz(hard) > 1.05 * centroid_hz(soft)
    assert hard.std() > 2 * soft.std()


def test_the_keys_brighten_step_by_step():
    centroids = [
        centroid_hz(_kit.play("keys", [Note(57, 0.0, 1.5, velocity)], 2 * SAMPLE_RATE)[0])
        for velocity in (20, 45, 70, 95, 120)
    ]
    assert centroids == sorted(centroids)
    assert centroids[-1] > 1.3 * centroids[0]


@pytest.mark.parametrize("part", [part for part in PARTS if part != "drums"])
@pytest.mark.parametrize("pitch", [45, 57, 69])
def test_the_band_is_in_tune(part, pitch):
    n = 2 * SAMPLE_RATE
    x = _kit.play(part, [Note(pitch, 0.0, 2.0, 80)], n)[0] * np.hanning(n)
    spectrum = np.abs(np.fft.rfft(x, 8 * n))
    frequencies = np.fft.rfftfreq(8 * n, 1 / SAMPLE_RATE)
    wanted_hz = 440 * 2 ** ((pitch - 69) / 12)
    near = np.abs(frequencies - wanted_hz) < 0.03 * wanted_hz
    heard_hz = frequencies[near][spectrum[near].argmax()]
    assert abs(1200 * np.log2(heard_hz / wanted_hz)) < 10


@pytest.mark.parametrize("pitch", sorted(p for drum in _kit.DRUMS for p in drum.pitches))
def test_every_drum_sounds_and_dies_away(pitch):
    x = _kit.play("drums", [Note(pitch, 0.0, 0.1, 90)], 3 * SAMPLE_RATE)
    assert np.isfinite(x).all()
    assert 0.02 < np.abs(x).max() < 2
    assert np.all(x[:, -SAMPLE_RATE // 4 :] == 0)


def test_a_closed_hat_stops_an_open_one():
    ringing = _kit.play("drums", [Note(46, 0.0, 0.1, 90)], SAMPLE_RATE)
    notes = [Note(46, 0.0, 0.1, 90), Note(42, 0.2, 0.1, 1)]
    stopped = _kit.play("drums", notes, SAMPLE_RATE)
    after = slice(int(0.25 * SAMPLE_RATE), int(0.4 * SAMPLE_RATE))
    assert stopped[:, after].std() < 0.1 * ringing[:, after].std()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("pitch", [0, 127])
def test_no_pitch_of_midi_breaks_an_instrument(part, pitch):
    x = _kit.play(part, [Note(pitch, 0.0, 0.5, 100)], SAMPLE_RATE)
    assert np.isfinite(x).all()
    assert np.abs(x).max() < 4


# Effects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth_pct", [0.2, 0.6])
def test_wow_is_as_deep_as_asked(depth_pct):
    tone = sine(1000, 8, -6)
    rng = np.random.default_rng(1)
    x = fx.wow_and_flutter(tone, rng, wow_pct=depth_pct, flutter_pct=0.0)[0]
    spectrum = np.fft.fft(x)
    spectrum[len(x) // 2 :] = 0  # the analytic signal, whose phase turns with the pitch
    phase = np.unwrap(np.angle(np.fft.ifft(spectrum)))
    turns_per_s = np.diff(phase) * SAMPLE_RATE / (2 * np.pi)
    smooth = np.convolve(turns_per_s, np.ones(441) / 441, "valid")[SAMPLE_RATE:-SAMPLE_RATE]
    deviation_pct = 100 * (smooth / 1000 - 1)
    assert deviation_pct.max() == pytest.approx(depth_pct, rel=0.15)
    assert deviation_pct.min() == pytest.approx(-depth_pct, rel=0.15)


def test_saturation_adds_harmonics_and_hardly_any_aliases():
    x = fx.saturate(sine(9000, 1, -3), 6.0, bias=0.0)[0]
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
    alias = spectrum[17_000:17_200].max()  # the third harmonic, 27 kHz, would fold to 17.1 kHz
    assert 20 * np.log10(alias / spectrum.max()) < -60


def test_the_kick_makes_the_keys_step_back():
    keys = sine(300, 2, -12)
    ducked = fx.duck(keys.copy(), [(0.5, 1.0)], 6.0)

    def change_db(at_s: float) -> float:
        window = slice(round(at_s * SAMPLE_RATE), round((at_s + 0.02) * SAMPLE_RATE))
        return 20 * np.log10(ducked[0, window].std() / keys[0, window].std())

    assert change_db(0.4) == pytest.approx(0, abs=0.01)
    assert change_db(0.505) == pytest.approx(-6, abs=0.6)
    assert change_db(1.8) == pytest.approx(0, abs=0.05)


def test_the_bass_is_mono_however_wide_the_mix():
    left, right = sine(50, 2, -6)[0], np.zeros(2 * SAMPLE_RATE, np.float32)
    x = fx.widen(np.stack([left, right]), 1.3)[:, SAMPLE_RATE:]
    assert (x[0] - x[1]).std() < 0.06 * (x[0] + x[1]).std()


def test_fewer_bits_and_samples_make_noise_in_proportion_to_the_mix():
    clean = sine(997, 1, -6)

    def noise_db(mix: float) -> float:
        x = fx.crush(clean.copy(), np.random.default_rng(0), bits=8, rate_hz=24e3, mix=mix)[0]
        spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x))))
        tone = spectrum[990:1004].copy()
        spectrum[990:1004] = 0
        return float(10 * np.log10((spectrum**2).sum() / (tone**2).sum()))

    assert -60 < noise_db(0.1) < noise_db(0.9) - 10


def test_crackle_is_clicks_over_a_quiet_bed():
    x = np.zeros((2, 20 * SAMPLE_RATE), np.float32)
    fx.add_crackle(x, np.random.default_rng(4), per_second=8, level_db=-40)
    assert np.abs(x).max() > 20 * x.std()
    assert np.abs(x).max() < 0.3


def test_hiss_has_the_level_asked_for_and_no_gaps():
    x = np.zeros((2, 30 * SAMPLE_RATE), np.float32)
    fx.add_hiss(x, np.random.default_rng(4), hiss_db=-60, rumble_db=-90)
    assert 20 * np.log10(x.std()) == pytest.approx(-60, abs=0.5)
    tenths = x.reshape(2, -1, SAMPLE_RATE // 10).std(axis=2)
    assert tenths.min() > 0.7 * tenths.max()


def test_the_room_dies_away_in_the_time_asked_for():
    response = fx.room_response(np.random.default_rng(1), decay_s=1.5)
    energy = np.cumsum(response[0, ::-1] ** 2)[::-1]  # Schroeder's backward integral
    fallen_db = 10 * np.log10(energy / energy[0])
    at_20, at_5 = np.argmax(fallen_db < -25), np.argmax(fallen_db < -5)
    assert 3 * (at_20 - at_5) / SAMPLE_RATE == pytest.approx(1.5, rel=0.2)


# Loudness ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_ebu_3341_case_1_a_tone_at_minus_23_dbfs_measures_minus_23_lufs(rate):
    assert measure(sine(1000, 20, -23, rate), rate)[0] == pytest.approx(-23, abs=0.1)


def test_ebu_3341_case_3_quiet_ends_do_not_pull_the_loudness_down():
    x = np.concatenate([sine(1000, s, db) for s, db in ((10, -36), (60, -23), (10, -36))], axis=1)
    assert measure(x, SAMPLE_RATE)[0] == pytest.approx(-23, abs=0.1)


def test_ebu_3341_case_4_silence_around_the_programme_does_not_count():
    levels = ((10, -72), (10, -36), (60, -23), (10, -36), (10, -72))
    x = np.concatenate([sine(1000, s, db) for s, db in levels], axis=1)
    assert measure(x, SAMPLE_RATE)[0] == pytest.approx(-23, abs=0.1)


def test_true_peak_sees_what_stands_between_the_samples():
    # A quarter of the sample rate, an eighth of a turn off: samples reach 0.707 of the peak.
    t = np.arange(SAMPLE_RATE)
    wave = 0.5 * np.sin(2 * np.pi * t / 4 + np.pi / 4)
    assert 20 * np.log10(np.abs(wave).max()) == pytest.approx(-9.03, abs=0.01)
    assert measure(wave, SAMPLE_RATE)[1] == pytest.approx(-6.02, abs=0.25)


def test_silence_measures_as_silence_and_masters_to_silence():
    silence = np.zeros((2, SAMPLE_RATE), np.float32)
    assert measure(silence, SAMPLE_RATE) == (-np.inf, -np.inf)
    assert np.array_equal(master(silence)[0], silence)


def test_spiky_music_is_limited_to_the_ceiling_and_still_at_its_loudness():
    x = sine(220, 6, -20)
    x[:, :: SAMPLE_RATE // 2] += np.float32(0.9)
    y, lufs, peak_db = master(x)
    assert lufs == pytest.approx(-14, abs=0.1)
    assert peak_db <= -1.0
    assert measure(y, SAMPLE_RATE) == pytest.approx((lufs, peak_db), abs=0.02)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not on PATH")
def test_the_meters_agree_with_ffmpeg(tmp_path, piece):
    write_flac(tmp_path / "piece.flac", piece.samples, piece.rate)
    command = ["ffmpeg", "-hide_banner", "-nostats", "-i", str(tmp_path / "piece.flac")]
    command += ["-af", "ebur128=peak=true", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    summary = said[said.rindex("Summary:") :]
    lufs, peak_db = (
        float(re.search(pattern, summary)[1])  # type: ignore[index]
        for pattern in (r"I:\s+(-?[\d.]+) LUFS", r"Peak:\s+(-?[\d.]+) dBFS")
    )
    assert piece.lufs == pytest.approx(lufs, abs=0.15)
    assert piece.true_peak_db == pytest.approx(peak_db, abs=0.3)


# Files ---------------------------------------------------------------------------------------


def test_a_flac_file_carries_24_bits_and_its_tags(tmp_path, piece):
    path = tmp_path / "piece.flac"
    write_flac(path, piece.samples, piece.rate, tags={"title": "Rain on glass", "artist": "LoFi"})
    with soundfile.SoundFile(path) as file:
        assert (file.format, file.subtype, file.samplerate) == ("FLAC", "PCM_24", SAMPLE_RATE)
        assert (file.title, file.artist) == ("Rain on glass", "LoFi")
        assert np.abs(file.read(dtype="float32").T - piece.samples).max() < 2**-22
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(LofiError, match="nowhere"):
        write_flac(tmp_path / "nowhere" / "piece.flac", np.zeros((2, 100)), SAMPLE_RATE)
    with pytest.raises(InputError, match="mood"):
        write_flac(tmp_path / "piece.flac", np.zeros((2, 100)), SAMPLE_RATE, tags={"mood": "x"})
    assert list(tmp_path.iterdir()) == []


# SoundFonts ----------------------------------------------------------------------------------


@pytest.fixture
def fluidsynth():
    try:
        return _fluidsynth.load_library()
    except LofiError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def soundfont(tmp_path) -> Path:
    """A SoundFont with a drum kit and one keyboard, its samples taken from the built-in band."""
    tone = _kit.electric_piano(60, 0.6, 3 * SAMPLE_RATE)
    drums = tuple(
        Zone(_kit.kick(0.8, 0) if pitch == 36 else _kit.snare(0.8, 0), pitch, (pitch, pitch))
        for pitch in (36, 38)
    )
    presets = (Preset("keys", 0, 0, (Zone(tone, 60),)), Preset("kit", 128, 0, drums))
    write_sf2(tmp_path / "small.sf2", "small", presets, SAMPLE_RATE)
    return tmp_path / "small.sf2"


def test_a_soundfont_plays_the_piece(fluidsynth, soundfont):
    piece = render(
        loop(2), bars=2, bpm=80, bundle="chill", seed=1, soundfont=soundfont, keep_stems=True
    )
    assert piece.lufs == pytest.approx(-14, abs=0.2)
    assert piece.true_peak_db <= -1
    assert set(piece.stems) == {"drums", "bass", "keys", "lead", "pad"}
    built_in = render(loop(2), bars=2, bpm=80, bundle="chill", seed=1)
    assert not np.array_equal(piece.samples, built_in.samples)


def test_a_soundfont_plays_each_part_on_a_stem_of_its_own(fluidsynth, soundfont):
    parts = read_score(loop(1, parts=("drums", "keys")), bars=1, bpm=80)
    parts["keys"].notes[:] = [Note(69, 1.0, 0.5, 90)]
    stems = _fluidsynth.play(parts, 3 * SAMPLE_RATE, soundfont)
    assert np.abs(stems["keys"][:, : SAMPLE_RATE - 1]).max() < 1e-6
    onset = int(np.argmax(np.abs(stems["keys"][0]) > 1e-4))
    assert SAMPLE_RATE <= onset < SAMPLE_RATE + 256
    spectrum = np.abs(np.fft.rfft(stems["keys"][0, SAMPLE_RATE : 2 * SAMPLE_RATE]))
    assert abs(int(spectrum.argmax()) - 440) <= 2
    assert np.abs(stems["drums"]).max() > 0.01


def test_a_soundfont_renders_the_same_bytes_twice(fluidsynth, soundfont):
    first, second = (
        render(loop(1), bars=1, bpm=80, bundle="focus", seed=1, soundfont=soundfont).samples
        for _ in range(2)
    )
    assert first.tobytes() == second.tobytes()


def test_a_missing_soundfont_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.sf2"):
        render(loop(1), bars=1, bpm=80, bundle="chill", seed=1, soundfont=tmp_path / "nothing.sf2")


def test_a_file_that_is_no_soundfont_is_named(fluidsynth, tmp_path):
    (tmp_path / "broken.sf2").write_bytes(b"RIFF\x10\0\0\0WAVEfmt ")
    with pytest.raises(InputError, match=r"broken\.sf2"):
        render(loop(1), bars=1, bpm=80, bundle="chill", seed=1, soundfont=tmp_path / "broken.sf2")


def test_a_soundfont_cut_short_is_named(fluidsynth, soundfont):
    soundfont.write_bytes(soundfont.read_bytes()[:20_000])
    with pytest.raises(InputError, match=r"small\.sf2"):
        render(loop(1), bars=1, bpm=80, bundle="chill", seed=1, soundfont=soundfont)


def test_without_fluidsynth_the_remedy_is_named(monkeypatch, soundfont):
    def no_library(_name: str) -> None:
        raise OSError("not found")

    monkeypatch.setattr(_fluidsynth.ctypes, "CDLL", no_library)
    _fluidsynth.load_library.cache_clear()
    try:
        with pytest.raises(LofiError, match="apt install libfluidsynth3") as raised:
            render(loop(1), bars=1, bpm=80, bundle="chill", seed=1, soundfont=soundfont)
        assert "brew install fluid-synth" in str(raised.value)
    finally:
        _fluidsynth.load_library.cache_clear()
