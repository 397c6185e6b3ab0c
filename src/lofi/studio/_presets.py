"""Presets: orders that are kept under a name, to be ordered from again."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import InputError
from lofi.studio._errors import NotFoundError
from lofi.studio._events import record
from lofi.studio._tables import Preference, now
from lofi.studio._tracks import refuse_control

MOST = 200
NAME_LENGTH = 60

_ROW = "preset/"


def listing(session: Session) -> list[dict[str, Any]]:
    """All presets by name: `name`, `order` as it was saved, and when."""
    rows = session.scalars(
        sa.select(Preference).where(Preference.name.startswith(_ROW)).order_by(Preference.name)
    )
    return [_told(row) for row in rows]


def save(session: Session, name: str, order: dict[str, Any], *, actor: str) -> dict[str, Any]:
    """Keep an order, which the caller has checked, under a name; one of that name is replaced.

    Raises InputError for a name that cannot be one, or if there are too many.
    """
    key = _ROW + read_name(name)
    row = session.get(Preference, key, with_for_update=True)
    if row is None:
        count = sa.select(sa.func.count()).where(Preference.name.startswith(_ROW))
        if (session.scalar(count) or 0) >= MOST:
            raise InputError(f"there are {MOST} presets, the most there may be. Delete one first.")
        row = Preference(name=key, value=order, updated_by=actor)
        session.add(row)
    row.value, row.updated_by, row.updated_at = order, actor, now()
    record(session, actor, "saved", "preset", key.removeprefix(_ROW), order=order)
    return _told(row)


def delete(session: Session, name: str, *, actor: str) -> None:
    """Forget a preset. Raises NotFoundError."""
    row = session.get(Preference, _ROW + read_name(name), with_for_update=True)
    if row is None:
        raise NotFoundError(f"there is no preset {name!r}. `GET /api/presets` lists them.")
    session.delete(row)
    record(session, actor, "deleted", "preset", row.name.removeprefix(_ROW))


def read_name(text: str) -> str:
    """A name as it is kept. Raises InputError."""
    name = unicodedata.normalize("NFC", " ".join(refuse_control(text, "name").split()))
    if not 1 <= len(name) <= NAME_LENGTH or re.search(r"[/\\]", name):
        raise InputError(
            f"a preset's name has 1 to {NAME_LENGTH} characters, and no slash among them. Choose "
            "another."
        )
    return name


def _told(row: Preference) -> dict[str, Any]:
    return {
        "name": row.name.removeprefix(_ROW),
        "order": row.value,
        "saved_at": row.updated_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "saved_by": row.updated_by,
    }
