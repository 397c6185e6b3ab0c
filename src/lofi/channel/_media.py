"""What a video and a thumbnail are, read from the files themselves.

Codecs are read with PyAV. Where the index lies, edit lists, key frames and B-frames stand in the
boxes of the MP4 (ISO/IEC 14496-12), which are read here: no frame is decoded, and of a long video
only its index is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from lofi.brief import InputError
from lofi.channel._alike import LAB_STEPS

_MAX_INDEX_BYTES = 64_000_000
_INSIDE = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts"}  # boxes that hold boxes


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a video is encoded.

    `b_frames`: the most in a row. `longest_group`: the most frames from one key frame to the next.
    `edit_lists`: how many tracks have one. Bit rates in bits a second, 0 where not told.
    """

    container: str
    faststart: bool
    edit_lists: int
    video_codec: str
    profile: str
    pixel_format: str
    width: int
    height: int
    fps: float
    b_frames: int
    longest_group: int
    video_s: float
    audio_codec: str
    audio_profile: str
    sample_rate: int
    channels: int
    audio_bit_rate: int
    audio_s: float

    @property
    def duration_s(self) -> float:
        """The length of the longer of sound and picture."""
        return max(self.video_s, self.audio_s)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: its size, `kind` (jpeg, png or other) and what it looks like (`likeness`)."""

    bytes: int
    width: int
    height: int
    kind: str
    likeness: str


def read_encoding(file: BinaryIO) -> Encoding:
    """How a video is encoded. `file` can be read and sought in.

    Raises InputError if it is no video with picture and sound.
    """
    import av
    from av.error import FFmpegError

    order, index = _outline(file)
    file.seek(0)
    try:
        with av.open(file, mode="r") as container:
            if not container.streams.video or not container.streams.audio:
                raise InputError("the video has no picture or no sound. Make the track again.")
            video, audio = container.streams.video[0], container.streams.audio[0]
            picture, sound = video.codec_context, audio.codec_context
            groups, b_frames = _frames(index)
            return Encoding(
                container="mp4" if "mp4" in container.format.name.split(",") else
                container.format.name,
                faststart=b"moov" in order and order.index(b"moov") < order.index(b"mdat")
                if b"mdat" in order else False,
                edit_lists=index.count(b"elst"),
                video_codec=picture.name,
                profile=picture.profile or "",
                pixel_format=picture.pix_fmt or "",
                width=picture.width,
                height=picture.height,
                fps=float(video.average_rate or 0),
                b_frames=b_frames,
                longest_group=groups,
                video_s=_seconds(video),
                audio_codec=sound.name,
                audio_profile=sound.profile or "",
                sample_rate=sound.sample_rate or 0,
                channels=sound.layout.nb_channels,
                audio_bit_rate=sound.bit_rate or 0,
                audio_s=_seconds(audio),
            )  # fmt: skip
    except FFmpegError as error:
        raise InputError(f"the video cannot be read: {error}. Make the track again.") from error


def _seconds(stream: Any) -> float:
    return float(stream.duration * stream.time_base) if stream.duration else 0.0


# Boxes -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Index:
    """The boxes of an MP4's index, each with those it lies in."""

    boxes: tuple[tuple[tuple[bytes, ...], bytes], ...]

    def count(self, name: bytes) -> int:
        return sum(path[-1] == name for path, _ in self.boxes)

    def of_video(self) -> dict[bytes, bytes]:
        """The boxes of the first track that has pictures."""
        track: dict[bytes, bytes] = {}
        for path, data in self.boxes:
            if path[-1] == b"trak":
                if track.get(b"hdlr", b"")[8:12] == b"vide":
                    break
                track = {}
            else:
                track.setdefault(path[-1], data)
        return track if track.get(b"hdlr", b"")[8:12] == b"vide" else {}


def _outline(file: BinaryIO) -> tuple[list[bytes], _Index]:
    """The names of an MP4's outer boxes in order, and its index; nothing of what is no MP4."""
    order: list[bytes] = []
    index = _Index(())
    file.seek(0, 2)
    end, at = file.tell(), 0
    while at + 8 <= end and len(order) < 1000:
        file.seek(at)
        head = file.read(16)
        size, name = struct.unpack(">I4s", head[:8])
        skip = 8
        if size == 1 and len(head) == 16:
            size, skip = struct.unpack(">Q", head[8:])[0], 16
        size = size or end - at
        if size < skip:
            break
        order.append(name)
        if name == b"moov" and size <= _MAX_INDEX_BYTES:
            file.seek(at + skip)
            index = _Index(tuple(_boxes(file.read(size - skip), (b"moov",))))
        at += size
    return order, index


def _boxes(data: bytes, path: tuple[bytes, ...]) -> Iterator[tuple[tuple[bytes, ...], bytes]]:
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):
            return
        body = data[at + 8 : at + size]
        if name in _INSIDE:
            yield (*path, name), b""
            yield from _boxes(body, (*path, name))
        else:
            yield (*path, name), body
        at += size


def _frames(index: _Index) -> tuple[int, int]:
    """The longest group of pictures, and the most B-frames in a row; 0 where it is not told."""
    import numpy as np

    track = index.of_video()

    def numbers(name: bytes, skip: int, columns: int, kind: str = ">u4") -> Any:
        data = track.get(name, b"")[skip:]
        whole = len(data) // (4 * columns) * 4 * columns
        return np.frombuffer(data[:whole], kind).reshape(-1, columns).astype(np.int64)

    steps = numbers(b"stts", 8, 2)
    frames = int(steps[:, 0].sum()) if len(steps) else 0
    if not 0 < frames <= 10_000_000:
        return 0, 0
    keys = numbers(b"stss", 8, 1)[:, 0] - 1  # without this box every frame is a key frame
    starts = np.append(keys, frames) if b"stss" in track else np.arange(frames + 1)
    group = int(np.diff(starts).max()) if len(starts) > 1 else frames

    decoded = np.concatenate([[0], np.cumsum(np.repeat(steps[:, 1], steps[:, 0]))])[:frames]
    offsets = numbers(b"ctts", 8, 2, ">i4")
    if not len(offsets) or int(offsets[:, 0].sum()) != frames:
        return group, 0
    shown = decoded + np.repeat(offsets[:, 1], offsets[:, 0])
    # What is shown before something that was decoded earlier was predicted from both sides.
    behind = shown < np.maximum.accumulate(shown)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], behind.astype(np.int8), [0]])))
    return group, int((edges[1::2] - edges[::2]).max()) if len(edges) else 0


# Pictures ----------------------------------------------------------------------------------------

_GRID = (16, 9)
# Linear sRGB to cone responses, and their cube roots to OKLab: Ottosson, "A perceptual color space
# for image processing" (2020).
_CONES = ((0.4122214708, 0.2119034982, 0.0883024619), (0.5363325363, 0.6806995451, 0.2817188376),
          (0.0514459929, 0.1073969566, 0.6299787005))  # fmt: skip
_LAB = ((0.2104542553, 1.9779984951, 0.0259040371), (0.7936177850, -2.4285922050, 0.7827717662),
        (-0.0040720468, 0.4505937099, -0.8086757660))  # fmt: skip
_KINDS = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"))


def read_picture(data: bytes) -> Picture:
    """What a picture is and looks like. Raises InputError if it cannot be read."""
    import skia

    image = skia.Image.MakeFromEncoded(skia.Data.MakeWithCopy(data))
    if image is None or not image.width() or not image.height():
        raise InputError("the thumbnail cannot be read as a picture. Make the track again.")
    kind = next((name for magic, name in _KINDS if data.startswith(magic)), "other")
    return Picture(len(data), image.width(), image.height(), kind, _likeness(image))


def _likeness(image: Any) -> str:
    """A picture as a coarse grid of colours in OKLab: three bytes a cell, hexadecimal."""
    import numpy as np
    import skia

    sampling = skia.SamplingOptions(skia.FilterMode.kLinear, skia.MipmapMode.kLinear)
    small = image.resize(*_GRID, sampling).toarray(colorType=skia.kRGBA_8888_ColorType)
    coded = small[..., :3].reshape(-1, 3) / 255.0
    light = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    lab = np.cbrt(light @ np.array(_CONES)) @ np.array(_LAB) + (0.0, 0.4, 0.4)
    return np.clip(np.round(lab / np.array(LAB_STEPS)), 0, 255).astype(np.uint8).tobytes().hex()
