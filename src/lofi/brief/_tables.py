"""The tables everyone speaks from: moods, parts, palettes, video templates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a mood means in figures that can be measured from the notes.

    Ranges are (low, high) and hold for the middle half of the music of that mood:
    bpm; `density` in notes per beat over all parts; `velocity` as the mean of the pitched parts;
    `register` as the mean MIDI pitch of the parts above the bass.
    `major_share` is how much of the music of this mood stands in major, `ghosts` how many of the
    drummer's strokes on the snare are but half as loud as the loud ones, `off_beat` how many of the
    sixteenths on which the other players begin a note lie off the beat: the medians.
    """

    major_share: float
    bpm: tuple[int, int]
    density: tuple[float, float]
    velocity: tuple[int, int]
    register: tuple[int, int]
    ghosts: float
    off_beat: float


# Six bundles can be told apart by measurement; the twelve names below are shades of them.
BUNDLES: dict[str, Bundle] = {
    "chill": Bundle(0.4, (72, 84), (5.0, 8.0), (64, 80), (60, 67), 0.34, 0.55),
    "melancholic": Bundle(0.0, (60, 74), (3.4, 6.0), (50, 62), (56, 63), 0.46, 0.50),
    "upbeat": Bundle(1.0, (84, 96), (7.0, 11.0), (74, 92), (62, 70), 0.39, 0.61),
    "dreamy": Bundle(1.0, (64, 76), (3.4, 6.0), (50, 64), (64, 73), 0.35, 0.53),
    "focus": Bundle(0.3, (76, 88), (5.2, 8.0), (56, 70), (59, 66), 0.05, 0.53),
    "sleep": Bundle(0.7, (50, 64), (1.6, 3.6), (38, 54), (57, 68), 0.55, 0.23),
}


@dataclass(frozen=True, slots=True)
class Mood:
    """A mood by the name a person asks for: its bundle, a tempo within it, and its colours."""

    name: str
    bundle: str
    bpm: tuple[int, int]
    palettes: tuple[str, ...]
    aliases: tuple[str, ...] = ()


MOODS: dict[str, Mood] = {
    m.name: m
    for m in (
        Mood("chill", "chill", (72, 84), ("dusk", "teal", "midnight"), ("lofi", "mellow")),
        Mood("relaxed", "chill", (70, 80), ("teal", "forest", "dusk"), ("calm", "laid-back")),
        Mood("cozy", "chill", (72, 80), ("autumn", "dusk", "sakura"), ("cosy", "warm")),
        Mood(
            "melancholic",
            "melancholic",
            (62, 74),
            ("midnight", "mono", "autumn"),
            ("sad", "nostalgic"),
        ),
        Mood("upbeat", "upbeat", (84, 94), ("neon", "sakura", "dusk"), ("groovy",)),
        Mood("happy", "upbeat", (84, 92), ("sakura", "dusk", "forest"), ("joyful",)),
        Mood("energetic", "upbeat", (88, 96), ("neon", "dusk", "teal"), ("energy",)),
        Mood("uplifting", "upbeat", (84, 92), ("dusk", "sakura", "teal"), ("hopeful",)),
        Mood("dreamy", "dreamy", (64, 76), ("sakura", "midnight", "neon"), ("ethereal",)),
        Mood("focus", "focus", (76, 88), ("teal", "mono", "forest"), ("study", "concentration")),
        Mood("peaceful", "sleep", (58, 66), ("forest", "sakura", "teal"), ("serene", "meditative")),
        Mood("sleep", "sleep", (50, 62), ("midnight", "mono", "forest"), ("sleepy",)),
    )
}


@dataclass(frozen=True, slots=True)
class Part:
    """One player of the band. `program` is General MIDI (0-127), or -1 for drums on channel 10.

    `low` and `high` bound the MIDI pitches it plays.
    """

    name: str
    program: int
    low: int
    high: int


PARTS: dict[str, Part] = {
    p.name: p
    for p in (
        Part("drums", -1, 27, 87),
        Part("bass", 32, 28, 57),  # acoustic bass
        Part("keys", 4, 28, 100),  # electric piano
        Part("guitar", 24, 40, 84),  # nylon guitar
        Part("lead", 11, 53, 100),  # vibraphone
        Part("pad", 89, 43, 86),  # warm pad
    )
}


# What a section may be called, and how many bars it has where nothing else decides.
SECTIONS: dict[str, int] = {"intro": 4, "A": 8, "A'": 8, "B": 8, "break": 4, "outro": 4}

# Where the off-beat falls within the beat, by the word a person asks for.
SWINGS: dict[str, float] = {"straight": 6 / 12, "light": 7 / 12, "heavy": 8 / 12}

# By how many levels every part is more or less busy than the mood has it.
DENSITIES: dict[str, int] = {"sparse": -1, "normal": 0, "busy": 1}


# The part that plays each General MIDI family of eight programs; None has no counterpart here.
_FAMILY_PARTS: tuple[str | None, ...] = (
    "keys",  # piano
    "lead",  # chromatic percussion
    "pad",  # organ
    "guitar",
    "bass",
    "pad",  # strings
    "pad",  # ensemble
    "lead",  # brass
    "lead",  # reed
    "lead",  # pipe
    "lead",  # synth lead
    "pad",  # synth pad
    None,  # synth effects
    "guitar",  # sitar, banjo, koto, kalimba
    None,  # tuned percussion
    None,  # sound effects
)


def part_of_program(program: int) -> str | None:
    """The part that plays a General MIDI program (0-127) of a track that is no drum track."""
    return _FAMILY_PARTS[program // 8] if 0 <= program < 128 else None


# Colours as #rrggbb. sky: top, middle, horizon; city: far, near; room: dark, middle; wood: dark,
# lit.
PALETTES: dict[str, dict[str, str | tuple[str, ...]]] = {
    "midnight": {
        "sky": ("#0b1033", "#2a2f74", "#8a6bb0"), "city": ("#5a5596", "#141640"),
        "room": ("#0d0c20", "#2a2342"), "warm": "#ffc27a", "cool": "#8fd3ff", "accent": "#ff8fb1",
        "moon": "#fff4dc", "fabric": "#3d3268", "leaf": "#3f8f78", "wood": ("#2b1b2c", "#6b3f45"),
    },
    "dusk": {
        "sky": ("#2b2350", "#c4587d", "#ffc48a"), "city": ("#b05f86", "#2a1a3d"),
        "room": ("#1a0f1e", "#4a2638"), "warm": "#ffd08a", "cool": "#ffb3a0", "accent": "#ffe0a8",
        "moon": "#fff1d0", "fabric": "#7a3a52", "leaf": "#5a8a5c", "wood": ("#2d1620", "#8a4a3c"),
    },
    "teal": {
        "sky": ("#041a24", "#0f4a57", "#63b3a0"), "city": ("#2f7a7d", "#06222c"),
        "room": ("#05131a", "#12343a"), "warm": "#ffb36b", "cool": "#a6f0dc", "accent": "#ffd27a",
        "moon": "#eafff5", "fabric": "#1d4f52", "leaf": "#3fa06a", "wood": ("#1a1a1c", "#5a4634"),
    },
    "sakura": {
        "sky": ("#3a3470", "#b07bb5", "#ffc9d2"), "city": ("#a986b8", "#3a2c58"),
        "room": ("#211a33", "#553e63"), "warm": "#ffd9a8", "cool": "#d9c8ff", "accent": "#ff9cbf",
        "moon": "#fff6ef", "fabric": "#a8618a", "leaf": "#6fa083", "wood": ("#34202f", "#8c5a63"),
    },
    "autumn": {
        "sky": ("#1c1626", "#6b3a3a", "#e39a54"), "city": ("#8a5140", "#24151a"),
        "room": ("#170d0d", "#42251c"), "warm": "#ffbf69", "cool": "#ffd9a0", "accent": "#ff8a4c",
        "moon": "#ffeccb", "fabric": "#7c3a22", "leaf": "#8d8a3a", "wood": ("#26140f", "#7c4a28"),
    },
    "forest": {
        "sky": ("#06140f", "#1d4534", "#a9c28a"), "city": ("#4f7f62", "#0a1f18"),
        "room": ("#07120d", "#1d3427"), "warm": "#ffcf82", "cool": "#d6f5b0", "accent": "#f2b880",
        "moon": "#f6ffe6", "fabric": "#2f5a3c", "leaf": "#5fae62", "wood": ("#1d160e", "#6a4c2c"),
    },
    "neon": {
        "sky": ("#0a0426", "#3b0f6b", "#ff4fa0"), "city": ("#7a2fa0", "#120632"),
        "room": ("#0a0519", "#2b1150"), "warm": "#ff9e6b", "cool": "#4fe3ff", "accent": "#ff5fc4",
        "moon": "#ffe6fb", "fabric": "#4a1a78", "leaf": "#2fa08f", "wood": ("#1a0c2a", "#5a2a66"),
    },
    "mono": {
        "sky": ("#14161c", "#3a3f4b", "#a7a59d"), "city": ("#6d6f76", "#17191f"),
        "room": ("#0d0e11", "#2c2c30"), "warm": "#f3d9ae", "cool": "#cfd8df", "accent": "#e6b98a",
        "moon": "#fbf7ee", "fabric": "#4a474a", "leaf": "#6b7a68", "wood": ("#1b1816", "#5a4d42"),
    },
}  # fmt: skip

# What moves to the music in the video, by the name a person asks for.
TEMPLATES: dict[str, str] = {
    "bars": "a row of spectrum bars along the desk",
    "wave": "a ribbon that breathes with the spectrum",
    "minimal": "the room alone: lights and sparks follow the notes, no spectrum",
}

# What is heard around the music, by the name a person asks for. The first is what is heard where
# nothing is asked for; `lofi.sound` has how each is made.
AMBIENCES: dict[str, str] = {
    "vinyl": "crackle and hiss alone, as the mood has them",
    "rain": "steady rain, with drops close by",
    "cafe": "a murmur of voices, and a cup now and then",
    "night": "crickets in a mild night",
    "fire": "a fireplace: embers and a low rumble",
    "waves": "slow waves on a beach",
    "none": "no crackle and no hiss either",
}
