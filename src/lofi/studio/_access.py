"""Who may do what: tokens, their scopes, and who needs none.

A token is a random secret that is shown once; only its hash is kept. As long as there is neither a
token nor a password, whoever sits at this machine needs none. From the first one on, everybody
does; a token that has expired still counts, so that time alone opens nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import InputError, LofiError, one_of
from lofi.studio._database import Database, DatabaseError
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._settings import Settings
from lofi.studio._tables import Preference, Token, now

PREFIX = "lofi_"  # by which leaked secrets are recognised
SCOPES = ("read", "write", "publish", "admin")  # each may also do what those before it may
PASSWORD = "password"  # the preference that holds the hash of one  # noqa: S105

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: `token:NAME`, or `local` for whoever sits at this machine."""

    name: str
    scopes: tuple[str, ...]
    token_id: int | None = None

    def may(self, scope: str) -> bool:
        """Whether a scope of theirs is `scope` or goes beyond it."""
        return any(SCOPES.index(s) >= SCOPES.index(scope) for s in self.scopes)


LOCAL = Principal("local", ("admin",))


# Tokens ----------------------------------------------------------------------------------------


def create_token(
    session: Session,
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


def tokens(session: Session) -> list[dict[str, Any]]:
    """All tokens as plain values without their secrets, the newest first."""
    return [_view(token) for token in session.scalars(sa.select(Token).order_by(Token.id.desc()))]


def describe_token(session: Session, secret: str) -> dict[str, Any]:
    """The token of a secret as plain values."""
    return _view(session.scalars(sa.select(Token).where(Token.sha256 == hash_of(secret))).one())


def revoke_token(session: Session, token_id: int, *, actor: str) -> None:
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


# Who asks --------------------------------------------------------------------------------------


def authenticate(database: Database, secret: str) -> Principal | None:
    """Who has this secret; None where it opens nothing. Notes once a minute that it is in use.

    It is looked for by its hash, so that the time this takes tells nothing of any secret.
    """
    with database.read() as session:
        token = session.scalar(sa.select(Token).where(Token.sha256 == hash_of(secret)))
    if token is None or not _opens(token):
        return None
    if token.used_at is None or now() - token.used_at > _NOTED_EVERY:
        with suppress(DatabaseError), database.write() as session:
            session.execute(sa.update(Token).where(Token.id == token.id).values(used_at=now()))
    return Principal(f"token:{token.name}", tuple(token.scopes), token.id)


def _opens(token: Token) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now())


def is_locked(session: Session) -> bool:
    """Whether everybody needs a token: there is one that was not revoked, or a password."""
    there = sa.select(Token.id).where(Token.revoked_at.is_(None)).limit(1)
    return session.scalar(there) is not None or session.get(Preference, PASSWORD) is not None


def is_valid(session: Session, who: Principal) -> bool:
    """Whether somebody who was let in earlier would be let in now."""
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


def require_safe_binding(settings: Settings, session: Session) -> None:
    """Raise LofiError where others could reach a studio that nobody needs a token for."""
    host = settings.server.host
    if is_loopback(host) or is_locked(session):
        return
    raise LofiError(
        f"server.host is {host}: other machines could reach the studio, and nobody needs a token "
        "yet. Make one first (`lofi token create NAME --scopes admin`), or set server.host to "
        "127.0.0.1."
    )
