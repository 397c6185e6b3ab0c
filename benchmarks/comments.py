"""How well comments are told apart; and the weights that do it, trained anew.

    python benchmarks/comments.py [--train] [--write]

Without options the shipped weights are tried on `tests/comments_held_out.tsv` and
`tests/comments_common.tsv`, sentences that they were not trained on and that were written apart,
and Markdown is printed. `--train` fits weights to `src/lofi/channel/material`, tells what five-fold
cross-validation on that sample alone says of several strengths of decay, and takes the best; the
others are not looked at. `--write` puts them into the package, and the table into docs/channel.md.
"""

from __future__ import annotations

import argparse
import random
import re
from pathlib import Path

import numpy as np

from lofi.brief import subseed
from lofi.channel import COMMENT_CATEGORIES
from lofi.channel._classify import (
    PHRASES,
    SAMPLE,
    WEIGHTS,
    confusion,
    phrases,
    read_sample,
    report,
    train,
    vector,
)

ROOT = Path(__file__).parent.parent
HELD_OUT = ROOT / "tests" / "comments_held_out.tsv"
COMMON = ROOT / "tests" / "comments_common.tsv"
DOCS = ROOT / "docs" / "channel.md"
DECAYS = (5e-5, 1e-4, 2e-4)
FOLDS = 5
EACH = 12  # sentences of each pattern


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--train", action="store_true", help="fit weights to the sample")
    parser.add_argument("--write", action="store_true", help="keep them, and the table")
    asked = parser.parse_args()
    if asked.train:
        fit(write=asked.write)
    told = table()
    print(told)
    if asked.write:
        text = DOCS.read_text(encoding="utf-8")
        begin, end = "<!-- comments: begin -->\n", "<!-- comments: end -->"
        DOCS.write_text(
            re.sub(f"{begin}.*?{end}", lambda _: begin + told + end, text, flags=re.DOTALL),
            encoding="utf-8",
        )


def fit(*, write: bool) -> None:
    """Train, and say what cross-validation promises."""
    rows = read_sample(SAMPLE)
    names = list(COMMENT_CATEGORIES)
    meant = [c for c, _ in rows]
    best = (float("inf"), 0.0, 1.0)
    for decay in DECAYS:
        logits = out_of_fold(rows, decay)
        temperature, loss = fitted_temperature(logits, meant)
        said = [names[i] for i in logits.argmax(axis=1)]
        right = float(np.mean([s == m for s, m in zip(said, meant, strict=True)]))
        print(f"decay {decay:g}: accuracy {right:.3f}, loss {loss:.3f} at {temperature:.2f}")
        if loss < best[0]:
            best = (loss, decay, temperature)
    _, decay, temperature = best
    said = [names[i] for i in out_of_fold(rows, decay).argmax(axis=1)]
    print(f"\ncross-validated on the sample itself, decay {decay:g}:\n")
    print(as_table(confusion(said, meant)))
    weights, bias = train([*rows, *phrases(PHRASES, EACH)], decay=decay)
    scale = np.maximum(np.abs(weights).max(axis=1), 1e-9) / 127
    stored = np.round(weights / scale[:, None]).astype(np.int8)
    if write:
        np.savez_compressed(
            WEIGHTS,
            weights=stored,
            scale=scale.astype(np.float32),
            bias=bias,
            temperature=np.float32(temperature),
        )
        print(f"{WEIGHTS.relative_to(ROOT)}: {WEIGHTS.stat().st_size:,} bytes\n")


def out_of_fold(rows: list[tuple[str, str]], decay: float) -> np.ndarray:
    """The logits (comments, categories) that weights trained on the other folds give."""
    order = list(range(len(rows)))
    random.Random(subseed(1, "folds")).shuffle(order)
    made = phrases(PHRASES, EACH)
    logits = np.zeros((len(rows), len(COMMENT_CATEGORIES)), dtype=np.float32)
    for fold in range(FOLDS):
        out = set(order[fold::FOLDS])
        rest = [r for i, r in enumerate(rows) if i not in out]
        weights, bias = train([*rest, *made], decay=decay)
        for i in out:
            where, what = vector(rows[i][1])
            logits[i] = bias + weights[:, where] @ what
    return logits


def fitted_temperature(logits: np.ndarray, meant: list[str]) -> tuple[float, float]:
    """The temperature at which the shares are most honest, and the mean loss at it."""
    y = np.array([list(COMMENT_CATEGORIES).index(m) for m in meant])
    best = (1.0, float("inf"))
    for temperature in np.geomspace(0.2, 3.0, 60):
        scaled = logits / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        shares = np.exp(scaled)
        shares /= shares.sum(axis=1, keepdims=True)
        loss = float(-np.log(shares[np.arange(len(y)), y]).mean())
        if loss < best[1]:
            best = (float(temperature), loss)
    return best


def table() -> str:
    """What the shipped weights do on the held-out sample, as Markdown."""
    told, common = report(read_sample(HELD_OUT)), report(read_sample(COMMON))
    return (
        f"{told['comments']} comments, **{told['accuracy']:.1%} right**. Rows: what it is; "
        f"columns: what it was taken for.\n\n{as_table(told['confusion'])}\n"
        f"{common['comments']} comments of the most common kind, **{common['accuracy']:.1%} "
        "right**; of each category:\n"
        + ", ".join(f"{name} {share:.0%}" for name, share in common["recall"].items())
        + ".\n"
    )


def as_table(counts: dict[str, dict[str, int]]) -> str:
    names = list(COMMENT_CATEGORIES)
    lines = [f"| | {' | '.join(names)} | recall | precision |", "|---" * (len(names) + 3) + "|"]
    for name in names:
        row = counts[name]
        said = sum(r[name] for r in counts.values())
        recall, precision = row[name] / max(1, sum(row.values())), row[name] / max(1, said)
        shown = " | ".join(str(row[n]) for n in names)
        lines.append(f"| {name} | {shown} | {recall:.0%} | {precision:.0%} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
