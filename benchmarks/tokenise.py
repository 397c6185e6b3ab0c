"""How fast a large folder of MIDI is read, and in how much memory.

    python benchmarks/tokenise.py FOLDER [--files 10000]

A folder of that many files is built from the MIDI below FOLDER, evenly spread over its corpora and
repeated in other keys, then read by `lofi tokenize` in a process of its own and cut into a data set
by `lofi dataset`. Memory is that of the process and all its workers together, at its highest. The
same is done for a tenth of the files first: what grows with the number of files shows.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from subprocess import DEVNULL

import numpy as np
import psutil
import symusic


def build(source: Path, out: Path, count: int) -> None:
    """Write `count` files from those of `source`, a corpus after the other, transposed."""
    corpora = [sorted(p.rglob("*.mid")) for p in sorted(source.iterdir()) if p.is_dir()]
    corpora = [c for c in corpora if c]
    if not corpora:
        sys.exit(f"no folders of MIDI in {source}")
    out.mkdir(parents=True)
    shares = [round(count * len(c) / sum(map(len, corpora))) for c in corpora]
    written = 0
    for files, share in zip(corpora, shares, strict=True):
        cycle = itertools.cycle(files)
        for i in range(min(share, count - written)):
            path, shift = next(cycle), (i // len(files) * 5 + 6) % 12 - 6
            name = out / path.parent.name / f"{i:05d}-{path.name}"
            name.parent.mkdir(exist_ok=True)
            name.write_bytes(transposed(path, shift) if i >= len(files) else path.read_bytes())
            written += 1


def transposed(path: Path, semitones: int) -> bytes:
    score = symusic.Score.from_midi(path.read_bytes())
    for track in score.tracks:
        if not track.is_drum and len(track.notes):
            notes = track.notes.numpy()
            pitch = np.clip(notes["pitch"].astype(int) + semitones, 0, 127).astype(np.int8)
            track.notes = symusic.Note.from_numpy(**{**notes, "pitch": pitch}, ttype="tick")
    return score.dumps_midi()


def run(*arguments: str, cwd: Path) -> tuple[float, float]:
    """Wall seconds and the highest memory in MB of a command and its children."""
    start = time.perf_counter()
    process = psutil.Popen([sys.executable, "-m", "lofi", *arguments], cwd=cwd, stdout=DEVNULL)
    highest = 0

    def watch() -> None:
        nonlocal highest
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            total = 0
            for p in (process, *process.children(recursive=True)):
                try:
                    total += p.memory_info().rss
                except psutil.Error:
                    continue
            highest = max(highest, total)
            time.sleep(0.1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    if process.wait():
        sys.exit(f"lofi {' '.join(arguments)} failed")
    return time.perf_counter() - start, highest / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    arguments = parser.parse_args()
    print(f"| files | what | s on {os.cpu_count()} cores | peak MB |\n|---|---|---|---|")
    for count in (arguments.files // 10, arguments.files):
        home = Path(tempfile.mkdtemp(prefix="tokenise."))
        try:
            build(arguments.folder, home / "data" / "raw_midi", count)
            for command in ("tokenize", "tokenize", "dataset"):
                again = ", nothing new" if (home / "data/metadata.json").exists() else ""
                seconds, memory = run(command, cwd=home)
                label = command + (again if command == "tokenize" else "")
                print(f"| {count:,} | `lofi {label}` | {seconds:.0f} | {memory:.0f} |", flush=True)
        finally:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
