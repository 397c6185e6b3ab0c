# What we use of symusic: its own stubs type these names as factories, whose attributes are unknown.
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np

T = TypeVar("T")

class EventList(Generic[T]):
    def append(self, item: T) -> None: ...
    def clear(self) -> None: ...
    def sort(self, key: Any = ..., reverse: bool = ..., inplace: bool = ...) -> EventList[T]: ...
    def numpy(self) -> dict[str, np.ndarray]: ...
    def __iter__(self) -> Iterator[T]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> T: ...

class Note:
    time: int
    duration: int
    pitch: int
    velocity: int
    def __init__(self, time: float, duration: float, pitch: int, velocity: int) -> None: ...
    @staticmethod
    def from_numpy(
        time: np.ndarray,
        duration: np.ndarray,
        pitch: np.ndarray,
        velocity: np.ndarray,
        ttype: str = ...,
    ) -> EventList[Note]: ...

class Track:
    name: str
    program: int
    is_drum: bool
    notes: EventList[Note]
    def __init__(self, name: str = ..., program: int = ..., is_drum: bool = ...) -> None: ...

class Tempo:
    time: int
    qpm: float
    mspq: int
    def __init__(self, time: int, qpm: float) -> None: ...

class TimeSignature:
    time: int
    numerator: int
    denominator: int
    def __init__(self, time: int, numerator: int, denominator: int) -> None: ...

class KeySignature:
    time: int
    key: int
    tonality: int
    def __init__(self, time: int, key: int, tonality: int) -> None: ...

class TextMeta:
    time: int
    text: str
    def __init__(self, time: int, text: str) -> None: ...

class Score:
    ticks_per_quarter: int
    tracks: EventList[Track]
    tempos: EventList[Tempo]
    time_signatures: EventList[TimeSignature]
    key_signatures: EventList[KeySignature]
    markers: EventList[TextMeta]
    def __init__(self, source: int | str = ...) -> None: ...
    @staticmethod
    def from_midi(data: bytes) -> Score: ...
    def copy(self) -> Score: ...
    def start(self) -> int: ...
    def end(self) -> int: ...
    def note_num(self) -> int: ...
    def dumps_midi(self) -> bytes: ...
    def to(self, ttype: str) -> Score: ...
    def resample(self, tpq: int, min_dur: int = ...) -> Score: ...
