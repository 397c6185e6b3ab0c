"""A track made again in part: other pictures, its stems, other instruments; and its versions.

A remake is a job whose commission differs from the one that made the track only there, and whose
package has the track's own name: a new version of it, with its title, tags and decisions, and not a
second track with the same music in the library. Every stage whose key is the same is taken over, so
other colours cost the pictures, and stems one mix. What each version has made stays, and can be
chosen again until the track is purged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import PALETTES, TEMPLATES, InputError, one_of
from lofi.studio import _jobs, _listings, _tracks
from lofi.studio._commission import Commission, Remake
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._files import sha256_of
from lofi.studio._jobs import PRIORITIES, Order
from lofi.studio._studio import Studio
from lofi.studio._tables import Artifact, Job, Track

KIT = "kit"  # the instruments of the house, where a SoundFont could be named


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be otherwise; None leaves as it is. `soundfont` is a path, or KIT."""

    palette: str | None = None
    template: str | None = None
    picture_seed: int | None = None
    stems: bool | None = None
    soundfont: Path | str | None = None


def prepare_remake(
    studio: Studio, track_id: str, changes: Changes, *, actor: str
) -> Callable[[Session], str]:
    """A function that orders a track again with changes and gives the job's id.

    The name that its pictures show is the one it has by then. Raises InputError for a change that
    cannot be or that changes nothing, NotFoundError, ConflictError if just that is being made; the
    function raises them too, as the track may be another one when it is called.
    """
    with studio.database.read() as session:
        _order(session, track_id, changes)

    def write(session: Session) -> str:
        order = _order(session, track_id, changes)
        _refuse_twin(session, track_id, order.commission)
        return _jobs.submit(session, [order], actor=actor)[0]

    return write


def _order(session: Session, track_id: str, changes: Changes) -> Order:
    track = _tracks.find(session, track_id)
    made = Commission.from_json(_jobs.find(session, track.job_id).commission)
    wanted = _changed(made, track, changes)
    if wanted == replace(made, remake=wanted.remake) and _shows_the_same(made, wanted):
        raise InputError(
            f"nothing would be otherwise: {track.id} is drawn in {made.brief.palette} with "
            f"{made.brief.template} already{', and has stems' if made.keep_stems else ''}. Change "
            "the palette, the template, the seed of its pictures, or ask for what it lacks."
        )
    return Order(Commission.from_json(wanted.to_json()), priority=PRIORITIES["now"])


def _shows_the_same(one: Commission, other: Commission) -> bool:
    return (one.title, one.picture_seed) == (other.title, other.picture_seed)


def _changed(made: Commission, track: Track, changes: Changes) -> Commission:
    drawn: dict[str, Any] = {}
    if changes.palette is not None:
        drawn["palette"] = one_of(changes.palette, PALETTES, "palette")
    if changes.template is not None:
        drawn["template"] = one_of(changes.template, TEMPLATES, "template")
    seed = made.picture_seed if changes.picture_seed is None else changes.picture_seed
    if not 0 <= seed < 2**63:
        raise InputError(f"the seed {seed} is out of range: use a whole number from 0 to 2^63-1.")
    soundfont, sha256 = made.soundfont, made.soundfont_sha256
    if isinstance(changes.soundfont, Path):
        soundfont, sha256 = changes.soundfont.absolute(), sha256_of(changes.soundfont)
    elif changes.soundfont is not None:
        one_of(changes.soundfont, (KIT,), "instruments")
        soundfont = sha256 = None
    return replace(
        made,
        asked=replace(made.asked, **drawn),
        brief=replace(made.brief, **drawn),
        soundfont=soundfont,
        soundfont_sha256=sha256,
        keep_stems=made.keep_stems if changes.stems is None else changes.stems,
        remake=Remake(track.id, track.title, seed),
    )


def _refuse_twin(session: Session, track_id: str, wanted: Commission) -> None:
    """Nobody waits twice for the same."""
    unfinished = session.scalars(
        sa.select(Job).where(Job.track_id == track_id, Job.state.not_in(_jobs.ENDED))
    )
    for job in unfinished:
        if job.commission == wanted.to_json():
            raise ConflictError(f"just that is being made already: job {job.id}. Wait for it.")


def use_version(studio: Studio, track_id: str, job_id: str, *, actor: str) -> None:
    """Have a track be what one of its jobs made, with the decision there is about these bytes.

    Raises NotFoundError for a job that is none of the track's, ConflictError for one that made no
    whole package.
    """
    with studio.database.read() as session:
        _, job, described, said = _version(session, track_id, job_id)
    facts, listing = (
        json.loads(b"".join(studio.storage.read(a.sha256))) for a in (described, said)
    )
    with studio.database.write() as session:
        track, job, described, _ = _version(session, track_id, job_id, lock=True)
        if track.job_id == job_id:
            return
        before = track.job_id
        _tracks.put_package(session, facts, job_id=job_id, package_sha256=described.sha256)
        _listings.keep_drawn(session, track, Commission.from_json(job.commission), listing)
        record(session, actor, "chose", "track", track.id, job=job_id, instead_of=before)


def _version(
    session: Session, track_id: str, job_id: str, *, lock: bool = False
) -> tuple[Track, Job, Artifact, Artifact]:
    """The track, one of its jobs, and the `track.json` and `listing.json` that this one made."""
    track = _tracks.find(session, track_id, lock=lock)
    job = session.get(Job, job_id)
    if job is None or job.track_id != track.id:
        raise NotFoundError(f"there is no version {job_id[:80]!r} of track {track.id}.")
    described = session.get(Artifact, (job_id, "track.json"))
    said = session.get(Artifact, (job_id, "listing.json"))
    if job.state != "done" or described is None or said is None:
        raise ConflictError(
            f"version {job_id} is {job.state}: it has no package. Choose one that is done."
        )
    return track, job, described, said
