"""Thumbnails and titles by turns: fair turns, evidence that bears to be looked at, and an end."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from api import Api, problem
from shelf import put_track
from youtube import FakeYouTube, Fault, connected
from youtube_figures import figures, watch

from lofi.brief import InputError
from lofi.channel import Block, StoppingRule, draw_block, evidence, judge
from lofi.studio import analytics, experiments
from lofi.studio._tables import Event, Release

START = datetime(2026, 9, 7, 7, tzinfo=UTC)  # midnight in Los Angeles
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


# Turns --------------------------------------------------------------------------------------------


def turns(arms: int, seed: int, blocks: int, views: Callable[[int, int, random.Random], float]):
    """Blocks of turns of a day; `views` of (day, arm) are what comes of each."""
    chance = random.Random(seed)
    shown: list[tuple[int, datetime, datetime]] = []
    found = []
    for number in range(blocks):
        begin = START + number * arms * DAY
        draw = draw_block(arms, seed, number, begin, 24, shown)
        amounts = []
        for place, arm in enumerate(draw.order):
            day = number * arms + place
            shown.append((arm, begin + place * DAY, begin + (place + 1) * DAY))
            amounts.append(float(round(views(day, arm, chance))))
        found.append(Block(draw, tuple(amounts), (24.0,) * arms))
    return found, shown


def test_the_hours_of_the_week_are_shared_out_and_the_order_is_chance():
    apart, orders = 0, set()
    for seed in range(20):
        _, shown = turns(2, seed, 28, lambda *_: 1)
        orders.add(tuple(arm for arm, *_ in shown))
        for day in range(7):
            arms = [arm for arm, begin, _ in shown if begin.weekday() == day]
            apart += abs(arms.count(0) - arms.count(1))
    assert len(orders) == 20
    assert apart / 140 < 1.7  # a fair coin leaves 2.2 of 8 weeks
    assert turns(3, 5, 4, lambda *_: 1) == turns(3, 5, 4, lambda *_: 1)


def restless(day: int, _arm: int, chance: random.Random) -> float:
    """Views that fall over the weeks, differ by weekday, scatter, and now and then go viral."""
    wave = 1.5 if day % 7 in (4, 5, 6) else 1.0
    viral = 8.0 if chance.random() < 0.05 else 1.0
    return 400 * 0.985**day * wave * viral * chance.lognormvariate(0, 0.25)


@pytest.mark.parametrize("arms", [2, 3])
def test_peeking_at_every_block_finds_no_winner_where_there_is_none(arms):
    alpha, wrong, tried = 0.05, 0, 480 // arms
    for seed in range(tried):
        blocks, _ = turns(arms, seed, 24, restless)
        wrong += any(
            all(e >= arms * (arms - 1) / alpha for e in course)
            for a in range(arms)
            for course in zip(*(evidence(blocks, a, b) for b in range(arms) if b != a), strict=True)
        )
    # By Ville's inequality at most 5 % even for ever; so many may miss that by three errors.
    assert wrong <= tried * alpha + 3 * (tried * alpha * (1 - alpha)) ** 0.5


def test_a_real_difference_is_found_and_its_size_told():
    found, days, held = 0, [], 0
    for seed in range(30):
        blocks, _ = turns(
            2, seed, 28,
            lambda day, arm, chance: 300 * (1.3 if arm else 1.0) * chance.lognormvariate(0, 0.12),
        )  # fmt: skip
        looks = (judge(blocks[:n], 2, StoppingRule(), elapsed_days=2.0 * n) for n in range(4, 29))
        judged = next(j for j in looks if j.state != "running")
        found += judged.winner == 1
        assert judged.winner != 0
        days.append(2 * judged.blocks)
        pair = next(p for p in judged.pairs if p.arm == 1)
        held += (pair.low or 0.25) <= 1.3 <= (pair.high or 4.0)
    assert found >= 28
    assert sorted(days)[15] <= 24
    assert held >= 28


def test_it_is_not_decided_before_the_least_and_ends_at_the_most():
    rule = StoppingRule(min_amount=10_000, max_days=30)
    blocks, _ = turns(2, 1, 15, lambda _d, arm, _c: 100 + 100 * arm)
    early = judge(blocks, 2, rule, elapsed_days=29)
    assert (early.state, early.winner) == ("running", None)
    assert "10000" in early.why
    late = judge(blocks, 2, rule, elapsed_days=30)
    assert (late.state, late.winner) == ("undecided", None)
    assert judge(blocks, 2, StoppingRule(), elapsed_days=29).winner == 1
    with pytest.raises(InputError, match="turns of 5 h"):
        StoppingRule(turn_hours=5)


# On YouTube ---------------------------------------------------------------------------------------


class Time:
    """A clock that both the studio's round and YouTube go by."""

    def __init__(self, api: Api, fake: FakeYouTube) -> None:
        self.api, self.fake, self.now = api, fake, START - 5 * HOUR
        fake.now = lambda: self.now

    def go(self, duration: timedelta, step: timedelta = HOUR) -> None:
        until = self.now + duration
        while self.now < until:
            self.now += step
            self.tick()

    def tick(self) -> None:
        for grant in self.fake.grants.values():  # nobody tests log-in here
            grant.access = dict.fromkeys(grant.access, self.now + DAY)
        experiments.tick(self.api.studio, moment=self.now)


@pytest.fixture
def time(api: Api, fake_youtube: FakeYouTube) -> Time:
    clock = Time(api, fake_youtube)
    api.studio.change_settings({"youtube": {"uploads": True}}, actor="test")
    connected(api.studio, fake_youtube)
    video = watch(fake_youtube, START - 30 * DAY, per_hour=20)
    fake_youtube.videos[video]["snippet"] |= {
        "title": "Quiet Harbour", "description": "All of it", "tags": ["lofi"],
    }  # fmt: skip
    with api.studio.database.write() as session:
        put_track(session, 1, storage=api.studio.storage, files={"thumbnail.jpg": b"\xff\xd8\xff"})
        session.add(
            Release(id=1, track_id="quiet-harbour-00000001", platform="youtube",
                    state="published", publish_at=START - 30 * DAY, remote_id=video)
        )  # fmt: skip
    return clock


def start(time: Time, kind: str = "title", **arms: Any) -> int:
    arms = arms or {"titles": ["A Harbour at Night"]}
    studio = time.api.studio
    return experiments.start(studio, 1, kind, actor="local", moment=time.now, **arms)["id"]


def shown(fake: FakeYouTube) -> str:
    [video] = fake.videos.values()
    return video["snippet"]["title"]


def worth(fake: FakeYouTube, title: str, factor: float) -> None:
    [audience] = figures(fake).audiences.values()
    audience.worth = lambda video: factor if video["snippet"]["title"] == title else 1.0


def test_a_better_title_wins_and_is_shown_only_when_asked(time, api: Api, fake_youtube):
    worth(fake_youtube, "A Harbour at Night", 1.4)
    number = start(time)
    assert shown(fake_youtube) == "Quiet Harbour"
    problem(api.post("/api/releases/1/experiments",
                     json={"kind": "title", "titles": ["Other"]}), 409, "conflict")  # fmt: skip
    problem(api.post(f"/api/experiments/{number}/apply"), 409, "conflict")
    time.go(2 * DAY)
    assert {c.body["snippet"]["title"] for c in fake_youtube.seen("youtube.videos.update")} <= {
        "Quiet Harbour", "A Harbour at Night",
    }  # fmt: skip
    time.go(30 * DAY, 2 * HOUR)
    told = api.get(f"/api/experiments/{number}").json()
    assert (told["state"], told["winner"]) == ("decided", "A Harbour at Night")
    pair = next(p for p in told["pairs"] if p["arm"] == 1)
    assert pair["ratio"] == pytest.approx(1.4, rel=0.03)
    assert pair["evidence"] >= told["needed"] == 40
    assert shown(fake_youtube) == "Quiet Harbour"
    api.post(f"/api/experiments/{number}/apply")
    time.tick()
    assert shown(fake_youtube) == "A Harbour at Night"
    [video] = fake_youtube.videos.values()
    assert (video["snippet"]["description"], video["snippet"]["tags"]) == ("All of it", ["lofi"])
    with api.studio.database.read() as session:
        verbs = list(session.scalars(sa.select(Event.verb).where(Event.kind == "experiment")))
    assert {"started", "shown", "judged", "decided", "applied"} <= set(verbs)


def test_thumbnails_take_turns_and_what_was_comes_back_when_it_is_stopped(
    time, api: Api, fake_youtube
):
    [video] = fake_youtube.videos
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (1280).to_bytes(4, "big") + (720).to_bytes(4, "big")
    sent = api.post("/api/experiments/images", files={"file": ("a.png", png + b"\x08\x02\0\0\0")})
    assert sent.status_code == 201, sent.text
    assert sent.json()["width"] == 1280
    for bad in (b"GIF89a", png[:20], png.replace((720).to_bytes(4, "big"), b"\0\0\0\1")):
        answer = api.post("/api/experiments/images", files={"file": ("a.png", bad)})
        problem(answer, 422, "invalid-input")
    number = start(time, "thumbnail", images=[sent.json()["sha256"]])
    assert sent.json()["sha256"] in api.studio.named_blobs()
    time.go(3 * DAY)
    kinds = [c.headers["Content-Type"] for c in fake_youtube.seen("youtube.thumbnails.set")]
    assert len(kinds) >= 2
    assert set(kinds) == {"image/jpeg", "image/png"}
    api.post(f"/api/experiments/{number}/stop")
    time.tick()
    assert fake_youtube.thumbnails[video].startswith(b"\xff\xd8")
    assert api.get("/api/experiments").json()["items"][0]["state"] == "stopped"
    problem(api.get("/api/experiments/99"), 404, "not-found")


def test_a_turn_that_nobody_began_counts_for_nothing(time, api: Api, fake_youtube):
    number = start(time)
    time.go(2 * DAY)
    time.now += 3 * DAY  # the machine was off
    time.go(5 * DAY)
    told = api.get(f"/api/experiments/{number}").json()
    assert told["void"] == 1
    assert told["blocks"] >= 1
    assert [a["amount"] for a in told["arms"]] == [told["blocks"] * 24 * 20] * 2


def test_clicks_count_once_youtube_has_told_the_days(time, api: Api):
    number = start(time, titles=["A Harbour at Night"], measure="click_rate")
    analytics.collect(api.studio, actor="test", moment=time.now)  # orders the report
    time.go(3 * DAY)
    assert api.get(f"/api/experiments/{number}").json()["blocks"] == 0
    time.go(2 * DAY)
    assert analytics.collect(api.studio, actor="test", moment=time.now)["problems"] == {}
    time.tick()
    told = api.get(f"/api/experiments/{number}").json()
    assert told["blocks"] == 1
    assert [a["rate"] for a in told["arms"]] == pytest.approx([0.05, 0.05], rel=0.01)
    assert [a["amount"] for a in told["arms"]] == [20 * 24, 20 * 24]


def test_what_fails_is_told_and_tried_again(time, api: Api, fake_youtube):
    number = start(time)
    time.go(5 * HOUR)
    fake_youtube.next("youtube.videos.list", Fault(status=403, reason="forbidden"))
    time.go(DAY)
    told = api.get(f"/api/experiments/{number}").json()
    assert "may not do that" in told["problem"]
    time.go(DAY)
    told = api.get(f"/api/experiments/{number}").json()
    assert (told["problem"], told["void"], told["blocks"]) == (None, 0, 1)


def test_an_experiment_must_be_one_that_can_be_shown(time, api: Api):
    def refused(**body: Any) -> str:
        answer = api.post("/api/releases/1/experiments", json={"kind": "title", **body})
        return problem(answer, 422, "invalid-input")["detail"]

    assert "arms" in refused()
    assert "same" in refused(titles=["A", "a"])
    assert "title" in refused(titles=["a <b>"])
    assert "24 or 48" in refused(titles=["A"], measure="click_rate", turn_hours=12)
    assert "no image" in refused(kind="thumbnail", images=["0" * 64])
    answer = api.post("/api/releases/7/experiments", json={"kind": "title", "titles": ["A"]})
    problem(answer, 404, "not-found")
    api.studio.change_settings({"youtube": {"uploads": False}}, actor="test")
    answer = api.post("/api/releases/1/experiments", json={"kind": "title", "titles": ["A"]})
    problem(answer, 409, "conflict")
    reader = api.token("reader", "write")
    answer = api.post("/api/releases/1/experiments", json={"kind": "title", "titles": ["A"]},
                      headers=reader)  # fmt: skip
    problem(answer, 403, "forbidden")
