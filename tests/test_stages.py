"""The stages of a track: alone, elsewhere, again, and what decides whether they must run."""

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile

from lofi.brief import Brief, InputError, Key, LofiError, read_form
from lofi.music import Sampling, open_model, read_chords
from lofi.originality import build_library, check, melodies, save_library
from lofi.originality._library import Thresholds
from lofi.studio import (
    INTERNAL,
    STAGES,
    Commission,
    Settings,
    _stages,
    commission,
    make,
    run_stage,
    stage_key,
)
from lofi.studio._settings import Generation
from lofi.studio._stages import compose_checked

SMALL = Settings.model_validate(
    {"video": {"width": 640, "height": 360, "fps": 15, "threads": 1}, "generation": {"best_of": 2}}
)
BRIEF = Brief(seed=11, mood="cozy", bpm=76, key=Key.parse("D minor"), duration_s=32)
LOOP = read_chords("Ebmaj9 Cm9 | Fm9 Bb7")
FULL = Brief(
    seed=3, mood="focus", key=Key.parse("Eb major"), duration_s=24.5, chords=LOOP,
    form=read_form("intro:2 A outro"), parts=("drums", "bass", "keys"), swing=0.5,
    density="sparse", palette="dusk", template="bars",
)  # fmt: skip


def quiet(_stage: str, _fraction: float) -> None:
    pass


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def hashes(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files_of(folder).items()}


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every stage in a folder and a process of its own, given only the files that it reads."""
    root = tmp_path_factory.mktemp("stages")
    wanted = root / "commission.json"
    wanted.write_text(json.dumps(commission(BRIEF, SMALL, keep_stems=True).to_json()))
    code = (
        "import json, sys; from pathlib import Path; from lofi.studio import Commission, run_stage;"
        "c = Commission.from_json(json.loads(Path(sys.argv[1]).read_text()));"
        "print(json.dumps(run_stage(sys.argv[2], c, Path(sys.argv[3]), lambda s, f: None)))"
    )
    folders: dict[str, Path] = {}
    written: dict[str, list[str]] = {}
    for stage in STAGES.values():
        folder = folders[stage.name] = root / stage.name
        folder.mkdir()
        given = set()
        for need in stage.needs:
            for name in written[need]:
                (folder / name).parent.mkdir(exist_ok=True)
                shutil.copy(folders[need] / name, folder / name)
                given.add(name)
        done = subprocess.run(
            [sys.executable, "-c", code, wanted, stage.name, folder],
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        written[stage.name] = json.loads(done.stdout)
        assert written[stage.name] == sorted(set(files_of(folder)) - given)
    return folders


def test_stages_in_processes_of_their_own_write_what_make_writes(apart, tmp_path: Path):
    made = make(BRIEF, SMALL, keep_stems=True, out=tmp_path)
    elsewhere = files_of(apart["package"])
    public = {n: data for n, data in elsewhere.items() if not n.startswith(f"{INTERNAL}/")}
    assert public == files_of(made.path)
    assert len(public) > 8
    assert public != elsewhere


def test_the_package_hashes_every_file_that_a_user_gets(apart):
    track = json.loads((apart["package"] / "track.json").read_text())
    public = {n: h for n, h in hashes(apart["package"]).items() if not n.startswith(INTERNAL)}
    assert track["files"] == {n: h for n, h in public.items() if n != "track.json"}
    assert any(name.startswith("stems/") for name in track["files"])


def test_a_stage_without_its_inputs_names_them_and_the_remedy(tmp_path: Path):
    with pytest.raises(LofiError, match=r"'sound' lacks track\.mid.*Run compose before"):
        run_stage("sound", commission(BRIEF, SMALL), tmp_path, quiet)
    with pytest.raises(LofiError, match=r"lacks master\.flac"):
        stage_key(
            STAGES["picture"],
            commission(BRIEF, SMALL),
            {"track.mid": "0", "internal/compose.json": "0"},
        )


# Keys --------------------------------------------------------------------------------------------


def keys(wanted: Commission) -> dict[str, str]:
    """The key of each stage, where every stage's files are as its key: no stage need run."""
    outputs = {
        "compose": ("track.mid", "internal/compose.json"),
        "check": ("originality.json",),
        "sound": ("master.flac", "internal/sound.json", "stems/bass.flac"),
        "picture": ("video.mp4",),
        "thumbnail": ("thumbnail.jpg", "internal/thumbnail.json"),
        "listing": ("listing.json",),
    }
    found: dict[str, str] = {}
    for stage in STAGES.values():
        inputs = {name: found[need] for need in stage.needs for name in outputs[need]}
        found[stage.name] = stage_key(stage, wanted, inputs)
    return found


@pytest.mark.parametrize(
    ("library", "made_with_it"),
    [
        ("onnxruntime", {"compose", "package"}),
        ("soundfile", {"sound", "package"}),
        ("av", {"picture", "package"}),
        ("skia-python", {"picture", "thumbnail", "package"}),
        ("numpy", set(STAGES) - {"listing"}),
    ],
)
def test_another_version_of_a_library_makes_other_files_of_the_stages_that_use_it(
    library: str, made_with_it: set[str], monkeypatch: pytest.MonkeyPatch
):
    wanted = commission(BRIEF, SMALL)

    def alone() -> dict[str, str]:
        given = dict.fromkeys((name for stage in STAGES.values() for name in stage.reads), "0")
        return {stage.name: stage_key(stage, wanted, given) for stage in STAGES.values()}

    before = alone()
    known = _stages._version
    monkeypatch.setattr(_stages, "_version", lambda n: "other" if n == library else known(n))
    assert {name for name, key in alone().items() if key != before[name]} == made_with_it


def changed(one: Commission, other: Commission) -> set[str]:
    before, after = keys(one), keys(other)
    return {name for name in before if before[name] != after[name]}


def with_brief(**fields: object) -> Commission:
    return commission(replace(BRIEF, **fields), SMALL)


def test_the_same_commission_has_the_same_keys_and_every_stage_its_own():
    assert keys(commission(BRIEF, SMALL)) == keys(commission(BRIEF, SMALL))
    assert len(set(keys(commission(BRIEF, SMALL)).values())) == len(STAGES)


def test_another_palette_or_template_leaves_the_music_as_it_is():
    one = with_brief(palette="dusk")
    assert changed(one, with_brief(palette="midnight")) == {
        "picture", "thumbnail", "listing", "package",
    }  # fmt: skip
    assert {"compose", "check", "sound"}.isdisjoint(changed(one, with_brief(template="minimal")))


def test_another_ambience_leaves_the_score_as_it_is_and_the_usual_one_everything():
    one = commission(BRIEF, SMALL)
    assert changed(one, with_brief(ambience="rain")) == {"sound", "picture", "listing", "package"}
    assert changed(one, with_brief(ambience="vinyl")) == {"package"}  # it says what was asked for
    assert with_brief(ambience="vinyl").track_id == one.track_id


def test_another_soundfont_leaves_the_score_as_it_is(tmp_path: Path):
    (tmp_path / "own.sf2").write_bytes(b"any")
    other = commission(BRIEF, SMALL, soundfont=tmp_path / "own.sf2")
    assert changed(commission(BRIEF, SMALL), other) == {"sound", "picture", "listing", "package"}


def test_another_seed_or_sampling_makes_all_of_it_anew():
    one = commission(BRIEF, SMALL)
    assert changed(one, with_brief(seed=12)) == set(STAGES)
    cooler = SMALL.model_copy(update={"sampling": Sampling(temperature=0.5)})
    assert {"compose", "check", "sound", "picture"} <= changed(one, commission(BRIEF, cooler))


def test_threads_that_write_the_same_score_change_no_key():
    one = commission(BRIEF, SMALL)
    assert changed(one, replace(one, generation=replace(one.generation, threads=7))) == set()


def test_a_package_does_not_tell_how_many_threads_wrote_the_score(apart, tmp_path: Path):
    shutil.copytree(apart["package"], tmp_path / "again")
    wanted = commission(BRIEF, SMALL, keep_stems=True)
    wanted = replace(wanted, generation=replace(wanted.generation, threads=1))
    assert run_stage("package", wanted, tmp_path / "again", quiet) == [
        "provenance.json", "track.json",
    ]  # fmt: skip
    assert files_of(tmp_path / "again") == files_of(apart["package"])


def test_the_sound_does_not_hear_the_palette(apart, tmp_path: Path):
    for name in ("track.mid", "internal/compose.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(apart["compose"] / name, tmp_path / name)
    other = commission(replace(BRIEF, palette="neon"), SMALL)
    assert other.title != commission(BRIEF, SMALL).title
    run_stage("sound", other, tmp_path, quiet)
    assert (tmp_path / "master.flac").read_bytes() == (apart["sound"] / "master.flac").read_bytes()
    with soundfile.SoundFile(tmp_path / "master.flac") as master:
        key = json.loads((tmp_path / "internal/compose.json").read_text())["measured"]["key"]
        assert (master.title, master.artist) == (f"Cozy lofi · 76 bpm · {key}", "LoFi Empire")


def test_a_longer_piece_and_a_larger_frame_may_take_longer():
    one = commission(BRIEF, SMALL)
    longer = with_brief(duration_s=600)
    larger = replace(one, video=replace(one.video, width=3840, height=2160, fps=60))
    for name in ("compose", "sound", "picture", "package"):
        assert STAGES[name].limit_s(longer) > STAGES[name].limit_s(one) > 60
    assert STAGES["picture"].limit_s(larger) > STAGES["picture"].limit_s(one)


def test_a_score_that_somebody_would_have_to_look_at_is_written_again(tmp_path: Path):
    model = open_model(None)
    shutil.copytree(model.path, tmp_path / "model", ignore=shutil.ignore_patterns("melodies.npz"))
    brief = Brief(seed=5, mood="chill", duration_s=14).settled()

    def written(attempts: int):
        tries = Generation(best_of=1, threads=1, attempts=attempts)
        return compose_checked(brief, Sampling(), tries, open_model(tmp_path / "model"), quiet)

    library = build_library([("the first one", melodies(written(1).score))])
    itself = check(written(1).score, library).matches[0].bits
    library = replace(library, thresholds=Thresholds(itself - 1, itself + 1, 1))
    save_library(library, tmp_path / "model" / "melodies.npz")
    assert check(written(1).score, library).verdict == "review"
    assert check(written(3).score, library).verdict == "pass"


# The commission ----------------------------------------------------------------------------------


@pytest.mark.parametrize("brief", [BRIEF, FULL, Brief(seed=2**63 - 1)])
def test_a_commission_survives_its_journey_as_json(brief: Brief, tmp_path: Path):
    font = tmp_path / "own.sf2"
    font.write_bytes(b"any")
    one = commission(brief, SMALL, soundfont=font, keep_stems=True)
    again = Commission.from_json(json.loads(json.dumps(one.to_json())))
    assert again == one
    assert (again.track_id, again.title, keys(again)) == (one.track_id, one.title, keys(one))


def test_a_commission_of_an_earlier_version_lacks_what_is_new_and_is_read():
    told = commission(BRIEF, SMALL).to_json()
    del told["generation"]["attempts"], told["asked"]["density"]
    assert Commission.from_json(told) == commission(BRIEF, SMALL)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("colour",), "red", "colour"),
        (("brief", "colour"), "red", "colour"),
        (("sampling", "top_k"), "40", "top_k"),
        (("brief", "seed"), "x", "seed"),
        (("brief", "seed"), None, "seed"),
        (("brief", "key"), {"tonic": 14, "mode": "minor"}, "key"),
        (("brief", "key"), {"tonic": 2, "mode": "dorian"}, "key"),
        (("brief", "mood"), "grim", "grim"),
        (("brief", "bpm"), 900.0, "bpm 900"),
        (("brief", "palette"), None, "settled"),
        (("brief", "form"), [["A", 2, 3]], "form"),
        (("keep_stems",), "yes", "keep_stems"),
        (("video",), [], "video"),
    ],
)
def test_what_a_commission_does_not_know_is_refused(path, value, named):
    told = commission(BRIEF, SMALL).to_json()
    inner = told
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(InputError, match=named):
        Commission.from_json(told)


def test_what_is_no_commission_at_all_is_refused():
    strange: tuple[Any, ...] = ({}, [], "x", None)
    for value in strange:
        with pytest.raises(InputError, match="commission cannot be read"):
            Commission.from_json(value)


def test_a_model_or_soundfont_that_has_changed_meanwhile_is_not_used(
    tmp_path: Path, untrained: Path
):
    mine = shutil.copytree(untrained, tmp_path / "mine")
    one = commission(BRIEF, SMALL, model_path=mine)
    card = json.loads((mine / "lofi.json").read_text())
    card["files"]["model.onnx"] = "0" * 64
    (mine / "lofi.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="has changed since"):
        run_stage("compose", one, tmp_path / "track", quiet)

    font = tmp_path / "own.sf2"
    font.write_bytes(b"any")
    one = commission(BRIEF, SMALL, soundfont=font)
    font.write_bytes(b"other")
    with pytest.raises(InputError, match=r"own\.sf2 has changed since"):
        one.check_soundfont()
    font.unlink()
    with pytest.raises(InputError, match="no SoundFont"):
        one.check_soundfont()


def test_paths_of_a_commission_hold_wherever_it_is_read(monkeypatch, tmp_path: Path):
    (tmp_path / "own.sf2").write_bytes(b"any")
    monkeypatch.chdir(tmp_path)
    told = commission(BRIEF, SMALL, soundfont=Path("own.sf2")).to_json()
    assert told["soundfont"] == str(tmp_path / "own.sf2")
