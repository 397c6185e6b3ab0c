"""Training, for real but tiny: checkpoints, resume, early end, samples, fine-tuning, processes."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from untrained import ARCHITECTURE, random_weights, write_untrained_model

from lofi.brief import Brief, InputError
from lofi.music import (
    Architecture,
    Bounds,
    Finetuning,
    Progress,
    Quality,
    Recipe,
    Sampling,
    generate,
    open_model,
    read_course,
    read_midi,
)
from lofi.originality import load_library
from lofi.studio import Limits, build_dataset, compose_corpus, tokenize, train_model

TINY = Architecture(n_layer=1, n_embd=64, n_head=2, n_positions=2048)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("train")
    compose_corpus(root / "raw" / "composed", count=8, seed=1)
    files = (root / "tokenized", root / "metadata.json")
    tokenize(root / "raw", *files, bounds=Bounds(max_bars=2000), quality=Quality(), limits=Limits())
    build_dataset(*files, root / "ds", val_share=0.2, seed=1)
    return root / "ds"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Path:
    """A model as it is passed on: no `model.safetensors`, a card with corpora, melodies."""
    folder = write_untrained_model(tmp_path_factory.mktemp("base") / "model")
    card = json.loads((folder / "lofi.json").read_text())
    card["tier"] = "ship"
    card["dataset"]["corpora"] = {
        "older": {"licence": "MIT", "tier": "ship"},
        "composed": {"licence": "Apache-2.0", "tier": "ship", "source": "another seed"},
    }
    (folder / "lofi.json").write_text(json.dumps(card))
    (folder / "melodies.npz").write_bytes((dataset / "melodies.npz").read_bytes())
    return folder


def recipe(steps: int, **changes) -> Recipe:
    plain = Recipe(
        steps=steps,
        batch_size=2,
        warmup_steps=2,
        save_every=4,
        eval_every=4,
        eval_segments=4,
        samples=False,
    )
    return replace(plain, **changes)


class PulledPlugError(Exception):
    pass


def pull_the_plug_at(step: int):
    def pull(progress: Progress) -> None:
        if progress.step == step:
            raise PulledPlugError

    return pull


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


def test_a_stopped_training_goes_on_and_its_model_writes_music(dataset: Path, tmp_path: Path):
    out = tmp_path / "model"
    with pytest.raises(PulledPlugError):
        train_model(
            dataset, out, architecture=TINY, recipe=recipe(10), progress=pull_the_plug_at(6)
        )
    assert (out / "checkpoint-4").is_dir()
    assert not (out / "lofi.json").exists()

    seen: list[Progress] = []
    with pytest.raises(KeyboardInterrupt):  # asked to stop, it loses no step
        train_model(
            dataset, out, architecture=TINY, recipe=recipe(10), progress=seen.append,
            stop=lambda: len(seen) == 2,
        )  # fmt: skip
    assert (out / "checkpoint-7").is_dir()
    more = recipe(10, samples=True)
    card = train_model(dataset, out, architecture=TINY, recipe=more, progress=seen.append)
    assert [p.step for p in seen] == [5, 6, 7, 8, 9, 10]
    assert seen[-1].val_loss
    assert seen[-1].val_bits_per_note
    assert seen[0].left_s > seen[-1].left_s == 0
    for name in ("model.safetensors", "config.json", "training_args.bin", "model.onnx"):
        assert (out / name).stat().st_size > 100
    assert json.loads((out / "lofi.json").read_text())["dataset"] == card["dataset"]
    assert card["dataset"]["corpora"]["composed"]["licence"] == "Apache-2.0"
    assert card["training"]["val_bits_per_note"] > 1
    assert (out / "melodies.npz").read_bytes() == (dataset / "melodies.npz").read_bytes()

    for step in (8, 10):  # an evaluation each
        sample, _ = read_midi(out / "samples" / f"step-{step:05d}.mid")
        assert sample.note_num() > 0
        assert (out / "samples" / f"step-{step:05d}.png").read_bytes().startswith(b"\x89PNG")
    course = read_course(out)
    assert [e.step for e in course.evaluations] == [4, 8, 10]
    assert course.samples == (8, 10)
    assert course.best
    assert course.best.step == card["training"]["best_step"]
    board = b"".join(p.read_bytes() for p in (out / "runs").rglob("events*"))
    for told in (b"eval/loss", b"eval/bits_per_note", b"sample/consonance", b"sample/roll"):
        assert told in board, "TensorBoard has it to show"

    brief = Brief(seed=1, mood="chill").settled()
    composition = generate(
        brief, open_model(out), bars=6, sampling=Sampling(max_length=300), best_of=2, threads=1
    )
    assert composition.plan.bars == 6
    assert composition.score.note_num() > 0

    again = train_model(dataset, out, architecture=TINY, recipe=recipe(10), progress=seen.append)
    assert [p.step for p in seen] == [5, 6, 7, 8, 9, 10], "a finished run has nothing to do"
    assert again["training"] == card["training"]
    with pytest.raises(InputError, match="n_layer = 1"):
        train_model(dataset, out, architecture=Architecture(n_embd=128), recipe=recipe(12))


def test_a_resumed_run_is_the_run_that_was_never_stopped(dataset: Path, tmp_path: Path):
    import torch

    # An epoch is five steps: the checkpoint at six stands in the middle of the second.
    plan = recipe(9, batch_size=8, save_every=6, eval_every=9, dropout=0.1, decay_steps=4)
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    train_model(dataset, straight, architecture=TINY, recipe=plan)
    with pytest.raises(PulledPlugError):
        train_model(dataset, stopped, architecture=TINY, recipe=plan, progress=pull_the_plug_at(8))
    train_model(dataset, stopped, architecture=TINY, recipe=plan)
    assert same(weights_of(straight), weights_of(stopped))
    momenta = [
        torch.load(f / "checkpoint-9" / "optimizer.pt", weights_only=True)["state"]
        for f in (straight, stopped)
    ]
    for parameter, kept in momenta[0].items():
        for name, value in kept.items():
            resumed = torch.as_tensor(momenta[1][parameter][name])
            assert torch.equal(torch.as_tensor(value), resumed), (parameter, name)
    arguments = torch.load(straight / "training_args.bin", weights_only=False)
    assert arguments.max_grad_norm == 1.0, "gradients are clipped"


def test_without_progress_the_rate_falls_at_once_and_the_best_weights_are_kept(
    dataset: Path, tmp_path: Path
):
    out = tmp_path / "model"
    # So high a rate that every evaluation after the first is worse.
    wild = recipe(
        60,
        learning_rate=1.0,
        warmup_steps=0,
        decay_steps=3,
        eval_every=2,
        save_every=50,
        patience=2,
    )
    wild = replace(wild, patience=2)
    rates: list[Progress] = []
    card = train_model(dataset, out, architecture=TINY, recipe=wild, progress=rates.append)
    trained = card["training"]
    assert trained["stopped_early"]
    assert trained["steps"] == trained["decay_from_step"] + 3 < 60
    assert trained["best_step"] < trained["decay_from_step"]
    assert rates[-1].steps == trained["steps"], "the progress knows of the nearer end"
    best = weights_of(out / f"checkpoint-{trained['best_step']}")
    assert same(weights_of(out), best)
    assert not same(weights_of(out / f"checkpoint-{trained['steps']}"), best)
    log = json.loads((out / f"checkpoint-{trained['steps']}" / "trainer_state.json").read_text())
    losses = [e["eval_loss"] for e in log["log_history"] if "eval_loss" in e]
    assert trained["val_loss_nats_per_token"] == round(min(losses), 4)


@pytest.mark.parametrize(
    ("losses", "course"),
    [
        ([3.0, 2.0, 1.0], (70, 100)),  # better and better: as planned
        ([3.0, 2.0, 2.5, 2.5], (40, 70)),
        ([3.0, 3.5, 2.0, 2.5], (70, 100)),  # one is not two in a row
        ([3.0, 2.0, 2.0, 1.0], (70, 100)),
        ([3.0, math.nan, math.nan], (30, 60)),
        ([3.0, 2.9, 2.8, 2.7, 2.6, 2.5, 2.4, 9.0, 9.0, 9.0], (70, 100)),  # in the decay it waits
    ],
)
def test_the_course_is_told_by_the_evaluations(losses: list[float], course: tuple[int, int]):
    plan = Recipe(steps=100, decay_steps=30, patience=2)
    assert plan.course([(10 * (i + 1), loss) for i, loss in enumerate(losses)]) == course
    assert replace(plan, patience=0).course([(10, 1.0), (20, 2.0), (30, 3.0)]) == (70, 100)


def test_weights_come_back_from_the_graph_as_they_went_in(tmp_path: Path):
    from lofi.music._export import export_onnx, import_onnx

    for width in (64, 192):  # less than a block of 128, and one and a half
        arch = {"n_layer": 2, "n_embd": width, "n_head": 2, "n_positions": 96}
        weights = random_weights(arch, 300)
        export_onnx(weights, arch, tmp_path / "model.onnx")
        found = import_onnx(tmp_path / "model.onnx")
        assert found.keys() == weights.keys()
        for name, array in weights.items():
            assert found[name].shape == array.shape
            assert found[name].dtype == np.float32
            matrix = ".h." in name and array.ndim == 2
            error = np.abs(found[name] - array).max() / np.abs(array).max()
            assert error <= (0.005 if matrix else 0), name


def test_fine_tuning_starts_from_a_model_and_answers_for_both(
    dataset: Path, untrained: Path, tmp_path: Path
):
    out, base = tmp_path / "model", open_model(untrained)
    said: list[str] = []
    card = train_model(
        dataset,
        out,
        architecture=TINY,
        recipe=recipe(4000),
        base=untrained,
        finetuning=Finetuning(learning_rate=1e-9),
        steps=4,
        ship=True,
        warn=said.append,
    )
    assert {n: card["architecture"][n] for n in ARCHITECTURE} == ARCHITECTURE
    assert open_model(out).bpe.merges == base.bpe.merges
    sizes = random_weights(ARCHITECTURE, len(base.bpe))
    tuned = weights_of(out)
    for name, array in sizes.items():  # what the untrained model was made of
        assert np.abs(tuned[name] - array).max() < 0.01 * np.abs(array).max(), name

    assert card["fine_tuned_from"]["model_sha256"] == base.sha256
    assert card["recipe"]["learning_rate"] == 1e-9
    assert card["tier"] == "ship"
    corpora = card["dataset"]["corpora"]
    assert set(corpora) == {"older", "composed", "composed (fine-tuning)"}
    assert corpora["composed"]["source"] == "another seed"
    assert load_library(out / "melodies.npz").works == load_library(dataset / "melodies.npz").works
    assert len(said) == 1
    assert "by heart" in said[0]

    with pytest.raises(InputError, match="began from another model"):
        train_model(dataset, out, architecture=TINY, recipe=recipe(4))
    with pytest.raises(InputError, match="would be overwritten"):
        train_model(dataset, untrained, architecture=TINY, recipe=recipe(4), base=untrained)


def test_a_model_fine_tuned_on_what_may_not_be_passed_on_may_not_be_either(
    dataset: Path, untrained: Path, tmp_path: Path
):
    options = {"architecture": TINY, "recipe": recipe(2), "base": tmp_path / "base", "ship": True}
    (tmp_path / "base").mkdir()
    for file in untrained.iterdir():
        (tmp_path / "base" / file.name).write_bytes(file.read_bytes())
    card = json.loads((untrained / "lofi.json").read_text())
    (tmp_path / "base" / "lofi.json").write_text(json.dumps(card | {"tier": "test"}))
    with pytest.raises(InputError, match="not for shipping: the model in"):
        train_model(dataset, tmp_path / "model", **options)
    card["dataset"]["corpora"]["older"]["tier"] = "test"
    (tmp_path / "base" / "lofi.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="not for shipping: older"):
        train_model(dataset, tmp_path / "model", **options)


def test_a_fine_tuning_is_as_long_as_its_data():
    plan = Finetuning(learning_rate=1e-4, epochs=8).recipe(Recipe(batch_size=8), segments=500)
    assert plan.steps == 500
    assert plan.decay_steps == 250
    assert plan.eval_every == 50
    assert plan.learning_rate == 1e-4
    assert Finetuning().recipe(Recipe(), segments=3).steps >= 40
    assert Finetuning().recipe(Recipe(), segments=500, steps=7).steps == 7


def test_few_files_are_warned_of_and_trained_on(dataset: Path, tmp_path: Path):
    said: list[str] = []
    train_model(dataset, tmp_path / "model", architecture=TINY, recipe=recipe(2), warn=said.append)
    files = json.loads((dataset / "dataset.json").read_text())["files"]["train"]
    assert len(said) == 1
    assert f"{files} files" in said[0]
    assert "--from shipped" in said[0]


def test_bits_per_note_counts_the_music_and_not_what_a_model_is_told():
    from lofi.music import vocabulary
    from lofi.music._bpe import Bpe
    from lofi.music._dataset import bits_per_note, music_tables

    ids = vocabulary().ids
    pitch, loud = ids["Pitch_60"], vocabulary().kind("Velocity")[0]
    music, note = music_tables(Bpe([(pitch, loud)]))
    names = [*vocabulary().names, "a pitch and its velocity"]
    assert {n.split("_")[0] for n, m in zip(names, music, strict=True) if not m} == {
        "PAD", "BOS", "MOOD", "KEY", "BPM", "SWING", "SECTION", "BARS", "CHORD",
        "DRUMS", "BASS", "KEYS", "GUITAR", "LEAD",
    }  # fmt: skip
    counted = {n.split("_")[0] for n, m in zip(names, note, strict=True) if m}
    assert counted == {"Pitch", "PitchDrum", "a pitch and its velocity"}
    assert bits_per_note(2 * math.log(2), 1) == pytest.approx(2)


def test_two_processes_train_one_model_as_one_does(dataset: Path, tmp_path: Path):
    """Two processes with two segments each read what one with four reads."""
    plan = recipe(6, batch_size=4, eval_every=6)
    alone = train_model(dataset, tmp_path / "alone", architecture=TINY, recipe=plan)
    settings = {
        "paths": {"datasets": str(dataset), "model": str(tmp_path / "both")},
        "architecture": {n: getattr(TINY, n) for n in Architecture.__slots__},
        "training": {n: getattr(plan, n) for n in Recipe.__slots__} | {"batch_size": 2},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(settings))
    run = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *("-m", "lofi", "train", "--json"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    card = json.loads(run.stdout)  # printed once
    assert card["recipe"]["processes"] == 2
    assert run.stderr.count("train 100%") == 1
    assert run.stderr.count("by heart") == 1
    both = card["training"]["val_loss_nats_per_token"]
    assert both == pytest.approx(alone["training"]["val_loss_nats_per_token"], abs=2e-3)
    assert open_model(tmp_path / "both").card == card
    assert (tmp_path / "both" / "melodies.npz").is_file()
    assert len(list((tmp_path / "both" / "checkpoint-6").glob("rng_state_*.pth"))) == 2


def test_a_data_set_of_other_tokens_is_refused(dataset: Path, tmp_path: Path):
    described = json.loads((dataset / "dataset.json").read_text())
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        for file in (dataset / part).iterdir():
            (tmp_path / part / file.name).write_bytes(file.read_bytes())
    (tmp_path / "melodies.npz").write_bytes(b"")
    described["vocabulary_sha256"] = "0" * 64
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match="other tokens"):
        train_model(tmp_path, tmp_path / "model", architecture=TINY, recipe=recipe(2))


def test_no_data_set_says_what_to_run(tmp_path: Path):
    with pytest.raises(InputError, match="lofi dataset"):
        train_model(tmp_path, tmp_path / "model", architecture=TINY, recipe=recipe(2))
