"""`data/metadata.json`: what became of every file, one line a file, read and written as a stream.

A folder of a hundred thousand files costs no more memory than one of ten. While a folder is being
read, the lines lie in a journal beside it, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from lofi.brief import InputError

Entry = dict[str, Any]
_OPENING = '"entries": {'


def journal_of(path: Path) -> Path:
    """Where the entries of an unfinished run lie."""
    return path.with_name(f".{path.name}.journal")


class Journal:
    """Entries as they come, each on disk before the next; a line cut off by a crash is ignored."""

    def __init__(self, path: Path, rules: str) -> None:
        self._path = journal_of(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept = list(self._lines(rules))
        self._file: TextIO = self._path.open("w", encoding="utf-8")
        self._write({"rules_sha256": rules})
        for line in kept:
            self._file.write(line)
        self._file.flush()

    def _lines(self, rules: str) -> Iterator[str]:
        try:
            with self._path.open(encoding="utf-8") as file:
                if json.loads(file.readline()).get("rules_sha256") == rules:
                    yield from (line for line in file if line.endswith("]\n"))
        except (OSError, ValueError, AttributeError):
            return

    def _write(self, value: Any) -> None:
        self._file.write(json.dumps(value) + "\n")

    def add(self, name: str, entry: Entry) -> None:
        """Keep an entry."""
        self._write([name, entry])
        self._file.flush()

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """What an earlier run under the same rules left, and what was added since."""
        with self._path.open(encoding="utf-8") as file:
            file.readline()
            for line in file:
                try:
                    name, entry = json.loads(line)
                except ValueError:
                    continue
                yield name, entry

    def close(self, *, finished: bool) -> None:
        """Stop writing; a finished journal is removed."""
        self._file.close()
        if finished:
            self._path.unlink(missing_ok=True)


def write_metadata(path: Path, head: dict[str, Any], entries: Iterable[tuple[str, Entry]]) -> None:
    """Write head and entries as one JSON object, whole or not at all, an entry on each line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            # Backslash escapes throughout: a name may hold bytes that are no text.
            text = json.dumps(head, indent=2)
            file.write(text.removesuffix("\n}") + ",\n" + _OPENING)
            before = "\n"
            for name, entry in entries:
                file.write(f"{before}{json.dumps(name)}: {json.dumps(entry)}")
                before = ",\n"
            file.write("\n}}\n")
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def read_head(path: Path) -> dict[str, Any]:
    """All but the entries. Raises InputError naming the file."""
    lines = []
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.startswith(_OPENING):
                    return json.loads("".join(lines).rstrip().removesuffix(",") + "}")
                lines.append(line)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing. Run `lofi tokenize` first.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    raise InputError(f"{path} is not what `lofi tokenize` writes. Run it again.")


def read_entries(path: Path) -> Iterator[tuple[str, Entry]]:
    """Each file's name and entry. Raises InputError naming the file."""
    read_head(path)
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.startswith(_OPENING):
                break
        for line in file:
            if line.startswith("}"):
                return
            text = line.rstrip().removesuffix(",")
            try:
                ((name, entry),) = json.loads("{" + text + "}").items()
            except ValueError as error:
                raise InputError(f"{path} is damaged: run `lofi tokenize` again.") from error
            yield name, entry
