"""Tracks put on the shelf of a studio without being made: rows, and files if wanted."""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from lofi.brief import Brief, Key
from lofi.studio._storage import Storage
from lofi.studio._tables import Artifact, Job, JobStage, Track, now
from lofi.studio._tracks import search_text
from lofi.studio._worker import kind_of

FILES = {
    "track.mid": b"MThd and some notes",
    "master.flac": bytes(range(256)) * 20,
    "stems/bass.flac": b"low",
    "track.json": b'{"id": "x"}',
    "internal/plan.json": b"{}",
}


def put_track(
    session: Session,
    number: int = 1,
    *,
    storage: Storage | None = None,
    files: Mapping[str, bytes] = FILES,
    created_at: datetime | None = None,
    **values: Any,
) -> str:
    """A finished track and the job that made it; gives its id."""
    track_id = f"quiet-harbour-{number:08x}"
    job = Job(
        id=f"{number:016x}",
        title="Quiet Harbour",
        commission={},
        state="done",
        lane="render",
        requested_by="somebody",
        track_id=track_id,
        finished_at=now(),
    )
    session.add(job)
    session.flush()
    session.add(JobStage(job_id=job.id, name="package", place=0, state="done", key="k" * 64))
    session.flush()
    for name, data in files.items() if storage else ():
        assert storage
        blob = storage.put_bytes(data)
        kind, media_type = kind_of(name)
        session.add(
            Artifact(
                job_id=job.id, name=name, stage="package", kind=kind, media_type=media_type,
                sha256=blob.sha256, size=blob.size,
            )
        )  # fmt: skip
    told: dict[str, Any] = {
        "title": "Quiet Harbour",
        "mood": "chill",
        "bpm": 76.0,
        "key": "A minor",
        "duration_s": 120.0,
        "seed": number,
        "palette": "dusk",
        "template": "bars",
        "verdict": "pass",
        "lufs": -14.0,
        "tags": [],
        "note": "",
        "package_sha256": f"{number:064x}",
        "facts": {"id": track_id, "title": "Quiet Harbour"},
    } | values
    track = Track(id=track_id, job_id=job.id, created_at=created_at or now(), **told)
    track.search = search_text(track)
    session.add(track)
    session.flush()
    return track_id


@functools.cache
def _small_video() -> bytes:
    import av
    import numpy as np

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        picture = container.add_stream("libx264", rate=10)
        picture.width, picture.height, picture.pix_fmt = 64, 36, "yuv420p"
        sound = container.add_stream("aac", rate=48_000)
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((36, 64, 3), np.uint8), format="rgb24")
            container.mux(picture.encode(frame))
        samples = av.AudioFrame.from_ndarray(
            np.zeros((2, 48_000), np.float32), format="fltp", layout="stereo"
        )
        samples.sample_rate = 48_000
        container.mux([*sound.encode(samples), *sound.encode(), *picture.encode()])
    return file.getvalue()


def padded_video(padding: bytes = b"") -> bytes:
    """A video of a second, made larger by a box that players skip."""
    box = (len(padding) + 8).to_bytes(4, "big") + b"free" + padding
    return _small_video() + (box if padding else b"")


@functools.cache
def thumbnail() -> bytes:
    """A plain JPEG of the size that YouTube wants."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (1280, 720), (40, 60, 90)).save(file, "JPEG")
    return file.getvalue()


def put_package(
    session: Session,
    storage: Storage,
    number: int = 1,
    *,
    padding: bytes = b"",
    title: str | None = None,
    **listed: Any,
) -> str:
    """A finished track whose package names its files by their hashes, as a real one does.

    Its video is padded, see `padded_video`; `listed` is what its listing says otherwise.
    """
    title = title or f"Quiet Harbour {number}"
    listing = {
        "snippet": {
            "title": title, "description": "Two minutes of lofi.", "tags": ["lofi", "chill beats"],
            "categoryId": "10", "defaultLanguage": "en",
        },
        "status": {
            "privacyStatus": "private", "selfDeclaredMadeForKids": False,
            "containsSyntheticMedia": True, "license": "youtube", "embeddable": True,
        },
        "query": {"part": "snippet,status", "notifySubscribers": False},
    } | listed  # fmt: skip
    files = {
        "video.mp4": padded_video(padding),
        "thumbnail.jpg": thumbnail(),
        "listing.json": json.dumps(listing).encode(),
    }
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    facts = {"id": f"quiet-harbour-{number:08x}", "title": title, "files": hashes}
    files["track.json"] = json.dumps(facts).encode()
    return put_track(
        session, number, storage=storage, files=files, title=title, facts=facts,
        package_sha256=hashlib.sha256(files["track.json"]).hexdigest(),
    )  # fmt: skip


_UNLIKE = {
    "verdict": "pass", "works": 6436, "melodies": 2, "review_bits": 90.8, "block_bits": 133.4,
    "matches": [], "longest_run_notes": 0, "summary": "no match above 90.8 bits in 6,436 works",
}  # fmt: skip


def music_of(brief: Brief, *, stems: bool = True) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Files as a job makes them, written by the rule composer and sounding as sines; and facts.

    There is no video; the thumbnail is one colour.
    """
    import io

    import numpy as np
    import soundfile
    from PIL import Image

    from lofi.music import compose, measure, midi_bytes

    assert brief.mood
    score, plan = compose(brief)
    seconds = np.arange(round(plan.duration_s * 44_100)) / 44_100
    swell = 0.5 + 0.4 * np.sin(seconds)

    def flac(pitch_hz: float) -> bytes:
        out = io.BytesIO()
        wave = (swell * np.sin(2 * np.pi * pitch_hz * seconds)).astype(np.float32)
        soundfile.write(out, np.stack([wave, wave], axis=1), 44_100, format="FLAC")
        return out.getvalue()

    picture = io.BytesIO()
    Image.new("RGB", (1280, 720), "#2b2350").save(picture, "JPEG")
    measured = measure(score).to_dict()
    facts = {
        "title": "Quiet Harbour",
        "brief": {**asdict(brief), "key": str(brief.key)},
        "asked": {"mood": brief.mood, "seed": brief.seed},
        "plan": {**asdict(plan), "key": str(plan.key), "bars": plan.bars},
        "measured": {
            "bpm": plan.bpm, "key": measured["key"] or str(plan.key), "duration_s": plan.duration_s,
            "lufs": -14.0, "true_peak_db": -1.2, "score": measured,
        },
        "originality": {name: _UNLIKE[name] for name in ("verdict", "summary")},
    }  # fmt: skip
    parts = [t.name for t in score.tracks]
    files = {
        "track.mid": midi_bytes(score, plan, brief.mood),
        "master.flac": flac(220.0),
        "thumbnail.jpg": picture.getvalue(),
        "originality.json": json.dumps(_UNLIKE).encode(),
        **(
            {f"stems/{p}.flac": flac(110.0 * (i + 1)) for i, p in enumerate(parts)} if stems else {}
        ),
    }
    return files, facts


def put_music(
    session: Session, storage: Storage, number: int = 1, *, stems: bool = True, **values: Any
) -> str:
    """A finished track that can be heard and looked at closely, as `put_track` puts it there."""
    brief = Brief(
        seed=number, mood="chill", bpm=80.0, key=Key.parse("A minor"), duration_s=24.0
    ).settled()
    files, facts = music_of(brief, stems=stems)
    facts["id"] = f"quiet-harbour-{number:08x}"
    files["track.json"] = json.dumps(facts).encode()
    length_s = facts["measured"]["duration_s"]
    told = {"facts": facts, "bpm": 80.0, "duration_s": length_s}
    return put_track(session, number, storage=storage, files=files, **(told | values))
