"""Requests that are made once, however often they are sent: idempotency keys.

What is done and the note that it was done are one transaction, so of twins that arrive at the same
time exactly one does it and the other is told what was answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from lofi.brief import InputError
from lofi.studio._database import Database
from lofi.studio._tables import Answer, now

KEEP = timedelta(hours=24)

Write = Callable[[Session], dict[str, Any]]


class KeyReusedError(InputError):
    """The idempotency key was used for another request."""


def once(
    database: Database,
    who: str,
    key: str | None,
    request: str,
    prepare: Callable[[], Write],
    *,
    status: int = 200,
) -> tuple[dict[str, Any], bool]:
    """Do a request in one transaction, or tell what was answered to it; gives (answer, told again).

    `request` is all that it asks for, as text. `prepare` checks it and gives the function that
    writes it and gives the answer, which is told with `status`; an error of either leaves nothing
    and is not remembered. Without a `key` it is done each time. Raises KeyReusedError for a key
    that belongs to another request of the same person.
    """
    if key is None:
        write = prepare()
        with database.write() as session:
            return write(session), False
    digest = hashlib.sha256(request.encode()).hexdigest()
    with database.read() as session:
        answer = _find(session, who, key, digest)
    if answer is not None:
        return answer, True
    write = prepare()
    try:
        with database.write() as session:
            return _do(session, who, key, digest, status, write)
    except IntegrityError:
        # A twin wrote its answer while we waited for the row.
        with database.read() as session:
            answer = _find(session, who, key, digest)
        if answer is None:
            raise
        return answer, True


def _find(session: Session, who: str, key: str, digest: str) -> dict[str, Any] | None:
    row = session.get(Answer, (who, key))
    if row is None or row.created_at < now() - KEEP:
        return None
    if row.request_sha256 != digest:
        raise KeyReusedError(
            f"the idempotency key {key!r} was used for another request. Send a new key with it."
        )
    return row.body


def _do(
    session: Session, who: str, key: str, digest: str, status: int, write: Write
) -> tuple[dict[str, Any], bool]:
    session.execute(sa.delete(Answer).where(Answer.created_at < now() - KEEP))
    answer = _find(session, who, key, digest)
    if answer is not None:
        return answer, True
    row = Answer(principal=who, key=key, request_sha256=digest, status=status, body={})
    session.add(row)
    session.flush()  # a twin waits here until this transaction has ended
    row.body = write(session)
    return row.body, False
