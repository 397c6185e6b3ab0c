"""Charts of characters, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Iterable[float], low: float, high: float, bins: int = 24) -> str:
    """A histogram of `values` from `low` to `high` in one line of `bins` characters.

    A bin without values is blank, and one with a single value among thousands still shows. Values
    outside the span, NaN among them, are left out; without any the line is blank. Raises
    ValueError for a span that is not finite and rising, or fewer than one bin.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"a histogram needs a finite span from low to high, not {low} to {high}")
    if bins < 1:
        raise ValueError(f"a histogram needs at least one bin, not {bins}")
    # The distance of two finite numbers may be infinite; that of their halves is not.
    unit = 1.0 if math.isfinite(high - low) else 0.5
    counts = [0] * bins
    for value in values:
        if low <= value <= high:
            place = (value * unit - low * unit) / (high * unit - low * unit)
            counts[min(bins - 1, int(place * bins))] += 1
    most = max(counts)
    return "".join(
        _BLOCKS[-(-count * len(_BLOCKS) // most) - 1] if count else " " for count in counts
    )
