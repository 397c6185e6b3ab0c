"""Pictures: the video plays everywhere and follows the music; the thumbnail can be read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from symusic import Note, Score, Tempo, Track

from lofi.brief import PALETTES, TEMPLATES, InputError
from lofi.picture import render_roll, render_thumbnail, render_video, still
from lofi.picture._features import SPARK_LIFE_S, Features

RATE = 44_100
WIDTH, HEIGHT = 640, 360
SCALE = WIDTH / 1920
ODD_TITLES = (
    "",
    "  \n\t ",
    "two\nlines\x00 and \x1b[31mcodes",
    "late night study session " * 12,
    "🌙☕🎧",
    "雨の夜 · дождь · بارش",
    "Donaudampfschifffahrtsgesellschaftskapitän",
    "\ud800 lone surrogate",
)


def score_of(kicks_s: tuple[float, ...] = (), melody: tuple[tuple[float, int], ...] = ()) -> Score:
    score = Score(480)
    score.tempos.append(Tempo(0, 60.0))  # one beat is one second
    drums = Track("drums", 0, True)
    for time_s in kicks_s:
        drums.notes.append(Note(round(time_s * 480), 120, 36, 110))
    lead = Track("lead", 11, False)
    for time_s, pitch in melody:
        lead.notes.append(Note(round(time_s * 480), 240, pitch, 90))
    score.tracks.append(drums)
    score.tracks.append(lead)
    return score


def silence(duration_s: float) -> NDArray[np.float32]:
    return np.zeros((2, round(duration_s * RATE)), np.float32)


def render(path: Path, audio: NDArray[np.float32], score: Score | None = None, **changes) -> Path:
    settings = {
        "palette": "midnight",
        "template": "bars",
        "title": "rainy window",
        "subtitle": "78 bpm · D minor",
        "seed": 4,
        "width": WIDTH,
        "height": HEIGHT,
    }
    render_video(path, score=score or score_of(), audio=audio, rate=RATE, **{**settings, **changes})
    return path


def frames(path: Path) -> NDArray[np.uint8]:
    """Every decoded frame as RGB `(n, h, w, 3)`."""
    with av.open(str(path)) as container:
        pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    return np.stack(pictures).astype(np.uint8)


def region(pictures: NDArray[np.uint8], x0: float, y0: float, x1: float, y1: float):
    """A part given in scene units of 1920 x 1080, as floats."""
    x0, y0, x1, y1 = (round(edge * SCALE) for edge in (x0, y0, x1, y1))
    return pictures[:, y0:y1, x0:x1].astype(np.float64)


def boxes(path: Path) -> list[str]:
    """Names of the MP4's top-level boxes in order."""
    data, names, at = path.read_bytes(), [], 0
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode("latin-1"))
        size = int.from_bytes(data[at : at + 4], "big")
        at += size if size != 1 else int.from_bytes(data[at + 8 : at + 16], "big")
    return names


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3.05 s with a chord in its second half."""
    audio = silence(3.05)
    t = np.arange(audio.shape[1]) / RATE
    audio[:] = 0.2 * np.sin(2 * np.pi * 220 * t) * (t > 1.5)
    return render(tmp_path_factory.mktemp("clip") / "clip.mp4", audio)


def test_the_video_is_as_long_as_the_music(clip: Path):
    assert len(frames(clip)) == 92  # 3.05 s at 30 frames a second, rounded up
    with av.open(str(clip)) as container:
        sound = sum(f.samples for f in container.decode(audio=0)) / 48_000
    assert sound == pytest.approx(3.05, abs=0.05)


def test_the_streams_are_what_youtube_advises(clip: Path):
    with av.open(str(clip)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.profile) == ("h264", "High")
        assert video.codec_context.pix_fmt == "yuv420p"
        assert (video.codec_context.colorspace, video.codec_context.color_range) == (1, 1)
        assert video.average_rate == 30
        assert video.codec_context.has_b_frames
        assert (sound.codec_context.name, sound.codec_context.profile) == ("aac", "LC")
        assert sound.rate == 48_000
        keys = [
            p.pts * p.time_base
            for p in container.demux(video)
            if p.pts is not None and p.is_keyframe
        ]
    assert [float(key) for key in keys] == [0.5 * k for k in range(7)]


def test_the_index_stands_in_front_and_there_is_no_edit_list(clip: Path):
    names = boxes(clip)
    assert names.index("moov") < names.index("mdat")
    assert b"elst" not in clip.read_bytes()


def test_picture_and_sound_start_together(clip: Path):
    with av.open(str(clip)) as container:
        assert container.streams.video[0].start_time == 0
        assert container.streams.audio[0].start_time == 0
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    onset_s = np.argmax(np.abs(sound) > 0.1) / 48_000
    assert onset_s == pytest.approx(1.5, abs=0.005)


def test_bass_lifts_the_bars_at_the_left_only(tmp_path: Path):
    audio = silence(3.0)
    t = np.arange(audio.shape[1]) / RATE
    audio[:] = 0.5 * np.sin(2 * np.pi * 80 * t) * (t > 1.5)
    shown = frames(render(tmp_path / "bass.mp4", audio))
    quiet, loud = shown[20:40], shown[60:80]
    # Above the resting height of the bars.
    low = (456, 985, 540, 1005)
    high = (1200, 985, 1460, 1005)
    assert region(loud, *low).mean() > region(quiet, *low).mean() + 15
    assert region(loud, *high).mean() < region(quiet, *high).mean() + 3


def test_silence_keeps_the_bars_down(tmp_path: Path):
    shown = frames(render(tmp_path / "silence.mp4", silence(1.0)))
    bare = frames(render(tmp_path / "bare.mp4", silence(1.0), template="minimal"))
    above = (470, 985, 1450, 1008)
    assert abs(region(shown, *above).mean() - region(bare, *above).mean()) < 1.5


def test_a_kick_brightens_the_fairy_lights_and_the_lamp(tmp_path: Path):
    # The same second with and without the kick: everything else that moves is equal.
    with_kick = frames(render(tmp_path / "kick.mp4", silence(1.5), score_of((1.0,))))
    without = frames(render(tmp_path / "rest.mp4", silence(1.5)))
    fairy, lamp = (240, 50, 1660, 140), (1330, 560, 1560, 780)
    for place in (fairy, lamp):
        before = region(with_kick[24:26], *place).mean() - region(without[24:26], *place).mean()
        during = region(with_kick[30:32], *place).mean() - region(without[30:32], *place).mean()
        assert abs(before) < 0.5
        assert during > 2.0


def test_a_melody_note_sends_up_a_spark(tmp_path: Path):
    with_note = frames(render(tmp_path / "note.mp4", silence(1.5), score_of((), ((0.5, 72),))))
    without = frames(render(tmp_path / "rest.mp4", silence(1.5)))
    above_record = (860, 690, 1200, 850)
    change = np.abs(region(with_note, *above_record) - region(without, *above_record))
    assert change[5:12].max() < 40
    assert change[18:30].max() > 80


@given(onset=st.floats(0, 900), picture=st.integers(0, 13_500))
def test_no_spark_is_younger_than_its_note_or_older_than_its_life(onset: float, picture: int):
    moment = picture / 15
    for written in (np.float32(onset), np.float32(moment), np.float32(moment - SPARK_LIFE_S)):
        notes = np.array([[float(written), 72.0]])
        nothing = np.zeros(1, np.float32)
        heard = Features(
            np.array([moment]), nothing[None], nothing, nothing.astype(np.int64), notes
        )
        for age_s, _ in heard.sounding(0):
            assert 0 <= age_s <= SPARK_LIFE_S


def test_nothing_moves_outside_the_moving_parts(tmp_path: Path):
    shown = frames(render(tmp_path / "clip.mp4", silence(1.0)))
    for still_part in ((0, 200, 90, 1000), (1760, 650, 1900, 940), (700, 915, 760, 950)):
        part = region(shown, *still_part)
        assert np.ptp(part, axis=0).max() <= 6


@pytest.mark.parametrize("palette", PALETTES)
def test_every_palette_has_its_own_look(palette: str):
    picture = still(palette=palette, seed=1, width=WIDTH, height=HEIGHT, title="hello")
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.std() > 25  # light and shade
    top = picture[10:60, 200:400].reshape(-1, 3).mean(axis=0)
    others = [
        still(palette=other, seed=1, width=WIDTH, height=HEIGHT)[10:60, 200:400].mean(axis=(0, 1))
        for other in ("midnight", "forest")
        if other != palette
    ]
    assert all(np.abs(top - other).max() > 8 for other in others)


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_renders(tmp_path: Path, template: str):
    rng = np.random.default_rng(1)
    audio = (rng.standard_normal((2, RATE)) * 0.1).astype(np.float32)
    shown = frames(render(tmp_path / "clip.mp4", audio, template=template))
    strip = region(shown, 460, 990, 1460, 1050)
    moving = np.ptp(strip, axis=0).max()
    assert len(shown) == 30
    assert (moving > 40) == (template != "minimal")


def test_another_seed_is_another_city():
    first = still(palette="teal", seed=1, width=WIDTH, height=HEIGHT).astype(int)
    second = still(palette="teal", seed=2, width=WIDTH, height=HEIGHT).astype(int)
    assert np.abs(first - second)[130:240, 90:550].mean() > 5


def test_the_same_input_gives_the_same_bytes(tmp_path: Path):
    first = render(tmp_path / "first.mp4", silence(1.0), score_of((0.5,)))
    second = render(tmp_path / "second.mp4", silence(1.0), score_of((0.5,)))
    assert first.read_bytes() == second.read_bytes()


def test_a_still_shows_what_the_video_shows(tmp_path: Path):
    settings = {
        "palette": "autumn",
        "seed": 3,
        "title": "t",
        "subtitle": "s",
        "template": "minimal",
    }
    picture = still(width=WIDTH, height=HEIGHT, **settings).astype(int)
    shown = frames(render(tmp_path / "clip.mp4", silence(0.5), **settings))[0].astype(int)
    assert np.abs(picture - shown).mean() < 4


def test_progress_rises_to_one(tmp_path: Path):
    seen: list[float] = []
    render(tmp_path / "clip.mp4", silence(2.0), progress=seen.append)
    assert seen == sorted(seen)
    assert 0.0 <= seen[0] < 1.0
    assert seen[-1] == 1.0


def test_ctrl_c_leaves_no_file(tmp_path: Path):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(tmp_path / "clip.mp4", silence(2.0), progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_render_keeps_the_earlier_video(tmp_path: Path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"earlier")

    def fail(_: float) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        render(path, silence(1.0), progress=fail)
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(OSError, match="nowhere"):
        render(tmp_path / "nowhere" / "clip.mp4", silence(0.5))


def test_an_unknown_palette_names_the_nearest(tmp_path: Path):
    with pytest.raises(InputError, match="Did you mean 'midnight'"):
        render(tmp_path / "clip.mp4", silence(0.5), palette="midnigth")
    with pytest.raises(InputError, match="Did you mean 'sakura'"):
        render_thumbnail(tmp_path / "t.jpg", palette="sakurra", title="a", subtitle="", seed=1)


def test_an_unknown_template_names_the_nearest(tmp_path: Path):
    with pytest.raises(InputError, match="Did you mean 'wave'"):
        render(tmp_path / "clip.mp4", silence(0.5), template="waves")


@pytest.mark.parametrize("size", [(641, 361), (1080, 1920), (16, 9), (640, 480)])
def test_a_size_that_cannot_be_drawn_says_what_can(tmp_path: Path, size: tuple[int, int]):
    with pytest.raises(InputError, match="1920x1080"):
        render(tmp_path / "clip.mp4", silence(0.5), width=size[0], height=size[1])


@pytest.mark.parametrize("title", ODD_TITLES)
def test_odd_titles_stay_in_their_corner(title: str):
    with_title = still(
        palette="mono", seed=2, width=WIDTH, height=HEIGHT, title=title, subtitle=title
    ).astype(int)
    without = still(palette="mono", seed=2, width=WIDTH, height=HEIGHT).astype(int)
    changed = np.abs(with_title - without).max(axis=2) > 8
    assert not changed[:320].any()
    assert not changed[:, 148:492].any()


@pytest.mark.parametrize("title", ["rainy window", "a", "soft clouds over the old harbour"])
@pytest.mark.parametrize("palette", PALETTES)
def test_thumbnails_can_be_read(tmp_path: Path, palette: str, title: str):
    path = tmp_path / "thumbnail.jpg"
    legibility = render_thumbnail(
        path,
        palette=palette,
        title=title,
        subtitle="lofi beats",
        seed=list(PALETTES).index(palette),
    )
    assert legibility.ok
    data = path.read_bytes()
    assert data[:3] == b"\xff\xd8\xff"
    assert len(data) == legibility.bytes <= 2_000_000
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        assert (video.width, video.height) == (1280, 720)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("title", ODD_TITLES)
def test_odd_titles_make_legible_thumbnails(tmp_path: Path, title: str):
    path = tmp_path / "thumbnail.jpg"
    assert render_thumbnail(path, palette="dusk", title=title, subtitle=title, seed=5).ok


def test_a_piano_roll_shows_each_note_in_its_place(tmp_path: Path):
    score = Score(480)
    keys, drums = Track("keys", 4), Track("drums", is_drum=True)
    keys.notes.append(Note(0, 960, 72, 100))  # half a bar, high, at the left
    keys.notes.append(Note(3 * 1920, 1920, 60, 100))  # the last bar, an octave lower
    drums.notes.append(Note(1920, 120, 36, 100))
    for track in (keys, drums):
        score.tracks.append(track)
    render_roll(tmp_path / "roll.png", score, title="two notes and a kick")
    with av.open(str(tmp_path / "roll.png")) as file:
        pixels = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    lit = np.abs(pixels - pixels[2, 2]).sum(2) > 150
    middle = 96 + 9 * np.array([0, 12]) + 4  # rows of C5 and C4, 9 pixels a semitone
    bar = (1200 - 80) / 4
    assert lit[middle[0], 45 : int(40 + bar / 2) - 5].all()
    assert not lit[middle[0], int(40 + bar) + 5 : 1150].any()
    assert lit[middle[1], int(40 + 3 * bar) + 5 : 1150].all()
    assert not lit[middle[1], 45 : int(40 + 3 * bar) - 5].any()
    render_roll(tmp_path / "silence.png", Score(480), title="nothing")
    assert (tmp_path / "silence.png").stat().st_size > 100
