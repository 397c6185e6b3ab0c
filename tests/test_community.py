"""The community against a faithful local YouTube: read, answered and moderated, by clicks alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from api import Api, problem, serving
from shelf import put_track
from youtube import FORCE_SSL, FakeYouTube, Fault
from youtube_comments import (
    comments_of,
    drop_comment,
    edit_comment,
    fake_author,
    put_comment,
)

from lofi.channel import Client, Tokens
from lofi.studio import Studio, accounts, community
from lofi.studio._comments import sync_round
from lofi.studio._tables import Comment, Event, Preference, Release, now

LISTED = "youtube.commentThreads.list"
REPLY = "youtube.comments.insert"
MODERATE = "youtube.comments.setModerationStatus"


@dataclass
class Channel:
    """A studio that answers, connected to a channel with a video that was released from it."""

    api: Api
    youtube: FakeYouTube
    track: str
    video: str

    @property
    def studio(self) -> Studio:
        return self.api.studio

    def put(self, text: str, **values: Any) -> str:
        values = values if "parent" in values else {"video": self.video, **values}
        return put_comment(self.youtube, text, **values)

    def sync(self, **values: Any) -> Any:
        return community.sync(self.studio, actor="test", **values)

    def listed(self, **query: Any) -> dict[str, dict[str, Any]]:
        answer = self.api.get("/api/comments", params=query)
        assert answer.status_code == 200, answer.text
        return {c["id"]: c for c in answer.json()["items"]}

    def events(self, kind: str = "comment") -> list[tuple[str, str, str]]:
        with self.studio.database.read() as session:
            rows = session.scalars(sa.select(Event).where(Event.kind == kind).order_by(Event.id))
            return [(e.actor, e.verb, e.subject) for e in rows]

    def calls(self) -> Counter[str]:
        return Counter(c.method for c in self.youtube.calls)


@pytest.fixture
def channel(tmp_path: Path, migrated: Path, fake_youtube: FakeYouTube) -> Iterator[Channel]:
    with serving(tmp_path, migrated) as api:
        video = fake_youtube.add_video()
        with api.studio.database.write() as session:
            track = put_track(session, 1)
            session.add(
                Release(track_id=track, platform="youtube", state="published", remote_id=video)
            )
        connect(api.studio, fake_youtube)
        fake_youtube.calls.clear()
        yield Channel(api, fake_youtube, track, video)


def connect(studio: Studio, fake: FakeYouTube) -> None:
    """What `lofi youtube connect` ends with."""
    grant = fake.grant()
    [(token, until)] = grant.access.items()
    client = Client(
        client_id="x", client_secret="y", auth_uri=f"{fake.url}/o/oauth2/auth",
        token_uri=f"{fake.url}/token",
    )  # fmt: skip
    tokens = Tokens(
        access_token=token, access_until=until, refresh_token=grant.refresh_token,
        refresh_until=None, scopes=(FORCE_SSL,),
    )  # fmt: skip
    accounts.adopt(studio, client, tokens, actor="test")


# Reading ----------------------------------------------------------------------------------------


def test_comments_are_read_told_apart_and_listed_with_their_track(channel: Channel):
    question = channel.put("what key is this one in?", author="@asker")
    held = channel.put("shut up you idiot", state="heldForReview")
    spam = channel.put("sub to my channel, link in bio", state="likelySpam")
    elsewhere = channel.put("lovely", video=channel.youtube.add_video())
    page = channel.put("hello", video=None)
    done = channel.api.post("/api/comments/sync").json()
    assert done == {
        "calls": 3, "new": 5, "changed": 0, "gone": 0, "finished": True, "stopped": None
    }  # fmt: skip
    found = channel.listed()
    assert {i: c["state"] for i, c in found.items()} == {
        question: "published", held: "held", spam: "spam", elsewhere: "published",
        page: "published",
    }  # fmt: skip
    assert [found[i]["category"] for i in (question, held, spam)] == ["question", "toxic", "spam"]
    assert found[question]["track"] == {"id": channel.track, "title": "Quiet Harbour"}
    assert "A minor" in found[question]["suggestion"]
    assert found[held]["suggestion"] is found[spam]["suggestion"] is None
    assert found[elsewhere]["track"] is found[page]["track"] is None
    assert found[page]["url"] is None
    assert set(channel.listed(state="held")) == {held}
    assert set(channel.listed(category=["question", "spam"])) == {question, spam}
    assert set(channel.listed(track=channel.track)) == {question, held, spam}
    assert set(channel.listed(q="KEY one")) == {question}
    assert channel.listed(q="%") == {}
    for wrong in ("state=x", "category=x", "segment=x", "limit=0", "offset=-1"):
        problem(channel.api.get(f"/api/comments?{wrong}"), 422, "invalid-input")


def test_reading_stops_at_what_is_known_and_costs_three_units(channel: Channel):
    for i in range(250):
        channel.put(f"comment {i}")
    assert channel.sync().new == 250
    before = channel.calls()
    again = channel.sync()
    assert (again.calls, again.new, again.changed) == (3, 0, 0)
    new, edited = channel.put("brand new"), channel.put("soon edited")
    channel.sync()
    edit_comment(channel.youtube, edited, text="what is the bpm?", likes=7)
    assert channel.sync().changed == 1
    found = channel.listed(limit=2)
    assert set(found) == {new, edited}
    assert (found[edited]["category"], found[edited]["likes"]) == ("question", 7)
    assert found[edited]["edited"]
    assert (channel.calls() - before)[LISTED] == 9
    sync_round(channel.studio)  # and by itself
    assert (channel.calls() - before)[LISTED] == 12


def test_reading_that_is_cut_short_goes_on_where_it_was(channel: Channel):
    ids = {channel.put(f"comment {i}") for i in range(450)}
    first = channel.sync(most_calls=4)  # held, spam, and two pages of five
    assert (first.new, first.finished) == (200, False)
    assert "enough" in (first.stopped or "")
    channel.youtube.next(LISTED, *[Fault(status=403, reason="quotaExceeded")])
    second = channel.sync()
    assert not second.finished
    assert "quota" in (second.stopped or "")
    channel.youtube.shelf["page"] = None
    with channel.studio.database.write() as session:
        session.execute(sa.text("DELETE FROM quota"))
    newest = channel.put("written meanwhile")
    assert channel.sync().finished
    assert channel.calls()[LISTED] == 4 + 3 + 3  # no page was read twice but the first
    with channel.studio.database.read() as session:
        assert set(session.scalars(sa.select(Comment.id))) == ids | {newest}


def test_a_token_that_is_too_old_has_all_read_anew(channel: Channel):
    for i in range(250):
        channel.put(f"comment {i}")
    channel.sync(most_calls=3)
    channel.youtube.next(LISTED, Fault(status=400, reason="invalidPageToken"))
    assert channel.sync().finished
    assert channel.api.get("/api/comments").json()["total"] == 250


def test_long_threads_are_read_to_their_end(channel: Channel):
    top = channel.put("how was this made?")
    for i in range(230):
        channel.put(f"reply {i}", parent=top)
    held = channel.put("rude", parent=top, state="heldForReview")
    channel.sync()
    told = channel.api.get(f"/api/comments/{top}").json()
    assert len(told["thread"]) == 1 + 230 + 1
    assert told["replies"] == 230
    assert channel.listed(state="held")[held]["parent"]["text"] == "how was this made?"
    assert channel.sync().calls == 3


def test_what_vanished_or_was_moderated_elsewhere_is_noticed(channel: Channel):
    deleted, kept = channel.put("soon gone"), channel.put("stays")
    answer = channel.put("gone with it", parent=deleted)
    published = channel.put("good one", state="heldForReview")
    refused = channel.put("bad one", state="heldForReview")
    reply = channel.put("held reply", parent=kept, state="heldForReview")
    channel.sync()
    edit_comment(channel.youtube, published, state="published")
    edit_comment(channel.youtube, refused, state="rejected")
    edit_comment(channel.youtube, reply, state="published")
    done = channel.sync()  # no sweep: the held listing says so
    assert channel.listed(state="held") == {}
    assert {published, reply} <= set(channel.listed(state="published"))
    assert done.gone == 1
    drop_comment(channel.youtube, deleted)
    with channel.studio.database.write() as session:
        row = session.get(Preference, "comments")
        assert row
        long_ago = (now() - timedelta(days=2)).isoformat()
        row.value = {**row.value, "swept_at": long_ago}
    assert channel.sync().gone == 2
    assert set(channel.listed()) == {kept, published, reply}
    gone = {subject for _, verb, subject in channel.events() if verb == "vanished"}
    assert gone == {deleted, answer, refused}


def test_one_reading_at_a_time(channel: Channel):
    channel.put("x")
    with channel.studio.database.write() as session:
        value = {"lease": (now() + timedelta(minutes=1)).isoformat()}
        session.add(Preference(name="comments", value=value, updated_by="x"))
    problem(channel.api.post("/api/comments/sync"), 409, "conflict")
    sync_round(channel.studio)  # says nothing
    with channel.studio.database.write() as session:
        row = session.get(Preference, "comments")
        assert row
        row.value = {"lease": (now() - timedelta(minutes=1)).isoformat()}  # who had it was killed
    assert channel.sync().new == 1


def test_hostile_words_and_names_are_stored_and_listed(channel: Channel):
    texts = ["<script>alert(1)</script>", "x" * 10_000, "\u202eabc", "a\x00b", "مرحبا", ""]
    for i, text in enumerate(texts):
        channel.put(text, author=f"{text[:200]}{i}", author_id=fake_author(str(i)))
    channel.sync()
    found = channel.listed().values()
    assert {c["text"] for c in found} == {
        "<script>alert(1)</script>", "x" * 10_000, "abc", "ab", "مرحبا", ""
    }  # fmt: skip


# Replies ----------------------------------------------------------------------------------------


def test_a_reply_is_sent_by_a_click_once_and_recorded(channel: Channel):
    comment = channel.put("what key is it?")
    channel.sync()
    channel.youtube.calls.clear()
    draft = channel.api.put(f"/api/comments/{comment}/draft", json={"text": " It is in A "}).json()
    assert draft["draft"] == "It is in A"
    assert not channel.youtube.calls  # nothing is sent by itself
    told = channel.api.post(f"/api/comments/{comment}/reply", json={"text": "A minor!"}).json()
    assert (told["reply"]["state"], told["reply"]["text"]) == ("sent", "A minor!")
    assert told["handled_by"] == "local"
    assert [c["text"] for c in told["thread"]] == ["what key is it?", "A minor!"]
    assert told["thread"][1]["ours"]
    again = channel.api.post(f"/api/comments/{comment}/reply", json={"text": "A minor!"})
    problem(again, 409, "conflict")
    assert channel.calls() == {REPLY: 1}
    verbs = [(actor, verb) for actor, verb, subject in channel.events() if subject == comment]
    assert verbs == [("local", "drafted"), ("local", "replying to"), ("local", "replied to")]
    channel.sync()
    assert channel.listed(state="published").keys() == {comment}  # our own is not among them


def test_a_reply_to_a_reply_goes_into_its_thread(channel: Channel):
    top = channel.put("nice")
    answer = channel.put("which plugin?", parent=top, author="@b")
    channel.sync()
    sent = channel.api.post(f"/api/comments/{answer}/reply", json={"text": "@b None."})
    assert sent.status_code == 200
    assert channel.youtube.seen(REPLY)[0].body["snippet"]["parentId"] == top


@pytest.mark.parametrize("state", ["heldForReview", "likelySpam"])
def test_what_nobody_sees_is_not_replied_to(channel: Channel, state):
    comment = channel.put("hm", state=state)
    channel.sync()
    sent = channel.api.post(f"/api/comments/{comment}/reply", json={"text": "hi"})
    assert "publish it first" in problem(sent, 409, "conflict")["detail"]
    for text in ("", "x" * 10_001, "so [answer]", "a\x00b"):
        refused = channel.api.post(f"/api/comments/{comment}/reply", json={"text": text})
        problem(refused, 422, "invalid-input")
    assert not channel.youtube.seen(REPLY)


def test_a_reply_that_was_refused_may_be_sent_again(channel: Channel):
    comment = channel.put("hm")
    channel.sync()
    channel.youtube.next(REPLY, Fault(status=403, reason="quotaExceeded"))
    sent = channel.api.post(f"/api/comments/{comment}/reply", json={"text": "hi"})
    assert sent.status_code >= 400
    told = channel.listed()[comment]
    assert (told["reply"], told["draft"], told["cannot_reply"]) == (None, "hi", None)
    with channel.studio.database.write() as session:
        session.execute(sa.text("DELETE FROM quota"))
    sent = channel.api.post(f"/api/comments/{comment}/reply", json={"text": "hi"})
    assert sent.status_code == 200
    assert len([c for c in comments_of(channel.youtube).values() if c["parent"]]) == 1


@pytest.mark.parametrize("way", ["lost", "unreadable", "killed"])
def test_a_reply_of_which_nobody_knows_is_never_sent_twice(channel: Channel, way):
    comment = channel.put("hm")
    channel.sync()
    if way == "killed":  # between the request and its answer
        put_comment(channel.youtube, "hi  there", parent=comment, author="@me",
                    author_id=channel.youtube.channel_id, at=now())  # fmt: skip
        with channel.studio.database.write() as session:
            row = session.get(Comment, comment)
            assert row
            row.reply, row.reply_state = "hi there", "sending"
            row.reply_at = now() - timedelta(minutes=4)
    else:
        fault = Fault(lost=True) if way == "lost" else Fault(body=b"<html>oops")
        channel.youtube.next(REPLY, fault)
        sent = channel.api.post(f"/api/comments/{comment}/reply", json={"text": "hi there"})
        assert sent.status_code >= 400
    assert channel.listed(unclear=True)[comment]["reply"]["state"] == "unclear"
    again = channel.api.post(f"/api/comments/{comment}/reply", json={"text": "hi there"})
    assert "look" in problem(again, 409, "conflict")["detail"]
    if way == "lost":  # a person has it looked for
        told = channel.api.post(f"/api/comments/{comment}/reply/look").json()
        assert told["reply"]["state"] == "sent"
    else:  # the next reading sees it
        channel.sync()
        assert channel.listed()[comment]["reply"]["state"] == "sent"
    replies = [c for c in comments_of(channel.youtube).values() if c["parent"] == comment]
    assert len(replies) == 1
    problem(channel.api.post(f"/api/comments/{comment}/reply/look"), 409, "conflict")


def test_a_reply_that_did_not_arrive_is_sent_again_once_a_person_says_so(channel: Channel):
    comment = channel.put("hm")
    channel.sync()
    channel.youtube.next(REPLY, Fault(status=503))
    channel.api.post(f"/api/comments/{comment}/reply", json={"text": "hi"})
    looked = channel.api.post(f"/api/comments/{comment}/reply/look").json()
    assert looked["reply"]["state"] == "unclear"
    settled = channel.api.post(f"/api/comments/{comment}/reply/settle", json={"arrived": False})
    assert settled.json()["draft"] == "hi"
    sent = channel.api.post(f"/api/comments/{comment}/reply", json={"text": "hi"})
    assert sent.json()["reply"]["state"] == "sent"
    assert len([c for c in comments_of(channel.youtube).values() if c["parent"]]) == 1


def test_what_was_answered_on_youtube_waits_no_more(channel: Channel):
    comment, other = channel.put("hm?"), channel.put("and mine?")
    channel.sync()
    put_comment(channel.youtube, "yes", parent=comment, author="@me",
                author_id=channel.youtube.channel_id, at=now())  # fmt: skip
    channel.sync()
    assert set(channel.listed(handled=False)) == {other}
    assert channel.listed()[comment]["handled_by"] == "youtube"


# Moderation -------------------------------------------------------------------------------------


def test_comments_are_published_hidden_and_rejected(channel: Channel):
    comment = channel.put("fine", state="heldForReview")
    channel.sync()
    told = channel.api.post(f"/api/comments/{comment}/publish").json()
    assert told["state"] == comments_of(channel.youtube)[comment]["state"] == "published"
    assert channel.api.post(f"/api/comments/{comment}/hold").json()["state"] == "held"
    assert comments_of(channel.youtube)[comment]["state"] == "heldForReview"
    refused = channel.api.post(f"/api/comments/{comment}/reject")
    assert "cannot come back" in problem(refused, 422, "invalid-input")["detail"]
    assert channel.calls()[MODERATE] == 2
    done = channel.api.post(f"/api/comments/{comment}/reject", json={"confirm": True}).json()
    assert (done["state"], done["handled_by"]) == ("rejected", "local")
    back = channel.api.post(f"/api/comments/{comment}/publish")
    assert "cannot come back" in problem(back, 409, "conflict")["detail"]
    assert channel.calls()[MODERATE] == 3
    channel.sync()
    assert channel.listed()[comment]["state"] == "rejected"  # what no listing tells is remembered


def test_banning_goes_with_rejecting_and_is_recorded(channel: Channel):
    comment = channel.put("buy views at my page", author="@seller", state="likelySpam")
    channel.sync()
    body = {"ids": [comment], "ban_author": True}
    problem(channel.api.post("/api/comments/moderate/held", json=body), 422, "invalid-input")
    problem(channel.api.post("/api/comments/moderate/rejected", json=body), 422, "invalid-input")
    done = channel.api.post("/api/comments/moderate/rejected", json={**body, "confirm": True})
    assert done.json()["items"][0]["banned"]
    assert channel.youtube.seen(MODERATE)[0].params["banAuthor"] is True
    assert channel.events("author") == [("local", "banned", fake_author("@seller"))]


def test_fifty_are_moderated_with_one_request(channel: Channel):
    ids = [channel.put(f"c {i}", state="heldForReview") for i in range(51)]
    channel.sync()
    many = channel.api.post("/api/comments/moderate/published", json={"ids": ids})
    problem(many, 422, "invalid-input")
    done = channel.api.post("/api/comments/moderate/published", json={"ids": ids[:50]})
    assert done.status_code == 200, done.text
    assert channel.calls()[MODERATE] == 1
    assert channel.api.get("/api/comments?state=held").json()["total"] == 1


def test_a_refusal_changes_nothing_here_and_is_recorded(channel: Channel):
    comment = channel.put("x", state="heldForReview")
    channel.sync()
    drop_comment(channel.youtube, comment)
    answer = channel.api.post(f"/api/comments/{comment}/publish")
    problem(answer, 422, "invalid-input")
    assert channel.listed()[comment]["state"] == "held"
    assert [v for _, v, _ in channel.events()] == ["moderating", "could not moderate"]


def test_only_who_may_publish_sends_anything(channel: Channel):
    comment = channel.put("x", state="heldForReview")
    channel.sync()
    writer = channel.api.token("writer", "write")
    where = f"/api/comments/{comment}"
    for path, body in (
        ("reply", {"text": "hi"}), ("publish", None), ("hold", None), ("reject", {"confirm": True}),
        ("reply/settle", {"arrived": True}),
    ):  # fmt: skip
        answer = channel.api.post(f"{where}/{path}", json=body, headers=writer)
        problem(answer, 403, "forbidden")
    bulk = channel.api.post("/api/comments/moderate/held", json={"ids": [comment]}, headers=writer)
    problem(bulk, 403, "forbidden")
    assert channel.calls()[REPLY] + channel.calls()[MODERATE] == 0


# What a person notes ----------------------------------------------------------------------------


def test_a_person_corrects_and_closes(channel: Channel):
    comment = channel.put("sick beat")
    channel.sync()
    told = channel.api.patch(
        f"/api/comments/{comment}", json={"category": "praise", "handled": True}
    ).json()
    assert (told["category"], told["confidence"], told["handled_by"]) == ("praise", None, "local")
    channel.sync()
    assert channel.listed(handled=True)[comment]["confidence"] is None
    assert (
        channel.api.patch(f"/api/comments/{comment}", json={"handled": False}).json()["handled_at"]
        is None
    )
    problem(channel.api.patch(f"/api/comments/{comment}", json={"category": "x"}), 422,
            "invalid-input")  # fmt: skip
    for path in ("nothing", "%00", "\u202e"):
        problem(channel.api.get(f"/api/comments/{path}"), 404, "not-found")


def test_templates_are_edited_and_given_back(channel: Channel):
    comment = channel.put("lovely, i love this so much")
    channel.sync()
    body = {"templates": {"praise": ["Cheers from {{ title }}!"], "other": []}}
    told = channel.api.put("/api/comments/templates", json=body).json()
    assert (told["templates"]["praise"], told["templates"]["other"]) == (
        ["Cheers from {{ title }}!"], []
    )  # fmt: skip
    assert channel.listed()[comment]["suggestion"] == "Cheers from Quiet Harbour!"
    for wrong in ({"spam": ["hi"]}, {"praise": ["{{ nothing }}"]}, {"x": None}):
        refused = channel.api.put("/api/comments/templates", json={"templates": wrong})
        problem(refused, 422, "invalid-input")
    channel.api.put("/api/comments/templates", json={"templates": {"praise": None}})
    turns = {
        channel.api.get(f"/api/comments/{comment}/suggestion?turn={t}").json()["text"]
        for t in range(6)
    }
    assert len(turns) >= 4


def test_people_are_in_the_segment_that_their_figures_put_them_in(channel: Channel):
    videos = [channel.video, *(channel.youtube.add_video() for _ in range(3))]
    for i in range(8):
        channel.put("i love this", author="@fan", video=videos[i % 4])
    for i in range(3):
        channel.put("the bass is too loud and muddy", author="@critic", video=videos[i % 2])
    channel.put("hello", author="@new")
    channel.put("sub to my channel", author="@seller", state="likelySpam")
    channel.sync()
    people = channel.api.get("/api/comments/people").json()["items"]
    assert {p["author"]: p["segment"] for p in people} == {
        "@fan": "superfan", "@critic": "critic", "@new": "new", "@seller": "suspected spammer"
    }  # fmt: skip
    assert people[0]["figures"]["comments"] == 8
    assert people[0]["figures"]["videos"] == 4
    for segment in ("superfan", "critic", "new", "suspected spammer", "regular"):
        found = channel.listed(segment=segment).values()
        assert {c["author"] for c in found} == {
            p["author"] for p in people if p["segment"] == segment
        }
        assert all(c["segment"] == segment for c in found)
    told = channel.api.get("/api/comments/summary").json()
    assert {s["name"]: s["people"] for s in told["segments"]}["superfan"] == 1


def test_without_an_account_it_is_said_how_to_connect_one(api: Api):
    told = api.get("/api/comments/summary").json()
    assert (told["connected"], told["synced_at"]) == (False, None)
    assert {"pinning a comment", "community posts and polls"} <= {
        n["what"] for n in told["not_in_the_api"]
    }
    assert "lofi youtube connect" in api.post("/api/comments/sync").json()["remedy"]
    sync_round(api.studio)  # does nothing, and says nothing
