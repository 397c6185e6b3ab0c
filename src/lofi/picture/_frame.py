"""What a video's frame may be like."""

from __future__ import annotations

from lofi.brief import InputError


def check_frame(width: int, height: int, fps: int = 30) -> None:
    """Raise InputError unless the frame is even, 16:9, and of a sensible size and rate."""
    if width % 2 or height % 2:
        raise InputError(
            f"{width}x{height} is not even: H.264 needs even sizes, such as 1920x1080."
        )
    if not (320 <= width <= 3840 and 180 <= height <= 2160):
        raise InputError(f"{width}x{height} is out of range: choose 320x180 to 3840x2160.")
    if abs(width / height - 16 / 9) > 0.02:
        raise InputError(
            f"{width}x{height} is not 16:9, the shape of the scene: choose such as 1920x1080, "
            "1280x720 or 640x360."
        )
    if not 1 <= fps <= 60:
        raise InputError(f"{fps} frames per second is out of range: choose 1 to 60, such as 30.")
