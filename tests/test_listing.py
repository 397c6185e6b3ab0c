"""The listing: within YouTube's limits whatever the track, honest, and unlike those before it."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lofi.brief import BUNDLES, MOODS, PALETTES, InputError, Key, Plan, Section
from lofi.channel import (
    LANGUAGES,
    RULES,
    Said,
    TrackFacts,
    Words,
    chapters,
    check_listing,
    most_alike,
    name_track,
    read_chapters,
    read_grammar,
    shipped_grammar,
    tags_length,
    title_alikeness,
    with_chapters,
    write_listing,
)


def plan_of(sizes: list[int], bpm: float) -> Plan:
    names = ["intro", "A", "A'", "B", "break"]
    sections = []
    at = 0
    for i, size in enumerate(sizes):
        sections.append(Section(names[i % 5], at, size, ("keys", "lead"), ("Cmaj9", "F") * size))
        at += size
    return Plan(bpm, Key(0, "major"), 0.5, tuple(sections))


FACTS = TrackFacts(
    "a-1", "chill", 75, "A minor", 105.4, 3, "dusk", plan_of([4, 8, 8, 8, 4], 75)
)  # fmt: skip


@st.composite
def facts(draw):
    bpm = draw(st.floats(50, 120))
    plan = plan_of(draw(st.lists(st.integers(1, 16), min_size=1, max_size=40)), bpm)
    return TrackFacts(
        track_id=draw(st.text(max_size=60)),
        mood=draw(st.sampled_from(list(MOODS))),
        bpm=bpm,
        key=draw(st.sampled_from(["C major", "F# minor"]) | st.text(max_size=80)),
        duration_s=plan.bars * plan.bar_s + 3,
        seed=draw(st.integers(0, 2**63 - 1)),
        palette=draw(st.sampled_from(list(PALETTES))),
        plan=draw(st.sampled_from([plan, None])),
        soundfont=draw(st.none() | st.text(max_size=200)),
        name=draw(st.none() | st.text(min_size=1, max_size=200)),
    )


@settings(max_examples=50, deadline=None)
@given(facts(), st.integers(0, 5))
def test_any_track_gets_a_listing_within_every_limit(track, take):
    made = write_listing(track, take=take)
    listing = made.to_dict()
    assert check_listing(listing) == []
    assert "generated" in listing["snippet"]["description"]
    assert set(listing["localizations"]) == set(LANGUAGES) - {"en"}
    assert made == write_listing(track, take=take)


LONG = f"""
names: ["{{{{ light }}}} {{{{ thing }}}} {"wordless " * 20}"]
languages:
  en:
    title: ["{{{{ name }}}} {"é" * 120} {{{{ mood }}}}"]
    opening: ["{"é" * 1900}"]
    disclosure: ["It was generated. < > {"日" * 600}"]
keywords:
  mine: {{source: a test, tags: ["{"tag, " * 300}, {{{{ mood }}}}"]}}
"""


@settings(max_examples=20, deadline=None)
@given(facts())
def test_no_template_of_ones_own_breaks_a_limit(track):
    listing = write_listing(track, read_grammar(LONG)).to_dict()
    assert check_listing(listing) == []
    assert len(listing["snippet"]["title"]) <= 100
    assert len(listing["snippet"]["description"].encode()) <= 5000


@pytest.mark.parametrize(
    ("part", "field", "value", "word"),
    [
        ("snippet", "title", "x" * 101, "100 characters"),
        ("snippet", "title", "x" * 100, None),
        ("snippet", "title", " ", "empty"),
        ("snippet", "title", None, "empty"),
        ("snippet", "title", "a > b", "title holds"),
        ("snippet", "title", "a\nb", "U+000A"),
        ("snippet", "title", "a\ud800b", "U+D800"),
        ("snippet", "description", "é" * 2500, None),
        ("snippet", "description", "é" * 2500 + "x", "5000 bytes"),
        ("snippet", "description", "a < b", "description holds"),
        ("snippet", "description", "\u202etxt", "U+202E"),
        ("snippet", "tags", ["x" * 248, "lo fi " + "x" * 243], None),  # 248 + 1 + 249 + 2
        ("snippet", "tags", ["x" * 249, "lo fi " + "x" * 243], "500 characters"),
        ("snippet", "tags", ["a,b"], "comma"),
        ("snippet", "tags", ["a", ""], "empty"),
        ("snippet", "categoryId", "", "categoryId"),
        ("snippet", "categoryId", "30", "categoryId"),  # films alone
        ("status", "privacyStatus", None, "privacyStatus"),
        ("status", "containsSyntheticMedia", False, "containsSyntheticMedia"),
        ("status", "selfDeclaredMadeForKids", None, "selfDeclaredMadeForKids"),
        ("status", "publishAt", "soon", "publishAt"),
        ("query", "notifySubscribers", None, "notifySubscribers"),
        ("query", "part", "snippet,status", "localizations"),
        ("snippet", "description", "0:00 a\n0:20 b", "fewer than 3"),
        ("snippet", "description", "0:05 a\n0:20 b\n0:40 c", "0:00"),
        ("snippet", "description", "0:00 a\n0:09 b\n0:40 c", "10 s"),
        ("snippet", "description", "0:00 a\n0:10 b\n0:20 c", None),
        ("snippet", "description", "#a " * 61, "60 hashtags"),
        ("snippet", "description", "#a " * 60, None),
        ("snippet", "defaultLanguage", "", "defaultLanguage"),
        ("snippet", "defaultLanguage", "de", "own language"),
        ("localizations", "fr", {"title": "x" * 101, "description": ""}, "fr title is longer"),
        ("localizations", "fr", {"title": "x", "description": "é" * 2501}, "fr description"),
    ],
)
def test_each_limit_is_kept_to_the_byte_and_named_when_broken(part, field, value, word):
    listing = copy.deepcopy(write_listing(FACTS).to_dict())
    listing[part][field] = value
    broken = check_listing(listing)
    assert any(word in b for b in broken) if word else broken == []


def test_published_later_means_private_until_then():
    listing = write_listing(FACTS).to_dict()
    listing["status"].update(publishAt="2027-01-01T00:00:00Z", privacyStatus="public")
    assert any("publishAt" in b for b in check_listing(listing))


def test_tags_count_as_youtube_counts_them():
    assert tags_length(["ab", "c d"]) == 2 + 1 + 3 + 2


def test_chapters_start_where_sections_do_and_short_ones_are_merged():
    marks = chapters(plan_of([2, 8, 1, 8, 8], 60), 27 * 4 + 3)
    assert [t for t, _ in marks] == [0, 40, 76]
    assert chapters(plan_of([4, 4], 60), 35) == []


def test_chapters_are_read_from_a_description_and_put_back_in_their_place():
    text = write_listing(FACTS).description
    marks = read_chapters(text)
    assert len(marks) >= 3
    assert with_chapters(text, marks) == text
    other = with_chapters(text, [(0, "One"), (30, "Two"), (3661, "Three")])
    assert "0:00 One\n0:30 Two\n1:01:01 Three" in other
    assert read_chapters(with_chapters(text, [])) == []
    assert read_chapters(with_chapters("Only words.", marks)) == marks


def test_what_is_said_is_what_was_measured():
    made = write_listing(replace(FACTS, soundfont="Salamander.sf2"))
    said = made.description + made.title + " ".join(made.tags)
    assert {"75 bpm", "a minor"} <= set(made.tags)
    assert "Salamander.sf2" in said
    assert "sampled" not in said
    german, french, japanese = (made.localizations[c][1] for c in ("de", "fr", "ja"))
    assert "a-Moll" in german + made.localizations["de"][0]
    assert "la mineur" in french + made.localizations["fr"][0]
    assert "イ短調" in japanese + made.localizations["ja"][0]
    assert all(made.name in title for title, _ in made.localizations.values())


# The grammar -----------------------------------------------------------------------------------


def test_the_shipped_grammar_keeps_the_rules_of_ones_own():
    grammar = read_grammar(shipped_grammar())
    assert grammar.languages == LANGUAGES
    for language in LANGUAGES:
        for bundle in BUNDLES:  # a use is the same in all languages by its place
            assert len(grammar.at("languages", language, "use", bundle)) == 5
    for mood in MOODS:
        for palette in PALETTES:
            for seed in range(4):
                name = name_track(mood, palette, seed)
                assert 2 <= len(name.split()) <= 5
                assert len(name) <= 24, "it stands on the thumbnail"


def test_every_keyword_set_and_every_rule_says_where_it_comes_from():
    for name, table in read_grammar().keywords.items():
        assert table["source"].strip(), name
        assert table["tags"], name
    for rule in RULES:
        assert re.search(r"(?i)own rule|youtube|originality report", rule.source), rule.id
        assert rule.says.strip(), rule.id
    assert len({r.id for r in RULES}) == len(RULES)


def test_a_list_of_ones_own_takes_the_place_of_the_shipped_one_and_the_rest_stays():
    own = read_grammar("languages: {en: {title: ['{{ name }}, {{ bpm }}']}}\nnames: [Only]")
    made = write_listing(FACTS, own)
    assert made.title == "Only, 75"
    assert "Only" in made.localizations["de"][0]
    with pytest.raises(InputError, match="sv"):
        write_listing(FACTS, own, languages=("en", "sv"))


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("names:\n  - '{{ light }'", 2, "unexpected"),
        ("names:\n  - ok\n  - '{{ colour }}'", 3, "there is no 'colour'"),
        ("names:\n  - >\n    fine\n    {% for x in light %}x{% endfor %}", 3, "for cannot be used"),
        ("names: ['{{ light.upper() }}']", 1, "a call"),
        ("names: [\"{{ light['__class__'] }}\"]", 1, "unsafe"),
        ("names: ['{{ 9 ** 9 ** 9 }}']", 1, "** cannot be used"),
        ('names: [\'{{ light|replace("a", "b") }}\']', 1, "no filter"),
        ("names: ['{{ light|join(light) }}', '{{ 3|join }}']", 1, "not iterable"),
        ("names: ['{% set x = 1 %}']", 1, "set cannot be used"),
        ("names: ['{% include \"/etc/passwd\" %}']", 1, "include"),
        ("names: ['']", 1, "empty"),
        ("names: []", 1, "one or more"),
        ("names: yes", 1, "list"),
        ("nmes: [a]", 1, "no 'nmes'"),
        ("light: {dusk: [a], pink: [b]}", 1, "no 'pink'"),
        ("names: &x [a]\nlight: {dusk: *x}", 1, "references"),
        ("names: [a]\nnames: [b]", 2, "twice"),
        ("keywords: {mine: {tags: [a]}}", 1, "source is missing"),
        ("languages: {it: {title: [a]}}", 1, "is missing"),
        ("languages: {'../x': {}}", 1, "language code"),
        ("- a", 1, "table"),
        ("names: [a", 2, "no YAML"),
        ("names: [" + "(" * 3000 + "]", 1, "2,000"),
        ("names: ['{{ " + "(" * 900 + "1" + ")" * 900 + " }}']", 1, "nested"),
        ("[" * 20_000, 1, "yaml"),
    ],
)
def test_a_broken_template_is_told_with_file_line_and_reason(text, line, why):
    with pytest.raises(InputError) as caught:
        read_grammar(text, "mine.yaml")
    told = str(caught.value)
    assert why.lower() in told.lower(), told
    assert told.startswith(f"mine.yaml, line {line}:") or "[" * 20 in text, told


def test_joining_cannot_make_a_text_endless():
    many = "{{ light" + "|join('" + "x" * 100 + "')" * 1
    template = many + "".join("|join('" + "y" * 100 + "')" for _ in range(8)) + " }}"
    with pytest.raises(InputError, match="join writes more"):
        read_grammar(f'names: ["{template}"]')


def test_the_page_on_listings_tells_every_rule_and_its_example_works():
    page = (Path(__file__).parent.parent / "docs" / "channel.md").read_text(encoding="utf-8")
    for rule in RULES:
        outcome = "stands against it" if rule.severity == "block" else "to weigh"
        assert f"| `{rule.id}` | {rule.says} | {outcome} | {rule.source} |" in page
    assert page.count("| `") >= len(RULES)
    example = next(e for e in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "names:" in e)
    made = write_listing(FACTS, read_grammar(example))
    assert "rainy lofi" in made.tags


# Unlike one another ----------------------------------------------------------------------------


def test_alike_titles_are_told_from_others():
    one = "Amber Roads · chill lofi to relax to"
    assert title_alikeness(one, "AMBER  roads - Chill Lofi to relax to!") == 1.0
    assert title_alikeness(one, "Amber Rooms · chill lofi to relax to") >= 0.6
    assert title_alikeness(one, "Copper Tape [cozy lofi, 74 bpm]") < 0.2
    assert title_alikeness("切ないローファイ【雨の日に】", "楽しいローファイ【朝に】") < 0.6
    same_name = Words("Amber Roads", "lofi to unwind · Amber Roads", "")
    assert most_alike(same_name, [Words("amber roads", "quite another title", "")])[0] >= 1


def test_of_ninety_days_of_one_mood_no_two_listings_are_alike():
    said, listings = Said(), []
    for day in range(90):
        for take in range(60):
            track = replace(FACTS, seed=day, bpm=72 + day % 12, plan=None)
            made = write_listing(track, languages=("en",), take=take)
            words = Words(made.name, made.title, made.opening)
            much = said.too_alike(words)
            exact = most_alike(words, listings)[0]
            assert much == (exact if exact >= 1 else 0), "the index misses none"
            if not much:
                break
        else:
            pytest.fail(f"day {day} found no words of its own")
        said.add(words)
        listings.append(words)
    assert len({w.name for w in listings}) == 90


def test_an_addition_to_a_list_changes_only_what_is_drawn_from_it():
    before = write_listing(FACTS)
    own = read_grammar("languages: {en: {hashtags: {chill: ['#only']}}}")
    after = write_listing(FACTS, own)
    assert after.title == before.title
    assert after.opening == before.opening
    assert after.description.endswith("#only")
