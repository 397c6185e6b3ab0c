"""Who may do what: tokens, the password and its sessions, and who needs none.

A token is a random secret that is shown once; only its hash is kept. As long as there is neither a
token nor a password, whoever sits at this machine needs none. From the first one on, everybody
does; a token that has expired still counts, so that time alone opens nothing. The password opens
the dashboard: a browser that gave it has a session, in a table, which ends when it is ended there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
import secrets
import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session as DatabaseSession

from lofi.brief import InputError, LofiError, one_of
from lofi.studio._database import Database, DatabaseError
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._settings import Settings
from lofi.studio._tables import Preference, Session, Token, now

PREFIX = "lofi_"  # by which leaked secrets are recognised
SCOPES = ("read", "write", "publish", "admin")  # each may also do what those before it may
_WELCOMED = "welcomed"
PASSWORD = "password"  # the preference that holds the hash of one  # noqa: S105

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_SESSION_ID = re.compile(r"[0-9a-f]{8,64}")
_NOTED_EVERY = timedelta(minutes=1)

SESSION = timedelta(days=30)  # since it was last used
PASSWORD_LENGTHS = (10, 200)
# As OWASP's Password Storage Cheat Sheet gives them for scrypt: 32 MiB and a tenth of a second.
_SCRYPT = {"n": 2**15, "r": 8, "p": 3}
_SCRYPT_MEMORY = 64 * 2**20


class WrongPasswordError(InputError):
    """What was given is not the password."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: `token:NAME`, `owner` with the password, or `local` at this machine.

    `due`: it is a minute since it was noted that they did; see `note`.
    """

    name: str
    scopes: tuple[str, ...]
    token_id: int | None = None
    session_sha256: str | None = None
    due: bool = field(default=False, compare=False)

    def may(self, scope: str) -> bool:
        """Whether a scope of theirs is `scope` or goes beyond it."""
        return any(SCOPES.index(s) >= SCOPES.index(scope) for s in self.scopes)


LOCAL = Principal("local", ("admin",))
OWNER = "owner"


# Tokens ----------------------------------------------------------------------------------------


def create_token(
    session: DatabaseSession,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    *,
    actor: str = LOCAL.name,
) -> str:
    """Make a token and give its secret, which cannot be had again.

    Raises InputError for a name or scope that cannot be used, and for a moment that has passed.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"a token cannot be called {name!r}. Use up to 64 letters, digits, spaces, dots, "
            "hyphens and underscores, the first a letter or digit."
        )
    if not scopes:
        raise InputError(f"a token without scopes may do nothing. Give one of {', '.join(SCOPES)}.")
    named = {one_of(scope, SCOPES, "scope") for scope in scopes}
    if expires_at is not None and expires_at <= now():
        raise InputError("the token would have expired already. Give a moment that is to come.")
    if session.scalar(sa.select(Token.id).where(Token.name == name, Token.revoked_at.is_(None))):
        raise ConflictError(
            f"there is a token {name!r} already. Revoke it, or choose another name."
        )
    secret = PREFIX + secrets.token_urlsafe(32)
    token = Token(
        name=name,
        sha256=hash_of(secret),
        scopes=[s for s in SCOPES if s in named],
        expires_at=expires_at,
    )
    session.add(token)
    session.flush()
    record(session, actor, "created", "token", str(token.id), name=name, scopes=token.scopes)
    return secret


def hash_of(secret: str) -> str:
    """What is kept of a secret. It has 256 random bits, so one round of SHA-256 hides it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def tokens(session: DatabaseSession) -> list[dict[str, Any]]:
    """All tokens as plain values without their secrets, the newest first."""
    return [_view(token) for token in session.scalars(sa.select(Token).order_by(Token.id.desc()))]


def describe_token(session: DatabaseSession, secret: str) -> dict[str, Any]:
    """The token of a secret as plain values."""
    return _view(session.scalars(sa.select(Token).where(Token.sha256 == hash_of(secret))).one())


def revoke_token(session: DatabaseSession, token_id: int, *, actor: str) -> None:
    """Have a token open nothing any more. Raises NotFoundError; twice is once."""
    token = session.get(Token, token_id, with_for_update=True)
    if token is None:
        raise NotFoundError(f"there is no token {token_id}. GET /api/tokens lists them.")
    if token.revoked_at is None:
        token.revoked_at = now()
        record(session, actor, "revoked", "token", str(token.id), name=token.name)


def _view(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "used_at": token.used_at,
        "revoked_at": token.revoked_at,
    }


# The password and its sessions -----------------------------------------------------------------


def change_password(
    database: Database,
    present: str,
    password: str | None,
    *,
    actor: str,
    agent: str | None = None,
    stay_open: bool = True,
) -> str | None:
    """Set another password, or none for None, given the present one (anything where there is none).

    Whoever was logged in is not any more; with `agent` a session is begun and its secret given.
    Raises WrongPasswordError; InputError if the new one cannot be used, or if nobody would need
    anything any more and the studio may not `stay_open`.
    """
    with database.read() as session:
        kept = _kept(session)
    right = kept is None or _is(present, kept)
    secret = None
    with database.write() as session:
        if not right:
            record(session, actor, "refused", "password", "dashboard")
        elif _kept(session, lock=True) != kept:
            raise ConflictError("the password was changed meanwhile. Log in with the new one.")
        elif password is not None:
            set_password(session, password, actor=actor)
            if agent is not None:
                secret = begin_session(session, agent)
        else:
            remove_password(session, actor=actor)
            if not stay_open and not is_locked(session):
                raise InputError(
                    "the studio answers beyond this machine, so it needs a lock: make a token "
                    "first, or set server.host to 127.0.0.1."
                )
    if not right:
        raise WrongPasswordError("that is not the present password. Forgotten? `lofi password`.")
    return secret


def _kept(session: DatabaseSession, *, lock: bool = False) -> dict[str, Any] | None:
    row = session.get(Preference, PASSWORD, with_for_update=lock or None)
    return row.value if row else None


def set_password(session: DatabaseSession, password: str, *, actor: str) -> None:
    """Set the password of the dashboard; whoever was logged in is not any more.

    Raises InputError for one that is too short to keep anybody out, or too long.
    """
    shortest, longest = PASSWORD_LENGTHS
    if not shortest <= len(password) <= longest:
        raise InputError(f"a password has {shortest} to {longest} characters. Choose another.")
    if len(set(password)) < 4:
        raise InputError("that password is guessed at once. Choose one of several words.")
    salt = secrets.token_bytes(16)
    value = {
        "scrypt": _SCRYPT,
        "salt": base64.b64encode(salt).decode(),
        "hash": base64.b64encode(_stretched(password, salt, _SCRYPT)).decode(),
    }
    row = session.get(Preference, PASSWORD, with_for_update=True)
    if row is None:
        session.add(Preference(name=PASSWORD, value=value, updated_by=actor))
    else:
        row.value, row.updated_by, row.updated_at = value, actor, now()
    session.execute(sa.delete(Session))
    record(session, actor, "set", "password", "dashboard")


def remove_password(session: DatabaseSession, *, actor: str) -> None:
    """Have no password; whoever was logged in is not any more."""
    row = session.get(Preference, PASSWORD, with_for_update=True)
    if row is not None:
        session.delete(row)
        session.execute(sa.delete(Session))
        record(session, actor, "removed", "password", "dashboard")


def has_password(session: DatabaseSession) -> bool:
    """Whether the dashboard asks for a password."""
    return session.get(Preference, PASSWORD) is not None


def leave_open(session: DatabaseSession, *, actor: str) -> None:
    """Note that a person wants no password for now: they are not asked at each visit."""
    if session.get(Preference, _WELCOMED) is None:
        session.add(Preference(name=_WELCOMED, value={"password": "later"}, updated_by=actor))
        record(session, actor, "left open", "password", "dashboard")


def should_welcome(session: DatabaseSession) -> bool:
    """Whether nobody has yet said whether there shall be a password."""
    return not is_locked(session) and session.get(Preference, _WELCOMED) is None


def log_in(
    database: Database, password: str, *, agent: str = "", instead_of: str = ""
) -> str | None:
    """The secret of a new session, for a cookie; None if the password is wrong or there is none.

    The session whose secret is `instead_of`, which this browser had until now, ends.
    """
    with database.read() as session:
        kept = _kept(session)
    if kept is None:
        return None
    right = _is(password, kept)
    with database.write() as session:
        if not right:
            record(session, "nobody", "refused", "session", "password")
            return None
        if _kept(session) != kept:  # changed while this one was stretched
            return None
        if instead_of:
            log_out(session, hash_of(instead_of), actor=OWNER)
        return begin_session(session, agent)


def begin_session(session: DatabaseSession, agent: str) -> str:
    """The secret of a new session, for who gave the password; those that are over are forgotten."""
    secret = secrets.token_urlsafe(32)
    session.execute(sa.delete(Session).where(Session.expires_at <= now()))
    session.add(Session(sha256=hash_of(secret), agent=agent[:300], expires_at=now() + SESSION))
    record(session, OWNER, "began", "session", hash_of(secret)[:8])
    return secret


def _is(password: str, kept: dict[str, Any]) -> bool:
    """Whether a password is the one of which `kept` is kept. Takes a tenth of a second."""
    if len(password) > PASSWORD_LENGTHS[1]:
        return False
    made = _stretched(password, base64.b64decode(kept["salt"]), kept["scrypt"])
    return hmac.compare_digest(made, base64.b64decode(kept["hash"]))


def end_others(session: DatabaseSession, mine: str | None, *, actor: str) -> int:
    """End all sessions but that of this hash; gives how many ended."""
    found = session.scalars(sa.select(Session).where(Session.sha256 != (mine or ""))).all()
    for row in found:
        session.delete(row)
    if found:
        record(session, actor, "ended", "session", "others", count=len(found))
    return len(found)


def log_out(session: DatabaseSession, session_sha256: str, *, actor: str) -> None:
    """End a session, by the hash of its secret or the first 8 digits of it; twice is once."""
    if not _SESSION_ID.fullmatch(session_sha256):
        return
    found = session.scalars(sa.select(Session).where(Session.sha256.startswith(session_sha256)))
    for row in found.all():
        session.delete(row)
        record(session, actor, "ended", "session", row.sha256[:8])


def sessions(session: DatabaseSession) -> list[dict[str, Any]]:
    """The browsers that are logged in, the last used first."""
    rows = session.scalars(
        sa.select(Session).where(Session.expires_at > now()).order_by(Session.used_at.desc())
    )
    return [
        {
            "id": row.sha256[:8],
            "agent": row.agent,
            "created_at": row.created_at,
            "used_at": row.used_at,
            "expires_at": row.expires_at,
        }
        for row in rows
    ]


def of_session(database: Database, secret: str) -> Principal | None:
    """Whose session it is; None where it has ended."""
    sha256 = hash_of(secret)
    with database.read() as session:
        row = session.execute(
            sa.select(Session.expires_at, Session.used_at).where(Session.sha256 == sha256)
        ).one_or_none()
    if row is None or row.expires_at <= now():
        return None
    due = now() - row.used_at > _NOTED_EVERY
    return Principal(OWNER, ("admin",), session_sha256=sha256, due=due)


def _stretched(password: str, salt: bytes, cost: dict[str, int]) -> bytes:
    # One spelling, whichever keyboard typed it.
    text = unicodedata.normalize("NFKC", password)
    return hashlib.scrypt(
        text.encode("utf-8", "surrogatepass"),
        salt=salt,
        maxmem=_SCRYPT_MEMORY,
        dklen=32,
        **cost,
    )


# Who asks --------------------------------------------------------------------------------------


def authenticate(database: Database, secret: str) -> Principal | None:
    """Who has this secret; None where it opens nothing.

    It is looked for by its hash, so that the time this takes tells nothing of any secret.
    """
    with database.read() as session:
        token = session.execute(_TOKEN.where(Token.sha256 == hash_of(secret))).one_or_none()
    if token is None or not _opens(token):
        return None
    due = token.used_at is None or now() - token.used_at > _NOTED_EVERY
    return Principal(f"token:{token.name}", tuple(token.scopes), token.id, due=due)


_TOKEN = sa.select(
    Token.id, Token.name, Token.scopes, Token.expires_at, Token.used_at, Token.revoked_at
)


def note(database: Database, who: Principal) -> None:
    """Note that somebody asks, once a minute; a session that is used lasts longer."""
    if not who.due:
        return
    with suppress(DatabaseError), database.write() as session:
        if who.token_id is not None:
            used = sa.update(Token).where(Token.id == who.token_id).values(used_at=now())
        else:
            used = (
                sa.update(Session)
                .where(Session.sha256 == who.session_sha256)
                .values(used_at=now(), expires_at=now() + SESSION)
            )
        session.execute(used)


def _opens(token: Any) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now())


def is_locked(place: DatabaseSession | Database) -> bool:
    """Whether everybody needs a token: there is one that was not revoked, or a password."""
    return bool(place.value(_LOCKED) if isinstance(place, Database) else place.scalar(_LOCKED))


_LOCKED = sa.select(
    sa.or_(
        sa.exists().where(Token.revoked_at.is_(None)),
        sa.exists().where(Preference.name == PASSWORD),
    )
)


def is_valid(session: DatabaseSession, who: Principal) -> bool:
    """Whether somebody who was let in earlier would be let in now."""
    if who.session_sha256 is not None:
        row = session.get(Session, who.session_sha256)
        return row is not None and row.expires_at > now()
    if who.token_id is None:
        return not is_locked(session)
    token = session.get(Token, who.token_id)
    return token is not None and _opens(token)


# Where it answers ------------------------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Whether a host name or address (an IPv6 one with or without brackets) is this machine."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def require_safe_binding(settings: Settings, session: DatabaseSession) -> None:
    """Raise LofiError where others could reach a studio that nobody needs a token for."""
    host = settings.server.host
    if is_loopback(host) or is_locked(session):
        return
    raise LofiError(
        f"server.host is {host}: other machines could reach the studio, and nobody needs a token "
        "yet. Make one first (`lofi token create NAME --scopes admin`) or set a password "
        "(`lofi password`), or set server.host to 127.0.0.1."
    )
