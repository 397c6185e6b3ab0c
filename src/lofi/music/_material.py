"""The tables of musical material, and how a row is drawn from one.

Each `material/*.yaml` has a legend at its top. Rhythms are tablature: sixteen steps a bar.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from math import exp
from typing import Any, NamedTuple

import yaml

STEPS = 16

Row = dict[str, Any]


@lru_cache(maxsize=8)
def material(name: str) -> Any:
    """The table `material/NAME.yaml`."""
    text = resources.files("lofi.music").joinpath("material", f"{name}.yaml").read_text("utf-8")
    return yaml.safe_load(text)


def suited(rows: Sequence[Row], bundle: str) -> list[Row]:
    """The rows whose `moods` hold the bundle."""
    return [r for r in rows if bundle in r["moods"]]


@lru_cache(maxsize=1024)
def tablature(steps: str) -> str:
    """Steps without the spaces that are only for the eye."""
    return "".join(steps.split())


class Stroke(NamedTuple):
    """A written mark: at which step of its bar, for how many steps, and which mark."""

    step: int
    length: int
    mark: str


def strokes(line: str) -> list[Stroke]:
    """The marks of a line of tablature; `-` holds the mark before it on, `.` rests."""
    found = []
    for step, mark in enumerate(line):
        if mark in "-.":
            continue
        length = 1
        while step + length < len(line) and line[step + length] == "-":
            length += 1
        found.append(Stroke(step, length, mark))
    return found


def bar_of(steps: str, bar: int) -> str:
    """The sixteen steps that a pattern of one or two bars plays in that bar."""
    line = tablature(steps)
    offset = (bar * STEPS) % len(line)
    return line[offset : offset + STEPS]


def with_changes(line: str, *, changes: bool, mark: str) -> str:
    """The same line with `mark` at mid-bar, held, where the harmony changes and nothing is written.

    The new chord sounds until the next written mark: a chord cut short sounds like a mistake.
    """
    if not changes or line[8] not in "-.":
        return line
    stop = next((i for i in range(9, STEPS) if line[i] not in "-."), STEPS)
    return line[:8] + mark + "-" * (stop - 9) + line[stop:]


def first_beat(line: str) -> int:
    """For how many steps an early note is held on into a bar of that line.

    As long as what is written on the first beat, which it replaces, or as the `-` the bar opens
    with; a beat where the line begins with a rest.
    """
    if line[0] == ".":
        return 4
    return len(line[1:]) - len(line[1:].lstrip("-")) + 1


def near(rows: Sequence[Row], lively: float, chance: random.Random, width: float = 0.2) -> Row:
    """One row drawn among those whose `lively` is near."""
    weights = [exp(-(((r["lively"] - lively) / width) ** 2)) + 1e-6 for r in rows]
    return chance.choices(rows, weights)[0]
