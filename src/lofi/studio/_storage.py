"""Blobs under the hash of their content, in a folder or in an S3 bucket.

A blob is whole or absent: it gets its name only when every byte is written and counted in the hash.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import io
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, S3Store

from lofi.brief import InputError, LofiError

GRACE_S = 3600.0  # a blob this young may be about to be recorded

_NAME = re.compile(r"[0-9a-f]{64}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ASIDE = ".aside"  # what is being written, and probes
_PIECE = 2**20
_PART = 8 * 2**20  # of a multipart upload; 10,000 of them are the most
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Blob:
    """What was stored: the SHA-256 of its bytes is its name."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file that a writer who was killed left half-written, and when it was last written to."""

    name: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Garbage:
    """What was deleted, or in a dry run would be. Sizes in bytes."""

    count: int = 0
    bytes: int = 0
    leftovers: int = 0
    leftover_bytes: int = 0
    kept: int = 0  # blobs that stay: named, or too young to tell


class Storage:
    """Blobs in a folder (`data/blobs`, `file:///srv/lofi`) or a bucket (`s3://bucket/prefix`).

    `options` are obstore's settings for S3, such as `endpoint`, `region`, `access_key_id`; what
    is not given comes from `AWS_…` in the environment. Raises InputError for an address or an
    option that is none, LofiError when the place cannot be reached or written.

    S3 keeps the parts of an upload whose process was killed, out of sight and paid for: give the
    bucket a lifecycle rule that aborts incomplete multipart uploads after a day.
    """

    def __init__(self, url: str, *, options: Mapping[str, str] | None = None) -> None:
        self.url = url
        self._folder: Path | None = None
        self._store: LocalStore | S3Store
        scheme, _, rest = url.partition("://")
        host, slash, path = rest.partition("/")
        if url and not re.match(r"\w*:", url):
            self._folder = Path(url).absolute()
        elif scheme == "file" and host in ("", "localhost") and slash:
            self._folder = Path("/" + unquote(path))
        elif scheme != "s3" or not _BUCKET.fullmatch(host):
            raise InputError(
                f"storage must be a folder, a file:///… address or s3://bucket/prefix, not {url!r}."
            )
        if self._folder is not None:
            with _writing(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
                raise LofiError(
                    f"storage folder {self._folder} may not be written: give this user the right "
                    "to, or set another folder."
                )
            self._store = LocalStore(self._folder)
        else:
            self._store = _bucket(host, path, options or {})
            self.check()

    def put(self, path: Path) -> Blob:
        """Store a file, read in pieces. A blob that is there already is not written again.

        What is there already counts as new from now on, so that garbage collection leaves it its
        time of grace; in S3 that takes a new upload when half the time of grace is over. Raises
        InputError when the file cannot be read, LofiError when it changes meanwhile or the
        storage is full.
        """
        try:
            source = path.open("rb")
        except OSError as error:
            raise InputError(f"{path} cannot be stored: {error.strerror}.") from error
        with source:
            return self._put(source, str(path))

    def put_bytes(self, data: bytes) -> Blob:
        """Store what is in memory. Raises LofiError like `put`."""
        return self._put(io.BytesIO(data), "the data")

    def fetch(self, sha256: str, to: Path) -> None:
        """Copy a blob to a file of its own, whole or not at all, checked against its hash.

        Raises LofiError when it is missing or damaged or does not fit.
        """
        pieces = self.read(sha256)
        digest = hashlib.sha256()
        with _writing(to.parent):
            to.parent.mkdir(parents=True, exist_ok=True)
            with _aside(to.parent, to, mode=0o644) as file:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
                if digest.hexdigest() != sha256:
                    raise LofiError(
                        f"blob {sha256} in {self.url} is damaged: its content has another hash. "
                        "Restore it from a backup, or delete it and make the track again."
                    )

    def read(self, sha256: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, in pieces of at most 1 MB.

        A range is cut at the end, as a slice is. Raises LofiError when the blob is missing,
        before the first piece is asked for.
        """
        key = _key(sha256)
        options: Any = {}
        if start or stop is not None:
            size = self.size(sha256)
            if size is None:
                raise self._missing(sha256)
            stop = size if stop is None else min(stop, size)
            if start < 0 or stop < 0:
                raise InputError(f"bytes {start} to {stop} are no range.")
            if start >= stop:
                return iter(())
            options = {"range": (start, stop)}
        with self._told("read"):
            try:
                result = obstore.get(self._store, key, options=options)
            except FileNotFoundError as error:
                raise self._missing(sha256) from error
        return self._pieces(result)

    def size(self, sha256: str) -> int | None:
        """The size of a blob in bytes, or None when there is none."""
        found = self._look(sha256)
        return None if found is None else found[0]

    def exists(self, sha256: str) -> bool:
        """Whether the blob is there."""
        return self._look(sha256) is not None

    def signed_url(
        self, sha256: str, *, expires_s: int, filename: str, media_type: str
    ) -> str | None:
        """An address from which anyone downloads the blob for so long, under a name of its own.

        None where the server must send the bytes itself: for a folder, and for a bucket whose
        secret key only obstore knows, as with the role of a machine.
        """
        key = _key(sha256)
        if not isinstance(self._store, S3Store):
            return None
        secret = self._store.config.get("secret_access_key") or os.getenv("AWS_SECRET_ACCESS_KEY")
        if not secret:
            return None
        with self._told("read"):
            url = obstore.sign(self._store, "GET", key, timedelta(seconds=expires_s))
        plain = re.sub(r"[^A-Za-z0-9 ._-]", "_", filename)
        told = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
        return _sign_again(
            url,
            {"response-content-disposition": told, "response-content-type": media_type},
            str(secret),
        )

    def delete(self, sha256: str) -> None:
        """Delete a blob. One that is absent is fine."""
        self._remove(_key(sha256))

    def list(self) -> Iterator[tuple[str, int, datetime]]:
        """Name, size in bytes and time of writing of every blob, and of nothing else there."""
        for key, size, modified in self._everything(None):
            folder, _, name = key.rpartition("/")
            if _NAME.fullmatch(name) and folder == name[:2]:
                yield name, size, modified

    def check(self) -> None:
        """Write, read and delete a small probe. Raises LofiError with the remedy."""
        key = f"{_ASIDE}/probe-{uuid.uuid4().hex}"
        if self._folder is not None and not self._folder.is_dir():  # obstore would make it anew
            raise LofiError(
                f"storage folder {self._folder} is gone. Mount or restore it, or make it anew."
            )
        with self._told("used"):
            obstore.put(self._store, key, key.encode())
            back = bytes(obstore.get(self._store, key).bytes())
            obstore.delete(self._store, key)
        if back != key.encode():
            raise LofiError(f"storage {self.url} gives back other bytes than were written to it.")

    def leftovers(self, older_than_s: float) -> Iterator[Leftover]:
        """Half-written files that nobody has written to for so long."""
        limit = datetime.now(UTC) - timedelta(seconds=older_than_s)
        for key, size, modified in self._everything(_ASIDE):
            if modified < limit:
                yield Leftover(key.rpartition("/")[2], size, modified)

    def discard(self, leftover: Leftover) -> None:
        """Delete a leftover. One that is gone is fine."""
        self._remove(f"{_ASIDE}/{leftover.name}")

    def delete_if_older(self, sha256: str, age_s: float) -> bool:
        """Delete a blob unless it is, or has just become, younger than `age_s`."""
        found = self._look(sha256)
        if found is None or _age_s(found[1]) < age_s:
            return False
        self.delete(sha256)
        return True

    def _put(self, source: BinaryIO, name: str) -> Blob:
        digest, size = hashlib.sha256(), 0
        try:
            for piece in iter(partial(source.read, _PIECE), b""):
                digest.update(piece)
                size += len(piece)
            source.seek(0)
        except OSError as error:
            raise InputError(f"{name} cannot be stored: {error.strerror or error}.") from error
        blob = Blob(digest.hexdigest(), size)
        if not self._renewed(blob):
            pieces = _same_again(source, blob, name)
            if self._folder is None:
                self._upload(blob, pieces)
            else:
                self._write(self._folder, blob, pieces)
        return blob

    def _renewed(self, blob: Blob) -> bool:
        """Whether the blob is there, whole and counting as new."""
        if self._folder is None:
            found = self._look(blob.sha256)
            return found is not None and found[0] == blob.size and _age_s(found[1]) < GRACE_S / 2
        path = self._folder / _key(blob.sha256)
        try:
            if path.stat().st_size != blob.size:
                return False
            os.utime(path)
        except (FileNotFoundError, PermissionError):  # absent, or another user's
            return False
        return True

    def _write(self, folder: Path, blob: Blob, pieces: Iterator[bytes]) -> None:
        # obstore writes files too, but does not force them to the disk before it names them.
        path = folder / _key(blob.sha256)
        with _writing(folder):
            (folder / _ASIDE).mkdir(exist_ok=True)
            if not path.parent.is_dir():
                path.parent.mkdir(exist_ok=True)
                _sync(folder)
            with _aside(folder / _ASIDE, path, mode=0o444) as file:
                file.writelines(pieces)

    def _upload(self, blob: Blob, pieces: Iterator[bytes]) -> None:
        content = b"".join(pieces) if blob.size <= _PART else pieces
        with self._told("written"):
            obstore.put(
                self._store, _key(blob.sha256), content, chunk_size=_PART, max_concurrency=4
            )

    def _pieces(self, result: obstore.GetResult) -> Iterator[bytes]:
        with self._told("read"):
            for piece in result.stream(min_chunk_size=_PIECE // 2):
                for at in range(0, len(piece), _PIECE):
                    yield piece[at : at + _PIECE]

    def _look(self, sha256: str) -> tuple[int, datetime] | None:
        key = _key(sha256)
        with self._told("read"):
            try:
                found = obstore.head(self._store, key)
            except FileNotFoundError:
                return None
        return found["size"], found["last_modified"]

    def _everything(self, prefix: str | None) -> Iterator[tuple[str, int, datetime]]:
        with self._told("read"):
            for page in obstore.list(self._store, prefix, chunk_size=1000):
                for found in page:
                    yield found["path"], found["size"], found["last_modified"]

    def _remove(self, key: str) -> None:
        with self._told("written"):
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                return

    def _missing(self, sha256: str) -> LofiError:
        return LofiError(
            f"blob {sha256} is not in {self.url}. Restore it from a backup, or make the track "
            "again."
        )

    @contextmanager
    def _told(self, done: str) -> Iterator[None]:
        """Errors of the store as words for whoever runs the studio."""
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            reason = str(error).partition("\n")[0].strip()
            if self._folder is not None:
                remedy = "Check that the folder is there, may be written and has free space."
            elif isinstance(error, PermissionDeniedError | UnauthenticatedError):
                remedy = "Check the access key, its secret and its rights on the bucket."
            elif isinstance(error, FileNotFoundError):
                remedy = "Make the bucket first, or correct its name."
            elif "169.254.169.254" in reason:
                remedy = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            else:
                remedy = "Check the endpoint and the network."
            raise LofiError(f"storage {self.url} cannot be {done}: {reason}. {remedy}") from error


def collect_garbage(
    storage: Storage,
    named: AbstractSet[str] | Callable[[], AbstractSet[str]],
    *,
    dry_run: bool,
    grace_s: float = GRACE_S,
) -> Garbage:
    """Delete the blobs that no record names, and leftovers, where older than the time of grace.

    A function for `named` is asked after the blobs are listed, so a record that was written in
    between counts. A time of grace below an hour is safe only when nothing else is running.
    """
    old, kept = [], 0
    for sha256, size, modified in storage.list():
        if _age_s(modified) < grace_s:
            kept += 1
        else:
            old.append((sha256, size))
    names = named() if callable(named) else named
    count = freed = leftovers = leftover_bytes = 0
    for sha256, size in old:
        if sha256 in names or not (dry_run or storage.delete_if_older(sha256, grace_s)):
            kept += 1
        else:
            count += 1
            freed += size
    for leftover in storage.leftovers(grace_s):
        if not dry_run:
            storage.discard(leftover)
        leftovers += 1
        leftover_bytes += leftover.size
    return Garbage(count, freed, leftovers, leftover_bytes, kept)


def _key(sha256: str) -> str:
    """Where a blob lies. Raises InputError for anything but a SHA-256 in small letters."""
    if not _NAME.fullmatch(sha256):
        raise InputError(f"{sha256[:80]!r} is no blob: its name is 64 digits, 0-9 and a-f.")
    return f"{sha256[:2]}/{sha256}"


def _age_s(modified: datetime) -> float:
    return (datetime.now(UTC) - modified).total_seconds()


def _bucket(bucket: str, prefix: str, options: Mapping[str, str]) -> S3Store:
    given = [*os.environ.items(), *options.items()]
    endpoints = [v for n, v in given if re.match("(aws_)?endpoint", n.lower())]
    config: Any = {"disable_bulk_delete": "true", **options}  # not every S3 has bulk deletes
    client: Any = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "1h"}
    if any(address.startswith("http://") for address in endpoints):
        client["allow_http"] = True
    try:
        return S3Store(
            bucket,
            prefix=prefix.strip("/") or None,
            config=config,
            client_options=client,
            retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=30)},
        )
    except (BaseError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"storage s3://{bucket}: {reason} Correct its options.") from error


def _same_again(source: BinaryIO, blob: Blob, name: str) -> Iterator[bytes]:
    """The bytes that were hashed, the last piece only when they are still the same."""
    digest, held = hashlib.sha256(), b""
    for piece in iter(partial(source.read, _PIECE), b""):
        if held:
            yield held
        digest.update(piece)
        held = piece
    if digest.hexdigest() != blob.sha256:
        raise LofiError(f"{name} changed while it was being stored. Store it when it is finished.")
    yield held


@contextmanager
def _aside(folder: Path, target: Path, *, mode: int) -> Iterator[BinaryIO]:
    """A file written in `folder`, which becomes `target` when all went well and else is gone."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".blob-")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """Force the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise LofiError(
                f"the disk that holds {folder} is full, or allows no file of this size. Free some "
                "space and try again; nothing half-written is left there."
            ) from error
        raise LofiError(
            f"{folder} cannot be written: {error.strerror or error}. Check that it is a folder "
            "that this user may write to."
        ) from error


def _sign_again(url: str, more: Mapping[str, str], secret: str) -> str:
    """A signed address with `more` in its query, signed anew.

    obstore signs no query of one's own. The address holds all that a signature of AWS Signature
    Version 4 is made of, except the secret:
    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """
    parts = urlsplit(url)
    query = {k: v for k, v in parse_qsl(parts.query) if k != "X-Amz-Signature"} | dict(more)
    encoded = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in sorted(query.items()))
    _, *scope = query["X-Amz-Credential"].split("/")
    request = f"GET\n{parts.path}\n{encoded}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    text = "\n".join(
        [
            query["X-Amz-Algorithm"],
            query["X-Amz-Date"],
            "/".join(scope),
            hashlib.sha256(request.encode()).hexdigest(),
        ]
    )
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return urlunsplit(parts._replace(query=f"{encoded}&X-Amz-Signature={signature}"))
