"""Evaluation: figures that say what they are named after, and a report that anyone can open."""

from __future__ import annotations

import json
import math
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from lofi.brief import ALL_KEYS, BUNDLES, MOODS, PARTS, Brief, InputError, Key
from lofi.music import (
    ADHERENCE,
    DIVERSITY,
    FIGURES,
    Bounds,
    Markov,
    MoodClassifier,
    Quality,
    Sampling,
    adherence,
    compose,
    cross_validated,
    decode,
    decode_bars,
    distance,
    estimate,
    excerpt,
    half_split,
    hearing,
    midi_bytes,
    notes_by_part,
    open_model,
    ratio,
    surprise,
    vocabulary,
    write_untold,
    write_with_chain,
)
from lofi.music._bpe import Bpe
from lofi.music._grammar import Stretch
from lofi.music._midi import TICKS_PER_BAR, add_track
from lofi.music._sample import Job, sample
from lofi.music._tokens import header
from lofi.picture._evaluation import evaluation_page
from lofi.studio import Limits, Settings, build_dataset, compose_corpus, evaluate, tokenize
from lofi.studio import _evaluate as room
from lofi.studio._evaluate import grid
from lofi.studio._stages import compose_checked

# Doubt ---------------------------------------------------------------------------------------


def test_an_interval_is_as_wide_as_theory_says_and_the_same_each_time():
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = estimate(np.append(values, math.nan), seed=1)
    assert found.count == 400
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.15)
    assert found == estimate(values, seed=1)
    assert found != estimate(values, seed=2)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    found = [estimate(rng.normal(0, 1, 60), seed=i) for i in range(200)]
    assert 0.88 <= np.mean([e.low <= 0 <= e.high for e in found]) <= 0.99


def test_no_tracks_and_equal_tracks_have_intervals_that_say_so():
    assert math.isnan(estimate(np.array([math.nan]), seed=1).value)
    same = estimate(np.ones(9), np.median, seed=1)
    assert (same.value, same.low, same.high) == (1, 1, 1)


def test_a_ratio_weighs_by_size():
    found = ratio(np.array([10.0, 0.0]), np.array([1.0, 9.0]), seed=1)
    assert found.value == 1
    assert (found.low, found.high) == (0, 10)


def test_distance_is_nothing_between_twins_and_one_between_strangers():
    values = np.arange(50.0)
    assert distance(values, values) == 0
    assert distance(values, values + 100) == 1
    assert distance(values, np.append(values[:25], math.nan)) == pytest.approx(0.5)
    assert math.isnan(distance(values, np.array([math.nan])))


def test_halves_of_much_music_are_nearer_than_halves_of_little():
    rng = np.random.default_rng(3)
    little, much = (half_split(rng.normal(0, 1, n), seed=1) for n in (20, 800))
    assert much.median < little.median / 2
    assert much.distance < little.distance / 2
    assert math.isnan(half_split(np.ones(3), seed=1).median)


# Moods ---------------------------------------------------------------------------------------


def test_a_classifier_tells_what_can_be_told_and_no_more():
    rng = np.random.default_rng(0)
    labels = [("calm", "loud", "odd")[i % 3] for i in range(150)]
    centre = {"calm": (0, 0), "loud": (6, 0), "odd": (0, 600)}
    rows = np.array([rng.normal(0, 1, 2) * (1, 100) + centre[x] for x in labels])
    rows = np.column_stack([rows, rng.normal(0, 1, 150)])
    rows[::10, 2] = math.nan
    told = cross_validated(rows, labels, seed=1)
    assert np.mean([a == b for a, b in zip(told, labels, strict=True)]) > 0.95
    noise = rng.normal(0, 1, (150, 3))
    guessed = cross_validated(noise, labels, seed=1)
    assert np.mean([a == b for a, b in zip(guessed, labels, strict=True)]) < 0.5


def test_a_rare_mood_counts_as_much_as_a_common_one():
    rng = np.random.default_rng(0)
    labels = ["common"] * 190 + ["rare"] * 10
    rows = np.concatenate([rng.normal(0, 1, (190, 1)), rng.normal(2, 1, (10, 1))])
    told = MoodClassifier.learn(rows, labels).tell(np.array([[0.8], [1.2]]))
    assert told == ["common", "rare"]


# The chain -----------------------------------------------------------------------------------


def melody(pitches: list[int], key: str = "0-major") -> list[int]:
    """A bar of the lead as a training segment."""
    names = ["BOS_None", "MOOD_chill", f"KEY_{key}", "BARS_1", "Bar_None", "CHORD_none"]
    for i, pitch in enumerate(pitches):
        names.append(f"Position_{6 * i}")
        names.append(f"Program_{PARTS['lead'].program}")
        names += [f"Pitch_{pitch}", "Velocity_79", "Duration_0.6.12"]
    ids = vocabulary().ids
    return [ids[n] for n in [*names, "EOS_None"]]


@pytest.fixture(scope="module")
def chain() -> Markov:
    return Markov.learn(np.array(melody([60, 64, 67, 72])) for _ in range(50))


def test_the_chain_has_learnt_which_pitch_follows_which(chain: Markov):
    ids = vocabulary().ids
    program = ids[f"Program_{PARTS['lead'].program}"]
    for before, after in ((60, 64), (64, 67), (67, 72)):
        row = np.exp(chain.log_probabilities((ids[f"Pitch_{before}"], program)))
        assert row.sum() == pytest.approx(1, abs=1e-4)
        assert row.argmax() == ids[f"Pitch_{after}"]
        assert row.max() > 0.9
        assert row.min() > 0


def test_what_was_learnt_in_one_key_is_written_in_another(chain: Markov):
    in_d = np.array(melody([62, 66, 69, 74], key="2-major"))
    in_b_minor = np.array(melody([62, 66, 69, 74], key="11-minor"))
    untold = np.array(melody([62, 66, 69, 74]))
    cost = {
        name: surprise(chain.logits, ids, bpe=Bpe(), context=2048)[0]
        for name, ids in (("d", in_d), ("b", in_b_minor), ("c", untold))
    }
    assert cost["d"] == pytest.approx(cost["b"])
    assert cost["d"] < cost["c"] / 4


def test_the_chain_says_the_same_step_by_step_and_as_a_whole(chain: Markov, tmp_path: Path):
    chain.save(tmp_path / "chain.npz")
    engine = Markov.load(tmp_path / "chain.npz").engine(2)
    ids = np.array(melody([62, 66, 69, 60], key="2-major"))
    whole = chain.logits(ids)
    for t in range(len(ids)):
        told = engine.step(ids[[t, t]], np.array([t, t]))[1]
        assert t < 8 or np.array_equal(told, whole[t])  # it hears the key on its way


def test_the_chain_writes_valid_music_under_the_grammar(chain: Markov):
    key = Key(2, "major")
    prompt = [
        vocabulary().bos,
        *header(
            bundle="chill", key=key, bpm=80, swing=0.5, section="A", bars=3, levels={"lead": 2}
        ),
    ]
    jobs = [Job(prompt, Stretch(3, ("lead",), key), seed) for seed in range(4)]
    for ids in sample(
        chain.engine(4),
        jobs,
        bpe=chain.bpe,
        sampling=Sampling(temperature=0.7, top_p=0.9, max_length=400),
    ):
        bars = decode_bars(ids)
        assert len(bars) == 3
        pitches = notes_by_part(decode(bars, 80))["lead"].pitch
        assert set(pitches % 12) <= {2, 6, 9}


# Listening -----------------------------------------------------------------------------------


def test_a_model_that_reads_all_at_once_expects_what_it_does_step_by_step(untrained: Path):
    model = open_model(untrained)
    ids = np.random.default_rng(0).integers(3, len(vocabulary()), 40)
    whole = hearing(model)(ids)
    engine = model.engine(1)
    for t in range(40):
        assert (
            np.abs(engine.step(ids[[t]], np.array([t]))[0] - whole[t]).max() < 0.05
        )  # activations are rounded too


def test_controls_and_chords_cost_nothing_and_notes_are_counted():
    def even(ids: np.ndarray) -> np.ndarray:
        return np.zeros((len(ids), len(vocabulary())))

    segment = np.array(melody([60, 64, 67]))
    nats, notes = surprise(even, segment, bpe=Bpe(), context=100)
    assert notes == 3
    # Bar, three times Position Program Pitch Velocity Duration, EOS.
    assert nats == pytest.approx(17 * math.log(len(vocabulary())))
    assert surprise(even, segment, bpe=Bpe(), context=100, controls=False) == (
        pytest.approx(nats),
        3,
    )
    assert surprise(even, segment, bpe=Bpe(), context=12)[1] == 1


# Adherence -----------------------------------------------------------------------------------


def test_a_track_that_does_as_told_is_seen_to_and_one_that_does_not_too():
    brief = Brief(seed=5, mood="chill", bpm=80, key=Key(0, "minor"), duration_s=48.2).settled()
    score, plan = compose(brief, bars=16)
    good = adherence(score, plan, brief)
    assert good["bars_exact"] == good["bpm_exact"] == good["key_followed"] == 1
    assert good["duration_error"] == pytest.approx(0.2, abs=0.1)
    assert good["instruments_followed"] > 0.95

    parts = notes_by_part(score)
    bad = score.copy()
    bad.tracks.clear()
    bad.tempos[0].qpm = 90.0
    for name, n in parts.items():
        if name != "keys":
            pitch = n.pitch if name == "drums" else n.pitch + 1
            add_track(bad, name, n.onset, n.length, pitch, n.velocity)
    keys = parts["keys"].within(0, 2 * TICKS_PER_BAR)
    add_track(bad, "keys", keys.onset, keys.length, keys.pitch + 1, keys.velocity)
    told = adherence(bad, plan, brief)
    assert told["bpm_exact"] == told["key_followed"] == 0
    assert told["duration_error"] == pytest.approx(48.2 - 16 * 240 / 90, abs=0.1)
    assert told["instruments_followed"] < good["instruments_followed"] - 0.1
    assert told["density_keys"] < 0.6


def test_an_excerpt_is_the_middle_and_begins_at_a_bar():
    brief = Brief(seed=5, mood="chill").settled()
    score, _ = compose(brief, bars=24)
    cut = excerpt(score, 8)
    assert cut is not None
    whole, part = notes_by_part(score)["bass"], notes_by_part(cut)["bass"]
    expected = whole.within(8 * TICKS_PER_BAR, 16 * TICKS_PER_BAR)
    assert np.array_equal(part.onset, expected.onset - 8 * TICKS_PER_BAR)
    assert (part.onset + part.length).max() <= 8 * TICKS_PER_BAR
    assert excerpt(score, 100) is None


def test_the_grid_is_balanced_and_the_seed_settles_it():
    briefs = grid(288, seed=4)
    bundles = [MOODS[b.mood].bundle for b in briefs if b.mood]
    assert set(Counter(bundles).values()) == {48}
    keyed = Counter(zip(bundles, (str(b.key) for b in briefs), strict=True))
    assert len(keyed) == 6 * 24
    assert set(keyed.values()) == {2}
    assert {b.mood for b in briefs} == set(MOODS)
    for mood in MOODS:
        tempi = Counter(b.bpm for b in briefs if b.mood == mood)
        assert len(tempi) == 3
        assert max(tempi.values()) <= 1.6 * min(tempi.values())
    assert {str(b.key) for b in grid(24, seed=4)} == {str(k) for k in ALL_KEYS}
    assert briefs[:9] == grid(9, seed=4)
    assert briefs[:9] != grid(9, seed=5)[:9]


# Who else writes -----------------------------------------------------------------------------


def test_the_model_without_controls_is_told_the_bars_alone(
    untrained: Path, monkeypatch: pytest.MonkeyPatch
):
    from lofi.music import _writer

    heard: list[Job] = []

    def listening(engine, jobs, **more):
        heard.extend(jobs)
        return sample(engine, jobs, **more)

    monkeypatch.setattr(_writer, "sample", listening)
    brief = Brief(seed=2, mood="sleep").settled()
    more = {"bars": 4, "sampling": Sampling(max_length=600), "best_of": 1}
    made = write_untold(brief, open_model(untrained), **more)
    assert made.plan.bars == 4
    names = vocabulary().names
    assert heard
    for job in heard:
        assert [names[i].split("_")[0] for i in job.prompt] == ["BOS", "BARS"]
        assert job.stretch.key is None
        assert not job.stretch.chords


def test_the_chain_writes_the_plan_of_the_brief(chain: Markov):
    brief = Brief(seed=2, mood="sleep").settled()
    made = write_with_chain(brief, chain, bars=5, sampling=Sampling(), best_of=1)
    assert made.plan == compose(brief, bars=5)[1]
    assert made.score.note_num() > 0


# The whole -----------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would see: text, tags that were opened and closed, and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.text: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read_page(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of composed pieces, with their MIDI."""
    root = tmp_path_factory.mktemp("data")
    compose_corpus(root / "raw_midi" / "composed", count=12, seed=3)
    tokenize(
        root / "raw_midi", root / "tokenized", root / "metadata.json",
        bounds=Bounds(), quality=Quality(), limits=Limits(),
    )  # fmt: skip
    build_dataset(
        root / "tokenized", root / "metadata.json", root / "datasets", val_share=0.2, seed=1
    )
    return root


@pytest.fixture(scope="module")
def evaluated(
    untrained: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict, dict]:
    """A small evaluation with all its comparisons; and the arguments that made it."""
    out = tmp_path_factory.mktemp("evaluation")
    arguments = {
        "out": out, "tracks": 3, "bars": 5, "seed": 1, "best_of": 1,
        "reference": data / "raw_midi", "dataset": data / "datasets",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_LABELLED", 36)
        return out, evaluate(untrained, Settings(), **arguments), arguments


def test_a_report_holds_every_figure_of_everyone_with_its_interval(evaluated):
    out, report, _ = evaluated
    assert json.loads((out / "report.json").read_text()) == report
    assert list(report["systems"]) == ["model", "composer", "markov", "untold"]
    assert set(report["adherence"]) == set(ADHERENCE)
    assert set(report["music"]) == set(FIGURES)
    assert set(report["diversity"]) == set(DIVERSITY)
    for figure in report["adherence"].values():
        for found in figure["systems"].values():
            assert found["low"] <= found["value"] <= found["high"]
    for found in report["adherence"]["bars_exact"]["systems"].values():
        assert found["value"] == 1
    human = report["music"]["notes_per_beat"]["human"]
    assert human["pieces"] == 12
    assert human["percentiles"] == sorted(human["percentiles"])
    bits = report["bits_per_note"]["systems"]
    assert bits["markov"]["value"] < bits["model"]["value"]  # which has learnt nothing
    assert set(report["moods"]["classifier"]["cross_validated"]) == set(BUNDLES)
    confusion = report["moods"]["systems"]["model"]["confusion"]
    assert sum(map(sum, confusion)) == 3
    assert report["originality"] is None  # the untrained model has no melodies
    assert [t["passed"] for t in report["targets"]].count(None) == 1


def test_the_tracks_of_the_model_are_those_a_user_gets(tmp_path: Path, monkeypatch):
    """Written with the same look at what is copied, and again where it copies too much."""
    calls = []

    def checked(*arguments):
        calls.append(arguments)
        return compose_checked(*arguments)

    monkeypatch.setattr(room, "compose_checked", checked)
    model = open_model(None)
    brief = Brief(seed=5, mood="chill", duration_s=14).settled()
    settings = Settings(generation={"best_of": 2, "threads": 1})  # type: ignore[arg-type]
    job = room._Job("model", 0, brief, settings, model.path, None, model.sha256, tmp_path)
    room._write_track(job)
    assert len(calls) == 1
    again = compose_checked(*calls[0])
    assert job.stem.with_suffix(".mid").read_bytes() == midi_bytes(again.score, again.plan, "chill")
    assert all("copied_notes" in c["ratings"][c["chosen"]] for c in again.choices)  # type: ignore[index]
    more = Settings(generation={"best_of": 2, "threads": 1, "attempts": 1})  # type: ignore[arg-type]
    assert room.replace(job, settings=more).stem != job.stem


def test_the_page_shows_every_figure_and_loads_nothing(evaluated):
    out, report, _ = evaluated
    page = read_page((out / "report.html").read_text(encoding="utf-8"))
    text = " ".join(" ".join(page.text).split())
    for promise in ADHERENCE.values():
        assert promise.title in text
    for name in (*FIGURES, *DIVERSITY):
        assert name.replace("_", " ").capitalize() in text
    for system in report["systems"].values():
        assert system["title"] in text
    assert page.tags["svg"] >= len(ADHERENCE) + len(FIGURES) + 4
    assert page.tags["script"] == page.tags["link"] == page.tags["img"] == 0
    assert page.addresses == []
    assert "http" not in (out / "report.html").read_text(encoding="utf-8")
    assert "nan" not in text.lower().split()


def test_started_again_nothing_is_written_twice(evaluated, untrained: Path, monkeypatch):
    out, report, arguments = evaluated
    files = {p: p.stat().st_mtime_ns for p in (out / "tracks").rglob("*.*")}
    assert len(files) == 2 * 3 * 4
    lost = sorted(files)[0].with_suffix(".json")
    lost.unlink()
    monkeypatch.setattr(room, "_LABELLED", 36)
    again = evaluate(untrained, Settings(), **arguments)
    assert {p for p in files if p.stat().st_mtime_ns != files[p]} == {
        lost, lost.with_suffix(".mid")
    }  # fmt: skip
    untimed = [{**found, "systems": None} for found in (report, again)]
    assert untimed[0] == untimed[1]


def test_without_reference_and_data_set_the_report_says_what_is_absent(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(room, "_LABELLED", 36)
    report = evaluate(
        untrained, Settings(), out=tmp_path / "r", tracks=2, bars=4, seed=1, best_of=1
    )
    assert list(report["systems"]) == ["model", "composer", "untold"]
    assert report["bits_per_note"] is None
    assert report["music"]["polyphony"]["human"] is None
    text = " ".join(read_page((tmp_path / "r" / "report.html").read_text()).text)
    assert "--reference" in text
    assert "--dataset" in text


def test_what_stands_in_a_report_is_shown_as_text(evaluated):
    _, report, _ = evaluated
    named = {**report, "model": {**report["model"], "name": "<b>'mine' & \"yours\"</b>"}}
    page = read_page(evaluation_page(named))
    assert page.tags["b"] == 0
    assert any("<b>'mine'" in text for text in page.text)


def test_folders_that_cannot_be_used_are_named(untrained: Path, tmp_path: Path):
    with pytest.raises(InputError, match="nowhere"):
        evaluate(tmp_path / "nowhere", Settings(), out=tmp_path / "r")
    with pytest.raises(InputError, match=r"no data set in .*none.* `lofi dataset`"):
        evaluate(untrained, Settings(), out=tmp_path / "r", dataset=tmp_path / "none")
    with pytest.raises(InputError, match=r"no folder .*absent"):
        evaluate(untrained, Settings(), out=tmp_path / "r", reference=tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no MIDI"):
        evaluate(untrained, Settings(), out=tmp_path / "r", reference=tmp_path / "empty")
    assert not (tmp_path / "r").exists()


def test_a_label_tells_the_mood_and_its_bundle(tmp_path: Path):
    brief = Brief(seed=5, mood="peaceful").settled()
    score, plan = compose(brief, bars=8)
    (tmp_path / "told.mid").write_bytes(midi_bytes(score, plan, "peaceful"))
    (tmp_path / "odd.mid").write_bytes(midi_bytes(score, plan, "furious"))
    (tmp_path / "broken.mid").write_bytes(b"MThd mood: peaceful")
    rows = room._read_labelled(sorted(tmp_path.iterdir()), 6)
    assert [bundle for bundle, _ in rows] == ["sleep"]
