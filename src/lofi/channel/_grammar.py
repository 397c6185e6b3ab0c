"""The grammar a listing is drawn from: lists of Jinja2 templates in YAML, shipped and one's own.

What a template may hold is a table (`_NODES`, `_FILTERS`): no loop, no assignment, no arithmetic,
no attribute and no call. So how long it takes and how much it writes is bounded by its own length
and by that of the facts; a broken one is told with its line when it is read, not when a track is
half made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from lofi.brief import BUNDLES, MOODS, PALETTES, PARTS, SECTIONS, InputError

if TYPE_CHECKING:
    from jinja2 import Environment, Template

SHIPPED = "listing.yaml"
MAX_BYTES = 64_000  # of a person's own file
_MAX_TEMPLATE = 2_000
_MAX_WRITTEN = 20_000

# Of Jinja2's grammar (jinja2.nodes), what a template may hold.
_NODES = frozenset({
    "Template", "Output", "TemplateData", "Name", "Const", "Filter", "If", "CondExpr", "Compare",
    "Operand", "And", "Or", "Not", "Test", "Concat", "Getitem", "Tuple", "List",
})  # fmt: skip
_CALLED = {
    "For": "for", "Assign": "set", "AssignBlock": "set", "Macro": "macro", "Call": "a call",
    "CallBlock": "call", "Include": "include", "Import": "import", "FromImport": "import",
    "Extends": "extends", "Block": "block", "Getattr": "an attribute", "Mul": "*", "Pow": "**",
    "Add": "+ (join texts with ~)", "Mod": "%", "With": "with", "Keyword": "a named argument",
}  # fmt: skip
_FILTERS = (
    "capitalize", "default", "first", "int", "join", "last", "length", "lower", "round", "title",
    "trim", "upper",
)  # fmt: skip
_TESTS = ("defined", "none")
_KEYS = ("C", "C#", "Db", "D", "D#", "Eb", "E", "F", "F#", "Gb", "G", "G#", "Ab", "A", "A#", "Bb",
         "B")  # fmt: skip

_FACTS = ("bpm", "chords", "key", "lead", "length", "minutes", "mood", "name", "palette", "players",
          "sections", "soundfont", "swing", "track_id", "use")  # fmt: skip
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][A-Za-z0-9]{1,7})?")


class _Text(str):
    """A text of a file, and the line it begins in."""

    __slots__ = ("line",)
    line: int


@dataclass(frozen=True, slots=True)
class _List:
    """A list of templates that may use `names`."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _One:
    """One template."""

    names: tuple[str, ...] = ()


# What a file may say, and what a language must. A dict with the key "*" has any names.
_LANGUAGE_SHAPE: dict[str, Any] = {
    "mood": dict.fromkeys(MOODS, _One()),
    "use": dict.fromkeys(BUNDLES, _List()),
    "length": _One(("minutes", "seconds")),
    "keys": {"notes": dict.fromkeys(_KEYS, _One()), "major": _One(("note",)),
             "minor": _One(("note",))},
    "parts": dict.fromkeys(PARTS, _One()),
    "sections": dict.fromkeys(SECTIONS, _One()),
    "title": _List(_FACTS),
    "opening": _List(_FACTS),
    "about": _List(_FACTS),
    "disclosure": _List(_FACTS),
    "hashtags": dict.fromkeys(BUNDLES, _List()),
    "description": _List((*_FACTS, "opening", "about", "chapters", "disclosure", "hashtags")),
}  # fmt: skip
_SHAPE: dict[str, Any] = {
    "names": _List(("light", "other", "thing", "when")),
    "light": dict.fromkeys(PALETTES, _List()),
    "when": dict.fromkeys(PALETTES, _List()),
    "thing": dict.fromkeys(BUNDLES, _List()),
    "keywords": {"*": {"source": _One(), "tags": _List((*_FACTS, "shades"))}},
    "languages": {"*": _LANGUAGE_SHAPE},
}

# What every template is tried with: a track with all that can be known, and one with the least.
_FULL: dict[str, Any] = {
    "name": "Amber Window", "mood": "chill", "use": "to relax to", "bpm": 76, "key": "A minor",
    "length": "2 min 5 s", "minutes": 2, "seconds": 5, "players": ["drums", "bass", "vibraphone"],
    "lead": "vibraphone", "chords": ["Am9", "D7"], "sections": 6, "swing": "swung",
    "soundfont": "own.sf2", "palette": "dusk", "track_id": "amber-window-1f2e3d4c", "note": "A",
    "light": "Amber", "thing": "Window", "other": "Roads", "when": "at Dusk", "shades": ["mellow"],
    "opening": "An opening.", "about": "About it.", "chapters": "0:00 Intro", "disclosure": "Made.",
    "hashtags": "#lofi",
}  # fmt: skip
_LEAST = _FULL | {
    "players": [], "lead": "", "chords": [], "sections": 0, "swing": "", "soundfont": "",
    "shades": [], "chapters": "", "minutes": 0,
}  # fmt: skip


@dataclass(slots=True)
class Grammar:
    """The shipped grammar with a person's own laid over it."""

    tree: dict[str, Any]
    _environment: Environment
    _compiled: dict[str, Template] = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that a listing can be written in."""
        return tuple(self.tree["languages"])

    @property
    def keywords(self) -> dict[str, dict[str, Any]]:
        """The keyword sets in their order: `source` says where one comes from, `tags` its tags."""
        return self.tree["keywords"]

    def at(self, *path: str) -> Any:
        """What stands at a place: a template, a list of them, or a table."""
        value: Any = self.tree
        for name in path:
            value = value[name]
        return value

    def write(self, template: str, facts: Mapping[str, Any]) -> str:
        """What a template says of some facts. Raises InputError if it cannot be written."""
        if "{" not in template:
            return str(template)
        from jinja2 import TemplateError

        try:
            if template not in self._compiled:
                self._compiled[template] = self._environment.from_string(template)
            return self._compiled[template].render(facts)
        except (TemplateError, TypeError, ValueError, IndexError, ArithmeticError) as error:
            raise InputError(
                f"the template {template[:80]!r} cannot be written: {error}."
            ) from error


@lru_cache(maxsize=8)
def read_grammar(own: str = "", name: str = "listing.yaml") -> Grammar:
    """The grammar: what is shipped, with `own`, the text of a person's file, laid over it.

    A list or template of `own` takes the place of the shipped one; of a table, those entries that
    it has. Raises InputError with `name`, the line and the reason if it cannot be used.
    """
    shipped = resources.files("lofi.channel").joinpath("templates", SHIPPED).read_text("utf-8")
    environment = _make_environment()
    tree = _read(shipped, SHIPPED)
    if own.strip():
        if len(own.encode()) > MAX_BYTES:
            raise InputError(f"{name} is larger than {MAX_BYTES:,} bytes. Say less in it.")
        mine = _read(own, name)
        _check(mine, _SHAPE, (), name, environment)
        tree = _laid_over(tree, mine)
    for language, table in tree["languages"].items():
        _refuse_gaps(table, _LANGUAGE_SHAPE, ("languages", language), name)
    _refuse_gaps(tree, {n: s for n, s in _SHAPE.items() if n != "languages"}, (), name)
    return Grammar(tree, environment)


def shipped_grammar() -> str:
    """The text of the shipped file."""
    return resources.files("lofi.channel").joinpath("templates", SHIPPED).read_text("utf-8")


# Reading -----------------------------------------------------------------------------------------


def _read(text: str, name: str) -> dict[str, Any]:
    """A YAML file of tables, lists and texts, every text with its line."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{name}, line {line}: this is no YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{name} is no YAML: {error}.") from error
    except RecursionError as error:
        raise InputError(
            f"{name} is nested too deeply. Keep to the tables of {SHIPPED}."
        ) from error
    if node is None:
        return {}
    value = _plain(node, name, set())
    if not isinstance(value, dict):
        raise InputError(
            f"{name}, line 1: a table is wanted, such as `names:` and a list below it."
        )
    return value


def _plain(node: Any, name: str, seen: set[int]) -> Any:
    """A YAML node as dicts, lists and texts. One that is referred to twice is refused."""
    import yaml

    line = node.start_mark.line + 1
    if id(node) in seen:  # one reference within another, ten deep, is a billion
        raise InputError(f"{name}, line {line}: references (& and *) cannot be used. Write it out.")
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        table: dict[str, Any] = {}
        for key, value in node.value:
            word = str(key.value)
            if word in table:
                raise InputError(f"{name}, line {key.start_mark.line + 1}: {word!r} stands twice.")
            table[word] = _plain(value, name, seen)
        return table
    if isinstance(node, yaml.SequenceNode):
        return [_plain(value, name, seen) for value in node.value]
    text = _Text(node.value)
    text.line = line + (node.style in ("|", ">"))
    return text


def _line(value: Any) -> int:
    """The first line of what was read."""
    if isinstance(value, _Text):
        return value.line
    inner = value.values() if isinstance(value, dict) else value
    return min((_line(v) for v in inner if v), default=1)


def _laid_over(shipped: Any, own: Any) -> Any:
    if isinstance(shipped, dict) and isinstance(own, dict):
        return shipped | {n: _laid_over(shipped[n], v) if n in shipped else v
                          for n, v in own.items()}  # fmt: skip
    return own


# Checking ----------------------------------------------------------------------------------------


def _check(
    value: Any, shape: Any, path: tuple[str, ...], file: str, environment: Environment
) -> None:
    """Raise InputError unless a value has its shape and all its templates can be written."""
    where = ".".join(path) or "the file"
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise _wrong(file, value, f"{where} wants a table with {_few(shape)}")
        for name, inner in value.items():
            if name not in shape and "*" not in shape:
                raise _wrong(file, inner, f"{where} has no {name!r}; it has {_few(shape)}")
            if path == ("languages",) and not _LANGUAGE.fullmatch(name):
                raise _wrong(file, inner, f"{name!r} is no language code such as de or pt-BR")
            _check(inner, shape.get(name, shape.get("*")), (*path, name), file, environment)
        return
    if isinstance(shape, _One):
        if not isinstance(value, str):
            raise _wrong(file, value, f"{where} wants one text")
        _try(value, shape.names, file, environment)
        return
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise _wrong(file, value, f"{where} wants a list of one or more texts")
    for template in value:
        _try(template, shape.names, file, environment)
    for text in value if path == ("names",) else ():
        if not str(text).strip():
            raise _wrong(file, text, "a name is empty")


def _refuse_gaps(value: Any, shape: Any, path: tuple[str, ...], file: str) -> None:
    """Raise InputError if something that is needed is missing; shipped or one's own alike."""
    for name, inner in shape.items() if isinstance(shape, dict) else ():
        if name == "*":
            for n, v in value.items():
                _refuse_gaps(v, inner, (*path, n), file)
        elif name not in value:
            raise _wrong(file, value, f"{'.'.join((*path, name))} is missing")
        else:
            _refuse_gaps(value[name], inner, (*path, name), file)


def _try(text: str, names: tuple[str, ...], file: str, environment: Environment) -> None:
    """Raise InputError unless a template is allowed, knows its names and can be written."""
    from jinja2 import TemplateError, TemplateSyntaxError, meta, nodes

    if len(text) > _MAX_TEMPLATE:
        raise _wrong(file, text, f"a template has at most {_MAX_TEMPLATE:,} characters")
    if "{" not in text:
        return
    try:
        tree = environment.parse(text)
        for node in _inside(tree):
            kind = type(node).__name__
            if kind not in _NODES:
                told = _CALLED.get(kind, kind)
                raise _wrong(file, text, f"{told} cannot be used in a template", node.lineno - 1)
            if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
                raise _wrong(
                    file, text, f"there is no filter {node.name!r}: one is {', '.join(_FILTERS)}",
                    node.lineno - 1,
                )  # fmt: skip
        unknown = sorted(meta.find_undeclared_variables(tree) - set(names))
        if unknown:
            known = ", ".join(sorted(names)) or "no facts here: write words"
            raise _wrong(file, text, f"there is no {unknown[0]!r}; there is {known}")
        template = environment.from_string(text)
        for facts in (_FULL, _LEAST):
            if len(template.render(facts)) > _MAX_WRITTEN:
                raise _wrong(file, text, f"it writes more than {_MAX_WRITTEN:,} characters")
    except TemplateSyntaxError as error:
        raise _wrong(file, text, str(error.message), error.lineno - 1) from error
    except (TemplateError, TypeError, ValueError, IndexError, ArithmeticError) as error:
        raise _wrong(file, text, str(error)) from error
    except (RecursionError, MemoryError, SyntaxError) as error:  # of Python's own compiler
        raise _wrong(file, text, "it is nested too deeply") from error


def _inside(node: Any) -> Iterator[Any]:
    yield node
    for child in node.iter_child_nodes():
        yield from _inside(child)


def _wrong(file: str, value: Any, why: str, lines: int = 0) -> InputError:
    return InputError(
        f"{file}, line {_line(value) + lines}: {why.rstrip('.')}. `lofi listing templates` shows "
        "how the shipped ones are written."
    )


def _few(shape: Mapping[str, Any]) -> str:
    return "any names" if "*" in shape else ", ".join(shape)


def _make_environment() -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    made = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    made.globals.clear()
    made.filters = {name: made.filters[name] for name in _FILTERS} | {"join": _join}
    made.tests = {name: made.tests[name] for name in _TESTS}
    return made


def _join(values: Sequence[Any], between: str = "") -> str:
    """Jinja2's `join`, which could make a text of a text any number of times longer."""
    written = str(between).join(map(str, values))
    if len(written) > _MAX_WRITTEN:
        raise ValueError(f"join writes more than {_MAX_WRITTEN:,} characters")
    return written
