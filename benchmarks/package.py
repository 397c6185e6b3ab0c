"""What a package costs: time to help, size of the install, CPU and memory of a two-minute package.

    python benchmarks/package.py            # prints a table
    python benchmarks/package.py --write    # and writes it into benchmarks/README.md

Wall times depend on what else the machine does; CPU-seconds and memory do not.
"""

from __future__ import annotations

import json
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOFI = Path(sys.executable).with_name("lofi")


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    cores = 0
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if "model name" in x), model)
        cores = sum(x.startswith("processor") for x in lines)
    return f"{model}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def help_time_s() -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([LOFI, "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def install_size_mb() -> float:
    """A fresh environment with the product and nothing for training, on disk."""
    folder = Path(tempfile.mkdtemp())
    try:
        venv.create(folder, with_pip=True)
        bare = tree_bytes(folder)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", str(ROOT)]
        subprocess.run(pip, check=True)
        assert not list(folder.glob("lib/*/site-packages/torch"))
        return (tree_bytes(folder) - bare) / 1e6
    finally:
        shutil.rmtree(folder)


def tree_bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())


def package() -> dict[str, float]:
    """One two-minute 1080p30 package in a process of its own."""
    out = Path(tempfile.mkdtemp())
    try:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run(
            [
                LOFI,
                "make",
                "--mood",
                "chill",
                "--duration",
                "2:00",
                "--seed",
                "7",
                "--json",
                "--out",
                out,
            ],
            capture_output=True,
            check=True,
            text=True,
        )
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        track = json.loads(done.stdout)
        scale = 1 if sys.platform == "darwin" else 1024
        return {
            "duration_s": track["measured"]["duration_s"],
            "wall_s": wall,
            "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "peak_mb": after.ru_maxrss * scale / 1e6,
            "size_mb": tree_bytes(out) / 1e6,
        }
    finally:
        shutil.rmtree(out)


def write_between_marks(name: str, text: str) -> None:
    """Put `text` into README.md between the lines that name its benchmark."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    page = Path(__file__).with_name("README.md")
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def main() -> None:
    made = package()  # first: peak memory is that of the largest child so far
    rows = [
        ("`lofi --help`, median of 7", f"{help_time_s():.2f} s", "< 0.3 s"),
        ("base install, beyond an empty environment", f"{install_size_mb():.0f} MB", "≤ 700 MB"),
        (f"package of {made['duration_s']:.0f} s, CPU", f"{made['cpu_s']:.1f} s", "≤ 60 s"),
        ("the same, wall time", f"{made['wall_s']:.1f} s", ""),
        ("the same, peak memory", f"{made['peak_mb']:.0f} MB", "≤ 1,000 MB"),
        ("the same, on disk", f"{made['size_mb']:.0f} MB", ""),
    ]
    table = ["| what | measured | goal |", "|---|---|---|"]
    table += [f"| {a} | {b} | {c} |" for a, b, c in rows]
    text = f"Machine: {machine()}.\n\n" + "\n".join(table) + "\n"
    print(text)
    if "--write" in sys.argv:
        write_between_marks("package", text)


if __name__ == "__main__":
    main()
