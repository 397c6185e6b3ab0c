"""From a piece to an MP4 that YouTube takes as it is.

Upload encoding advice followed: MP4 with the index in front and no edit list, H.264 High,
progressive, two B-frames, closed groups of half a second, 4:2:0, BT.709; AAC-LC at 48 kHz.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from numpy.typing import NDArray
from symusic import Score

from lofi.brief import PALETTES, TEMPLATES, InputError, LofiError, one_of
from lofi.picture._features import BANDS, listen
from lofi.picture._files import write_whole
from lofi.picture._frame import check_frame
from lofi.picture._motion import Moment, Show, title_drawing
from lofi.picture._scene import Pixels, build_scene
from lofi.picture._stage import Planes, Stage, to_rgb

_AUDIO_RATE = 48_000
_AUDIO_BIT_RATE = 384_000
_AUDIO_CHUNK_S = 1.0
_PROGRESS_EVERY_S = 0.25

# Nearly everything stands still, so what x264 spends on looking ahead, on motion and on rate
# control would be wasted: a constant quantiser makes every key frame of the unmoving plate equal
# to the last one (no pulsing) and costs a third less CPU than CRF.
_X264 = {
    "qp": 21,
    "bframes": 2,
    "b-adapt": 0,
    "open-gop": 0,
    "scenecut": 0,
    "rc-lookahead": 0,
    "mbtree": 0,
    "weightp": 0,
    "aq-mode": 0,
    "cabac": 0,
    "8x8dct": 1,  # what makes the stream High profile
}


def render_video(
    path: Path,
    *,
    score: Score,
    audio: NDArray[np.float32],
    rate: int,
    palette: str,
    template: str,
    title: str,
    subtitle: str,
    seed: int,
    width: int,
    height: int,
    fps: int,
    threads: int,
    progress: Callable[[float], None] | None,
) -> None:
    """See `lofi.picture.render_video`."""
    palette = one_of(palette, PALETTES, "palette")
    template = one_of(template, TEMPLATES, "template")
    check_frame(width, height, fps)
    _check_audio(audio, rate)
    stage = _set_stage(palette, template, title, subtitle, seed, width, height)
    part = path.with_name(f".{path.name}.part")
    try:
        with av.open(
            str(part),
            "w",
            format="mp4",
            # Without an edit list B-frames would delay the picture; negative offsets do not.
            options={"movflags": "+faststart+negative_cts_offsets", "use_editlist": "0"},
        ) as container:
            _encode(container, stage, template, score, audio, rate, fps, threads, progress)
        part.replace(path)
    except FFmpegError as error:
        raise _named(error, path) from error
    finally:
        part.unlink(missing_ok=True)


def still(
    *, palette: str, template: str, title: str, subtitle: str, seed: int, width: int, height: int
) -> Pixels:
    """See `lofi.picture.still`."""
    palette = one_of(palette, PALETTES, "palette")
    template = one_of(template, TEMPLATES, "template")
    check_frame(width, height)
    stage = _set_stage(palette, template, title, subtitle, seed, width, height)
    band = np.arange(BANDS)
    swell = 0.55 + 0.45 * np.sin(band * 0.9) * np.sin(band * 0.23 + 1)
    bands = np.clip(0.85 * np.exp(-band / 30) * swell + 0.06, 0, 1).astype(np.float32)
    melody = [(0.15, 64.0), (0.5, 67.0), (0.9, 72.0), (1.3, 76.0), (1.7, 69.0)]
    Show(stage, template).draw(Moment(1.3, bands, kick=0.5, sparks=melody))
    return to_rgb(stage.frame)


COVER_PX = 3000
# The scene is 16:9; its lowest ninth is for what moves to the music, and is left out of a cover.
_COVER_SCENE = (6016, 3384)
_COVER_QUALITY = 92


def render_cover(path: Path, *, palette: str, seed: int) -> None:
    """See `lofi.picture.render_cover`."""
    import skia

    scene = build_scene(one_of(palette, PALETTES, "palette"), seed, *_COVER_SCENE)
    stage = Stage(scene, title_drawing(scene.colours, "bars", "", ""))
    left = (_COVER_SCENE[0] - COVER_PX) // 2
    square = to_rgb(stage.frame)[:COVER_PX, left : left + COVER_PX]
    alpha = np.full((COVER_PX, COVER_PX, 1), 255, np.uint8)
    picture = skia.Image.fromarray(
        np.concatenate([square, alpha], axis=2), colorType=skia.kRGBA_8888_ColorType
    )
    data = picture.encodeToData(skia.EncodedImageFormat.kJPEG, _COVER_QUALITY)
    write_whole(path, bytes(data))


def _check_audio(audio: NDArray[np.float32], rate: int) -> None:
    if audio.ndim != 2 or audio.shape[0] not in (1, 2) or audio.shape[1] == 0:
        raise InputError(
            f"audio of shape {audio.shape} cannot be used: give (2, samples) or (1, samples)."
        )
    if rate < 8_000:
        raise InputError(f"a sample rate of {rate} Hz is too low: give at least 8000.")


def _named(error: FFmpegError, path: Path) -> Exception:
    """FFmpeg's errors with the name of the file that was asked for."""
    if isinstance(error, OSError) and error.errno:
        return OSError(error.errno, error.strerror, str(path))
    return LofiError(f"cannot write the video {path}: {error}. Check the folder and try again.")


def _set_stage(
    palette: str, template: str, title: str, subtitle: str, seed: int, width: int, height: int
) -> Stage:
    scene = build_scene(palette, seed, width, height)
    return Stage(scene, title_drawing(scene.colours, template, title, subtitle))


def _encode(
    container: OutputContainer,
    stage: Stage,
    template: str,
    score: Score,
    audio: NDArray[np.float32],
    rate: int,
    fps: int,
    threads: int,
    progress: Callable[[float], None] | None,
) -> None:
    # Animators draw "on twos": a drawing is held for two frames. It saves 1.7 ms of CPU a frame.
    hold = 2 if fps >= 24 else 1
    frames = math.ceil(audio.shape[1] / rate * fps - 1e-9)
    pictures = -(-frames // hold)
    features = listen(score, audio, rate, pictures, fps / hold)
    show = Show(stage, template)
    video = _video_stream(container, stage, fps, threads)
    sound = _audio_stream(container)
    sound_packets = _sound(container, sound, audio, rate)
    frame = av.VideoFrame(stage.width, stage.height, "yuv420p")
    frame.time_base = Fraction(1, fps)
    # libx264 copies each frame before encode() returns, so that one buffer serves them all.
    stage.draw_on(_planes_of(frame))
    reported = 0.0
    for index in range(frames):
        if index % hold == 0:
            show.draw(Moment.of(features, index // hold))
        frame.pts = index
        for packet in video.encode(frame):
            container.mux(packet)
        if index % fps == 0:
            next(sound_packets, None)
        now = time.monotonic()
        if progress is not None and now - reported >= _PROGRESS_EVERY_S:
            reported = now
            progress(index / frames)
    for packet in video.encode(None):
        container.mux(packet)
    for _ in sound_packets:
        pass
    if progress is not None:
        progress(1.0)


def _video_stream(container: OutputContainer, stage: Stage, fps: int, threads: int) -> VideoStream:
    stream = container.add_stream("libx264", rate=fps)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height = stage.width, stage.height
    stream.pix_fmt = "yuv420p"
    group = max(1, fps // 2)
    settings = {**_X264, "keyint": group, "min-keyint": group}
    stream.options = {
        "preset": "ultrafast",
        "x264-params": ":".join(f"{name}={value}" for name, value in settings.items()),
    }
    codec = stream.codec_context
    codec.thread_count = threads
    codec.time_base = Fraction(1, fps)
    bt709, limited = 1, 1  # ITU-T H.273 code points
    codec.color_primaries = bt709
    codec.color_trc = bt709
    codec.colorspace = bt709
    codec.color_range = limited
    return stream


def _audio_stream(container: OutputContainer) -> AudioStream:
    # FFmpeg's fast coder is seven times cheaper and at 384 kb/s not told apart by ear.
    stream = container.add_stream(
        "aac", rate=_AUDIO_RATE, layout="stereo", options={"aac_coder": "fast"}
    )
    assert isinstance(stream, AudioStream)
    stream.bit_rate = _AUDIO_BIT_RATE
    return stream


def _planes_of(frame: av.VideoFrame) -> Planes:
    """The frame's own memory as arrays."""
    y, u, v = (
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[
            :, : plane.width
        ]
        for plane in frame.planes
    )
    return Planes(y, u, v)


def _sound(
    container: OutputContainer, stream: AudioStream, audio: NDArray[np.float32], rate: int
) -> Iterator[None]:
    """Encode a second of sound at each step, so that sound and picture lie side by side."""

    def mux(frame: av.AudioFrame | None) -> None:
        for packet in stream.encode(frame):
            # The encoder's first packet is its own run-up before time 0. Only an edit list could
            # tell players to skip it; left out, the sound starts with the picture.
            if packet.pts is not None and packet.pts >= 0:
                container.mux(packet)

    resampler = av.AudioResampler("fltp", "stereo", _AUDIO_RATE)
    chunk = round(rate * _AUDIO_CHUNK_S)
    for start in range(0, audio.shape[1], chunk):
        samples = np.ascontiguousarray(audio[:, start : start + chunk], dtype=np.float32)
        layout = "stereo" if audio.shape[0] == 2 else "mono"
        piece = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        piece.sample_rate = rate
        piece.pts = start
        piece.time_base = Fraction(1, rate)
        for resampled in resampler.resample(piece):
            mux(resampled)
        yield
    for resampled in resampler.resample(None):
        mux(resampled)
    mux(None)
