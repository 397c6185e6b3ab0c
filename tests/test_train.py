"""Training, for real but tiny: checkpoints, resume, and a model folder that generates."""

import json
from pathlib import Path

import pytest

from lofi.brief import Brief, InputError
from lofi.music import Architecture, Bounds, Quality, Recipe, Sampling, generate, open_model
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


def recipe(steps: int) -> Recipe:
    return Recipe(
        steps=steps, batch_size=2, warmup_steps=2, save_every=4, eval_every=4, eval_segments=4
    )


def test_a_stopped_training_goes_on_and_its_model_writes_music(dataset: Path, tmp_path: Path):
    out = tmp_path / "model"

    class PulledPlugError(Exception):
        pass

    def pull_the_plug(progress):
        if progress.step == 6:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        train_model(dataset, out, architecture=TINY, recipe=recipe(10), progress=pull_the_plug)
    assert (out / "checkpoint-4").is_dir()
    assert not (out / "lofi.json").exists()

    steps: list[int] = []
    losses: list[float] = []

    def watch(progress):
        steps.append(progress.step)
        if progress.val_loss is not None:
            losses.append(progress.val_loss)

    card = train_model(dataset, out, architecture=TINY, recipe=recipe(10), progress=watch)
    assert steps == [5, 6, 7, 8, 9, 10]
    assert losses
    for name in ("model.safetensors", "config.json", "training_args.bin", "model.onnx"):
        assert (out / name).stat().st_size > 100
    assert list((out / "runs").rglob("events*")), "TensorBoard has something to show"
    assert json.loads((out / "lofi.json").read_text())["dataset"] == card["dataset"]
    assert card["dataset"]["corpora"]["composed"]["licence"] == "Apache-2.0"
    assert (out / "melodies.npz").read_bytes() == (dataset / "melodies.npz").read_bytes()

    brief = Brief(seed=1, mood="chill").settled()
    composition = generate(
        brief, open_model(out), bars=6, sampling=Sampling(max_length=300), best_of=2, threads=1
    )
    assert composition.plan.bars == 6
    assert composition.score.note_num() > 0

    with pytest.raises(InputError, match="n_layer = 1"):
        train_model(dataset, out, architecture=Architecture(n_embd=128), recipe=recipe(12))


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
