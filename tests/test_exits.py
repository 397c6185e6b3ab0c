"""Other ways out: a site with its feed, a folder for distributors, a sample pack."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile
from api import Api, serving
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lofi.brief import InputError, LofiError
from lofi.channel import (
    Episode,
    Sheet,
    Show,
    SiteTrack,
    feed_xml,
    next_isrc,
    read_isrc,
    read_upc,
    sheet_csv,
    site_pages,
)
from lofi.studio import tracks, write_distributor, write_samples, write_site

ITUNES = "{http://www.itunes.com/dtds/podcast-1.0.dtd}"
HOSTILE = '<script>alert("x")</script> & ]]>'


def quiet(_note: str, _share: float) -> None:
    pass


# Words ---------------------------------------------------------------------------------------


def episode(title: str, day: int) -> Episode:
    return Episode(
        f"g{day}", title, title, "https://a.b/t", "https://a.b/t.mp3", 10, "audio/mpeg", 61.4,
        datetime(2026, 11, day, tzinfo=UTC), "https://a.b/c.jpg",
    )  # fmt: skip


def test_a_feed_holds_what_directories_need_and_the_newest_first() -> None:
    show = Show("S", "me", "about", "https://a.b/", "https://a.b/feed.xml", "https://a.b/c.jpg")
    told = ET.fromstring(feed_xml(show, [episode("old", 1), episode(HOSTILE, 2)]))
    items = told.findall("channel/item")
    assert [i.findtext("title") for i in items] == [HOSTILE, "old"]
    enclosure = items[0].find("enclosure")
    assert enclosure is not None
    assert enclosure.attrib == {"url": "https://a.b/t.mp3", "length": "10", "type": "audio/mpeg"}
    assert items[0].findtext(f"{ITUNES}duration") == "61"
    assert items[0].findtext("pubDate") == "Mon, 02 Nov 2026 00:00:00 +0000"
    for needed in ("title", "description", "language", f"{ITUNES}explicit"):
        assert told.findtext(f"channel/{needed}"), needed


def test_a_feed_wants_whole_addresses() -> None:
    show = Show("S", "me", "about", "/", "/feed.xml", "/c.jpg")
    with pytest.raises(InputError, match="whole addresses"):
        feed_xml(show, [])


def test_names_cannot_break_a_page() -> None:
    track = SiteTrack("t-1", HOSTILE, "chill", 75.0, "A minor", 60.0)
    pages = site_pages(HOSTILE, "about", "https://a.b", [track])
    for name, text in pages.items():
        assert "<script>" not in text, name


@given(st.integers(0, 99_999), st.integers(0, 200_000))
def test_isrcs_count_on_and_end_with_the_year(number: int, place: int) -> None:
    first = read_isrc(f"qz-abc-26-{number:05}")
    if number + place < 100_000:
        assert int(next_isrc(first, place)[-5:]) == number + place
    else:
        with pytest.raises(InputError):
            next_isrc(first, place)


def test_codes_that_are_none_are_refused() -> None:
    assert read_upc("0 36000 29145 2") == "036000291452"
    for wrong in ("036000291453", "12", "x"):
        with pytest.raises(InputError):
            read_upc(wrong)
    with pytest.raises(InputError):
        read_isrc("QZABC260001")


def test_a_title_is_no_formula_in_a_spreadsheet() -> None:
    row = {"file": "a.wav", "title": "=1+1", "duration_s": 61.0, "bpm": 75.0, "key": "C major",
           "cover": "cover.jpg"}  # fmt: skip
    told = sheet_csv(Sheet("me", "x", date(2026, 11, 28)), [row])
    [read] = csv.DictReader(told.splitlines())
    assert read["title"] == "'=1+1"
    assert (read["duration"], read["language"], read["isrc"]) == ("1:01", "zxx", "")


# Folders -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[tuple[Api, str]]:
    """A studio with one finished track."""
    folder = tmp_path_factory.mktemp("exits")
    with serving(folder, migrated, work={"niceness": 0}, generation={"best_of": 1}) as api:
        api.studio.work()
        job = api.until(api.order(duration=24), "done", "failed")
        assert job["state"] == "done", job["error"]
        yield api, job["track_id"]


def approve(api: Api, track_id: str, privacy: str) -> None:
    with api.studio.database.write() as session:
        tracks.decide(session, track_id, "approved", actor="local", privacy=privacy)


def test_only_what_is_approved_as_public_goes_out(made: tuple[Api, str], tmp_path: Path) -> None:
    api, track_id = made
    approve(api, track_id, "unlisted")
    about = {"name": "N", "about": "a", "author": "me", "actor": "cli", "progress": quiet}
    with pytest.raises(InputError, match="approved as unlisted"):
        write_site(api.studio, tmp_path / "site", **about)
    sheet = Sheet("me", "x", date(2026, 11, 28))
    with pytest.raises(InputError, match="approved as unlisted"):
        write_distributor(
            api.studio, [track_id], tmp_path / "d", sheet=sheet, actor="cli", progress=quiet
        )
    assert list(tmp_path.iterdir()) == []


def test_a_site_is_whole_and_replaces_only_itself(made: tuple[Api, str], tmp_path: Path) -> None:
    api, track_id = made
    approve(api, track_id, "public")
    out = tmp_path / "site"
    about = {"name": "N", "about": "a", "author": "me", "actor": "cli", "progress": quiet}
    write_site(api.studio, out, **about)
    assert not (out / "feed.xml").exists()
    write_site(api.studio, out, address="https://a.b/lofi", **about)
    heard = soundfile.info(out / "audio" / f"{track_id}.mp3")
    assert heard.duration == pytest.approx(24, abs=0.1)
    feed = ET.fromstring((out / "feed.xml").read_bytes())
    enclosure = feed.find("channel/item/enclosure")
    assert enclosure is not None
    assert int(enclosure.attrib["length"]) == (out / "audio" / f"{track_id}.mp3").stat().st_size
    assert f"tracks/{track_id}.html" in (out / "index.html").read_text()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(LofiError, match="something else"):
        write_site(api.studio, tmp_path / "other", **about)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "site"]


def test_a_distributor_gets_wav_cover_and_sheet(made: tuple[Api, str], tmp_path: Path) -> None:
    api, track_id = made
    approve(api, track_id, "public")
    sheet = Sheet("me", "Night", date(2026, 11, 28), isrc=read_isrc("QZ-ABC-26-00009"))
    out = tmp_path / "release"
    write_distributor(api.studio, [track_id], out, sheet=sheet, actor="cli", progress=quiet)
    [row] = csv.DictReader((out / "metadata.csv").read_text("utf-8-sig").splitlines())
    audio = soundfile.info(out / row["file"])
    assert (audio.format, audio.subtype, audio.samplerate) == ("WAV", "PCM_24", 44_100)
    assert row["isrc"] == "QZABC2600009"
    with Image.open(out / "cover.jpg") as cover:
        assert cover.size == (3000, 3000)


def test_loops_last_their_bars_to_the_sample(made: tuple[Api, str], tmp_path: Path) -> None:
    api, track_id = made
    out = tmp_path / "samples"
    write_samples(api.studio, [track_id], out, actor="cli", progress=quiet)
    with (out / "samples.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        samples, rate = soundfile.read(out / row["file"])
        assert len(samples) == round(int(row["bars"]) * 240 / float(row["bpm"]) * rate)
        assert np.isfinite(samples).all()
    assert list(out.rglob("*.mid"))
