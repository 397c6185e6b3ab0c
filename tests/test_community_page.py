"""The Community page in a real browser, before a faithful local YouTube."""

from __future__ import annotations

from browser import OpenPage, no_violations
from playwright.sync_api import Page, expect
from test_community import MODERATE, REPLY, Channel, channel
from youtube import Fault
from youtube_comments import comments_of, fake_author

__all__ = ["channel"]  # a fixture

HOSTILE = "<script>document.title = 'hacked'</script><img src=x onerror=\"document.title = 'x'\">"


def opened(channel: Channel, open_page: OpenPage, path: str, **options: object) -> Page:
    channel.api.client.post("/setup", data={"later": "true"})
    page = open_page(channel.api.url + path, **options)
    page.wait_for_load_state("networkidle")
    return page


def test_hostile_names_and_texts_are_shown_as_text_and_fit_a_phone(
    channel: Channel, open_page: OpenPage
) -> None:
    for i, words in enumerate((HOSTILE, "\u202eمرحبا", "W" * 10_000, "")):
        channel.put(words, author=words[:90] + str(i), author_id=fake_author(str(i)))
    channel.put("sub to my channel", state="likelySpam")
    channel.sync()
    for theme in ("dark", "light"):
        page = opened(channel, open_page, "/community?tab=published", theme=theme)
        expect(page.get_by_text(HOSTILE, exact=True)).to_be_visible()
        assert page.title() == "Community · LoFi Empire"
        no_violations(page)
        page.set_viewport_size({"width": 360, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        no_violations(page)
    for tab in ("people", "templates"):
        page.goto(f"{channel.api.url}/community?tab={tab}")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        no_violations(page)


def test_a_suggested_reply_is_edited_in_place_and_sent_by_a_click_alone(
    channel: Channel, open_page: OpenPage
) -> None:
    comment = channel.put("what key is this in?", author="@asker")
    channel.sync()
    page = opened(channel, open_page, "/community?tab=published")
    field = page.get_by_label("Reply to @asker")
    assert "A minor" in field.input_value()
    field.fill("A minor, and thank you!")
    expect(page.get_by_text("draft kept")).to_be_visible()
    page.reload()
    expect(field).to_have_value("A minor, and thank you!")
    assert not channel.youtube.seen(REPLY)
    page.get_by_role("button", name="Send reply").click()
    expect(page.get_by_text("You replied")).to_be_visible()
    sent = [c["text"] for c in comments_of(channel.youtube).values() if c["parent"] == comment]
    assert sent == ["A minor, and thank you!"]


def test_several_are_rejected_and_their_authors_banned_only_when_confirmed(
    channel: Channel, open_page: OpenPage
) -> None:
    for i in range(3):
        channel.put(f"buy followers {i}", author=f"@seller{i}", state="likelySpam")
    channel.put("i love it", state="heldForReview")
    channel.sync()
    page = opened(channel, open_page, "/community?tab=spam")
    page.get_by_label("Choose all on this page").check()
    page.get_by_role("button", name="Reject and ban", exact=True).click()
    expect(page.get_by_text("Neither can be undone from here")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    assert not channel.youtube.seen(MODERATE)
    page.get_by_role("button", name="Reject and ban", exact=True).click()
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_text("YouTube holds nothing for spam.")).to_be_visible()
    [call] = channel.youtube.seen(MODERATE)
    assert (len(call.params["id"]), call.params["banAuthor"]) == (3, True)
    page.get_by_role("link", name="Held").click()
    page.get_by_role("button", name="Publish the comment").click()
    expect(page.get_by_text("Nothing waits for you.")).to_be_visible()
    page.get_by_text("What cannot be done from here").click()
    expect(page.get_by_text("pinning a comment")).to_be_visible()


def test_an_unclear_reply_asks_for_a_look(channel: Channel, open_page: OpenPage) -> None:
    channel.put("hm?", author="@asker")
    channel.sync()
    channel.youtube.next(REPLY, Fault(lost=True))
    page = opened(channel, open_page, "/community?tab=published", expect=("502",))
    page.get_by_label("Reply to @asker").fill("hello")
    page.get_by_role("button", name="Send reply").click()
    expect(page.get_by_text("Nobody knows whether this reply arrived")).to_be_visible()
    page.get_by_role("button", name="Ask YouTube").click()
    expect(page.get_by_text("You replied")).to_be_visible()
    assert len(channel.youtube.seen(REPLY)) == 1
