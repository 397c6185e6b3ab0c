"""Grammar, sampling and the ONNX engine, with real graphs of random weights."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from untrained import ARCHITECTURE, random_weights

from lofi.brief import ALL_KEYS, PARTS, Brief, InputError, Key, LofiError
from lofi.music import (
    Sampling,
    compose,
    decode,
    decode_bars,
    generate,
    notes_by_part,
    open_model,
    vocabulary,
)
from lofi.music import _grammar as grammar
from lofi.music._export import gpt2_graph
from lofi.music._grammar import Kept, Stretch, kept_in
from lofi.music._midi import TICKS_PER_BAR
from lofi.music._recognise import Notes
from lofi.music._sample import Job, draw, sample
from lofi.music._theory import Chord
from lofi.music._tokens import describe, header
from lofi.music._writer import clipped, kept_notes

CHORDS = [Chord.parse(c) for c in ("Am9", "Am9", "D7", "D7", "Gmaj9", "Em7", "Cmaj7", "Cmaj7")]


def stretches(
    model: Path,
    *,
    bars: int,
    parts: tuple[str, ...],
    seed: int,
    max_length: int = 700,
    kept: dict[str, Notes] | None = None,
    count: int = 8,
    rows: int = 8,
):
    prompt = [
        vocabulary().bos,
        *header(
            bundle="chill",
            key=Key(9, "minor"),
            bpm=78,
            swing=0.58,
            section="A",
            bars=bars,
            levels=dict.fromkeys(parts, 2),
        ),
    ]
    stretch = Stretch(
        bars, parts, Key(9, "minor"), (CHORDS * bars)[: 2 * bars], kept=kept_notes(kept or {}, bars)
    )
    opened = open_model(model)
    return sample(
        opened.engine(rows),
        [Job(prompt, stretch, seed + 1000 * i) for i in range(count)],
        bpe=opened.bpe,
        sampling=Sampling(max_length=max_length),
    )


@pytest.mark.parametrize(
    ("bars", "parts"),
    [(1, ("keys",)), (4, tuple(PARTS)), (8, ("drums", "bass", "keys", "lead")), (3, ("drums",))],
)
def test_an_untrained_model_writes_valid_music_of_exactly_the_bars_asked(untrained, bars, parts):
    for seed in range(4):
        for ids in stretches(untrained, bars=bars, parts=parts, seed=seed):
            found = decode_bars(ids)
            assert len(found) == bars
            for part, notes in notes_by_part(decode(found, 78)).items():
                assert part in parts
                assert PARTS[part].low <= notes.pitch.min()
                assert notes.pitch.max() <= PARTS[part].high
                assert notes.onset.max() < bars * TICKS_PER_BAR


def flat(kept: dict[str, Notes], bars: int) -> list[Kept]:
    return [note for bar in kept_notes(kept, bars) for note in bar]


def test_a_thousand_samples_of_an_untrained_model_are_all_valid_music(untrained):
    """Any length, any band, any chords or none, with parts kept or not: exactly what was asked."""
    chance = random.Random(11)
    model = open_model(untrained)
    beds = [notes_by_part(compose(Brief(seed=s).settled(), bars=8)[0]) for s in range(5)]
    jobs, asked = [], []
    for i in range(1000):
        bars = chance.choice([1, 1, 1, 2, 2, 3, 4, 8])
        parts = tuple(p for p in PARTS if chance.random() < 0.5) or ("keys",)
        bed = chance.choice(beds) if chance.random() < 0.3 else {}
        stop = bars * TICKS_PER_BAR
        kept = {
            p: clipped(n.within(0, stop), stop)
            for p, n in bed.items()
            if p in ("bass", "keys", "lead") and p not in parts
        }
        key = chance.choice([None, *ALL_KEYS])
        chords = [chance.choice([None, *CHORDS]) for _ in range(2 * bars)]
        stretch = Stretch(
            bars, parts, key, chords if chance.random() < 0.8 else [], kept=kept_notes(kept, bars)
        )
        jobs.append(Job([vocabulary().bos], stretch, i))
        asked.append((bars, parts, kept))
    written = sample(model.engine(16), jobs, bpe=model.bpe, sampling=Sampling(max_length=1024))
    for (bars, parts, kept), ids in zip(asked, written, strict=True):
        assert len(decode_bars(ids)) == bars
        played = notes_by_part(decode(decode_bars(ids), 80))
        assert set(played) <= {*parts, *kept}
        for part, notes in played.items():
            assert notes.onset.max() < bars * TICKS_PER_BAR
            if part in parts:
                assert PARTS[part].low <= notes.pitch.min() <= notes.pitch.max() <= PARTS[part].high
            else:
                assert len(notes) == sum(
                    k.rank == list(PARTS).index(part) for k in flat(kept, bars)
                )


def test_every_bar_is_closed_when_the_tokens_run_out(untrained):
    for ids in stretches(untrained, bars=8, parts=tuple(PARTS), seed=1, max_length=150):
        assert len(open_model(untrained).bpe.encode(np.array(ids))) <= 150
        assert len(decode_bars(ids)) == 8


def test_the_chords_asked_for_stand_in_the_tokens(untrained):
    text = describe(stretches(untrained, bars=4, parts=("keys",), seed=3)[0])
    bars = text.split("Bar_None")[1:]
    assert "CHORD_9-min9" in bars[0]
    assert "CHORD_7-maj9 CHORD_4-min7" in bars[2]


def test_pitches_outside_key_and_chord_are_rare(untrained):
    scale = set(Key(9, "minor").scale) | {6}  # F sharp of D7
    pitches = []
    for ids in stretches(untrained, bars=4, parts=("keys", "bass"), seed=5):
        for notes in notes_by_part(decode(decode_bars(ids), 78)).values():
            pitches += notes.pitch.tolist()
    assert np.mean([p % 12 in scale for p in pitches]) > 0.85


def test_a_melody_is_drawn_towards_steps(untrained, monkeypatch):
    """Even one of random weights: more steps, fewer repeats and leaps, about as many notes."""
    intervals, notes = [], []
    for pull in (grammar.MELODY_PULL, np.zeros_like(grammar.MELODY_PULL)):
        monkeypatch.setattr(grammar, "MELODY_PULL", pull)
        grammar.table_of.cache_clear()  # it keeps what the pull is for each pitch
        found = [
            notes_by_part(decode(decode_bars(ids), 78)).get("lead", Notes.none())
            for ids in stretches(untrained, bars=4, parts=("keys", "lead"), seed=6)
        ]
        intervals.append(np.abs(np.concatenate([np.diff(n.pitch) for n in found])))
        notes.append(sum(map(len, found)))
    grammar.table_of.cache_clear()
    steps = [np.isin(i, (1, 2)).mean() for i in intervals]
    assert steps[0] > 1.3 * steps[1]
    assert (intervals[0] > 7).mean() < (intervals[1] > 7).mean()
    assert notes[0] == pytest.approx(notes[1], rel=0.3)


def test_the_same_seed_gives_the_same_tokens(untrained):
    first = stretches(untrained, bars=2, parts=("keys",), seed=9)
    assert first == stretches(untrained, bars=2, parts=("keys",), seed=9)
    assert first != stretches(untrained, bars=2, parts=("keys",), seed=10)


def test_what_a_sequence_becomes_depends_on_its_seed_not_on_its_neighbours(untrained):
    many = stretches(untrained, bars=2, parts=("keys", "lead"), seed=4, count=6, rows=6)
    few = stretches(untrained, bars=2, parts=("keys", "lead"), seed=4, count=6, rows=2)
    assert [decode_bars(a) for a in many] == [decode_bars(b) for b in few]


@pytest.mark.parametrize("written", [("lead",), ("drums", "pad"), ("keys",)])
def test_kept_parts_stay_note_for_note_while_others_are_written_around_them(untrained, written):
    score, _ = compose(Brief(seed=5, mood="chill").settled(), bars=16)
    four = 4 * TICKS_PER_BAR
    heard = {p: n.within(2 * four, 3 * four) for p, n in notes_by_part(score).items()}
    heard = {p: Notes(n.onset - 2 * four, n.length, n.pitch, n.velocity) for p, n in heard.items()}
    bed = {p: clipped(n, four) for p, n in heard.items() if p not in written}
    assert sum(map(len, bed.values())) > 40
    expected = [list(bar) for bar in kept_notes(bed, 4)]
    for ids in stretches(untrained, bars=4, parts=written, seed=2, kept=bed, count=4):
        bars = decode_bars(ids)
        assert len(bars) == 4
        free = {list(PARTS).index(p) for p in written}
        assert [[k for k in kept_in(bar) if k.rank not in free] for bar in bars] == expected
        assert any(k.rank in free for bar in bars for k in kept_in(bar))


ALONE = np.zeros(5, np.int64)


def drawn(logits, groups, sampling, uniform) -> list[int]:
    """For each row of logits a token."""
    return [draw(row, groups, sampling, u) for row, u in zip(logits, uniform, strict=True)]


def test_drawing_keeps_to_top_k_and_top_p_and_never_takes_what_is_masked():
    uniform = np.linspace(0, 0.999, 500)[:, None].repeat(2, 1)
    logits = np.array([[5.0, 4.9, 4.8, -np.inf, 0.0]] * 500, np.float32)
    assert set(drawn(logits, ALONE, Sampling(top_k=2, top_p=1.0), uniform)) == {0, 1}
    assert set(drawn(logits, ALONE, Sampling(top_k=5, top_p=0.3), uniform)) == {0}
    only = np.full((500, 5), -np.inf, np.float32)
    only[:, 3] = -40
    assert set(drawn(only, ALONE, Sampling(top_k=5), uniform)) == {3}


def test_a_plain_temperature_does_not_thin_out_what_many_tokens_say():
    """One token has 0.4, twelve of another group 0.05 each: they stay at 0.6 in all."""
    logits = np.log(np.array([[0.4, *[0.05] * 12]] * 4000, np.float32))
    groups = np.array([0, *[1] * 12])
    uniform = np.random.default_rng(1).random((4000, 2))
    tokens = drawn(logits, groups, Sampling(temperature=0.3), uniform)
    assert np.mean(np.array(tokens) > 0) == pytest.approx(0.6, abs=0.03)
    assert len(set(tokens)) == 13


def test_drawing_takes_what_sorting_the_whole_row_would_take():
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 4, (200, 400)).astype(np.float32)
    logits[rng.random(logits.shape) < rng.random((200, 1))] = -np.inf
    logits[:, 7] = rng.normal(0, 4, 200)  # one token at least may follow
    uniform = rng.random((200, 2))
    expected = []
    for row, u in zip(logits, uniform[:, 1], strict=True):
        best = np.argsort(-row)[:40]
        weight = np.exp((row[best] - row[best[0]]) / Sampling().temperature)
        weight /= weight.sum()
        kept = weight[np.cumsum(weight) - weight <= Sampling().top_p]
        expected.append(best[np.searchsorted(np.cumsum(kept), u * kept.sum(), side="right")])
    assert drawn(logits, np.zeros(400, np.int64), Sampling(), uniform) == expected


def test_the_graph_says_what_the_trained_weights_say(tmp_path: Path):
    """Logits of the fp32 graph equal those of transformers; the 8-bit graph's are close."""
    import onnx
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from lofi.music._engine import OnnxEngine
    from lofi.music._export import export_onnx

    vocab = vocabulary()
    weights = random_weights(ARCHITECTURE, len(vocab), seed=4)
    sizes: dict[str, Any] = {**ARCHITECTURE, "vocab_size": len(vocab)}
    config = GPT2Config(bos_token_id=1, eos_token_id=2, **sizes)
    reference = GPT2LMHeadModel(config).eval()
    state = {k: torch.from_numpy(v) for k, v in weights.items()}
    state["lm_head.weight"] = state["transformer.wte.weight"]
    reference.load_state_dict(state, strict=False)
    ids = np.random.default_rng(0).integers(3, len(vocab), (3, 40))
    with torch.inference_mode():
        expected = reference(torch.from_numpy(ids)).logits.numpy()
    onnx.save(gpt2_graph(weights, ARCHITECTURE), str(tmp_path / "fp32.onnx"))
    export_onnx(weights, ARCHITECTURE, tmp_path / "int8.onnx")
    for name, tolerance in (("fp32.onnx", 1e-3), ("int8.onnx", 0.15)):
        engine = OnnxEngine(tmp_path / name, sizes, 3, 1)
        for t in range(40):
            told = engine.step(ids[:, t], np.full(3, t))
            assert np.abs(told - expected[:, t]).max() < tolerance


def test_the_engine_for_a_gpu_says_what_the_graph_says(tmp_path: Path):
    """On the processor: the same steps, rows lagging and starting over, in two precisions."""
    import onnx
    import torch
    from safetensors.numpy import save_file

    from lofi.music._engine import OnnxEngine
    from lofi.music._torch_engine import TorchEngine

    size = 700
    weights = random_weights(ARCHITECTURE, size, seed=5)
    sizes: dict[str, Any] = {**ARCHITECTURE, "vocab_size": size}
    onnx.save(gpt2_graph(weights, ARCHITECTURE), str(tmp_path / "fp32.onnx"))
    save_file(weights, tmp_path / "model.safetensors")
    graph = OnnxEngine(tmp_path / "fp32.onnx", sizes, 3, 1)
    engines = [
        (TorchEngine(tmp_path / "model.safetensors", sizes, 3, "cpu", dtype), tolerance)
        for dtype, tolerance in ((None, 1e-3), (torch.bfloat16, 0.3))
    ]
    ids = np.random.default_rng(2).integers(3, size, (40, 3))
    for t in range(40):
        places = np.array([t, max(0, t - 7), t if t < 20 else t - 20])
        expected = graph.step(ids[t], places).copy()
        for engine, tolerance in engines:
            assert np.abs(engine.step(ids[t], places) - expected).max() < tolerance
    with pytest.raises(LofiError, match="context of 1024"):
        engines[0][0].step(ids[0], np.array([5, 1024, 5]))


def test_music_is_written_on_a_gpu_where_there_is_one(untrained, tmp_path, monkeypatch):
    from safetensors.numpy import save_file

    from lofi.music import _engine
    from lofi.music._torch_engine import TorchEngine

    model = tmp_path / "model"
    shutil.copytree(untrained, model)
    size = len(open_model(model).bpe)
    save_file(random_weights(ARCHITECTURE, size), model / "model.safetensors")
    assert isinstance(open_model(model).engine(1), _engine.OnnxEngine)
    monkeypatch.setattr(_engine, "cuda_is_usable", lambda: True)
    monkeypatch.setattr(
        "lofi.music._torch_engine.TorchEngine",
        lambda weights, arch, batch, device: TorchEngine(
            weights, arch, batch, "cpu" if device == "cuda" else device
        ),
    )
    assert isinstance(open_model(model).engine(1), TorchEngine)
    for ids in stretches(model, bars=4, parts=tuple(PARTS), seed=1, count=2, rows=2):
        assert len(decode_bars(ids)) == 4


@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="there is a GPU")
def test_torch_is_not_loaded_where_there_is_no_gpu(untrained, tmp_path):
    """Importing it would take longer than writing the music."""
    model = tmp_path / "model"
    shutil.copytree(untrained, model)
    (model / "model.safetensors").touch()
    script = (
        "import sys; from pathlib import Path; from lofi.music import open_model\n"
        "open_model(Path(sys.argv[1])).engine(1); sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PATH": ""}  # without nvidia-smi
    subprocess.run([sys.executable, "-c", script, model], check=True, env=environment)


def test_rows_stand_at_places_of_their_own(untrained):
    """A row that starts over, or lags behind, says what it would say alone."""
    model = open_model(untrained)
    ids = np.random.default_rng(1).integers(3, len(model.bpe), (2, 12))
    alone = model.engine(1)
    expected = [
        [alone.step(row[t : t + 1], np.array([t]))[0].copy() for t in range(12)] for row in ids
    ]
    both = model.engine(2)
    for t in range(12):  # the second row starts over after five tokens
        place = np.array([t, t if t < 5 else t - 5])
        told = both.step(np.array([ids[0, t], ids[1, place[1]]]), place)
        assert np.allclose(told[0], expected[0][t], atol=1e-3)
        assert np.allclose(told[1], expected[1][place[1]], atol=1e-3)


def test_running_past_the_context_is_an_error_not_a_crash(untrained):
    engine = open_model(untrained).engine(1)
    with pytest.raises(LofiError, match="context of 1024"):
        engine.step(np.array([5]), np.array([1024]))


def test_a_missing_or_foreign_model_is_named_with_the_remedy(tmp_path: Path, untrained: Path):
    with pytest.raises(InputError, match="lofi train"):
        open_model(tmp_path / "nothing")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="not a model of ours"):
        open_model(tmp_path / "foreign")
    other = tmp_path / "other"
    other.mkdir()
    card = (untrained / "lofi.json").read_text()
    (other / "model.onnx").write_bytes(b"junk")
    (other / "lofi.json").write_text(card.replace(vocabulary().sha256, "0" * 64))
    with pytest.raises(InputError, match="other tokens"):
        open_model(other)
    (other / "lofi.json").write_text(card)
    with pytest.raises(InputError, match=r"merges\.json is missing"):
        open_model(other)
    (other / "merges.json").write_text((untrained / "merges.json").read_text())
    with pytest.raises(LofiError, match="cannot be loaded"):
        open_model(other).engine(1)
    (other / "lofi.json").write_text("{")
    with pytest.raises(InputError, match="model card"):
        open_model(other)


def test_any_number_of_threads_writes_the_same_music():
    """The shipped model; the last thread has one stretch alone."""
    brief = Brief(seed=4, mood="chill").settled()
    written = [
        generate(
            brief, open_model(None), bars=12, sampling=Sampling(), best_of=1, threads=threads
        ).score.dumps_midi()
        for threads in (1, 2, 3)
    ]
    assert written[0] == written[1] == written[2]
