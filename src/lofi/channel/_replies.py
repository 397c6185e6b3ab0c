"""Replies that are suggested to a person, from templates that they may change.

A template is a line of Jinja2 for a category of comments: values, `if`, and a few filters; no
loops, no calls. It may use the REPLY_FACTS; one that needs a fact nobody knows is passed over. To
spam and to toxic comments nothing is ever suggested.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lofi.brief import InputError, subseed
from lofi.channel._classify import COMMENT_CATEGORIES
from lofi.channel._comments import TEXT_CHARACTERS, safe_text

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import SandboxedEnvironment

# What a template may use, each with an example.
REPLY_FACTS: Mapping[str, str] = {
    "name": "@quietlistener",
    "title": "Quiet Harbour",
    "bpm": "76",
    "key": "A minor",
    "mood": "chill",
    "length": "2 min 1 s",
}
UNANSWERED = ("spam", "toxic")  # never replied to
BLANK = "[answer]"  # where a person must write something before it can be sent

REPLY_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "question": (
        "Thanks for asking! {{ title }} runs at {{ bpm }} bpm.",
        "Hi {{ name }}, it is at {{ bpm }} bpm.",
        "It is in {{ key }}.",
        "Good ear! {{ title }} is in {{ key }}, at {{ bpm }} bpm.",
        "This one is called {{ title }}.",
        "The track is {{ title }}, glad you asked!",
        "It lasts {{ length }}.",
        "Good question! [answer]",
        "Thanks for asking, {{ name }}. [answer]",
        "Hi! [answer]",
    ),
    "praise": (
        "Thank you so much, {{ name }}!",
        "That means a lot, thank you!",
        "So glad it keeps you company. Thanks for listening!",
        "Thank you! {{ title }} was a joy to put together.",
        "Happy that the {{ mood }} mood comes across. Thanks!",
        "Thanks, {{ name }}! Comments like this make our day.",
        "Made us smile, thank you.",
        "Thank you for being here!",
    ),
    "request": (
        "Lovely idea, {{ name }}, thank you!",
        "Thanks for the idea! We will see what we can do.",
        "Noted! No promise on when, but we like it.",
        "Good thought, thank you. More in the mood of {{ title }} is something we would enjoy too.",
        "We hear you. Thanks for telling us what you would like!",
        "Thanks, {{ name }}! That is worth a thought.",
    ),
    "complaint": (
        "Thank you for telling us, {{ name }}. We will have a look.",
        "Sorry about that, and thanks for saying so. We will check it.",
        "Fair point, thank you. We will listen to {{ title }} again with that in mind.",
        "Thanks for the honest word. That helps us do better.",
        "Sorry it did not work for you. [answer]",
    ),
    "other": (
        "Thanks for stopping by, {{ name }}!",
        "Good to have you here.",
        "Hello, and thanks for listening!",
        "Glad {{ title }} is with you.",
        "Greetings back, {{ name }}!",
    ),
}

# What a question may be after, by the fact that answers it.
_ASKED: Mapping[str, re.Pattern[str]] = {
    "bpm": re.compile(r"\bbpm\b|\btempo\b|テンポ|темп", re.IGNORECASE),
    "key": re.compile(
        r"\b(?:what|which|wich|in) (?:the )?key\b|\bkey (?:is|of|does)\b|\btonalidad\b|\btonart\b"
        r"|\btonalité\b|キー",
        re.IGNORECASE,
    ),
    "title": re.compile(
        r"\b(?:name|title|called) ?(?:of|is|the)?\b.{0,20}\b(?:song|track|this|piece|one)\b"
        r"|\b(?:song|track|piece)(?:'s)? (?:name|title)\b|\bis (?:this|it) called\b"
        r"|cómo se llama|nome dessa|wie heißt|曲名|곡 제목|как называется",
        re.IGNORECASE,
    ),
    "length": re.compile(r"\bhow long is\b|\bwhat length\b", re.IGNORECASE),
}

_MOST = 20  # templates of a category
_CHARACTERS = 500  # of a template
_PLAIN_NAME = re.compile(r"@?[\w .'’-]{1,40}")
_FILTERS = ("capitalize", "default", "defined", "lower", "title", "upper")


def suggest_reply(
    text: str,
    category: str,
    facts: Mapping[str, str | None],
    templates: Mapping[str, Sequence[str]] | None = None,
    *,
    seed: int,
    turn: int = 0,
) -> str | None:
    """A reply to a comment, or None where there is none to suggest.

    `facts` are those of REPLY_FACTS that are known. The same seed gives the same reply; each `turn`
    another one, until all were shown. A question about a fact is answered with it.
    """
    if category in UNANSWERED:
        return None
    lines = list((templates or REPLY_TEMPLATES).get(category, ()))
    known = {name: value for name, value in facts.items() if value}
    if (name := known.get("name")) and not _PLAIN_NAME.fullmatch(name):
        del known["name"]  # a name can hold an advertisement: we do not repeat it
    if category == "question":
        lines = _answering(text, [t for t in lines if _render(t, known)])
    random.Random(subseed(seed, "reply", category)).shuffle(lines)
    told = list(dict.fromkeys(reply for t in lines if (reply := _render(t, known))))
    return told[turn % len(told)] if told else None


def _answering(text: str, templates: list[str]) -> list[str]:
    """Those that tell what is asked for; if nothing known is, those that leave it to a person."""
    asked = {fact for fact, pattern in _ASKED.items() if pattern.search(text)}
    if told := [t for t in templates if asked & _used(t)]:
        most = max(len(asked & _used(t)) for t in told)
        return [t for t in told if len(asked & _used(t)) == most]
    return [t for t in templates if not _used(t) & _ASKED.keys()]


def check_reply_templates(templates: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Templates as they are kept. Raises InputError for one that cannot be used."""
    checked = {}
    for category, lines in templates.items():
        if category in UNANSWERED:
            raise InputError(f"nothing is replied to {category} comments. Leave {category!r} out.")
        if category not in COMMENT_CATEGORIES:
            known = ", ".join(c for c in COMMENT_CATEGORIES if c not in UNANSWERED)
            raise InputError(f"unknown category {category!r}. There are {known}.")
        told = [line.strip() for line in lines if line.strip()]
        if len(told) > _MOST:
            raise InputError(f"{len(told)} templates for {category} are too many: at most {_MOST}.")
        for line in told:
            _check(line)
        checked[category] = told
    return checked


def _check(template: str) -> None:
    shown = template if len(template) <= 60 else f"{template[:57]}…"
    if len(template) > _CHARACTERS:
        raise InputError(f"the template {shown!r} is longer than {_CHARACTERS} characters.")
    if safe_text(template) != template:
        raise InputError(f"the template {shown!r} holds control characters. Leave them out.")
    unknown = sorted(_used(template) - REPLY_FACTS.keys())
    if unknown:
        raise InputError(
            f"the template {shown!r} uses {unknown[0]!r}. It may use {', '.join(REPLY_FACTS)}."
        )
    if not _render(template, REPLY_FACTS):
        raise InputError(f"the template {shown!r} comes out empty. Write some words.")


def _used(template: str) -> set[str]:
    """The facts that a template uses. Raises InputError for one that cannot be read."""
    return set(_parsed(template))


@lru_cache(maxsize=1024)
def _parsed(template: str) -> frozenset[str]:
    from jinja2 import TemplateSyntaxError, meta, nodes

    # All that a template may be made of: nothing that runs long, calls, or reaches into values.
    allowed = (
        nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If,
        nodes.CondExpr, nodes.Filter, nodes.And, nodes.Or, nodes.Not, nodes.Compare, nodes.Operand,
        nodes.Test,
    )  # fmt: skip
    shown = template if len(template) <= 60 else f"{template[:57]}…"
    try:
        tree = _environment().parse(template)
    except (TemplateSyntaxError, RecursionError) as error:
        raise InputError(
            f"the template {shown!r} cannot be read: {error}. Write {{{{ title }}}} for a value."
        ) from error
    for node in tree.find_all(nodes.Node):
        if not isinstance(node, allowed):
            raise InputError(
                f"the template {shown!r} uses {type(node).__name__.lower()}. It may hold words, "
                "{{ values }} and {% if %}."
            )
        if isinstance(node, nodes.Filter | nodes.Test) and node.name not in _FILTERS:
            raise InputError(
                f"the template {shown!r} uses {node.name!r}. There are {', '.join(_FILTERS)}."
            )
    return frozenset(meta.find_undeclared_variables(tree))


def _render(template: str, facts: Mapping[str, str]) -> str:
    """The reply, empty where a fact that it needs is not known."""
    from jinja2 import TemplateError, UndefinedError

    try:
        told = safe_text(_compiled(template).render(facts))
        return told if len(told) <= TEXT_CHARACTERS else ""
    except UndefinedError:
        return ""
    except (TemplateError, TypeError, ValueError) as error:
        raise InputError(f"the template {template[:60]!r} cannot be used: {error}.") from error


@lru_cache(maxsize=1024)
def _compiled(template: str) -> Template:
    return _environment().from_string(template)


@lru_cache(maxsize=1)
def _environment() -> SandboxedEnvironment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # Plain text: whoever shows it escapes it.
    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def reply_facts(track: Mapping[str, Any] | None, author: str, *, is_reply: bool) -> dict[str, str]:
    """The REPLY_FACTS that are known: of a track (title, bpm, key, mood, duration_s) and an author.

    A reply to a reply names whom it is for: it stands below the whole thread.
    """
    facts = {"name": author} if author and (is_reply or author.startswith("@")) else {}
    if track is not None:
        seconds = round(track["duration_s"])
        facts |= {
            "title": str(track["title"]),
            "bpm": f"{track['bpm']:.0f}",
            "key": str(track["key"]),
            "mood": str(track["mood"]),
            "length": f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s",
        }
    return facts
