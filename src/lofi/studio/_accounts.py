"""The account on YouTube: its key, sealed; its quota, counted; and a client that uses both.

The key lies in the table `credentials`, encrypted with the studio's secret key. A refresh that
fails never touches it: what is wrong is noted beside it, and a person reads it there.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lofi.brief import InputError, LofiError
from lofi.channel import (
    FIGURES,
    Api,
    AuthError,
    BucketState,
    Client,
    Endpoints,
    QuotaError,
    Tokens,
    YouTube,
    answered,
    ask,
    consent,
    limits,
    next_reset,
    pacific_day,
    read_client,
    refresh,
    revoke,
    states,
)
from lofi.channel import PATIENCE_S as PATIENCE_S  # these three are for doors
from lofi.channel import Asked as Asked
from lofi.channel import YouTubeError as YouTubeError
from lofi.studio import _rounds
from lofi.studio._database import Database
from lofi.studio._errors import ConflictError
from lofi.studio._events import record
from lofi.studio._settings import Settings
from lofi.studio._studio import Studio
from lofi.studio._tables import Credential, Quota, now

PLATFORM = "youtube"
ENDPOINT = "LOFI_YOUTUBE_ENDPOINT"  # for tests: an address of this machine in Google's place
SECRET_KEY = "LOFI_SECRET_KEY"  # or the same with _FILE: where the key to all keys comes from  # noqa: S105
KEY_FILE = "secret.key"  # in the data folder, where the environment names none

TESTING = timedelta(days=7)  # how long a key lasts that an app in Testing was given
WARNED = timedelta(days=2)  # before it ends
_EARLY = timedelta(minutes=2)  # an access token is renewed so long before it ends
_KEY_LENGTH = 32  # characters at least
_CLIENT_BYTES = 100_000


def youtube(studio: Studio) -> Api:
    """YouTube of the connected account. Raises LofiError that says how to connect."""
    with studio.database.read() as session:
        if not is_connected(session):
            raise not_connected()
    return client_of(studio)


def client_of(studio: Studio) -> YouTube:
    """The studio's one client, whoever is connected when it is used."""
    with _making:
        if studio.api is None:
            studio.api = YouTube(
                lambda fresh: access_token(studio, fresh=fresh),
                QuotaLedger(studio.database, studio.settings),
                endpoints=endpoints(),
                sleep=lambda seconds: _rest(studio, seconds),
            )
        return studio.api


_making = threading.Lock()


def _rest(studio: Studio, seconds: float) -> None:
    """Wait, but not while the studio is being closed."""
    if studio.rounds is None:
        time.sleep(seconds)
    else:
        studio.rounds.rest(seconds)


class NotConnectedError(AuthError, ConflictError):
    """No account is connected."""


def not_connected() -> NotConnectedError:
    """What is raised where no account is connected."""
    return NotConnectedError(
        "no YouTube account is connected. Run `lofi youtube connect --client-secrets FILE`; "
        "docs/channel.md says where FILE comes from."
    )


def endpoints() -> Endpoints:
    """Google, or what the environment names for tests."""
    url = os.environ.get(ENDPOINT)
    return Endpoints.at(url) if url else Endpoints()


# Connecting ------------------------------------------------------------------------------------


def connect(
    studio: Studio,
    client_file: Path | None = None,
    *,
    show: Callable[[str], None],
    open_browser: bool = True,
    port: int = 0,
    actor: str,
) -> dict[str, Any]:
    """Have a person connect their YouTube account in the browser; gives it as `account` does.

    `client_file` may be left out when one was connected before. Raises LofiError with the remedy;
    what was connected before stays then.
    """
    where = endpoints()
    client = _read_client_file(client_file, where) if client_file else _known_client(studio)
    tokens = consent(client, where, show=show, open_browser=open_browser, now=now, port=port)
    return adopt(studio, client, tokens, actor=actor)


def ask_consent(studio: Studio, client_text: str | None, redirect_uri: str) -> Asked:
    """Begin to connect an account in a browser that comes back to an address of this machine.

    `client_text` is what the OAuth client's JSON file holds; None where one is connected. Raises
    InputError for what is no client.
    """
    client = read_client(client_text, endpoints()) if client_text else _known_client(studio)
    return ask(client, redirect_uri)


def take_consent(studio: Studio, asked: Asked, query: str, *, actor: str) -> dict[str, Any]:
    """Connect the account of a consent, by the query with which the browser came back.

    Raises LofiError with the remedy; what was connected before stays then.
    """
    tokens = answered(asked, query, endpoints(), now=now)
    return adopt(studio, asked.client, tokens, actor=actor)


def adopt(studio: Studio, client: Client, tokens: Tokens, *, actor: str) -> dict[str, Any]:
    """Make what a person consented to the studio's account. Raises YouTubeError."""
    assert tokens.refresh_token
    ledger = QuotaLedger(studio.database, studio.settings)
    asking = YouTube(lambda _fresh: tokens.access_token, ledger, endpoints=endpoints())
    try:
        found = asking.call("youtube.channels.list", params={"part": "snippet", "mine": True})
    finally:
        asking.close()
    if not found.get("items"):
        raise AuthError(
            "this Google account has no YouTube channel. Make one at youtube.com, or choose the "
            "right account when you connect."
        )
    channel = found["items"][0]
    sealed = _Sealed(client, tokens.refresh_token, tokens.access_token, tokens.access_until)
    text = sealed.seal(studio)
    with studio.database.write() as session:
        row = session.get(Credential, PLATFORM, with_for_update=True)
        before = row.account_id if row else None
        values = {
            "account_id": channel["id"],
            "account": channel["snippet"]["title"],
            "scopes": list(tokens.scopes),
            "sealed": text,
            "problem": None,
            "connected_at": now(),
            "expires_at": tokens.refresh_until,
            "updated_at": now(),
        }
        if row is None:
            session.add(Credential(platform=PLATFORM, **values))
        else:
            for name, value in values.items():
                setattr(row, name, value)
        record(
            session, actor, "connected", "account", PLATFORM,
            account_id=channel["id"], account=channel["snippet"]["title"], before=before,
            scopes=list(tokens.scopes),
        )  # fmt: skip
    return account(studio)


def _read_client_file(file: Path, where: Endpoints) -> Client:
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_CLIENT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(
            f"{file} cannot be read: {reason}. Give the JSON file of your OAuth client."
        ) from error
    try:
        return read_client(text, where)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _known_client(studio: Studio) -> Client:
    with studio.database.read() as session:
        row = session.get(Credential, PLATFORM)
    if row is None:
        raise InputError(
            "no OAuth client is known yet. Give its file: `lofi youtube connect --client-secrets "
            "FILE`; docs/channel.md says where it comes from."
        )
    return _Sealed.open(studio, row.sealed).client


def disconnect(studio: Studio, *, actor: str) -> dict[str, Any]:
    """Forget the account's key, and have Google end it; gives `account` and `ended_at_google`.

    Raises InputError where none is connected. The key is forgotten even where Google does not
    answer, or where it cannot be opened any more.
    """
    with studio.database.read() as session:
        row = session.get(Credential, PLATFORM)
    if row is None:
        raise ConflictError("no YouTube account is connected: there is nothing to disconnect.")
    ended = False
    with suppress(LofiError):
        sealed = _Sealed.open(studio, row.sealed)
        ended = revoke(sealed.refresh_token, sealed.client, endpoints())
    with studio.database.write() as session:
        session.execute(sa.delete(Credential).where(Credential.platform == PLATFORM))
        record(
            session, actor, "disconnected", "account", PLATFORM,
            account_id=row.account_id, account=row.account, ended_at_google=ended,
        )  # fmt: skip
    return {"account": row.account, "account_id": row.account_id, "ended_at_google": ended}


def is_connected(session: Any) -> bool:
    """Whether there is an account, whatever may be wrong with it."""
    return session.get(Credential, PLATFORM) is not None


def account(studio: Studio) -> dict[str, Any]:
    """The connection as plain values: never the key itself.

    `warning` announces that the key will end; `problem` is what already went wrong.
    """
    with studio.database.read() as session:
        row = session.get(Credential, PLATFORM)
    if row is None:
        return {
            "connected": False, "account": None, "account_id": None, "scopes": [],
            "figures": False, "connected_at": None, "expires_at": None, "warning": None,
            "problem": None,
        }  # fmt: skip
    return {
        "connected": True,
        "account": row.account,
        "account_id": row.account_id,
        "scopes": row.scopes,
        "figures": FIGURES in row.scopes,
        "connected_at": row.connected_at,
        "expires_at": row.expires_at,
        "warning": warning(row, now()),
        "problem": row.problem,
    }


_PUBLISH = (
    "Publish your Google project's consent screen (Google Cloud console, Audience, Publish app), "
    "then run `lofi youtube connect` again: a key that was given in Testing keeps its end."
)


def warning(row: Credential, moment: datetime) -> str | None:
    """Why the key will end soon, if it will or may; None where nothing says so.

    Google tells the end of some keys. Where it tells none, an app in Testing is recognised by
    nothing but that its key ends after seven days: so from the fifth on it is said that it may.
    """
    if row.expires_at is not None:
        left = row.expires_at - moment
        if left > WARNED:
            return None
        when = f"{row.expires_at:%Y-%m-%d %H:%M} UTC"
        verb = "ended" if left < timedelta() else "will end"
        return f"the connection to {row.account} {verb} at {when}, says Google. {_PUBLISH}"
    age = moment - row.connected_at
    if TESTING - WARNED <= age < TESTING:
        return (
            f"should your Google project be in Testing, the connection to {row.account} will end "
            f"at {row.connected_at + TESTING:%Y-%m-%d %H:%M} UTC. {_PUBLISH} If it is published, "
            "nothing need be done."
        )
    return None


def status(studio: Studio) -> dict[str, Any]:
    """The connection, what is left of the quota, and what goes wrong: plain values, no secrets."""
    settings = studio.settings()
    with studio.database.read() as session:
        buckets = quota(session, settings)
        told = _rounds.troubles(session)
    return {
        **account(studio),
        "uploads": settings.youtube.uploads,
        "quota": [
            {
                "bucket": b.bucket, "told": b.told, "used": b.used, "limit": b.limit,
                "left": b.left, "resets_at": b.resets_at,
            }
            for b in buckets
        ],
        "troubles": {name: trouble["error"] for name, trouble in told.items()},
    }  # fmt: skip


# The key ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What is kept encrypted."""

    client: Client
    refresh_token: str
    access_token: str
    access_until: datetime

    def __repr__(self) -> str:
        return "_Sealed(…)"

    def seal(self, studio: Studio) -> str:
        from cryptography.fernet import Fernet

        told = {
            "client": self.client.to_json(),
            "refresh_token": self.refresh_token,
            "access_token": self.access_token,
            "access_until": self.access_until.isoformat(),
        }
        return Fernet(secret_key(studio)).encrypt(json.dumps(told).encode()).decode()

    @classmethod
    def open(cls, studio: Studio, sealed: str) -> _Sealed:
        """Raises AuthError with the remedy where the secret key is another one by now."""
        from cryptography.fernet import Fernet, InvalidToken

        try:
            told = json.loads(Fernet(secret_key(studio)).decrypt(sealed.encode()))
        except InvalidToken as error:
            raise AuthError(
                "the account's key cannot be opened: the studio's secret key is another one than "
                f"when it was connected. Give the old one back ({SECRET_KEY}, {SECRET_KEY}_FILE or "
                f"{studio.folder / KEY_FILE}), or run `lofi youtube connect --client-secrets FILE`."
            ) from error
        return cls(
            Client(**told["client"]),
            told["refresh_token"],
            told["access_token"],
            datetime.fromisoformat(told["access_until"]),
        )


def secret_key(studio: Studio) -> bytes:
    """The key with which keys are sealed, for Fernet (AES-128-CBC with HMAC-SHA-256).

    From LOFI_SECRET_KEY, or the file that LOFI_SECRET_KEY_FILE names, or `secret.key` in the data
    folder, which is made with a random one at first. Raises LofiError for a file that others may
    read, InputError for a key that is too short.
    """
    text = os.environ.get(SECRET_KEY)
    named = os.environ.get(f"{SECRET_KEY}_FILE")
    where = SECRET_KEY
    if not text:
        file = Path(named) if named else studio.folder / KEY_FILE
        where = str(file)
        if not named and not file.exists():
            _make_key_file(file)
        text = _read_key_file(file, ours=not named)
    text = text.strip()
    if len(text) < _KEY_LENGTH:
        raise InputError(
            f"the secret key in {where} has {len(text)} characters; {_KEY_LENGTH} are the least. "
            "Make one with `openssl rand -base64 33`."
        )
    digest = hashlib.sha256(b"lofi secret key\0" + text.encode()).digest()
    return base64.urlsafe_b64encode(digest)


def _make_key_file(file: Path) -> None:
    """Write a random key, unless another process is faster: then that one's stands."""
    aside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as opened:
            opened.write(secrets.token_urlsafe(48) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        with suppress(FileExistsError):
            os.link(aside, file)
    finally:
        aside.unlink()


def _read_key_file(file: Path, *, ours: bool) -> str:
    try:
        with file.open(encoding="utf-8") as opened:
            # A file that a container mounts as a secret has whatever rights it has.
            if ours and os.fstat(opened.fileno()).st_mode & 0o077:
                raise LofiError(f"{file} can be read by others. Run: chmod 600 {file}")
            return opened.read(10_000)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise LofiError(
            f"the secret key cannot be read from {file}: {reason}. Restore the file; without it "
            "the account must be connected again."
        ) from error


def access_token(studio: Studio, *, fresh: bool = False) -> str:
    """A key for requests of the next minutes; a new one if the last was `fresh`ly refused.

    Raises AuthError, noted as the account's problem, where Google gives none any more, and
    TransientError where it cannot be reached. What is stored stays as it was, then.
    """
    row, sealed = _stored(studio)
    if not fresh and _holds(sealed):
        return sealed.access_token
    with _alone(studio):
        row, again = _stored(studio)
        if again.access_token != sealed.access_token and _holds(again):
            return again.access_token  # somebody else was faster
        sealed = again
        try:
            tokens = refresh(sealed.client, sealed.refresh_token, endpoints(), now=now)
        except AuthError as error:
            note_problem(studio, str(error), sealed=row.sealed)
            raise
        renewed = replace(
            sealed,
            access_token=tokens.access_token,
            access_until=tokens.access_until,
            refresh_token=tokens.refresh_token or sealed.refresh_token,
        ).seal(studio)
        with studio.database.write() as session:
            # Only over what was read: an account that was connected meanwhile stays connected.
            session.execute(
                sa.update(Credential)
                .where(Credential.platform == PLATFORM, Credential.sealed == row.sealed)
                .values(sealed=renewed, problem=None, updated_at=now())
            )
        return tokens.access_token


def _stored(studio: Studio) -> tuple[Credential, _Sealed]:
    with studio.database.read() as session:
        row = session.get(Credential, PLATFORM)
    if row is None:
        raise not_connected()
    return row, _Sealed.open(studio, row.sealed)


def _holds(sealed: _Sealed) -> bool:
    return sealed.access_until - now() > _EARLY


def note_problem(studio: Studio, problem: str, *, sealed: str | None = None) -> None:
    """Note beside the key what a person must do something about."""
    with studio.database.write() as session:
        row = session.get(Credential, PLATFORM, with_for_update=True)
        if row is None or (sealed and row.sealed != sealed):
            return
        if row.problem != problem:
            record(session, "youtube", "has a problem", "account", PLATFORM, problem=problem)
        row.problem, row.updated_at = problem, now()


@contextmanager
def _alone(studio: Studio) -> Iterator[None]:
    """Only one of all threads, processes and machines of the studio at a time.

    A file lock where all are on this machine, else a lock of the database: either goes with its
    process, however that ends.
    """
    if studio.database.is_sqlite:
        with (studio.folder / "youtube.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    else:
        with studio.database.read() as session:
            session.execute(
                sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("lofi oauth")))
            )
            yield


# Quota -----------------------------------------------------------------------------------------


class QuotaLedger:
    """A ledger in the database: all workers draw from the same buckets."""

    def __init__(self, database: Database, settings: Any) -> None:
        """`settings` gives the settings now."""
        self._database, self._settings = database, settings

    def reserve(self, bucket: str, units: int) -> None:
        """See `lofi.channel.Ledger`: one conditional UPDATE, so that no two take the same units."""
        moment = now()
        allowed = allowances(self._settings())[bucket]
        day = pacific_day(moment)
        with self._database.write() as session:
            _open_day(session, bucket, day)
            taken = session.execute(
                sa.update(Quota)
                .where(
                    Quota.platform == PLATFORM,
                    Quota.bucket == bucket,
                    Quota.day == day,
                    Quota.used + units <= allowed,
                )
                .values(used=Quota.used + units)
            )
            if taken.rowcount == 1:  # type: ignore[attr-defined]
                return
        reset = next_reset(moment)
        raise QuotaError(
            f"today's quota of YouTube for {bucket} does not suffice: this needs {units:,} of "
            f"{allowed:,} units. Nothing was sent. It begins anew at {reset:%Y-%m-%d %H:%M} UTC; "
            "`lofi youtube status` shows what is left."
        )

    def exhaust(self, bucket: str) -> None:
        """See `lofi.channel.Ledger`."""
        allowed, day = allowances(self._settings())[bucket], pacific_day(now())
        with self._database.write() as session:
            _open_day(session, bucket, day)
            session.execute(
                sa.update(Quota)
                .where(Quota.platform == PLATFORM, Quota.bucket == bucket, Quota.day == day)
                .values(used=sa.func.max(Quota.used, allowed) if self._database.is_sqlite
                        else sa.func.greatest(Quota.used, allowed))
            )  # fmt: skip


def _open_day(session: Any, bucket: str, day: str) -> None:
    """See to it that the row of a day is there, whoever else does so at the same time."""
    from sqlalchemy.dialects import postgresql, sqlite

    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(
        dialect.insert(Quota)
        .values(platform=PLATFORM, bucket=bucket, day=day, used=0)
        .on_conflict_do_nothing()
    )


def allowances(settings: Settings) -> dict[str, int]:
    """Units a day by bucket."""
    group = settings.youtube
    return limits(group.units_per_day, group.uploads_per_day)


def quota(session: Any, settings: Settings) -> list[BucketState]:
    """What is used and left of every bucket today."""
    moment = now()
    rows = session.execute(
        sa.select(Quota.bucket, Quota.used).where(
            Quota.platform == PLATFORM, Quota.day == pacific_day(moment)
        )
    )
    return states({row[0]: row[1] for row in rows}, allowances(settings), moment)
