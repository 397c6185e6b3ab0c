"""Errors that a door tells apart: a thing that is not there, and one in the wrong state."""

from __future__ import annotations

from lofi.brief import InputError


class NotFoundError(InputError):
    """There is no thing of that name."""


class ConflictError(InputError):
    """The thing is there, but in a state in which this cannot be done to it."""
