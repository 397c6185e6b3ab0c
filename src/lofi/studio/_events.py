"""The audit trail: who did what to which thing, written in the transaction that does it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from lofi.studio._tables import Event


def record(session: Session, actor: str, verb: str, kind: str, subject: str, **detail: Any) -> None:
    """Append an event such as ("token:ci", "cancelled", "job", "8f3a…"). `detail` is plain JSON."""
    session.add(Event(actor=actor, verb=verb, kind=kind, subject=subject, detail=detail))
