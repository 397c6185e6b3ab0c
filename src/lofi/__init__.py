"""LoFi Empire: a studio that composes, renders and packages lo-fi music.

`from lofi import make` makes a track from a script; it loads the studio when it is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lofi._doors import Track, make

__version__ = "0.1.0"
__all__ = ["Track", "__version__", "make"]


def __getattr__(name: str) -> object:
    if name in ("Track", "make"):
        from lofi import _doors

        return getattr(_doors, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
