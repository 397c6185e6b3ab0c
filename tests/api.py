"""A studio that answers over HTTP, for tests: a real server on a free port, on a real database."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from lofi.studio import Studio

SMALL = {"width": 320, "height": 180, "fps": 10, "threads": 1}
SHORT = {"mood": "chill", "duration": 10, "seed": 7}


@dataclass
class Api:
    """A running server: its studio, its address, and a client that needs no token."""

    studio: Studio
    url: str
    client: httpx.Client = field(repr=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)  # api.get(...), api.post(...)

    @property
    def live_url(self) -> str:
        return f"ws{self.url.removeprefix('http')}/api/live"

    def token(self, name: str = "ci", *scopes: str) -> dict[str, str]:
        """Headers of a new token."""
        from lofi.studio import access

        with self.studio.database.write() as session:
            secret = access.create_token(session, name, scopes or ("admin",))
        return {"Authorization": f"Bearer {secret}"}

    def order(self, **brief: Any) -> str:
        """The id of a new job."""
        answer = self.client.post("/api/generate", json=SHORT | brief)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def until(self, job_id: str, *states: str, within_s: float = 120) -> dict[str, Any]:
        """A job as soon as it is in one of some states."""
        deadline = time.monotonic() + within_s
        while True:
            job = self.client.get(f"/api/jobs/{job_id}").json()
            if job["state"] in states:
                return job
            assert time.monotonic() < deadline, job
            time.sleep(0.1)


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem that an answer tells, of the kind that is expected."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["type"] == f"/problems/{kind}", told
    assert told["status"] == status
    assert told["title"]
    assert told["detail"]
    assert "Traceback" not in answer.text
    assert "site-packages" not in answer.text
    return told


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with all tables and nothing in them."""
    from lofi.studio import Settings, open_studio

    folder = tmp_path_factory.mktemp("migrated")
    open_studio(Settings(studio={"folder": folder})).close()  # type: ignore[arg-type]
    return folder / "studio.db"


@contextmanager
def serving(folder: Path, migrated: Path | None = None, **groups: dict[str, Any]) -> Iterator[Api]:
    """A server on a studio in `folder`; `groups` are settings by group."""
    from lofi.studio import Settings, open_studio

    house = {"folder": folder / "studio", **groups.pop("studio", {})}
    paths = {"model": folder / "models" / "lofi-gpt2", "soundfonts": folder / "soundfonts"}
    if migrated is not None:
        house["folder"].mkdir()
        shutil.copy(migrated, house["folder"] / "studio.db")
    values: dict[str, Any] = {
        **groups,
        "studio": house,
        "paths": paths | groups.get("paths", {}),
        "video": SMALL | groups.get("video", {}),
    }
    settings = Settings(**values)
    with (
        open_studio(settings) as studio,
        _answering(studio) as url,
        httpx.Client(base_url=url, timeout=30) as client,
    ):
        yield Api(studio, url, client)


@contextmanager
def _answering(studio: Studio) -> Iterator[str]:
    import uvicorn

    from lofi.web import create_app, server_config

    app = create_app(studio)
    server = uvicorn.Server(server_config(app, studio.base, port=0, host="127.0.0.1"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive(), "the server did not stop"


@pytest.fixture
def api(tmp_path: Path, migrated: Path) -> Iterator[Api]:
    """A server whose jobs stay queued."""
    with serving(tmp_path, migrated) as running:
        yield running


@pytest.fixture
def working_api(tmp_path: Path, migrated: Path) -> Iterator[Api]:
    """A server that carries out its jobs."""
    with serving(tmp_path, migrated, work={"niceness": 0}) as running:
        running.studio.work()
        yield running
