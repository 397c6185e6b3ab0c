"""Requests that are made once, however often they are sent: idempotency keys.

Where something is ordered (`once`), what is done and the note that it was done are one transaction,
so of twins that arrive at the same time exactly one does it and the other is told what was
answered. What cannot be done in one transaction is noted before (`begin`) and after (`finish`).
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
from lofi.studio._errors import ConflictError
from lofi.studio._tables import Answer, now

KEEP = timedelta(hours=24)
_BEGUN = 0  # in place of the status of an answer that is not there yet

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


def begin(
    database: Database, who: str, key: str, request: str
) -> tuple[int, dict[str, Any] | list[Any] | None] | None:
    """Note that a request begins; or the (status, answer) that it had.

    Raises KeyReusedError like `once`, and ConflictError if it was begun before and has not ended.
    """
    digest = hashlib.sha256(request.encode()).hexdigest()
    try:
        with database.write() as session:
            session.execute(sa.delete(Answer).where(Answer.created_at < now() - KEEP))
            if _find(session, who, key, digest) is None:
                session.add(
                    Answer(principal=who, key=key, request_sha256=digest, status=_BEGUN, body={})
                )
                return None
    except IntegrityError:
        pass  # a twin began at the same time
    with database.read() as session:
        row = session.get(Answer, (who, key))
        if row is not None and row.status != _BEGUN:
            return row.status, row.body["answer"]
    raise ConflictError(
        f"a request with the idempotency key {key!r} was begun and has not ended. See what became "
        "of it; to do it again, send another key."
    )


def finish(
    database: Database, who: str, key: str, status: int, answer: dict[str, Any] | list[Any] | None
) -> None:
    """Note what was answered to a request that began."""
    with database.write() as session:
        row = session.get_one(Answer, (who, key))
        row.status, row.body = status, {"answer": answer}


def forget(database: Database, who: str, key: str) -> None:
    """A request that began came to nothing: it may be made again."""
    with database.write() as session:
        session.execute(sa.delete(Answer).where(Answer.principal == who, Answer.key == key))


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
