"""The studio, open: its settings, database, storage and cache, and what is done with all of them.

`lofi serve`, `lofi worker` and the commands each open it. Only one process may work in a data
folder that is on SQLite: it holds a lock on it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from lofi.brief import Brief, InputError, LofiError, find_mood, subseed
from lofi.picture import check_frame
from lofi.studio import _jobs, _prompts, _slots
from lofi.studio._cache import Cache
from lofi.studio._calendar import next_runs
from lofi.studio._commission import Commission, Prompt, commission
from lofi.studio._database import Database
from lofi.studio._events import record
from lofi.studio._experiments import named_images
from lofi.studio._jobs import PRIORITIES, Order
from lofi.studio._rounds import Rounds
from lofi.studio._settings import Settings, check_group, check_ranges, check_settings
from lofi.studio._storage import Storage
from lofi.studio._tables import Artifact, Preference, now
from lofi.studio._worker import WorkerProcess

if TYPE_CHECKING:
    from lofi.channel import YouTube

# What may be set while the studio runs; where things lie and who may reach it is set in a file.
WRITABLE = ("sampling", "generation", "video", "daily", "schedule", "youtube")
_OVERRIDES = "settings"


@dataclass(slots=True)
class Studio:
    """An open studio. Close it, or use it as a context manager."""

    base: Settings  # from the file and the environment
    folder: Path
    database: Database
    storage: Storage
    cache: Cache
    worker: WorkerProcess | None = None
    rounds: Rounds | None = None
    api: YouTube | None = None  # see `accounts.youtube`
    _lock: IO[str] | None = None
    # The settings as they were last asked for: file, overrides, both. To check them takes longer
    # than most of what is asked.
    _known: tuple[Settings, dict[str, dict[str, Any]], Settings] | None = None

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back unfinished work and close what is open."""
        self.stop_work()
        if self.api:
            self.api.close()
            self.api = None
        self.cache.close()
        self.database.close()
        if self._lock:
            self._lock.close()
            self._lock = None

    @property
    def asks_no_server(self) -> bool:
        """Whether what is read comes from a file and from memory, and keeps nobody waiting."""
        return self.database.is_sqlite and not self.base.studio.cache

    # Settings -----------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """The settings now: the environment, then what was set here, then the file."""
        overrides = self.cache.get_or_make("preferences", _OVERRIDES, self.overrides, ttl_s=5.0)
        known = self._known
        if known is None or known[0] is not self.base or known[1] != overrides:
            known = self._known = (self.base, overrides, _overlaid(self.base, overrides))
        return known[2]

    def change_settings(self, changes: dict[str, dict[str, Any]], *, actor: str) -> Settings:
        """Set some of the WRITABLE settings, for work ordered from now on.

        A value of None takes back what was set here: it is then as in the file again. Raises
        InputError for a setting that is unknown, not to be set here, or has a wrong value; nothing
        is changed then.
        """
        for group in changes:
            if group not in WRITABLE:
                raise InputError(
                    f"{group!r} cannot be set here: only {', '.join(WRITABLE)} can. "
                    "Change config.yaml or the environment, and start the studio again."
                )
        with self.database.write() as session:
            row = session.get(Preference, _OVERRIDES, with_for_update=True)
            merged = {g: dict(v) for g, v in (row.value if row else {}).items()}
            for group, values in changes.items():
                both = merged.get(group, {}) | values
                _refuse_unknown(self.base, group, values)
                merged[group] = {n: v for n, v in both.items() if v is not None}
            checked = _overlaid(self.base, merged)
            for group in changes:
                # As it is without the environment, which may be another tomorrow.
                alone = check_group(group, asdict(getattr(self.base, group)) | merged[group])
                check_ranges(group, alone)
                if group == "video":
                    check_frame(alone.width, alone.height, alone.fps)
            if "daily" in changes:
                # One that cannot be read would keep the studio from working when it starts again.
                next_runs(replace(checked.daily, cron=checked.daily.cron or "0 0 * * *"), now())
            if "schedule" in changes:
                _slots.rules(checked)
            if row is None:
                session.add(Preference(name=_OVERRIDES, value=merged, updated_by=actor))
            else:
                row.value, row.updated_by, row.updated_at = merged, actor, now()
            record(session, actor, "set", "settings", ",".join(sorted(changes)), changes=changes)
        self.cache.forget("preferences", _OVERRIDES)
        if self.worker and "daily" in changes:
            self._schedule_daily(checked)
        return checked

    def overrides(self) -> dict[str, dict[str, Any]]:
        """What was set here, by group: it goes before the file."""
        with self.database.read() as session:
            row = session.get(Preference, _OVERRIDES)
            return row.value if row else {}

    # Orders -------------------------------------------------------------------------------------

    def order(
        self,
        brief: Brief,
        *,
        count: int = 1,
        actor: str,
        model: Path | None = None,
        soundfont: Path | None = None,
        keep_stems: bool = False,
        priority: int | None = None,
        not_before: datetime | None = None,
        session: Any = None,
    ) -> list[str]:
        """Order a track of a brief, or `count` with seeds of their own; gives the ids of the jobs.

        Within `session`, where one is given: the caller commits and then calls `start`. Raises
        InputError for a brief, model or SoundFont that cannot be used; nothing is ordered then.
        """
        orders = self.orders(
            brief,
            count=count,
            model=model,
            soundfont=soundfont,
            keep_stems=keep_stems,
            priority=priority,
            not_before=not_before,
        )
        if session is not None:
            return _jobs.submit(session, orders, actor=actor)
        with self.database.write() as own:
            ids = _jobs.submit(own, orders, actor=actor)
        self.start(ids)
        return ids

    def orders(
        self,
        brief: Brief,
        *,
        count: int = 1,
        model: Path | None = None,
        soundfont: Path | None = None,
        keep_stems: bool = False,
        priority: int | None = None,
        not_before: datetime | None = None,
        sampling: Mapping[str, float] | None = None,
        prompt: Prompt | None = None,
    ) -> list[Order]:
        """What `order` would order, checked and not yet written: for who orders several briefs.

        `sampling` goes before those settings; a `prompt` is what the tracks are made from.
        """
        settings = self._settings_for(sampling)
        seeds = [brief.seed]
        if count > 1:
            seeds = [subseed(brief.seed, "batch", i) >> 1 for i in range(count)]
        return [
            Order(
                commission(
                    replace(brief, seed=seed),
                    _one_core(settings),
                    model_path=model,
                    soundfont=soundfont,
                    keep_stems=keep_stems,
                    prompt=prompt,
                ),
                priority=priority or PRIORITIES["now" if count == 1 else "batch"],
                not_before=not_before,
            )
            for seed in seeds
        ]

    def preview_orders(
        self,
        brief: Brief,
        *,
        count: int = 1,
        model: Path | None = None,
        soundfont: Path | None = None,
        keep_stems: bool = False,
        priority: int | None = None,
        not_before: datetime | None = None,
        sampling: Mapping[str, float] | None = None,
        prompt: Prompt | None = None,
    ) -> list[Order]:
        """Previews of a brief: `count` of them, the seed of each being one more than the last.

        What a preview is of can be ordered with `full_order`.
        """
        settings = self._settings_for(sampling)
        # Somebody waits for the score, which is the same whoever writes it: all cores may.
        alone = settings.generation if count == 1 else replace(settings.generation, threads=1)
        settings = _one_core(settings).model_copy(update={"generation": alone})
        return [
            Order(
                commission(
                    replace(brief, seed=seed),
                    settings,
                    model_path=model,
                    soundfont=soundfont,
                    keep_stems=keep_stems,
                    prompt=prompt,
                ),
                kind="preview",
                priority=priority or PRIORITIES["now"],
                not_before=not_before,
            )
            for seed in range(brief.seed, brief.seed + count)
        ]

    def full_order(self, preview_id: str) -> Order:
        """The track of a preview: the same commission, so that its score is taken over.

        Raises NotFoundError, InputError for a job that is no preview.
        """
        with self.database.read() as session:
            job = _jobs.find(session, preview_id)
            if job.kind != "preview":
                raise InputError(f"job {preview_id} is no preview: it is a {job.kind} already.")
            wanted = Commission.from_json(job.commission)
        return Order(replace(wanted, generation=replace(wanted.generation, threads=1)), priority=1)

    def _settings_for(self, sampling: Mapping[str, float] | None) -> Settings:
        settings = self.settings()
        sampled = replace(settings.sampling, **(sampling or {}))
        return settings.model_copy(update={"sampling": sampled})

    def order_daily(self, day: datetime | None = None, *, actor: str) -> list[str]:
        """Order the tracks of a day, once: asked again, the same jobs are given.

        In the place of one that failed, after all its tries, comes another track, of another seed.
        One that was cancelled stays so: a person wanted it.
        """
        settings = self.settings()
        daily = settings.daily
        local = (day or now()).astimezone(ZoneInfo(daily.time_zone)).date().isoformat()
        with self.database.read() as session:
            states = _jobs.states_of_keys(session, f"daily/{local}/")
        orders = []
        for i in range(daily.count):
            place = f"{local}/{i}"
            again = 0
            while states.get(f"daily/{place}") == "failed":
                again += 1
                place = f"{local}/{i}/{again}"
            mood = daily.moods[i % len(daily.moods)] if daily.moods else None
            seed = subseed(0, "daily", local, i, *([again] if again else [])) >> 1
            brief = Brief(seed=seed, mood=mood, duration_s=daily.duration_s)
            orders.append(
                Order(
                    commission(brief, _one_core(settings)),
                    priority=PRIORITIES["daily"],
                    dedup_key=f"daily/{place}",
                )
            )
        with self.database.write() as session:
            ids = _jobs.submit(session, orders, actor=actor)
        self.start(ids)
        return ids

    def start(self, job_ids: Sequence[str]) -> None:
        """Have jobs begin as soon as may be, if this process works; else a worker finds them."""
        if self.worker:
            self.worker.put(job_ids)

    # Work ---------------------------------------------------------------------------------------

    def work(self, lanes: Sequence[str] | None = None, *, rounds: bool = True) -> WorkerProcess:
        """Begin to carry out jobs in this process; and, in the lane `network`, the rounds."""
        url = self.database.url
        if self.database.is_sqlite:
            url = sa.URL.create("sqlite", database=str(self.folder / "queues.db"))
        self.worker = WorkerProcess(
            self.database,
            self.storage,
            url,
            self.folder / "work",
            self.base.work,
            lanes=lanes,
            alone=self.database.is_sqlite,
        )
        self._schedule_daily(self.settings())
        if rounds and (lanes is None or "network" in lanes):
            self.rounds = Rounds(self)
        return self.worker

    def stop_work(self) -> None:
        """Give back what is unfinished, if this process works; somebody else goes on with it."""
        if self.rounds:
            self.rounds.close()
            self.rounds = None
        if self.worker:
            self.worker.close()
            self.worker = None

    def _schedule_daily(self, settings: Settings) -> None:
        assert self.worker

        def order(day: datetime) -> None:
            self.order_daily(day, actor="schedule")

        daily = settings.daily
        self.worker.schedule(daily.cron or None, daily.time_zone, order)

    def lock(self) -> None:
        """Claim the data folder for this process. Raises LofiError if another one has it."""
        if self._lock is None:
            self._lock = lock_folder(self.folder)

    # Files --------------------------------------------------------------------------------------

    def export(self, job_id: str, into: Path) -> Path:
        """Write the package of a finished job as a folder of `into`: whole, or not at all.

        Gives the folder, named as the track is. An earlier one of that name is replaced.
        """
        with self.database.read() as session:
            job = _jobs.find(session, job_id)
            if job.state != "done" or job.track_id is None:
                raise InputError(f"job {job_id} is {job.state}: it has no package yet.")
            name = job.track_id
            files = [
                (a.name, a.sha256) for a in _jobs.artifacts(session, job_id) if a.kind != "internal"
            ]
        final = into / name
        aside = into / f".{name}.{_jobs.new_id()}"
        aside.mkdir(parents=True)
        try:
            for file, sha256 in files:
                (aside / file).parent.mkdir(parents=True, exist_ok=True)
                self.storage.fetch(sha256, aside / file)
            if final.exists():
                final.rename(aside.with_name(f"{aside.name}.old"))
            aside.rename(final)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(aside.with_name(f"{aside.name}.old"), ignore_errors=True)
        return final

    def named_blobs(self) -> set[str]:
        """The hashes of all files that a record names: what is not garbage."""
        with self.database.read() as session:
            files = set(session.scalars(sa.select(Artifact.sha256).distinct()))
            return files | named_images(session) | _prompts.named(session)


def lock_folder(folder: Path) -> IO[str]:
    """Claim a data folder until the file is closed. Raises LofiError if another process has it."""
    file = (folder / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise LofiError(
            f"{folder} is in use by {holder}. Stop that one first, or give this one a folder of "
            "its own (LOFI_STUDIO__FOLDER)."
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()}")
    file.flush()
    return file


def open_studio(settings: Settings) -> Studio:
    """Open the studio of some settings. SQLite is brought up to date; PostgreSQL must be.

    Raises LofiError for what cannot be reached, with the remedy.
    """
    database = open_database(settings)
    if database.is_sqlite:
        database.migrate()
    else:
        database.require_current()
    house, folder = settings.studio, settings.studio.folder.absolute()
    storage = Storage(house.storage or str(folder / "storage"))
    return Studio(settings, folder, database, storage, Cache(house.cache or None))


def open_database(settings: Settings) -> Database:
    """The database of some settings, at whatever revision it is; its folder is made.

    Raises LofiError if the folder cannot be made, InputError for a URL that cannot be used.
    """
    folder = settings.studio.folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LofiError(
            f"{folder} cannot be made: {error.strerror}. Set studio.folder in config.yaml."
        ) from error
    return Database(settings.studio.database or f"sqlite:///{folder / 'studio.db'}")


def _one_core(settings: Settings) -> Settings:
    """One thread for each stage: the lanes fill the cores, and two of one beat one of two."""
    return settings.model_copy(
        update={
            "generation": replace(settings.generation, threads=1),
            "video": replace(settings.video, threads=1),
        }
    )


def _refuse_unknown(base: Settings, group: str, names: Iterable[str]) -> None:
    known = [f.name for f in fields(getattr(base, group))]
    for name in names:
        if name not in known:
            raise InputError(f"unknown setting {group}.{name}. There are {', '.join(known)}.")


def _overlaid(base: Settings, changes: dict[str, dict[str, Any]]) -> Settings:
    """Settings with some values changed and all checked. Raises InputError."""
    values: dict[str, Any] = {}
    for name in type(base).model_fields:
        group = getattr(base, name)
        values[name] = (
            asdict(group) if is_dataclass(group) and not isinstance(group, type) else group
        )
    for name, change in changes.items():
        _refuse_unknown(base, name, change)
        values[name] |= change
        # By itself too: the environment goes before it, and would hide a value that is wrong.
        check_group(name, values[name])
    settings = check_settings(values)
    for mood in settings.daily.moods:
        find_mood(mood)
    return settings
