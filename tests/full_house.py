"""A studio in which every page has something to show: what a person sees after some weeks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from api import Api, serving
from shelf import music_of, put_music, put_track
from youtube import FakeYouTube, connected
from youtube_comments import fake_author, put_comment

from lofi.brief import Brief, Key
from lofi.channel import day_of, pacific_day_start
from lofi.music import Bounds, Quality
from lofi.picture import render_thumbnail
from lofi.studio import Limits, build_dataset, community, compose_corpus, tokenize, tracks
from lofi.studio._tables import Artifact, Job, Metric, Preference, Release, Track, now

HOSTILE = [
    "<script>document.title = 'hacked'</script>",
    "\u202e\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u2067abc",
    "W" * 100,
    '"><img src=x onerror="document.title=1">',
]
LONG = "W" * 10_000
SHELF = (
    ("Amber Roads", "chill", "dusk", "planned"),
    ("Paper Lanterns", "sleep", "midnight", "missed"),
    ("Quiet Harbour", "focus", "teal", ""),
    ("Rain on the Quay", "melancholic", "autumn", "published"),
    ("Second Window", "cozy", "sakura", "published"),
    ("Last Tram Home", "dreamy", "neon", "published"),
    ("Fern and Copper", "chill", "forest", ""),
    ("Small Hours", "peaceful", "mono", "planned"),
)
SAID = (
    ("what key is this one in? i want to play along on the piano", "@lena.keys", "published"),
    ("this got me through the whole exam week, thank you", "@tomas", "published"),
    ("do you have a longer version of this?", "@night-shift", "published"),
    ("first! sub to my channel, link in bio", "@promo4u", "likelySpam"),
    ("shut up you idiot", "@angry", "heldForReview"),
    ("the second chord at 1:20 is so warm", "@marit", "heldForReview"),
)


@dataclass
class House:
    """The server, the track that can be looked at closely, and where the pages are."""

    api: Api
    track: str
    pages: dict[str, str]


@contextmanager
def full_house(
    folder: Path, migrated: Path, model: Path, fake: FakeYouTube, *, names: list[str] | None = None
) -> Iterator[House]:
    """A furnished studio; `names` are those of everything that has one, in turn."""
    paths = {
        "raw_midi": folder / "raw",
        "tokenized": folder / "tokenized",
        "metadata": folder / "metadata.json",
        "datasets": folder / "datasets",
    }
    with serving(folder, migrated, paths=paths) as api:
        api.client.post("/setup", data={"later": "true"})
        connected(api.studio, fake)
        api.studio.change_settings({"youtube": {"uploads": True}}, actor="somebody")
        track = _tracks(api, fake, folder, names)
        _comments(api, fake, names)
        _figures(api, folder)
        _models(api, folder, model, names)
        name = names[0] if names else "evenings"
        api.client.post("/api/schedule/slots", json={"name": name[:60], "when": "mon,thu 18:30"})
        api.client.put("/api/presets/Sunday%20rain", json={"mood": "sleep", "bpm": 70})
        for seed in (11, 12):
            ordered = api.order(seed=seed, duration=120)
        with api.studio.database.write() as session:
            commission = session.get_one(Job, ordered).commission
            session.execute(sa.update(Job).where(Job.state == "done").values(commission=commission))
        pages = {
            "overview": "/",
            "create": "/create",
            "library": "/library",
            "library-table": "/library?view=table",
            "track": f"/tracks/{track}",
            "calendar": "/calendar",
            "calendar-week": f"/calendar?week={now():%G-W%V}",
            "community-held": "/community?tab=held",
            "community-published": "/community?tab=published",
            "community-people": "/community?tab=people",
            "community-templates": "/community?tab=templates",
            "analytics": "/analytics",
            "models": "/models",
            "training": "/models/training?run=evening-run",
            "compare": "/models/compare?model=shipped&model=mine",
            "dataset": "/models/data",
            "settings": "/settings",
        }
        yield House(api, track, pages)


def _tracks(api: Api, fake: FakeYouTube, folder: Path, names: list[str] | None) -> str:
    """Eight of them, one that can be heard by part; gives its id."""
    storage, moment, heard = api.studio.storage, now(), ""
    brief = Brief(seed=1, mood="chill", bpm=80.0, key=Key.parse("A minor"), duration_s=24.0)
    _, facts = music_of(brief.settled())
    with api.studio.database.write() as session:
        for number, (title, mood, palette, state) in enumerate(SHELF, start=1):
            called = names[number % len(names)][:100] if names else title
            told: dict[str, Any] = {
                "title": called,
                "mood": mood,
                "palette": palette,
                "tags": [names[0][:60]] if names else ["rain", "piano"],
                "note": LONG[:5000] if names else "",
                "created_at": moment - timedelta(hours=7 * number),
            }
            picture = folder / f"{palette}.jpg"
            if not picture.exists():
                render_thumbnail(picture, palette=palette, title=title, subtitle=mood, seed=number)
            if title == "Quiet Harbour":
                heard = track = put_music(session, storage, number, **told)
                blob = storage.put_bytes(picture.read_bytes())
                session.execute(
                    sa.update(Artifact)
                    .where(Artifact.job_id == f"{number:016x}", Artifact.name == "thumbnail.jpg")
                    .values(sha256=blob.sha256, size=blob.size)
                )
            else:
                files = {"master.flac": b"fLaC", "thumbnail.jpg": picture.read_bytes()}
                told["facts"] = {**facts, "title": called}
                track = put_track(session, number, storage=storage, files=files, **told)
            if not state:
                continue
            tracks.decide(session, track, "approved", actor="somebody", privacy="public")
            out = {"planned": moment + timedelta(days=number), "missed": moment - timedelta(days=2)}
            session.add(
                Release(
                    track_id=track, platform="youtube", state=state, privacy="public",
                    publish_at=out.get(state, moment - timedelta(days=20 + number)),
                    remote_id=fake.add_video() if state == "published" else None,
                )
            )  # fmt: skip
        session.flush()
        gone = put_track(session, 9, title="Put Away")
        session.get_one(Track, gone).deleted_at = moment
    return heard


def _comments(api: Api, fake: FakeYouTube, names: list[str] | None) -> None:
    video = next(iter(fake.videos))
    for i, (words, author, state) in enumerate(SAID):
        if names:
            words, author = (*names, LONG)[i % 5], names[i % len(names)][:90]
        put_comment(
            fake, words, video=video, author=author, author_id=fake_author(str(i)), state=state,
            likes=3 * i, at=now() - timedelta(hours=5 * i + 1),
        )  # fmt: skip
    community.sync(api.studio, actor="somebody")


def _figures(api: Api, folder: Path) -> None:
    """Two dozen more releases that were watched for three weeks."""
    today = now()
    pictures = [p.read_bytes() for p in sorted(folder.glob("*.jpg"))]
    with api.studio.database.write() as session:
        for number in range(21, 45):
            out = today - timedelta(days=24 + number)
            mood = ("sleep", "chill", "focus")[number % 3]
            track = put_track(
                session, number, storage=api.studio.storage, mood=mood, title=f"Night {number}",
                created_at=out, files={"thumbnail.jpg": pictures[number % len(pictures)]},
            )  # fmt: skip
            tracks.decide(session, track, "approved", actor="somebody", privacy="public")
            release = Release(
                track_id=track, platform="youtube", state="published", privacy="public",
                publish_at=out, remote_id=f"video-{number}",
            )  # fmt: skip
            session.add(release)
            session.flush()
            views = {"sleep": 900, "chill": 300, "focus": 420}[mood] + 17 * number % 90
            session.add_all(
                Metric(release_id=release.id, name="views", value=views * share, at=out + age)
                for age, share in (
                    (timedelta(hours=48), 0.5),
                    (timedelta(days=6.9), 1.0),
                    (timedelta(days=7.1), 1.01),
                )
            )  # fmt: skip
            session.add_all(
                Metric(release_id=release.id, name=f"retention/{i / 100:.2f}", at=today,
                       value=0.35 + 0.65 * 0.97**i)
                for i in range(1, 101)
            )  # fmt: skip
        session.add_all(
            Metric(name=name, value=value * (1 + 0.3 * ((back * 7) % 5)), at=pacific_day_start(day))
            for back in range(3, 31)
            for day in (day_of(today) - timedelta(days=back),)
            for name, value in (("daily_views", 240), ("daily_watch_min", 900))
        )
        parts = {"counts": {"at": today.isoformat(), "problem": None}}
        session.add(Preference(name="analytics", value={"parts": parts}, updated_by="somebody"))


def _models(api: Api, folder: Path, model: Path, names: list[str] | None) -> None:
    """A data set, a model beside the shipped one, and a run that was stopped."""
    paths = api.studio.base.paths
    compose_corpus(paths.raw_midi / "composed", count=8, seed=1)
    tokenize(
        paths.raw_midi, paths.tokenized, paths.metadata, bounds=Bounds(max_bars=2000),
        quality=Quality(), limits=Limits(),
    )  # fmt: skip
    build_dataset(paths.tokenized, paths.metadata, paths.datasets, val_share=0.2, seed=1)
    models = paths.model.parent
    shutil.copytree(model, models / "mine")
    card = json.loads((models / "mine" / "lofi.json").read_text())
    called = names[2] + LONG if names else "evening pieces"
    card["dataset"]["corpora"] = {called: {"licence": "CC0-1.0", "attribution": called}}
    (models / "mine" / "lofi.json").write_text(json.dumps(card))
    run = models / "evening-run"
    (run / "samples").mkdir(parents=True)
    for step in (300, 600):
        (run / f"checkpoint-{step}").mkdir()
        (run / f"checkpoint-{step}" / "trainer_state.json").write_text('{"log_history": []}')
        (run / "samples" / f"step-{step:05}.mid").write_bytes(b"MThd")
    (run / "training.log").write_text(f"==== started\n{called}\n")
    (run / "training.json").write_text(json.dumps({"base": "shipped", "by": "somebody"}))
    begun, lines = now().timestamp() - 3600, []
    for step in range(10, 610, 10):
        at = {"step": step, "of": 900, "at": begun + step}
        lines.append({**at, "loss": 3 + 2.2 * 0.995**step + 0.01 * (step * 37 % 11)})
        if step % 150 == 0:
            lines.append({**at, "eval_loss": 3.2 + 2 * 0.995**step})
    (run / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
