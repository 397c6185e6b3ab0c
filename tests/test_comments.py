"""Comments as they come and what is made of them: plain values, guesses, suggested replies."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from lofi.brief import InputError, LofiError
from lofi.channel import (
    COMMENT_CATEGORIES,
    GUESSING,
    REPLY_FACTS,
    REPLY_TEMPLATES,
    SEGMENTS,
    check_reply,
    check_reply_templates,
    classify,
    classify_all,
    read_thread_page,
    segment_of,
    suggest_reply,
)
from lofi.channel._classify import SAMPLE, read_sample, report
from lofi.channel._comments import read_thread, safe_name, safe_text

HELD_OUT = Path(__file__).parent / "comments_held_out.tsv"
COMMON = Path(__file__).parent / "comments_common.tsv"
DOCS = Path(__file__).parents[1] / "docs" / "channel.md"
MOMENT = "2026-11-01T10:00:00Z"
HOSTILE = "<script>alert(1)</script>\x00\x1b[31m \u202egnp.exe\u202c \ud800 " + "e" + "\u0301" * 500


def thread(**snippet: Any) -> dict[str, Any]:
    top = {
        "id": "UgzA",
        "snippet": {
            "authorDisplayName": "@a",
            "authorChannelId": {"value": "UCa"},
            "textDisplay": "hello",
            "publishedAt": MOMENT,
            "updatedAt": MOMENT,
            **snippet,
        },
    }
    return {"id": "UgzA", "snippet": {"topLevelComment": top, "totalReplyCount": 0}}


# What YouTube tells -----------------------------------------------------------------------------


def test_what_strangers_wrote_is_kept_without_what_could_harm():
    told = read_thread(thread(textDisplay=HOSTILE + "x" * 20_000, authorDisplayName=HOSTILE))
    assert told is not None
    for text in (told.top.text, told.top.author):
        assert text.startswith("<script>alert(1)</script>")  # the words stay: who shows it escapes
        assert not set(text) & {"\x00", "\x1b", "\u202e", "\ud800"}
        assert text.count("\u0301") <= 4
        text.encode()
    assert len(told.top.text) <= 10_000
    assert len(told.top.author) <= 100
    assert safe_text("a\r\nb\tc") == "a\nb c"
    assert safe_text("👩‍👩‍👧 مرحبا שלום") == "👩‍👩‍👧 مرحبا שלום"
    assert safe_name("\n a \n b ") == "a b"


@pytest.mark.parametrize(
    "item",
    [None, [], {}, {"snippet": {}}, {"snippet": {"topLevelComment": {"id": "../x"}}},
     thread(publishedAt="yesterday"), thread(publishedAt=None), {"snippet": "x"}],
)  # fmt: skip
def test_what_is_no_comment_is_left_out(item):
    assert read_thread(item) is None


def test_odd_values_are_taken_as_far_as_they_go():
    told = read_thread(
        thread(likeCount="many", authorChannelId=None, authorDisplayName=None,
               textDisplay=None, moderationStatus="likelySpam", updatedAt="?"),
    )  # fmt: skip
    assert told is not None
    assert (told.top.likes, told.top.author_id, told.top.author, told.top.text) == (0, "", "", "")
    assert told.top.state == "spam"
    assert told.top.updated_at == told.top.published_at


def test_a_page_is_asked_for_as_cheaply_as_can_be():
    class Asked:
        def call(self, method: str, **asked: Any) -> dict[str, Any]:
            self.method, self.params = method, asked["params"]
            return {"items": [thread(), {}], "nextPageToken": "t"}

    api: Any = Asked()
    page = read_thread_page(api, "UCx", "heldForReview", "s")
    assert api.method == "youtube.commentThreads.list"
    assert api.params["maxResults"] == 100
    assert (page.next_token, page.unreadable, page.threads[0].top.state) == ("t", 1, "held")


# What they are ----------------------------------------------------------------------------------


def test_the_held_out_sample_is_told_apart_as_well_as_the_docs_say():
    told = report(read_sample(HELD_OUT))
    assert told["comments"] == GUESSING["of"] >= 200
    assert round(told["accuracy"], 3) == GUESSING["right"] >= 0.75
    assert min(told["recall"].values()) >= 0.6
    text = DOCS.read_text(encoding="utf-8")
    assert f"**{told['accuracy']:.1%} right**" in text
    for name, row in told["confusion"].items():
        shown = " | ".join(str(row[c]) for c in COMMENT_CATEGORIES)
        assert f"| {name} | {shown} | {told['recall'][name]:.0%} |" in text


def test_common_comments_are_nearly_always_told_apart():
    told = report(read_sample(COMMON))
    assert told["accuracy"] >= 0.9
    text = DOCS.read_text(encoding="utf-8")
    assert f"{told['comments']} comments of the most common kind, **{told['accuracy']:.1%} " in text


def test_what_it_is_tried_on_shares_no_sentence_with_what_it_learned():
    def plain(text: str) -> str:
        return "".join(c for c in text.casefold() if c.isalnum())

    learned = {plain(t) for _, t in read_sample(SAMPLE)}
    assert not learned & {plain(t) for _, t in read_sample(HELD_OUT) if plain(t)}


@pytest.mark.parametrize(
    "text",
    ["", " ", "?", "\x00", HOSTILE, "a" * 10_000, "😀" * 10_000, "\ufdfa" * 10_000, "1:00 " * 4000,
     "www." * 3000, "@" * 10_000, "a." * 5_000, "+1" * 5_000, "\u200b" * 10_000],
)  # fmt: skip
def test_any_text_is_guessed_at_once(text):
    guess = classify(text)
    assert guess.category in COMMENT_CATEGORIES
    assert 0 < guess.confidence <= 1
    assert abs(sum(guess.by_category.values()) - 1) < 0.01


def test_tricks_do_not_hide_what_it_is():
    plain, tricks = classify_all(
        [
            "check out my channel for free beats",
            "CHECK\u200b out my ｃｈａｎｎｅｌ for F R E E beats",
        ]
    )
    assert plain.category == tricks.category == "spam"


# Who wrote them ---------------------------------------------------------------------------------


def test_people_are_told_apart_by_what_they_did():
    def of(comments: int, videos: int, complaints: int = 0, junk: int = 0) -> str:
        return segment_of({"comments": comments, "videos": videos, "praise": 0,
                           "complaints": complaints, "junk": junk})  # fmt: skip

    assert [of(1, 1), of(9, 1), of(3, 2), of(8, 4)] == ["new", "new", "regular", "superfan"]
    assert [of(4, 4, complaints=2), of(8, 4, complaints=2)] == ["critic", "superfan"]
    assert [of(2, 1, junk=1), of(9, 5, junk=1)] == ["suspected spammer", "superfan"]
    assert {s.name for s in SEGMENTS} == {
        "new", "regular", "superfan", "critic", "suspected spammer"
    }  # fmt: skip


def test_the_docs_tell_who_is_in_which_segment():
    text = DOCS.read_text(encoding="utf-8")
    for segment in SEGMENTS:
        assert f"| {segment.name} | {segment.words} |" in text


# What may be replied ----------------------------------------------------------------------------

FACTS = dict(REPLY_FACTS)


@pytest.mark.parametrize("category", list(COMMENT_CATEGORIES))
def test_nothing_is_suggested_for_spam_and_toxic(category):
    reply = suggest_reply("hm", category, FACTS, seed=1)
    assert (reply is None) == (category in ("spam", "toxic"))
    everything = {c: ["hello"] for c in COMMENT_CATEGORIES}
    if category in ("spam", "toxic"):
        assert suggest_reply("hm", category, FACTS, everything, seed=1) is None
        with pytest.raises(InputError, match="nothing is replied"):
            check_reply_templates({category: ["hello"]})


def test_replies_vary_with_the_seed_and_take_turns():
    assert len({suggest_reply("x", "praise", FACTS, seed=s) for s in range(40)}) >= 5
    turns = [suggest_reply("x", "praise", FACTS, seed=3, turn=t) for t in range(8)]
    assert len(set(turns)) == len(REPLY_TEMPLATES["praise"])
    assert turns == [suggest_reply("x", "praise", FACTS, seed=3, turn=t) for t in range(8)]


@pytest.mark.parametrize(
    ("asked", "fact"),
    [("what bpm is this", "76"), ("which key is it in?", "A minor"),
     ("whats the key of this?", "A minor"),
     ("what's the name of this song", "Quiet Harbour"), ("how long is it", "2 min 1 s")],
)  # fmt: skip
def test_a_question_about_a_fact_is_answered_with_it(asked, fact):
    for seed in range(8):
        assert fact in (suggest_reply(asked, "question", FACTS, seed=seed) or "")


def test_what_nobody_knows_is_left_to_a_person():
    for seed in range(8):
        told = suggest_reply("who drew this", "question", FACTS, seed=seed) or ""
        assert "[answer]" in told
        assert "{{" not in (suggest_reply("x", "praise", {}, seed=seed) or "{{")


def test_a_name_that_advertises_is_not_repeated():
    for name in ("sub4sub bit.ly/x", "http://x.example", "<b>x</b>", "x" * 80):
        for seed in range(10):
            told = suggest_reply("x", "praise", {**FACTS, "name": name}, seed=seed)
            assert told is not None
            assert name not in told


@pytest.mark.parametrize(
    "template",
    ["{{ title", "{{ secret }}", "{{ title.__class__ }}", "{% for i in 'ab' %}x{% endfor %}",
     "{{ title * 9 }}", "{{ ''.join(title) }}", "{% set x = 1 %}", "{% include 'x' %}",
     "{{ title|center(99999999) }}", "{% if false %}x{% endif %}", "x" * 501, "a\x00b",
     "{{ title[0] }}", "{% macro f() %}{% endmacro %}", "{{ " + "(" * 900 + "1" + ")" * 900],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_refused(template):
    with pytest.raises(InputError):
        check_reply_templates({"praise": [template]})


def test_a_template_may_choose():
    lines = ["{% if name is defined %}Hi {{ name }}{% else %}Hi{% endif %}, {{ mood|upper }}!"]
    assert check_reply_templates({"praise": [*lines, " "]}) == {"praise": lines}
    assert (
        suggest_reply("x", "praise", {"mood": "chill"}, {"praise": lines}, seed=1) == "Hi, CHILL!"
    )


def test_all_shipped_templates_can_be_used():
    assert check_reply_templates(REPLY_TEMPLATES) == {
        c: list(t) for c, t in REPLY_TEMPLATES.items()
    }


@pytest.mark.parametrize("text", ["", " \n ", "a\x00b", "\u202eabc", "x" * 10_001])
def test_a_reply_that_cannot_be_sent_is_refused(text):
    with pytest.raises(InputError):
        check_reply(text)


def test_a_broken_sample_is_told(tmp_path):
    file = tmp_path / "x.tsv"
    file.write_text("praise\tnice\nnonsense\n")
    with pytest.raises(LofiError, match="line 2"):
        read_sample(file)


def test_random_bytes_are_text_enough():
    chance = random.Random(5)
    for _ in range(50):
        text = "".join(chr(chance.randrange(0x11_0000)) for _ in range(60))
        safe_text(text).encode()
        classify(text)
