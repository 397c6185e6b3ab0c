"""Other ways out than a platform: a site with a podcast feed, a folder for distributors, samples.

Each writes a folder aside and renames it: it is there whole, or not at all. What goes out to the
public holds only tracks that a person approved as public, with the files they approved.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from lofi.brief import InputError, LofiError, find_mood
from lofi.studio._events import record
from lofi.studio._tables import Artifact, Track
from lofi.studio._tracks import find, standing_approval

if TYPE_CHECKING:
    import numpy as np
    import symusic
    from numpy.typing import NDArray

    from lofi.channel import Sheet
    from lofi.studio._studio import Studio

Progress = Callable[[str, float], None]

_LOOPED = ("A", "B", "intro", "break")  # sections that make loops, the first of each name
_MP3_QUALITY = 0.35  # of libsndfile, 0 best: about 160 kb/s


@dataclass(frozen=True, slots=True)
class Written:
    """A folder that was written, the tracks in it, and those left out with the reason."""

    folder: Path
    tracks: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()


# A site and its feed ---------------------------------------------------------------------------


def write_site(
    studio: Studio,
    out: Path,
    *,
    name: str,
    about: str,
    author: str,
    address: str = "",
    email: str = "",
    actor: str,
    progress: Progress,
) -> Written:
    """The catalogue as a static site; with an `address`, a podcast feed and a sitemap too.

    Raises InputError where no track is approved as public, LofiError where `out` is no folder of
    ours or cannot be written.
    """
    from lofi import channel, picture

    address = address.rstrip("/")
    with studio.database.read() as session:
        tracks = session.scalars(
            sa.select(Track).where(Track.deleted_at.is_(None)).order_by(Track.created_at.desc())
        ).all()
        chosen, left_out = _public(session, tracks)
        facts = {t.id: t.facts for t in chosen}
    if not chosen:
        raise InputError(_nothing(left_out))
    with _aside(out) as folder:
        for sub in ("audio", "pictures", "tracks"):
            (folder / sub).mkdir()
        shown, episodes = [], []
        for done, track in enumerate(chosen):
            progress(track.title, done / len(chosen))
            _mp3(studio, track, folder / "audio" / f"{track.id}.mp3", artist=author, album=name)
            studio.storage.fetch(
                _blob(studio, track, "thumbnail.jpg"), folder / "pictures" / f"{track.id}.jpg"
            )
            marks = channel.chapters(_plan(facts[track.id]), track.duration_s)
            shown.append(
                channel.SiteTrack(
                    track.id, track.title, track.mood, track.bpm, track.key, track.duration_s,
                    tuple(marks),
                )
            )  # fmt: skip
            if address:
                episodes.append(_episode(track, folder, address))
        for file, text in channel.site_pages(name, about, address, shown).items():
            (folder / file).write_text(text, encoding="utf-8")
        if address:
            picture.render_cover(
                folder / "cover.jpg", palette=chosen[0].palette, seed=chosen[0].seed
            )
            show = channel.Show(
                name, author, about, f"{address}/", f"{address}/feed.xml", f"{address}/cover.jpg",
                email=email,
            )  # fmt: skip
            (folder / "feed.xml").write_bytes(channel.feed_xml(show, episodes))
            pages = [f"{address}/", *(f"{address}/tracks/{t.id}.html" for t in chosen)]
            (folder / "sitemap.txt").write_text("\n".join(pages) + "\n")
        ids = tuple(t.id for t in chosen)
        _mark(folder, "site", ids)
    _noted(studio, actor, "site", out, ids)
    return Written(out, ids, tuple(left_out))


def _episode(track: Track, folder: Path, address: str) -> Any:
    from lofi import channel

    audio = folder / "audio" / f"{track.id}.mp3"
    about = f"{track.mood} lo-fi, {track.bpm:.4g} bpm, {track.key}. Made by a computer program."
    return channel.Episode(
        guid=f"lofi-empire:{track.id}:{track.package_sha256[:16]}",
        title=track.title,
        description=about,
        page=f"{address}/tracks/{track.id}.html",
        audio=f"{address}/audio/{track.id}.mp3",
        size=audio.stat().st_size,
        media_type="audio/mpeg",
        duration_s=track.duration_s,
        published_at=track.created_at,
        cover=f"{address}/cover.jpg",
    )


# For distributors ------------------------------------------------------------------------------


def release_sheet(*, isrc: str = "", upc: str = "", **told: Any) -> Sheet:
    """What holds for a release. Raises InputError for codes that are none."""
    from lofi import channel

    return channel.Sheet(
        isrc=channel.read_isrc(isrc) if isrc else "",
        upc=channel.read_upc(upc) if upc else "",
        **told,
    )


def write_distributor(
    studio: Studio,
    track_ids: Sequence[str],
    out: Path,
    *,
    sheet: Sheet,
    actor: str,
    progress: Progress,
) -> Written:
    """WAV files, a cover of 3000 x 3000 and `metadata.csv`, in the order of `track_ids`.

    Raises InputError for a track that is not approved as public, NotFoundError.
    """
    from lofi import channel, picture

    with studio.database.read() as session:
        tracks = [find(session, i) for i in dict.fromkeys(track_ids)]
        if not tracks:
            raise InputError("name at least one track. `lofi track list` shows them.")
        _, left_out = _public(session, tracks)
        if left_out:
            raise InputError(_nothing(left_out))
    with _aside(out) as folder:
        rows = []
        for place, track in enumerate(tracks, 1):
            progress(track.title, (place - 1) / len(tracks))
            file = f"{place:02} {_file_name(track.title)}.wav"
            samples, rate = _master(studio, track)
            _wav(folder / file, samples, rate)
            rows.append(
                {
                    "file": file, "title": track.title, "duration_s": track.duration_s,
                    "bpm": track.bpm, "key": track.key, "cover": "cover.jpg",
                }
            )  # fmt: skip
        picture.render_cover(folder / "cover.jpg", palette=tracks[0].palette, seed=tracks[0].seed)
        (folder / "metadata.csv").write_text(channel.sheet_csv(sheet, rows), encoding="utf-8-sig")
        ids = tuple(t.id for t in tracks)
        _mark(folder, "distributor", ids)
    _noted(studio, actor, "distributor folder", out, ids)
    return Written(out, ids)


# Samples ---------------------------------------------------------------------------------------


def write_samples(
    studio: Studio, track_ids: Sequence[str], out: Path, *, actor: str, progress: Progress
) -> Written:
    """Loops of each part and section, by tempo and key, with their MIDI and a table of all.

    A loop is played by itself from the score, as long as its bars to the sample; what rings beyond
    its end is folded back to its beginning, so it goes round without a seam.
    """
    import csv

    with studio.database.read() as session:
        tracks = [find(session, i) for i in dict.fromkeys(track_ids)]
        facts = {t.id: t.facts for t in tracks}
    if not tracks:
        raise InputError("name at least one track. `lofi track list` shows them.")
    with _aside(out) as folder, (folder / "samples.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "track", "part", "section", "bars", "bpm", "key", "seconds"])
        for done, track in enumerate(tracks):
            for share, loop in _loops(studio, track, facts[track.id]):
                progress(f"{track.title}: {loop.section}", (done + share) / len(tracks))
                place = folder / f"{loop.bpm:.4g} bpm" / _file_name(track.key)
                place.mkdir(parents=True, exist_ok=True)
                stem = _file_name(f"{track.title} {loop.section}")
                _loop_midi(loop, place / f"{stem}.mid")
                for part, samples in loop.parts.items():
                    path = place / f"{stem} {part}.wav"
                    _wav(path, samples, loop.rate)
                    table.writerow(
                        [
                            path.relative_to(folder).as_posix(), track.id, part, loop.section,
                            loop.bars, f"{loop.bpm:.6g}", track.key,
                            f"{samples.shape[1] / loop.rate:.6f}",
                        ]
                    )  # fmt: skip
        ids = tuple(t.id for t in tracks)
        _mark(folder, "samples", ids)
    _noted(studio, actor, "sample pack", out, ids)
    return Written(out, ids)


@dataclass(frozen=True, slots=True)
class _Loop:
    section: str
    bars: int
    bpm: float
    rate: int
    score: symusic.Score
    parts: dict[str, NDArray[np.float32]]


def _loops(studio: Studio, track: Track, facts: dict[str, Any]) -> Iterator[tuple[float, _Loop]]:
    """(share done, loop) of the first section of each name."""
    import symusic

    from lofi import sound

    data = b"".join(studio.storage.read(_blob(studio, track, "track.mid")))
    score = symusic.Score.from_midi(data)
    plan = facts["plan"]
    bpm, bar = float(plan["bpm"]), 4 * score.ticks_per_quarter
    starts, at = {}, 0
    for section in plan["sections"]:
        starts.setdefault(section["name"], (at, int(section["bars"])))
        at += int(section["bars"])
    wanted = [(n, *starts[n]) for n in _LOOPED if n in starts]
    for place, (name, start, bars) in enumerate(wanted):
        part = score.clip(start * bar, (start + bars) * bar, clip_end=True)
        part = part.shift_time(-start * bar) if start else part
        part.markers.clear()
        if not any(t.notes for t in part.tracks):
            continue
        played = sound.render(
            part,
            bars=bars,
            bpm=bpm,
            bundle=find_mood(track.mood).bundle,
            seed=track.seed,
            keep_stems=True,
        )
        length = round(bars * 240.0 / bpm * played.rate)
        parts = {n: folded(s, length) for n, s in played.stems.items()}
        yield place / len(wanted), _Loop(name, bars, bpm, played.rate, part, parts)


def folded(samples: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Audio (2, n) as a loop of `length`: what comes after it sounds over its beginning."""
    loop = samples[:, :length].copy()
    tail = samples[:, length : 2 * length]
    loop[:, : tail.shape[1]] += tail
    return loop


def _loop_midi(loop: _Loop, path: Path) -> None:
    path.write_bytes(loop.score.dumps_midi())


# What they share -------------------------------------------------------------------------------


def _public(session: Any, tracks: Sequence[Track]) -> tuple[list[Track], list[tuple[str, str]]]:
    """Those that may go out to everybody, and why the others may not."""
    chosen, left_out = [], []
    for track in tracks:
        approval = standing_approval(session, track)
        if approval is None:
            left_out.append((track.id, "its files are not approved"))
        elif approval.privacy != "public":
            left_out.append((track.id, f"it is approved as {approval.privacy}, not as public"))
        else:
            chosen.append(track)
    return chosen, left_out


def _nothing(left_out: Sequence[tuple[str, str]]) -> str:
    told = "; ".join(f"{track_id}: {why}" for track_id, why in left_out[:3]) or "there is no track"
    more = f" (and {len(left_out) - 3} more)" if len(left_out) > 3 else ""
    return (
        f"what goes out has to be approved as public. {told}{more}. "
        "Listen, then `lofi track approve TRACK --privacy public`."
    )


def _blob(studio: Studio, track: Track, name: str) -> str:
    with studio.database.read() as session:
        artifact = session.get(Artifact, (track.job_id, name))
    if artifact is None:
        raise LofiError(f"track {track.id} has no {name}. Make it anew: `lofi jobs retry`.")
    return artifact.sha256


def _master(studio: Studio, track: Track) -> tuple[NDArray[np.float32], int]:
    """The master (2, n) and its rate."""
    import numpy as np
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "master.flac"
        studio.storage.fetch(_blob(studio, track, "master.flac"), path)
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples.T, np.float32), rate


def _wav(path: Path, samples: NDArray[np.float32], rate: int) -> None:
    import soundfile

    soundfile.write(path, samples.T, rate, subtype="PCM_24", format="WAV")


def _mp3(studio: Studio, track: Track, path: Path, *, artist: str, album: str) -> None:
    import soundfile

    samples, rate = _master(studio, track)
    with soundfile.SoundFile(
        path, "w", rate, 2, format="MP3", bitrate_mode="VARIABLE", compression_level=_MP3_QUALITY
    ) as file:
        file.title, file.artist, file.album = track.title, artist, album
        # In blocks: libsndfile's encoders crash on very large single writes.
        for start in range(0, samples.shape[1], 1 << 16):
            file.write(samples[:, start : start + (1 << 16)].T)


def _plan(facts: dict[str, Any]) -> Any:
    from lofi.brief import Key, Plan, Section

    plan = facts["plan"]
    return Plan(
        bpm=float(plan["bpm"]),
        key=Key.parse(plan["key"]),
        swing=float(plan["swing"]),
        sections=tuple(Section(**_section(s)) for s in plan["sections"]),
        tail_s=float(plan["tail_s"]),
    )


def _section(section: dict[str, Any]) -> dict[str, Any]:
    return {n: tuple(v) if isinstance(v, list) else v for n, v in section.items()}


def _file_name(title: str) -> str:
    """A title as a file name that every system takes."""
    plain = re.sub(r"[^\w #&'()+,-]+", "", title).strip(" .")
    return plain[:80] or "track"


_MARK = ".lofi-export.json"


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `out` when all is well; an earlier export is replaced.

    Raises LofiError where `out` holds something else.
    """
    out = out.absolute()
    if out.exists() and not (out / _MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise LofiError(f"{out} holds something else. Choose an empty or a new folder.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise LofiError(f"{out} cannot be written: {error.strerror}. Choose another.") from error
    try:
        yield folder
        folder.chmod(0o755)
        if out.exists():
            old = folder.with_name(f"{folder.name}.old")
            out.rename(old)
            folder.rename(out)
            shutil.rmtree(old)
        else:
            folder.rename(out)
    except OSError as error:
        raise LofiError(f"{out} cannot be written: {error}. Is the disk full?") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _mark(folder: Path, what: str, ids: Sequence[str]) -> None:
    told = {"what": what, "tracks": list(ids), "at": datetime.now().astimezone().isoformat()}
    (folder / _MARK).write_text(json.dumps(told, indent=2) + "\n")


def _noted(studio: Studio, actor: str, what: str, out: Path, ids: Sequence[str]) -> None:
    with studio.database.write() as session:
        record(session, actor, "exported", what, out.name, tracks=list(ids))
