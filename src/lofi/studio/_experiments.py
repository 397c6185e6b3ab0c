"""Experiments: thumbnails or titles of a release that take turns on YouTube until one has proved
better, or the time is over.

A person starts one and says which bytes and words may be shown; the audit trail keeps it. From then
on a round of the studio (`tick`) changes what YouTube shows at the end of each turn. When an
experiment ends the release gets back what it had, unless a person asked for the winner.

What is written before YouTube is asked, and again after, says which arm is shown: killed between
the two, the round shows the same arm once more.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import Session

from lofi.brief import InputError, LofiError, one_of, subseed
from lofi.studio._analytics import PLATFORM
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._tables import Experiment, Metric, Release, Track, now
from lofi.studio._tracks import file, read_title, told

if TYPE_CHECKING:
    from lofi.channel import Api, Block, Judgement
    from lofi.studio._studio import Studio

ACTOR = "schedule"
STATES = ("running", "decided", "undecided", "stopped")
MOST_IMAGE_BYTES = 2_000_000

_PACIFIC = ZoneInfo("America/Los_Angeles")
_LATE = 0.1  # of a turn: one that begins later is no turn, and its block counts for nothing
_LEAST_WIDTH = 640
_IMAGES = {"image/jpeg": ".jpg", "image/png": ".png"}


# Looking -----------------------------------------------------------------------------------------


def listing(session: Session) -> list[dict[str, Any]]:
    """All experiments as plain values, those that run first, then the newest."""
    rows = session.scalars(
        sa.select(Experiment).order_by(Experiment.state != "running", Experiment.id.desc())
    )
    return [view(session, row) for row in rows]


def find(session: Session, experiment_id: int, *, lock: bool = False) -> Experiment:
    """The experiment of that id. Raises NotFoundError."""
    row = session.get(Experiment, experiment_id, with_for_update=lock or None)
    if row is None:
        raise NotFoundError(
            f"there is no experiment {experiment_id}. `lofi experiment list` shows them."
        )
    return row


def view(session: Session, row: Experiment) -> dict[str, Any]:
    """An experiment as plain values, with the evidence so far."""
    release = session.get_one(Release, row.release_id)
    title = session.scalar(sa.select(Track.title).where(Track.id == release.track_id))
    judged = row.turns.get("judgement") or {}
    rates = judged.get("rates") or [None] * len(row.arms["items"])
    amounts = judged.get("amounts") or [0.0] * len(row.arms["items"])
    turns = [t for block in row.turns["blocks"] for t in block["turns"]]
    return {
        "id": row.id,
        "release_id": row.release_id,
        "track_id": release.track_id,
        "title": title or release.track_id,
        "kind": row.kind,
        "state": row.state,
        "measure": row.arms["measure"],
        "rule": row.arms["rule"],
        "arms": [
            {
                "name": arm["name"],
                "title": arm.get("title"),
                "sha256": arm.get("sha256"),
                "amount": amounts[i],
                "rate": rates[i],
                "turns": sum(t["arm"] == i and t["until"] is not None for t in turns),
            }
            for i, arm in enumerate(row.arms["items"])
        ],
        "shown": row.turns.get("shown"),
        "next_at": _next_change(row),
        "blocks": judged.get("blocks", 0),
        "void": sum(bool(block.get("void")) for block in row.turns["blocks"]),
        "needed": judged.get("needed"),
        "pairs": judged.get("pairs", []),
        "why": row.turns.get("why") or judged.get("why") or "no block is over yet",
        "winner": row.winner,
        "applies": _applies(row),
        "problem": row.turns.get("problem"),
        "started_by": row.arms["started_by"],
        "started_at": told(row.started_at),
        "ended_at": told(row.ended_at),
    }


def _next_change(row: Experiment) -> str | None:
    if row.state != "running":
        return None
    blocks = row.turns["blocks"]
    if not blocks:
        return told(_boundary(row.started_at, row.arms["rule"]["turn_hours"]))
    waiting = [t for t in blocks[-1]["turns"] if t["from"] is None]
    return (waiting[0]["begin"] if waiting else blocks[-1]["turns"][-1]["end"]) if blocks else None


def _applies(row: Experiment) -> str:
    """What becomes of the winner: `asked` (a person wants it shown), `shown`, or `no`."""
    if row.turns.get("applied"):
        return "shown"
    return "asked" if row.arms.get("apply_winner") or row.turns.get("apply") else "no"


# Starting and ending -----------------------------------------------------------------------------


def start(studio: Studio, release_id: int, kind: str, **what: Any) -> dict[str, Any]:
    """Start an experiment and give it as plain values: see `prepare`."""
    write = prepare(studio, release_id, kind, **what)
    with studio.database.write() as session:
        return write(session)


def prepare(
    studio: Studio,
    release_id: int,
    kind: str,
    *,
    actor: str,
    titles: Sequence[str] = (),
    images: Sequence[str] = (),
    palettes: Sequence[str] = (),
    measure: str = "views_per_hour",
    apply_winner: bool = False,
    moment: datetime | None = None,
    **rule: Any,
) -> Callable[[Session], dict[str, Any]]:
    """Check an experiment of a release that is out; gives what starts it and tells it.

    What the release has now is always its first arm; `titles`, or `images` (the SHA-256 of what
    `put_image` was given) and `palettes` (in which the thumbnail is drawn anew) are the others.
    `rule` holds fields of `lofi.channel.StoppingRule`. Only one at a time: two would disturb each
    other. Raises InputError for what cannot be shown, NotFoundError, ConflictError.
    """
    from lofi import channel

    kind = one_of(kind, channel.EXPERIMENT_KINDS, "kind of experiment")
    measure = one_of(measure, channel.EXPERIMENT_MEASURES, "measure")
    try:
        agreed = channel.StoppingRule(**rule)
    except TypeError as error:
        raise InputError(f"an experiment has no such rule: {error}.") from error
    if measure == "click_rate" and agreed.turn_hours < 24:
        raise InputError(
            "click-through is told by day: turns must be of 24 or 48 hours. Take views_per_hour "
            "for shorter ones."
        )
    from lofi.studio import releases

    with studio.database.read() as session:
        releases.require_ready(session, studio.settings())
        release = _out(session, release_id)
        track = session.get_one(Track, release.track_id)
        current = file(session, track.job_id, "thumbnail.jpg") if kind == "thumbnail" else None
    if kind == "title":
        if images or palettes:
            raise InputError("an experiment is about titles or about thumbnails, not both.")
        arms = [{"name": "as it is"}, *({"name": t, "title": t} for t in map(_title, titles))]
    else:
        if titles:
            raise InputError("an experiment is about titles or about thumbnails, not both.")
        assert current
        arms = [{"name": "as it is", "sha256": current.sha256, "media_type": current.media_type}]
        arms += [_image_arm(studio, sha256) for sha256 in images]
        arms += [_drawn_arm(studio, track, palette) for palette in palettes]
    told_apart = {arm.get("sha256") or arm["name"].casefold() for arm in arms}
    if len(told_apart) < len(arms):
        raise InputError("two arms are the same. Give arms that differ.")
    if not 2 <= len(arms) <= channel.MOST_ARMS:
        raise InputError(
            f"an experiment has 2 to {channel.MOST_ARMS} arms with what the release has now, and "
            f"this one {len(arms)}. Give 1 to {channel.MOST_ARMS - 1} others."
        )
    begun = moment or now()

    def write(session: Session) -> dict[str, Any]:
        _out(session, release_id, lock=True)
        running = sa.select(Experiment.id).where(
            Experiment.release_id == release_id, Experiment.state == "running"
        )
        if (other := session.scalar(running)) is not None:
            raise ConflictError(
                f"experiment {other} of this release runs. Stop it first, or wait for its end."
            )
        row = Experiment(
            release_id=release_id,
            kind=kind,
            arms={
                "items": arms,
                "measure": measure,
                "rule": asdict(agreed),
                "seed": subseed(release_id, "experiment", kind, begun.isoformat()) >> 1,
                "apply_winner": apply_winner,
                "started_by": actor,
            },
            turns={"blocks": []},
            started_at=begun,
        )
        session.add(row)
        session.flush()
        record(
            session, actor, "started", "experiment", str(row.id),
            release_id=release_id, about=kind, arms=arms, measure=measure,
            apply_winner=apply_winner, rule=asdict(agreed),
        )  # fmt: skip
        return view(session, row)

    return write


def _out(session: Session, release_id: int, *, lock: bool = False) -> Release:
    release = session.get(Release, release_id, with_for_update=lock or None)
    if release is None or release.platform != PLATFORM:
        raise NotFoundError(f"there is no release {release_id} on YouTube.")
    if release.state != "published" or not release.remote_id:
        raise ConflictError(
            f"release {release_id} is {release.state}: nobody sees it yet. Publish it first."
        )
    return release


def _title(text: str) -> str:
    from lofi.channel import check_listing

    title = read_title(text)
    broken = [b for b in check_listing({"snippet": {"title": title}}) if "title" in b]
    if broken:
        raise InputError(f"{title!r} cannot be a title: {'; '.join(broken)}.")
    return title


def _image_arm(studio: Studio, sha256: str) -> dict[str, Any]:
    try:
        data = b"".join(studio.storage.read(sha256))
    except (LofiError, ValueError) as error:
        raise InputError(f"there is no image {sha256[:64]!r}. Send it first.") from error
    media_type, width, height = read_image(data)
    return {"name": f"image {sha256[:8]}, {width}×{height}", "sha256": sha256,
            "media_type": media_type}  # fmt: skip


def _drawn_arm(studio: Studio, track: Track, palette: str) -> dict[str, Any]:
    """The track's thumbnail in another palette, drawn by a process of its own."""
    from lofi.brief import PALETTES
    from lofi.studio._child import Child
    from lofi.studio._judge import scratch

    palette = one_of(palette, PALETTES, "palette")
    with scratch(studio.folder / "scratch") as folder:
        path = folder / "thumbnail.jpg"
        with Child(folder / "child.log", niceness=0) as child:
            child.run(
                "thumbnail",
                {
                    "path": str(path),
                    "palette": palette,
                    "title": track.title,
                    "subtitle": f"{track.mood} lofi",
                    "seed": track.seed,
                },
                limit_s=120.0,
                tick=lambda _stage, _fraction: None,
            )
        blob = studio.storage.put(path)
    return {"name": f"in {palette}", "sha256": blob.sha256, "media_type": "image/jpeg"}


def put_image(studio: Studio, data: bytes) -> dict[str, Any]:
    """Keep a thumbnail for an experiment; gives its SHA-256, type, width and height.

    Raises InputError for what YouTube would not take. Kept for an hour, and then as long as an
    experiment names it.
    """
    media_type, width, height = read_image(data)
    blob = studio.storage.put_bytes(data)
    return {"sha256": blob.sha256, "media_type": media_type, "width": width, "height": height}


def read_image(data: bytes) -> tuple[str, int, int]:
    """Media type, width and height of a JPEG or PNG, from its head alone.

    Raises InputError for anything else, more than 2 MB, less than 640 wide or not about 16:9.
    """
    if len(data) > MOST_IMAGE_BYTES:
        raise InputError(f"the image has {len(data):,} bytes; YouTube takes {MOST_IMAGE_BYTES:,}.")
    found = None
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and len(data) > 24:
        found = ("image/png", *struct.unpack(">II", data[16:24]))
    elif data.startswith(b"\xff\xd8\xff"):
        found = next(_jpeg_sizes(data), None)
    if found is None:
        raise InputError("the image is no JPEG or PNG that can be read.")
    media_type, width, height = found
    if width < _LEAST_WIDTH or not 1.7 <= width / max(height, 1) <= 1.85:
        raise InputError(
            f"the image is {width}×{height}. A thumbnail is 16:9 and at least {_LEAST_WIDTH} wide; "
            "1280×720 is best."
        )
    return media_type, width, height


def _jpeg_sizes(data: bytes) -> Iterator[tuple[str, int, int]]:
    """The frame headers of a JPEG (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            yield "image/jpeg", width, height
        if marker == 0xDA or length < 2:  # what follows is the picture
            return
        at += 2 + length


def stop(session: Session, experiment_id: int, *, actor: str) -> dict[str, Any]:
    """End an experiment before its time: the release gets back what it had. Twice is once."""
    row = find(session, experiment_id, lock=True)
    if row.state == "running":
        _end(session, row, "stopped", f"{actor} stopped it", None, now(), actor=actor)
    return view(session, row)


def apply(session: Session, experiment_id: int, *, actor: str) -> dict[str, Any]:
    """Have the winner shown from now on. Raises ConflictError where there is none."""
    row = find(session, experiment_id, lock=True)
    if row.winner is None:
        raise ConflictError(
            f"experiment {experiment_id} is {row.state}: it has no winner to be shown."
        )
    if _applies(row) == "no":
        row.turns = {**row.turns, "apply": True}
        row.updated_at = now()
        record(session, actor, "applied", "experiment", str(row.id), winner=row.winner)
    return view(session, row)


def named_images(session: Session) -> set[str]:
    """The hashes of all images that an experiment shows or has shown."""
    return {
        arm["sha256"]
        for arms in session.scalars(sa.select(Experiment.arms))
        for arm in arms["items"]
        if arm.get("sha256")
    }


def _end(
    session: Session, row: Experiment, state: str, why: str, winner: int | None, moment: datetime,
    *, actor: str,
) -> None:  # fmt: skip
    row.state, row.ended_at, row.updated_at = state, moment, moment
    row.winner = None if winner is None else row.arms["items"][winner]["name"]
    row.turns = {**row.turns, "why": why, "winner": winner}
    record(session, actor, state, "experiment", str(row.id), why=why, winner=row.winner)


# The round ---------------------------------------------------------------------------------------


def busy(session: Session) -> list[int]:
    """The experiments that a round has something to do for."""
    rows = session.scalars(sa.select(Experiment).order_by(Experiment.id))
    return [row.id for row in rows if row.state == "running" or _wanted_arm(row) is not None]


def watched(session: Session) -> set[int]:
    """The releases of experiments that run."""
    running = sa.select(Experiment.release_id).where(Experiment.state == "running")
    return set(session.scalars(running))


def tick(studio: Studio, *, moment: datetime | None = None, api: Api | None = None) -> None:
    """See to every experiment: end turns that are over, judge, begin the next, and clear up.

    What fails is told in the experiment's `problem` and tried again next time.
    """
    moment = moment or now()
    with studio.database.read() as session:
        ids = busy(session)
    for experiment_id in ids:
        try:
            if api is None:
                api = _youtube(studio)
            _Turn(studio, api, experiment_id, moment).see_to()
        except LofiError as error:
            with studio.database.write() as session:
                row = find(session, experiment_id, lock=True)
                row.turns = {**row.turns, "problem": str(error)}
                row.updated_at = moment


def _youtube(studio: Studio) -> Api:
    """YouTube, where it may be changed: who switches uploads off stops experiments too."""
    from lofi.studio import accounts, releases

    with studio.database.read() as session:
        releases.require_ready(session, studio.settings())
        releases.require_account(session)
    return accounts.youtube(studio)


def _wanted_arm(row: Experiment) -> int | None:
    """Which arm an experiment that is over wants shown; None if that is shown."""
    if row.state == "running" or "shown" not in row.turns:
        return None
    winner = row.turns.get("winner")
    wanted = winner if winner is not None and _applies(row) in ("asked", "shown") else 0
    return None if row.turns["shown"] == wanted else wanted


class _Turn:
    """An experiment at a moment, and YouTube."""

    def __init__(self, studio: Studio, api: Api, experiment_id: int, moment: datetime) -> None:
        self.studio, self.api, self.id, self.moment = studio, api, experiment_id, moment

    def see_to(self) -> None:
        with self.studio.database.read() as session:
            row = find(session, self.id)
            release = session.get_one(Release, row.release_id)
            video = release.remote_id or ""
        if row.state == "running":
            self._go_on(row, video)
            with self.studio.database.read() as session:
                row = find(session, self.id)
        wanted = _wanted_arm(row)
        if wanted is not None:
            self._show(row, video, wanted)
            applied = wanted == row.turns.get("winner")
            self._write(shown=wanted, setting=None, applied=applied, problem=None)

    # A turn ends and the next one begins with one look at the counts, so that no view is between.

    def _go_on(self, row: Experiment, video: str) -> None:
        blocks = [{**b, "turns": [dict(t) for t in b["turns"]]} for b in row.turns["blocks"]]
        block = blocks[-1] if blocks else None
        if block is None or block.get("void") or block["turns"][-1]["until"]:
            begin = (
                None if block is None or block.get("void") else _moment(block["turns"][-1]["end"])
            )
            block = self._draw(row, blocks, begin)
            blocks.append(block)
            self._write(blocks=blocks)
        current = next((t for t in block["turns"] if t["from"] and not t["until"]), None)
        coming = next((t for t in block["turns"] if not t["from"]), None)
        due = _moment(coming["begin"]) if coming else _moment(block["turns"][-1]["end"])
        if self.moment < due:
            if row.arms["measure"] == "click_rate":
                self._judge(blocks, stop_at_limit=False)
            return
        length = timedelta(hours=row.arms["rule"]["turn_hours"])
        if self.moment > due + _LATE * length:
            # Nobody was there to change it: the turn was longer, or another arm's.
            block["void"] = True
            self._write(blocks=blocks)
            self._judge(blocks, stop_at_limit=True)
            return
        views = self._views(video)
        if current:
            current |= {"until": told(self.moment), "views_until": views}
        if coming:
            arm = coming["arm"]
            if row.turns.get("shown") != arm or row.turns.get("setting") is not None:
                self._write(setting=arm)
                self._show(row, video, arm)
            coming |= {"from": told(self.moment), "views_from": views}
            self._write(blocks=blocks, shown=arm, setting=None, problem=None)
            return
        self._write(blocks=blocks, problem=None)
        ended = self._judge(blocks, stop_at_limit=True)
        if not ended:
            with self.studio.database.read() as session:
                row = find(session, self.id)
            self._go_on(row, video)

    def _draw(
        self, row: Experiment, blocks: list[dict[str, Any]], begin: datetime | None
    ) -> dict[str, Any]:
        from lofi.channel import draw_block

        hours = row.arms["rule"]["turn_hours"]
        begin = begin or _boundary(self.moment, hours)
        shown = [
            (t["arm"], _moment(t["from"]), _moment(t["until"]))
            for b in blocks
            for t in b["turns"]
            if t["from"] and t["until"]
        ]
        arms = len(row.arms["items"])
        drawn = draw_block(arms, row.arms["seed"], len(blocks), begin, hours, shown)
        turns = []
        for arm in drawn.order:
            end = _after(begin, hours)
            turns.append(
                {"arm": arm, "begin": told(begin), "end": told(end), "from": None, "until": None}
            )
            begin = end
        return {"order": list(drawn.order), "weights": list(drawn.weights), "turns": turns}

    def _views(self, video: str) -> float:
        answer = self.api.call(
            "youtube.videos.batchGetStats", params={"part": ["statistics"], "id": [video]}
        )
        for item in answer.get("items", []):
            if item.get("id") == video:
                return float(item["statistics"]["viewCount"])
        raise LofiError(f"YouTube tells no views of video {video}. It was deleted, or is private.")

    def _show(self, row: Experiment, video: str, arm: int) -> None:
        from lofi.channel import read_video, set_thumbnail, update_video

        shown = row.arms["items"][arm]
        if row.kind == "thumbnail":
            data = b"".join(self.studio.storage.read(shown["sha256"]))
            if hashlib.sha256(data).hexdigest() != shown["sha256"]:
                raise LofiError(f"the image {shown['name']} is damaged. Stop the experiment.")
            set_thumbnail(self.api, video, data, shown["media_type"])
            return
        original = row.turns.get("original")
        if original is None:
            # Of the first arm nobody but YouTube knows the words.
            original = read_video(self.api, video, ["snippet"])["snippet"]["title"]
            self._write(original=original)
        update_video(self.api, video, snippet={"title": shown.get("title") or original})

    def _judge(self, blocks: list[dict[str, Any]], *, stop_at_limit: bool) -> bool:
        """Look at the evidence; gives whether that ended the experiment."""
        from lofi.channel import StoppingRule, judge

        with self.studio.database.write() as session:
            row = find(session, self.id, lock=True)
            if row.state != "running":
                return True
            rule = StoppingRule(**row.arms["rule"])
            arms = len(row.arms["items"])
            over = [b for block in blocks if (b := _block(session, row, block)) is not None]
            elapsed = (self.moment - row.started_at) / timedelta(days=1)
            if not stop_at_limit and elapsed < rule.max_days:
                elapsed = 0.0
            what = "views" if row.arms["measure"] == "views_per_hour" else "clicks"
            judged = judge(over, arms, rule, elapsed_days=elapsed, what=what)
            before = (row.turns.get("judgement") or {}).get("blocks")
            row.turns = {**row.turns, "judgement": _plain(judged)}
            row.updated_at = self.moment
            if judged.state != "running":
                _end(
                    session, row, judged.state, judged.why, judged.winner, self.moment, actor=ACTOR
                )
            elif before != judged.blocks:
                record(session, ACTOR, "judged", "experiment", str(row.id), blocks=judged.blocks)
            return judged.state != "running"

    def _write(self, **turns: Any) -> None:
        """Write down where the experiment is; its state is nobody's but `_end`'s."""
        with self.studio.database.write() as session:
            row = find(session, self.id, lock=True)
            row.turns = {**row.turns, **turns}
            row.updated_at = self.moment
            if turns.get("shown") is not None:
                arm = row.arms["items"][turns["shown"]]["name"]
                record(session, ACTOR, "shown", "experiment", str(row.id), arm=arm)


def _block(session: Session, row: Experiment, block: dict[str, Any]) -> Block | None:
    """A block as it is judged; None for one that is not over, or counts for nothing."""
    from lofi.channel import Block, Draw

    turns = block["turns"]
    if block.get("void") or any(t["until"] is None for t in turns):
        return None
    draw = Draw(tuple(block["order"]), tuple(block["weights"]))
    if row.arms["measure"] == "views_per_hour":
        amounts = tuple(max(0.0, t["views_until"] - t["views_from"]) for t in turns)
        hours = tuple(
            (_moment(t["until"]) - _moment(t["from"])).total_seconds() / 3600 for t in turns
        )
        return Block(draw, amounts, hours)
    clicks, shows = [], []
    for turn in turns:
        told_days = _reach(session, row.release_id, _moment(turn["begin"]), _moment(turn["end"]))
        if told_days is None:
            return None
        clicks.append(told_days[0])
        shows.append(told_days[1])
    return Block(draw, tuple(clicks), tuple(s + 1.0 for s in shows))


def _reach(
    session: Session, release_id: int, begin: datetime, end: datetime
) -> tuple[float, float] | None:
    """Clicks and impressions of whole days; None while YouTube has not told all of them."""
    found: dict[datetime, dict[str, float]] = {}
    for name, at, value in session.execute(
        sa.select(Metric.name, Metric.at, Metric.value).where(
            Metric.release_id == release_id,
            Metric.name.in_(("daily_impressions", "daily_click_rate")),
            Metric.at >= begin - timedelta(minutes=1),
            Metric.at < end - timedelta(minutes=1),
        )
    ):
        found.setdefault(at, {})[name] = value
    days = round((end - begin) / timedelta(days=1))
    if len(found) < days:
        return None
    shows = [d.get("daily_impressions", 0.0) for d in found.values()]
    clicks = [
        d.get("daily_impressions", 0.0) * d.get("daily_click_rate", 0.0) for d in found.values()
    ]
    return sum(clicks), sum(shows)


def _plain(judged: Judgement) -> dict[str, Any]:
    return {
        "state": judged.state,
        "why": judged.why,
        "blocks": judged.blocks,
        "needed": judged.needed,
        "amounts": list(judged.amounts),
        "rates": list(judged.rates),
        "pairs": [asdict(pair) for pair in judged.pairs],
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _boundary(moment: datetime, hours: int) -> datetime:
    """The next moment at which a turn may begin: YouTube's days begin in Los Angeles."""
    local = moment.astimezone(_PACIFIC)
    begin = _local(local.date(), 0)
    while begin < moment:
        begin = _after(begin, min(hours, 24))
    return begin


def _after(begin: datetime, hours: int) -> datetime:
    """So many hours later by the clocks of Los Angeles: a day is a day, also one of 23 hours."""
    local = begin.astimezone(_PACIFIC).replace(tzinfo=None) + timedelta(hours=hours)
    return local.replace(tzinfo=_PACIFIC).astimezone(UTC)


def _local(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), _PACIFIC).astimezone(UTC)
