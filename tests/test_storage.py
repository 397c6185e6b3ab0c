"""What is stored comes back as it was, whoever is killed and whatever is full."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import httpx
import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import S3Server, free_port

from lofi.brief import InputError, LofiError
from lofi.studio import _storage as module
from lofi.studio._storage import Garbage, Storage, collect_garbage

Age = Callable[[str, float], None]
ABSENT = "ab" * 32


def bytes_of(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def whole(storage: Storage) -> dict[str, int]:
    """Every blob with its size, each read back and found to have the content of its name."""
    sizes = {}
    for sha256, size, _ in storage.list():
        digest = hashlib.sha256()
        for piece in storage.read(sha256):
            digest.update(piece)
        assert digest.hexdigest() == sha256
        sizes[sha256] = size
    return sizes


def kept_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "the blobs #1 — 50%"


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Storage, Age]]:
    """A storage of each kind, and how to make one of its blobs older by so many seconds."""
    if request.param == "folder":

        def age_file(sha256: str, seconds: float) -> None:
            path = folder / sha256[:2] / sha256
            then = time.time() - seconds
            os.utime(path, (then, then))

        yield Storage(str(folder)), age_file
        return
    server: S3Server = request.getfixturevalue("s3_server")

    def age_object(sha256: str, seconds: float) -> None:
        server.put_back(f"music/our blobs/{sha256[:2]}/{sha256}", seconds)

    yield Storage("s3://music/our blobs", options=server.options), age_object


@pytest.fixture
def storage(place: tuple[Storage, Age]) -> Storage:
    return place[0]


# ------------------------------------------------------------------------------ both kinds


@pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 20_000_003])
def test_what_is_stored_comes_back(storage: Storage, tmp_path: Path, size: int) -> None:
    source, copy = tmp_path / "song.mid", tmp_path / "new folder" / "copy.mid"
    source.write_bytes(bytes_of(size))
    blob = storage.put(source)
    assert (blob.sha256, blob.size) == (hashlib.sha256(bytes_of(size)).hexdigest(), size)
    storage.fetch(blob.sha256, copy)
    assert copy.read_bytes() == source.read_bytes()
    assert storage.size(blob.sha256) == size
    assert [(name, n) for name, n, _ in storage.list()] == [(blob.sha256, size)]
    assert storage.put_bytes(bytes_of(size)) == blob


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 1), (0, None), (1, 2), (1_999_999, None), (5, 5), (7, 3), (2_000_000, None),
     (9_000_000, 9_000_001), (1_500_000, 9_000_000), (10, 1_900_000)],
)  # fmt: skip
def test_a_range_is_what_a_slice_would_be(storage: Storage, start: int, stop: int | None) -> None:
    data = bytes_of(2_000_000)
    blob = storage.put_bytes(data)
    pieces = list(storage.read(blob.sha256, start, stop))
    assert b"".join(pieces) == data[start:stop]
    assert all(0 < len(piece) <= 2**20 for piece in pieces)


def test_a_range_before_the_start_is_refused(storage: Storage) -> None:
    blob = storage.put_bytes(b"music")
    with pytest.raises(InputError, match="no range"):
        storage.read(blob.sha256, -2)


@pytest.mark.parametrize(
    "name",
    ["", "..", "../../etc/passwd", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n",
     "\n" + "a" * 63, "../" + "a" * 61, "a" * 62 + "/.", "０" * 64, "a" * 63 + "\0", ".aside/x"],
)  # fmt: skip
def test_a_name_that_is_no_hash_reaches_nothing(
    storage: Storage, tmp_path: Path, name: str
) -> None:
    uses: list[Callable[[], object]] = [
        lambda: storage.read(name),
        lambda: storage.fetch(name, tmp_path / "out"),
        lambda: storage.size(name),
        lambda: storage.exists(name),
        lambda: storage.delete(name),
        lambda: storage.signed_url(name, expires_s=60, filename="a", media_type="audio/midi"),
    ]
    for use in uses:
        with pytest.raises(InputError, match="is no blob"):
            use()
    assert not (tmp_path / "out").exists()


def test_a_missing_blob_is_told_before_the_first_byte(storage: Storage, tmp_path: Path) -> None:
    for use in (
        lambda: storage.read(ABSENT),
        lambda: storage.read(ABSENT, 5, 9),
        lambda: storage.fetch(ABSENT, tmp_path / "out"),
    ):
        with pytest.raises(LofiError, match=f"{ABSENT} is not in .*[Rr]estore it"):
            use()
    assert storage.size(ABSENT) is None
    assert not storage.exists(ABSENT)
    storage.delete(ABSENT)
    assert list(tmp_path.glob("out")) == []


def test_deleted_is_gone(storage: Storage) -> None:
    blob = storage.put_bytes(b"music")
    storage.delete(blob.sha256)
    assert not storage.exists(blob.sha256)
    assert list(storage.list()) == []


def test_the_same_bytes_from_many_threads_make_one_blob(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "master.flac"
    source.write_bytes(bytes_of(9_000_000))
    blobs = []
    threads = [threading.Thread(target=lambda: blobs.append(storage.put(source))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(blobs) == 8
    assert whole(storage) == {blobs[0].sha256: 9_000_000}
    assert list(storage.leftovers(0)) == []


def test_a_file_that_changes_meanwhile_is_not_stored(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "growing.wav"
    source.write_bytes(bytes_of(20_000_000))
    renewed = Storage._renewed

    def and_then_it_grows(self: Storage, blob: object) -> bool:
        with source.open("ab") as file:
            file.write(b"more")
        return renewed(self, blob)  # type: ignore[arg-type]

    monkeypatch.setattr(Storage, "_renewed", and_then_it_grows)
    with pytest.raises(LofiError, match=r"growing\.wav changed while"):
        storage.put(source)
    assert whole(storage) == {}
    assert list(storage.leftovers(-60)) == []


def test_what_cannot_be_read_is_named(storage: Storage, tmp_path: Path) -> None:
    for path in (tmp_path / "absent.mid", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            storage.put(path)


def test_a_storage_that_works_passes_its_check_and_keeps_no_probe(storage: Storage) -> None:
    storage.check()
    assert list(storage.list()) == []
    assert list(storage.leftovers(-60)) == []


def test_garbage_is_what_no_record_names_and_is_old_enough(place: tuple[Storage, Age]) -> None:
    storage, make_older = place
    named, garbage, young = (storage.put_bytes(data) for data in (b"named", b"garbage!", b"young"))
    for blob in (named, garbage):
        make_older(blob.sha256, 7200)
    expected = Garbage(count=1, bytes=8, kept=2)
    assert collect_garbage(storage, {named.sha256}, dry_run=True) == expected
    assert len(whole(storage)) == 3
    assert collect_garbage(storage, {named.sha256}, dry_run=False) == expected
    assert set(whole(storage)) == {named.sha256, young.sha256}
    assert collect_garbage(storage, {named.sha256}, dry_run=False) == Garbage(kept=2)


def test_a_record_written_while_garbage_is_looked_for_counts(place: tuple[Storage, Age]) -> None:
    storage, make_older = place
    recorded: set[str] = set()
    blob = storage.put_bytes(b"music")
    make_older(blob.sha256, 7200)

    def records() -> set[str]:
        recorded.add(blob.sha256)  # by a stage that ends after the blobs were listed
        return recorded

    assert collect_garbage(storage, records, dry_run=False) == Garbage(kept=1)
    assert storage.exists(blob.sha256)


def test_an_old_blob_that_is_stored_again_is_no_garbage(place: tuple[Storage, Age]) -> None:
    storage, make_older = place
    blob = storage.put_bytes(b"music")
    make_older(blob.sha256, 7200)
    assert storage.put_bytes(b"music") == blob
    assert collect_garbage(storage, set(), dry_run=False) == Garbage(kept=1)

    def stored_again_after_the_listing() -> set[str]:
        storage.put_bytes(b"music")
        return set()

    make_older(blob.sha256, 7200)
    assert collect_garbage(storage, stored_again_after_the_listing, dry_run=False).count == 0
    assert storage.exists(blob.sha256)


# -------------------------------------------------------------------------------- a folder


@pytest.mark.parametrize("form", ["path", "file", "localhost"])
def test_a_folder_is_a_path_or_a_file_address(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "a b" / "blöbs#2"
    url = {
        "path": str(folder),
        "file": folder.as_uri(),
        "localhost": folder.as_uri().replace("file://", "file://localhost"),
    }[form]
    blob = Storage(url).put_bytes(b"music")
    assert (folder / blob.sha256[:2] / blob.sha256).read_bytes() == b"music"


@pytest.mark.parametrize(
    "url",
    ["", "gs://bucket/x", "http://host/x", "s3://", "s3:///x", "s3:bucket", "file:x", "file://h/x",
     "s3://key:secret@bucket", "s3://Bucket", "://x"],
)  # fmt: skip
def test_an_address_of_another_kind_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="storage must be a folder"):
        Storage(url)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LofiError, match=r"file/blobs cannot be written: .*Check that"):
        Storage(str(tmp_path / "file" / "blobs"))


def test_a_folder_that_went_away_is_told_and_not_made_anew(folder: Path) -> None:
    storage = Storage(str(folder))  # as when a disk is unmounted under it
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(LofiError, match="cannot be written"):
        storage.put_bytes(b"music")
    with pytest.raises(LofiError, match=r"is gone\. Mount or restore it"):
        storage.check()
    assert not folder.exists()


def test_what_is_there_is_not_written_again(folder: Path) -> None:
    storage = Storage(str(folder))
    blob = storage.put_bytes(b"music")
    path = folder / blob.sha256[:2] / blob.sha256
    before = path.stat().st_ino
    storage.put_bytes(b"music")
    assert path.stat().st_ino == before


def test_a_blob_cut_short_by_a_broken_disk_is_written_anew(folder: Path) -> None:
    storage = Storage(str(folder))
    blob = storage.put_bytes(b"music")
    path = folder / blob.sha256[:2] / blob.sha256
    path.chmod(0o644)
    path.write_bytes(b"mus")
    storage.put_bytes(b"music")
    assert whole(storage) == {blob.sha256: 5}


def test_an_edited_copy_does_not_reach_the_store(folder: Path, tmp_path: Path) -> None:
    storage = Storage(str(folder))
    blob = storage.put_bytes(b"music")
    copy = tmp_path / "copy.mid"
    storage.fetch(blob.sha256, copy)
    with copy.open("r+b") as file:
        file.write(b"noise")
    assert b"".join(storage.read(blob.sha256)) == b"music"


def test_a_damaged_blob_is_not_handed_out_as_a_file(folder: Path, tmp_path: Path) -> None:
    storage = Storage(str(folder))
    blob = storage.put_bytes(b"music")
    path = folder / blob.sha256[:2] / blob.sha256
    path.chmod(0o644)
    path.write_bytes(b"noise")
    target = tmp_path / "out" / "copy.mid"
    target.parent.mkdir()
    target.write_bytes(b"what was there")
    with pytest.raises(LofiError, match=r"is damaged.*[Rr]estore it from a backup"):
        storage.fetch(blob.sha256, target)
    assert target.read_bytes() == b"what was there"
    assert list(target.parent.iterdir()) == [target]


def test_what_a_user_drops_into_the_folder_is_left_alone(folder: Path) -> None:
    storage = Storage(str(folder))
    blob = storage.put_bytes(b"music")
    strangers = [folder / "notes.txt", folder / "ff" / blob.sha256, folder / "ab" / "cd" / ABSENT]
    for path in strangers:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
        os.utime(path, (0, 0))
    assert [name for name, _, _ in storage.list()] == [blob.sha256]
    collect_garbage(storage, set(), dry_run=False)
    assert all(path.read_bytes() == b"mine" for path in strangers)


def test_a_folder_gives_no_address(folder: Path) -> None:
    storage = Storage(str(folder))
    blob = storage.put_bytes(b"music")
    url = storage.signed_url(blob.sha256, expires_s=60, filename="a.mid", media_type="audio/midi")
    assert url is None


WRITER = """
import os, signal, sys
from pathlib import Path
from lofi.studio._storage import Storage

folder, source, point = sys.argv[1:]
storage = Storage(folder)

def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

if point == "before fsync":
    os.fchmod = die  # the step before it
elif point == "before rename":
    Path.replace = die
elif point == "after rename":
    replace = Path.replace
    Path.replace = lambda *args: (replace(*args), die())
elif point != "unhindered":
    pieces, stop = [0], int(point)
    import lofi.studio._storage as module
    same = module._same_again
    def some(*args):
        for number, piece in enumerate(same(*args)):
            if number == stop:
                die()
            yield piece
    module._same_again = some
print("ready", flush=True)
for path in sorted(Path(source).iterdir()):
    storage.put(path)
"""


def start_writer(folder: Path, source: Path, point: str) -> subprocess.Popen[bytes]:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(source), point], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    return writer


@pytest.mark.parametrize(
    ("point", "blobs", "leftovers"),
    [("0", 0, 1), ("1", 0, 1), ("4", 0, 1), ("before fsync", 0, 1), ("before rename", 0, 1),
     ("after rename", 1, 0)],
)  # fmt: skip
def test_a_writer_killed_at_any_point_leaves_whole_blobs_only(
    folder: Path, tmp_path: Path, point: str, blobs: int, leftovers: int
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "master.flac").write_bytes(bytes_of(4 * 2**20 + 7))
    writer = start_writer(folder, source, point)
    writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    storage = Storage(str(folder))
    assert len(whole(storage)) == blobs
    assert len(list(storage.leftovers(-60))) == leftovers
    assert list(storage.leftovers(3600)) == []  # a writer may still be at it
    for path in (folder / ".aside").iterdir():
        os.utime(path, (0, 0))
    found = collect_garbage(storage, set(), dry_run=True)
    assert (found.leftovers, found.leftover_bytes > 0) == (
        leftovers,
        leftovers > 0 and point != "0",
    )
    collect_garbage(storage, set(), dry_run=False)
    assert list(storage.leftovers(-60)) == []
    storage.put(source / "master.flac")
    assert whole(storage) == {hashlib.sha256(bytes_of(4 * 2**20 + 7)).hexdigest(): 4 * 2**20 + 7}


def test_writers_killed_at_random_moments_leave_whole_blobs_only(
    folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(60):
        (source / f"{number:02}").write_bytes(bytes_of(700_000 + number, number))
    chance = random.Random(5)
    for _ in range(4):
        writer = start_writer(folder, source, "unhindered")
        time.sleep(chance.uniform(0.0, 0.15))
        writer.kill()
        writer.communicate()
        whole(Storage(str(folder)))
    start_writer(folder, source, "unhindered").communicate()
    assert len(whole(Storage(str(folder)))) == 60


FILLER = """
import resource, sys
from pathlib import Path
from lofi.brief import LofiError
from lofi.studio._storage import Storage

folder, source, target, limit = sys.argv[1:]
storage = Storage(folder)
small = storage.put_bytes(b"music")
big = Storage(target).put(Path(source)) if target != "-" else None
if limit != "0":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    if big:
        Storage(target).fetch(big.sha256, Path(folder) / "copy.flac")
    else:
        storage.put(Path(source))
except LofiError as error:
    print(error)
assert b"".join(storage.read(small.sha256)) == b"music"
storage.delete(small.sha256)
"""


@pytest.fixture
def small_disk(folder: Path) -> Iterator[tuple[Path, int]]:
    """A folder on a disk of 2 MB where we may mount one, else a limit of 2 MB a file."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if (
        sys.platform != "linux"
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        yield folder, 2 * 2**20
        return
    yield folder, 0
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("use", ["put", "fetch"])
def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    small_disk: tuple[Path, int], tmp_path: Path, use: str
) -> None:
    folder, limit = small_disk
    source = tmp_path / "video.mp4"
    source.write_bytes(bytes_of(5_000_000))
    target = str(tmp_path / "other") if use == "fetch" else "-"
    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(folder), str(source), target, str(limit)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"the disk that holds {folder} is full" in done.stdout
    assert "Free some space" in done.stdout
    assert kept_files(folder) == []


@given(
    st.lists(st.tuples(st.sampled_from(["put", "delete", "gc"]), st.integers(0, 3)), max_size=12)
)
def test_any_course_of_events_is_what_a_dict_would_hold(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]]
) -> None:
    storage = Storage(str(tmp_path_factory.mktemp("blobs")))
    model: dict[str, int] = {}
    names = [hashlib.sha256(bytes([n]) * n).hexdigest() for n in range(4)]
    for event, n in events:
        if event == "put":
            storage.put_bytes(bytes([n]) * n)
            model[names[n]] = n
        elif event == "delete":
            storage.delete(names[n])
            model.pop(names[n], None)
        else:
            collect_garbage(storage, {names[n]}, dry_run=False, grace_s=-60)
            model = {name: size for name, size in model.items() if name == names[n]}
        assert whole(storage) == model


# -------------------------------------------------------------------------------------- S3


def test_a_large_file_goes_to_s3_in_parts(s3_server: S3Server, tmp_path: Path) -> None:
    source = tmp_path / "video.mp4"
    source.write_bytes(bytes_of(20_000_000))
    storage = Storage("s3://music", options=s3_server.options)
    blob = storage.put(source)
    parts = [line for line in s3_server.requests if "partNumber" in line]
    assert len(parts) == 3
    assert s3_server.objects[f"music/{blob.sha256[:2]}/{blob.sha256}"][0] == source.read_bytes()
    s3_server.requests.clear()
    assert storage.put(source) == blob
    assert [line.split()[0] for line in s3_server.requests] == ["HEAD"]


def test_an_upload_that_fails_leaves_no_parts(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage("s3://music", options=s3_server.options)
    source = tmp_path / "video.mp4"
    source.write_bytes(bytes_of(20_000_000))

    def breaks_off(*_args: object) -> Iterator[bytes]:
        yield bytes_of(9_000_000)
        raise LofiError("the source broke off")

    monkeypatch.setattr(module, "_same_again", breaks_off)
    with pytest.raises(LofiError, match="the source broke off"):
        storage.put(source)
    assert s3_server.uploads == {}
    assert s3_server.objects == {}


def test_a_server_that_stumbles_is_asked_again(s3_server: S3Server) -> None:
    storage = Storage("s3://music", options=s3_server.options)
    s3_server.fail[:] = [500, 503]
    blob = storage.put_bytes(b"music")
    s3_server.fail[:] = [503]
    assert b"".join(storage.read(blob.sha256)) == b"music"


def test_a_download_that_breaks_off_goes_on(s3_server: S3Server, tmp_path: Path) -> None:
    storage = Storage("s3://music", options=s3_server.options)
    blob = storage.put_bytes(bytes_of(6_000_000))
    s3_server.cut[:] = [2_000_000]
    storage.fetch(blob.sha256, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == bytes_of(6_000_000)


@pytest.mark.parametrize(
    ("filename", "media_type"),
    [("Rain at 3 am.mid", "audio/midi"), ('夜の雨 (50%) "x"\r\nA: b.flac', "audio/flac; a=b+c")],
)
def test_a_signed_address_downloads_under_the_name_it_was_given(
    s3_server: S3Server, filename: str, media_type: str
) -> None:
    storage = Storage("s3://music/our blobs", options=s3_server.options)
    blob = storage.put_bytes(b"music")
    url = storage.signed_url(blob.sha256, expires_s=60, filename=filename, media_type=media_type)
    assert url is not None
    assert s3_server.secret_key not in url
    answer = httpx.get(url)
    assert (answer.status_code, answer.content) == (200, b"music")
    assert answer.headers["Content-Type"] == media_type
    told = answer.headers["Content-Disposition"]
    assert told.isascii()
    assert unquote(told.split("filename*=UTF-8''")[1]) == filename
    assert httpx.get(url.replace("audio", "text")).status_code == 403
    assert httpx.get(url.replace(blob.sha256, ABSENT)).status_code == 403


def test_a_signed_address_expires(s3_server: S3Server) -> None:
    storage = Storage("s3://music", options=s3_server.options)
    blob = storage.put_bytes(b"music")
    url = storage.signed_url(blob.sha256, expires_s=0, filename="a", media_type="audio/midi")
    assert url is not None
    time.sleep(1.1)  # a signature's clock counts whole seconds
    assert httpx.get(url).status_code == 403


def test_our_signature_of_nothing_more_is_the_one_of_obstore(s3_server: S3Server) -> None:
    storage = Storage("s3://music/our blobs", options=s3_server.options)
    url = obstore.sign(storage._store, "GET", "ab/cd e", timedelta(seconds=60))  # type: ignore[arg-type]
    assert sorted(module._sign_again(url, {}, s3_server.secret_key).split("&")) == sorted(
        url.split("&")
    )


def test_keys_come_from_the_environment(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.options.items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    storage = Storage("s3://music")
    blob = storage.put_bytes(b"music")
    url = storage.signed_url(blob.sha256, expires_s=60, filename="a", media_type="audio/midi")
    assert url is not None
    assert httpx.get(url).content == b"music"


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("s3://elsewhere", {}, "Make the bucket first"),
        ("s3://music", {"secret_access_key": "wrong-secret"}, "Check the access key"),
        ("s3://music", {"endpoint": "dead"}, "Check the endpoint and the network"),
        ("s3://music", {"colour": "blue"}, "'colour' is not valid"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_told_with_the_remedy(
    s3_server: S3Server, url: str, options: dict[str, str], said: str
) -> None:
    if options.get("endpoint") == "dead":
        options = {"endpoint": f"http://127.0.0.1:{free_port()}"}
    with pytest.raises(LofiError, match=said) as caught:
        Storage(url, options={**s3_server.options, **options})
    for secret in ("wrong-secret", s3_server.secret_key):
        assert secret not in str(caught.value)


def test_listed_times_are_those_of_writing(storage: Storage) -> None:
    storage.put_bytes(b"music")
    [(_, _, modified)] = storage.list()
    assert abs((datetime.now(UTC) - modified).total_seconds()) < 60
