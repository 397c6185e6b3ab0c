"""Checks that end badly, each in its own way; a light module, as a fresh process imports it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

Tell = Callable[[str], None]


def dies(_scope: object, tell: Tell) -> str:
    tell("the cliff")
    os.kill(os.getpid(), signal.SIGSEGV)
    return "survived"


def leaves(_scope: object, _tell: Tell) -> str:
    os._exit(3)


def sleeps(_scope: object, tell: Tell) -> str:
    tell("the bed")
    time.sleep(60)
    return "awake"


def stumbles(_scope: object, _tell: Tell) -> str:
    raise ValueError("a stone")


def is_well(_scope: object, _tell: Tell) -> str:
    return "well"
