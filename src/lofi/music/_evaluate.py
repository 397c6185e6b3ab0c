"""How well a model does as it is told: figures of its tracks, each with its doubt.

Adherence is measured from the notes against the brief and the plan; what the music is like stands
in `lofi.music._statistics`. Intervals are bootstrapped over tracks: Efron, "Bootstrap methods:
another look at the jackknife", Annals of Statistics 7 (1979).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import symusic

from lofi.brief import PARTS, Brief, Key, LofiError, Plan, subseed
from lofi.music._analysis import Measured, measure
from lofi.music._bpe import Bpe
from lofi.music._engine import GRAPH_FILE, Model
from lofi.music._generate import Composition, generate
from lofi.music._markov import Markov
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT, add_track
from lofi.music._recognise import HALF_BAR, notes_by_part
from lofi.music._tokens import density_level, vocabulary

RESAMPLES = 1000
COPIED_NOTES = 12
"""A run this long may be chance: a phrase that everyone plays."""


# What was asked for --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Promise:
    """A figure of how the brief was followed. The target bounds the mean over tracks."""

    title: str
    unit: str
    meaning: str
    at_least: float | None = None
    at_most: float | None = None


ADHERENCE: dict[str, Promise] = {
    "bars_exact": Promise(
        "Bars", "share", "tracks of exactly the bars that were asked for", at_least=1.0
    ),
    "duration_error": Promise(
        "Duration error",
        "s",
        "how far the end of the last chord is from the length asked for; the largest must hold",
        at_most=0.5,
    ),
    "bpm_exact": Promise(
        "Tempo", "share", "tracks whose file says the tempo asked for", at_least=1.0
    ),
    "key_followed": Promise(
        "Key", "share", "tracks in which the key heard has the notes of the key asked for",
        at_least=0.95,
    ),
    "density_followed": Promise(
        "Density", "share",
        "parts of sections that are as busy (sparse, normal, busy) as was asked for",
        at_least=0.85,
    ),
    "instruments_followed": Promise(
        "Instruments", "share",
        "of the parts that play in a section or should, those that do both; mean of the sections",
        at_least=0.98,
    ),
    "mood_classified": Promise(
        "Mood, by the classifier", "share",
        "tracks whose mood the classifier tells; it must hold for every mood", at_least=0.8,
    ),
    "mood_nearest": Promise(
        "Mood, by its ranges", "share", "tracks whose figures lie nearest to the mood asked for"
    ),
}  # fmt: skip
"""What a track owes to its brief, in the order of a report."""


def adherence(score: symusic.Score, plan: Plan, brief: Brief) -> dict[str, float]:
    """How a score follows its settled brief: figures of ADHERENCE, and `density_PART` for each.

    The mood figures are not among them. The last bar, a held chord that ends the piece, is left out
    of density and instruments. NaN where a figure does not apply.
    """
    assert brief.key
    assert brief.duration_s
    told = measure(score)
    parts = notes_by_part(score)
    players, followed = [], []
    levels: dict[str, list[bool]] = {part: [] for part in PARTS}
    after = [set(s.parts) for s in plan.sections[1:]] + [set()]
    for section, following in zip(plan.sections, after, strict=True):
        stop = min(section.start_bar + section.bars, plan.bars - 1)
        if (length := stop - section.start_bar) < 1:
            continue
        edges = section.start_bar * TICKS_PER_BAR, stop * TICKS_PER_BAR
        played = {p: len(n.within(*edges)) for p, n in parts.items()}
        heard, asked = {p for p, n in played.items() if n}, set(section.parts)
        # Who leads into the section in which they play does as told.
        early = (edges[0], edges[1] - HALF_BAR)
        heard -= {p for p in (heard & following) - asked if not len(parts[p].within(*early))}
        players.append(len(heard & asked) / max(1, len(heard | asked)))
        for part in section.parts:
            if part in plan.levels:
                level = density_level(part, played.get(part, 0), length)
                levels[part].append(level == plan.levels[part])
                followed.append(level == plan.levels[part])
    found = {
        "bars_exact": float(told.bars == plan.bars),
        "duration_error": abs(score.end() * 60 / (TICKS_PER_BEAT * told.bpm) - brief.duration_s),
        "bpm_exact": float(abs(told.bpm - (brief.bpm or 0)) < 0.01),
        "key_followed": float(
            told.key is not None and set(Key.parse(told.key).scale) == set(brief.key.scale)
        ),
        "density_followed": _mean(followed),
        "instruments_followed": _mean(players),
    }
    return found | {f"density_{part}": _mean(held) for part, held in levels.items()}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def excerpt(score: symusic.Score, bars: int) -> symusic.Score | None:
    """So many bars from the middle of a canonical score, from tick 0; None if it is shorter."""
    parts = notes_by_part(score)
    whole = max(
        (int(n.onset[-1]) // TICKS_PER_BAR + 1 for n in parts.values() if len(n)), default=0
    )
    if whole < bars:
        return None
    start = (whole - bars) // 8 * 4  # the middle, at the beginning of four bars
    edges = start * TICKS_PER_BAR, (start + bars) * TICKS_PER_BAR
    out = symusic.Score(score.ticks_per_quarter)
    out.tempos.append(symusic.Tempo(0, score.tempos[0].qpm))
    out.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for name, notes in parts.items():
        n = notes.within(*edges)
        if len(n):
            length = np.minimum(n.length, edges[1] - n.onset)
            add_track(out, name, n.onset - edges[0], length, n.pitch, n.velocity)
    return out if len(out.tracks) else None


# Moods ---------------------------------------------------------------------------------------

# What tells a mood from the notes alone. Tempo, key and who plays are settled by the brief and the
# plan, so a classifier that saw them would praise every model. Figures that grow with the length
# of a piece are left out too.
_OF_STATISTICS = (
    *("pitch_class_entropy_4_bars", "polyphony", "notes_per_beat", "onset_position_entropy"),
    *("groove_consistency_next_bar", "off_beat_share", "inter_onset_entropy", "empty_beat_share"),
    *("velocity_spread", "drum_hits_per_beat", "drum_ghost_share", "drum_kit_size"),
    *("drum_bar_similarity", "drum_velocity_spread", "melody_step_share", "melody_interval"),
    *("melody_rest_share", "melody_chord_tone_share"),
)
_OF_MEASURED = ("density", "velocity", "register", "sevenths", "swing")
_DENSE = ("bass", "keys", "lead", "pad")
MOOD_FEATURES: tuple[str, ...] = (
    *_OF_STATISTICS,
    *_OF_MEASURED,
    *(f"{part}_notes_per_bar" for part in _DENSE),
)


def mood_features(figures: dict[str, float], measured: Measured) -> list[float]:
    """The values of MOOD_FEATURES of a score, from its `statistics` and `measure`; NaN if none."""
    of_measured = [getattr(measured, name) for name in _OF_MEASURED]
    notes = [measured.parts[p] / measured.bars if p in measured.parts else None for p in _DENSE]
    rest = [math.nan if v is None else float(v) for v in (*of_measured, *notes)]
    return [figures[name] for name in _OF_STATISTICS] + rest


@dataclass(frozen=True, slots=True, eq=False)
class MoodClassifier:
    """Multinomial logistic regression on standardised features; one that is NaN counts as mean."""

    labels: tuple[str, ...]
    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray

    @classmethod
    def learn(
        cls, features: np.ndarray, labels: Sequence[str], penalty: float = 1.0
    ) -> MoodClassifier:
        """Fit to features (n, d) and a label for each; every label counts the same in all."""
        from scipy.optimize import minimize

        names = sorted(set(labels))
        target = np.array([names.index(label) for label in labels])
        known = ~np.isnan(features)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, features, 0).sum(0) / count
        spread = np.sqrt((np.where(known, features - mean, 0) ** 2).sum(0) / count)
        spread[spread < 1e-9] = 1.0
        rows = cls._standard(features, mean, spread)
        weight = (len(target) / len(names) / np.bincount(target))[target][:, None]
        truth = np.eye(len(names))[target]

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weights = flat.reshape(rows.shape[1], len(names))
            logits = rows @ weights
            logits -= logits.max(1, keepdims=True)
            logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
            tamed = np.vstack([weights[:-1], np.zeros((1, len(names)))])  # the intercept is free
            value = -(weight * truth * logs).sum() + penalty * (tamed**2).sum() / 2
            slope = rows.T @ (weight * (np.exp(logs) - truth)) + penalty * tamed
            return float(value), slope.reshape(-1)

        start = np.zeros(rows.shape[1] * len(names))
        found = minimize(loss, start, jac=True, method="L-BFGS-B")
        return cls(tuple(names), mean, spread, found.x.reshape(rows.shape[1], len(names)))

    @staticmethod
    def _standard(features: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
        rows = np.nan_to_num((features - mean) / spread)
        # A figure far beyond all that was learnt from is only that: far beyond.
        return np.hstack([np.clip(rows, -5, 5), np.ones((len(rows), 1))])

    def tell(self, features: np.ndarray) -> list[str]:
        """The likeliest label of each row of features (n, d)."""
        best = (self._standard(features, self.mean, self.spread) @ self.weights).argmax(1)
        return [self.labels[i] for i in best]


def cross_validated(
    features: np.ndarray, labels: Sequence[str], seed: int, folds: int = 5
) -> list[str]:
    """What a classifier tells of each row that learned from the other folds only."""
    order = np.random.default_rng(subseed(seed, "folds")).permutation(len(labels))
    told = [""] * len(labels)
    for fold in range(folds):
        held = order[fold::folds]
        rest = np.setdiff1d(order, held)
        known = [str(labels[i]) for i in rest.tolist()]
        classifier = MoodClassifier.learn(features[rest], known)
        for i, label in zip(held.tolist(), classifier.tell(features[held]), strict=True):
            told[i] = label
    return told


# Doubt ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of `count` tracks and its 95 % interval; NaN throughout if there are none."""

    value: float
    low: float
    high: float
    count: int


def estimate(values: np.ndarray, statistic: Callable[..., Any] = np.mean, *, seed: int) -> Estimate:
    """`statistic` (of an array along an axis) of values (n,), NaN left out, bootstrapped."""
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if not len(known):
        return Estimate(math.nan, math.nan, math.nan, 0)
    drawn = _resampled(len(known), seed)
    low, high = np.percentile(statistic(known[drawn], axis=1), (2.5, 97.5))
    return Estimate(float(statistic(known)), float(low), float(high), len(known))


def ratio(parts: np.ndarray, wholes: np.ndarray, *, seed: int) -> Estimate:
    """sum(parts) / sum(wholes), both (n,), bootstrapped over their pairs."""
    if not len(parts) or not wholes.sum():
        return Estimate(math.nan, math.nan, math.nan, 0)
    drawn = _resampled(len(parts), seed)
    sums = parts[drawn].sum(1) / np.maximum(wholes[drawn].sum(1), 1e-12)
    low, high = np.percentile(sums, (2.5, 97.5))
    return Estimate(float(parts.sum() / wholes.sum()), float(low), float(high), len(parts))


def _resampled(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(subseed(seed, "bootstrap", count))
    return rng.integers(count, size=(RESAMPLES, count))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Kolmogorov and Smirnov's: the most by which the shares up to any value differ, 0 to 1."""
    one, other = (np.sort(v[~np.isnan(v)]) for v in (one, other))
    if not len(one) or not len(other):
        return math.nan
    both = np.concatenate([one, other])
    shares = [np.searchsorted(v, both, side="right") / len(v) for v in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


@dataclass(frozen=True, slots=True)
class Noise:
    """How far two halves of the same music are apart; means over random splits."""

    median: float
    distance: float


def half_split(values: np.ndarray, *, seed: int, splits: int = 200) -> Noise:
    """What difference of values (n,) means nothing: that between halves of one collection.

    After Yang and Lerch, "On the evaluation of generative models in music" (2020), who compare
    distances between sets with those within one.
    """
    known = values[~np.isnan(values)]
    half = len(known) // 2
    if half < 2:
        return Noise(math.nan, math.nan)
    rng = np.random.default_rng(subseed(seed, "halves", len(known)))
    order = rng.permuted(np.tile(known, (splits, 1)), axis=1)
    one, other = order[:, :half], order[:, half : 2 * half]
    apart = np.abs(np.median(one, axis=1) - np.median(other, axis=1))
    far = [distance(a, b) for a, b in zip(one, other, strict=True)]
    return Noise(float(apart.mean()), float(np.mean(far)))


# What the model expects ----------------------------------------------------------------------

Logits = Callable[[np.ndarray], np.ndarray]
"""Gives the logits (T, V) of what follows each of ids (T,)."""


def hearing(model: Model) -> Logits:
    """The model as a listener: it reads a whole sequence and says what it expects at each place."""
    import onnxruntime as ort

    ort.disable_telemetry_events()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    graph = str(model.path / GRAPH_FILE)
    try:
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise LofiError(
            f"{graph} cannot be loaded ({str(error)[:200]}). Train or export it again."
        ) from error
    arch = model.card["architecture"]
    heads = arch["n_head"]
    # No past: each sequence is read from its beginning.
    empty = np.zeros((1, heads, 0, arch["n_embd"] // heads), np.float32)
    past = {f"past_{kv}{layer}": empty for layer in range(arch["n_layer"]) for kv in "kv"}

    def logits(ids: np.ndarray) -> np.ndarray:
        length = len(ids)
        fed = {
            "ids": ids[None].astype(np.int64),
            "positions": np.arange(length, dtype=np.int64)[None],
            "seqlens_k": np.full(1, length - 1, np.int32),
            "total_length": np.array([length], np.int32),
        }
        (found,) = session.run(["logits"], fed | past)
        return cast(np.ndarray, found)[0]

    return logits


def surprise(
    logits: Logits, segment: np.ndarray, *, bpe: Bpe, context: int, controls: bool = True
) -> tuple[float, int]:
    """Nats that the music of a segment costs, and how many notes that is.

    Controls and chords are given: they cost nothing. Without `controls` they are not given either.
    What lies beyond `context` tokens is left out.
    """
    ids = np.asarray(segment, np.int64)
    if not controls:
        ids = ids[~_told()[ids]]
    ids = bpe.encode(ids)[:context]
    rows = logits(ids[:-1]).astype(np.float64)
    peak = rows.max(1)
    chosen = rows[np.arange(len(rows)), ids[1:]]
    nats = np.log(np.exp(rows - peak[:, None]).sum(1)) + peak - chosen
    given = np.zeros(len(bpe), bool)  # a merged token is music
    given[: len(vocabulary())] = _given()
    return float(nats[~given[ids[1:]]].sum()), int(_notes()[bpe.decode(ids)].sum())


def _kinds(*kinds: str) -> np.ndarray:
    table = np.zeros(len(vocabulary()), bool)
    for kind in kinds:
        table[vocabulary().kind(kind)] = True
    return table


def _told() -> np.ndarray:
    """Which tokens tell the model what to write: all controls but the number of bars."""
    return _kinds("MOOD", "KEY", "BPM", "SWING", "SECTION", "CHORD", *(p.upper() for p in PARTS))


def _given() -> np.ndarray:
    return _told() | _kinds("BOS", "PAD", "BARS")


def _notes() -> np.ndarray:
    return _kinds("Pitch", "PitchDrum")


# Who else writes -----------------------------------------------------------------------------


def write_with_chain(brief: Brief, chain: Markov, **more: Any) -> Composition:
    """A track of the Markov chain: the same plan, grammar, sampling and choice as the model's."""
    return generate(brief, cast(Model, chain), **more)


def write_untold(brief: Brief, model: Model, **more: Any) -> Composition:
    """A track of the model without controls, chords or a pull towards the key.

    It is told the number of bars of each stretch and, by the grammar, who may play.
    """
    return generate(brief, model, controls=False, **more)
