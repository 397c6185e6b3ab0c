"""Whether a thumbnail can be read where it is shown: small, among others, on a phone."""

from __future__ import annotations

from dataclasses import dataclass

MIN_CONTRAST = 7.0
"""WCAG AAA: the darkest letter colour against the 98th percentile of what lies behind."""
MIN_CAP_HEIGHT_SHARE = 0.10
MIN_SMALL_LUMA_RANGE = 150.0
"""90th minus 10th percentile of luma (0..255) around the title at 168 × 94 pixels."""
MAX_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Legibility:
    """What was measured on a finished thumbnail."""

    contrast: float
    cap_height_share: float
    """Height of a capital as a share of the picture's height."""
    small_luma_range: float
    corner_clear: bool
    """No lettering where YouTube lays the duration."""
    bytes: int

    @property
    def ok(self) -> bool:
        """Whether every measure is met."""
        return (
            self.contrast >= MIN_CONTRAST
            and self.cap_height_share >= MIN_CAP_HEIGHT_SHARE
            and self.small_luma_range >= MIN_SMALL_LUMA_RANGE
            and self.corner_clear
            and self.bytes <= MAX_BYTES
        )
