"""Real servers for tests: PostgreSQL and Redis on free ports, and an S3 endpoint that checks.

A server starts when the first test asks for it and is stopped with the session. The programs come
from `scripts/system_packages.sh`; without them the tests that ask for them fail.
"""

from __future__ import annotations

import ctypes
import hashlib
import hmac
import itertools
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

# ------------------------------------------------------------------------------- programs


def find_program(name: str) -> str:
    """A program from PATH, or from where Debian and Homebrew keep PostgreSQL's."""
    found = shutil.which(name)
    if found:
        return found
    kept = [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/opt/homebrew/opt").glob("postgresql@*/bin"),
        *Path("/usr/local/opt").glob("postgresql@*/bin"),
    ]

    def version(folder: Path) -> int:
        digits = re.findall(r"\d+", str(folder))
        return int(digits[0]) if digits else 0

    for folder in sorted(kept, key=version, reverse=True):
        if (folder / name).exists():
            return str(folder / name)
    raise RuntimeError(f"{name} is not installed: run scripts/system_packages.sh.")


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _die_with_parent(sign: int) -> Callable[[], None] | None:
    """What a child runs before its program, so that a killed test run leaves no server behind."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(1, sign)


class Server:
    """A server program in a folder of its own, on a port that stays its own when it restarts."""

    quit_signal = signal.SIGTERM
    user: str | None = None  # whom it runs as, when not as ourselves

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lofi-server-"))
        self.port = free_port()
        self._process: subprocess.Popen[Any] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, unless it runs, and return when it answers."""
        if self.running:
            self.go_on()
            return
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent(self.quit_signal),
                **self.as_user(),
            )
        give_up = time.monotonic() + 30
        while not self.answers():
            if not self.running or time.monotonic() > give_up:
                raise RuntimeError(f"{self.command()[0]} did not start:\n{log.read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it and every connection to it; its data stay."""
        self._end(self.quit_signal)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def hang(self) -> None:
        """Let it answer nothing, with its port open, until `go_on` or `start`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a hang."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def as_user(self) -> dict[str, Any]:
        if self.user is None:
            return {}
        return {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []}

    def _end(self, sign: int) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(sign)
                self.go_on()
            self._process.wait(timeout=30)
            self._process = None


# ----------------------------------------------------------------------------- PostgreSQL


class PostgresServer(Server):
    """PostgreSQL with one superuser, `lofi`, who needs no password on 127.0.0.1."""

    quit_signal = signal.SIGINT  # ends sessions at once; SIGTERM would wait for them

    def __init__(self) -> None:
        super().__init__()
        self._names = (f"test_{i}" for i in itertools.count())
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            known = {entry.pw_name for entry in pwd.getpwall()}
            self.user = "postgres" if "postgres" in known else "nobody"
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        done = subprocess.run(
            [
                find_program("initdb"), "--pgdata", str(self.folder / "data"), "--username=lofi",
                "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync",
                "--no-instructions",
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            **self.as_user(),
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "32MB",
            "max_connections": "100",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [find_program("postgres"), "-D", str(self.folder / "data"), *options]

    def answers(self) -> bool:
        import psycopg

        try:
            self._run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def new_database(self) -> str:
        """The SQLAlchemy URL of a new, empty database."""
        name = next(self._names)
        self._run(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://lofi@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop it, whoever is still connected."""
        self._run(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        import psycopg

        address = f"host=127.0.0.1 port={self.port} user=lofi dbname=postgres connect_timeout=5"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def _postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_server(_postgres: PostgresServer) -> PostgresServer:
    """The PostgreSQL of this session, running; a test may stop, kill, hang and start it."""
    _postgres.start()
    return _postgres


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """SQLAlchemy's URL of a database that no other test has seen."""
    url = postgres_server.new_database()
    yield url
    postgres_server.start()
    postgres_server.drop_database(url)


# ---------------------------------------------------------------------------------- Redis


class RedisServer(Server):
    """Redis that keeps nothing on disk: what it held is gone when it restarts."""

    def command(self) -> list[str]:
        return [
            find_program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1",
            "--save", "", "--appendonly", "no", "--dir", str(self.folder), "--daemonize", "no",
        ]  # fmt: skip

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        import redis

        try:
            return bool(self.ask("PING"))
        except redis.ConnectionError:
            return False

    def ask(self, *words: str | int) -> Any:
        """What Redis answers to one command."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        once = Retry(NoBackoff(), 0)
        with redis.Redis(port=self.port, socket_timeout=10, retry=once) as client:
            return client.execute_command(*words)


@pytest.fixture(scope="session")
def _redis() -> Iterator[RedisServer]:
    server = RedisServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """The Redis of this session, running, empty and with its first settings."""
    _redis.start()
    _redis.ask("CONFIG", "SET", "maxmemory", 0)
    _redis.ask("FLUSHALL")
    return _redis


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    return redis_server.url


# ------------------------------------------------------------------------------------- S3


class S3Server:
    """The requests of S3 that storage sends, over HTTP, with every signature and hash checked.

    Objects lie in memory. `requests` lists what was asked, as `METHOD bucket/key?query-names`;
    `fail` holds the statuses that the next requests get; `cut` holds after how many bytes the
    bodies of the next downloads break off.
    """

    access_key, secret_key, bucket, region = "lofi-key", "lofi-secret", "music", "eu-central-1"
    page = 3  # keys a listing gives at a time

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.requests: list[str] = []
        self.fail: list[int] = []
        self.cut: list[int] = []
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        handler = type("Handler", (_S3Handler,), {"s3": self})
        self._http = _QuietHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def options(self) -> dict[str, str]:
        """How to reach it, in the words of obstore's S3 settings."""
        return {
            "endpoint": f"http://127.0.0.1:{self._http.server_port}",
            "region": self.region,
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
        }

    def put_back(self, key: str, seconds: float) -> None:
        """Make an object that much older."""
        data, when = self.objects[key]
        self.objects[key] = (data, when - timedelta(seconds=seconds))

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _RefusedError(Exception):
    def __init__(self, status: int, code: str) -> None:
        self.status, self.code = status, code


class _QuietHTTPServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may hang up
            super().handle_error(request, client_address)


class _S3Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    s3: S3Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.key = unquote(parts.path).lstrip("/")
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        names = "&".join(sorted(n for n in self.query if not n.startswith("X-Amz-")))
        self.s3.requests.append(f"{self.command} {self.key}" + (f"?{names}" if names else ""))
        try:
            if self.s3.fail:
                raise _RefusedError(self.s3.fail.pop(0), "InternalError")
            self._check_signature(parts.path)
            if self.key.split("/")[0] != self.s3.bucket:
                raise _RefusedError(404, "NoSuchBucket")
            with self.s3.lock:
                getattr(self, f"_{self.command.lower()}")()
        except _RefusedError as refused:
            xml = f"<Error><Code>{refused.code}</Code><Message>{refused.code}</Message></Error>"
            self._answer(refused.status, xml.encode())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if status in (200, 206) and self.command == "GET" and self.s3.cut:
            body = body[: self.s3.cut.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def _get(self) -> None:
        if "list-type" in self.query:
            self._list()
            return
        if self.key not in self.s3.objects:
            raise _RefusedError(404, "NoSuchKey")
        data, when = self.s3.objects[self.key]
        headers = {
            "Last_Modified": when.strftime("%a, %d %b %Y %H:%M:%S GMT"),
            "ETag": f'"{hashlib.md5(data).hexdigest()}"',
            "Content_Type": self.query.get("response-content-type", "application/octet-stream"),
        }
        if "response-content-disposition" in self.query:
            headers["Content_Disposition"] = self.query["response-content-disposition"]
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not span:
            self._answer(200, data, Content_Length=str(len(data)), **headers)
            return
        start, stop = int(span[1]), int(span[2] or len(data) - 1) + 1
        stop = min(stop, len(data))
        if start >= stop:
            raise _RefusedError(416, "InvalidRange")
        headers["Content_Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
        self._answer(206, data[start:stop], Content_Length=str(stop - start), **headers)

    _head = _get

    def _list(self) -> None:
        start = self.key.split("/")[0] + "/"
        prefix = start + self.query.get("prefix", "")
        after = start + self.query.get("continuation-token", self.query.get("start-after", ""))
        keys = sorted(k for k in self.s3.objects if k.startswith(prefix) and k > after)
        shown = keys[: self.s3.page]
        rows = "".join(
            f"<Contents><Key>{escape(key.removeprefix(start))}</Key>"
            f"<LastModified>{self.s3.objects[key][1]:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
            f"<Size>{len(self.s3.objects[key][0])}</Size></Contents>"
            for key in shown
        )
        more = len(keys) > len(shown)
        last = shown[-1].removeprefix(start) if more else ""
        token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
        self._answer(
            200,
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{rows}"
            f"{token}</ListBucketResult>".encode(),
        )

    def _put(self) -> None:
        if "uploadId" in self.query:
            self._upload()[int(self.query["partNumber"])] = self.body
        else:
            self.s3.objects[self.key] = (self.body, datetime.now(UTC))
        self._answer(200, ETag=f'"{hashlib.md5(self.body).hexdigest()}"')

    def _post(self) -> None:
        if "uploads" in self.query:
            name = f"upload-{next(self.s3.numbers)}"
            self.s3.uploads[name] = {}
            self._answer(
                200,
                f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId>"
                "</InitiateMultipartUploadResult>".encode(),
            )
        else:
            parts = self._upload()
            if any(len(parts[n]) < 5 * 2**20 for n in sorted(parts)[:-1]):
                raise _RefusedError(400, "EntityTooSmall")
            self.s3.objects[self.key] = (
                b"".join(parts[n] for n in sorted(parts)),
                datetime.now(UTC),
            )
            del self.s3.uploads[self.query["uploadId"]]
            self._answer(
                200,
                b"<CompleteMultipartUploadResult><ETag>whole</ETag>"
                b"</CompleteMultipartUploadResult>",
            )

    def _delete(self) -> None:
        if "uploadId" in self.query:
            self._upload()
            del self.s3.uploads[self.query["uploadId"]]
        else:
            self.s3.objects.pop(self.key, None)
        self._answer(204)

    def _upload(self) -> dict[int, bytes]:
        if self.query["uploadId"] not in self.s3.uploads:
            raise _RefusedError(404, "NoSuchUpload")
        return self.s3.uploads[self.query["uploadId"]]

    def _check_signature(self, path: str) -> None:
        """AWS Signature Version 4, in the header or in the query."""
        query = dict(self.query)
        if "X-Amz-Signature" in query:
            given = query.pop("X-Amz-Signature")
            credential, signed = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"]
            stamp, payload = query["X-Amz-Date"], "UNSIGNED-PAYLOAD"
            made = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            if datetime.now(UTC) > made + timedelta(seconds=int(query["X-Amz-Expires"])):
                raise _RefusedError(403, "AccessDenied")
        else:
            found = re.fullmatch(
                r"AWS4-HMAC-SHA256 Credential=(\S+), ?SignedHeaders=(\S+), ?Signature=(\w+)",
                self.headers.get("Authorization", ""),
            )
            if not found:
                raise _RefusedError(403, "AccessDenied")
            credential, signed, given = found.groups()
            stamp, payload = self.headers["X-Amz-Date"], self.headers["X-Amz-Content-Sha256"]
            if payload not in ("UNSIGNED-PAYLOAD", hashlib.sha256(self.body).hexdigest()):
                raise _RefusedError(400, "XAmzContentSHA256Mismatch")
        key_id, day, region, service, end = credential.split("/")
        if key_id != self.s3.access_key:
            raise _RefusedError(403, "InvalidAccessKeyId")
        pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in query.items())
        canonical = "\n".join(
            [
                self.command,
                path,
                "&".join(f"{k}={v}" for k, v in pairs),
                *(f"{n}:{self.headers[n].strip()}" for n in signed.split(";")),
                "",
                signed,
                payload,
            ]
        )
        scope = f"{day}/{region}/{service}/{end}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{self.s3.secret_key}".encode()
        for part in (day, region, service, end):
            key = hmac.digest(key, part.encode(), "sha256")
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
        if not hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), given):
            raise _RefusedError(403, "SignatureDoesNotMatch")


@pytest.fixture
def s3_server() -> Iterator[S3Server]:
    """An empty bucket."""
    server = S3Server()
    yield server
    server.stop()
