"""Charts: what the eye finds is what the values are, and nothing that comes in breaks a picture."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import skia
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lofi.brief import InputError
from lofi.cli._charts import sparkline
from lofi.picture import Panel, render_histograms
from lofi.picture._charts import _Axis, _axis, _edges, _labels, _number, _ticks
from lofi.picture._text import set_line

# Where the plot of the only card of a picture is, in pixels.
PLOT_X, PLOT_Y = (122, 512), (262, 402)


def draw(folder: Path, *panels: Panel) -> NDArray[np.uint8]:
    """The picture as RGB `(h, w, 3)`."""
    path = folder / "histograms.png"
    render_histograms(path, panels, title="Figures", subtitle="of some songs")
    assert path.read_bytes().startswith(b"\x89PNG")
    image = skia.Image.MakeFromEncoded(skia.Data.MakeFromFileName(str(path)))
    return np.array(image.toarray(colorType=skia.kRGBA_8888_ColorType))[..., :3]


def bars_of(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many pixels of each column of the plot are as blue as a bar that is kept."""
    plot = picture[slice(*PLOT_Y), slice(*PLOT_X)].astype(int)
    return (plot[..., 2] > 150).sum(0) - (plot[..., 0] > 200).sum(0)


def panel(values: object, **more) -> Panel:
    return Panel("loudness", "LUFS", np.asarray(values, float), **more)


def test_bars_stand_where_the_values_are(tmp_path: Path):
    values = np.r_[np.linspace(0, 1, 60), np.linspace(9, 10, 30)]
    high = bars_of(draw(tmp_path, panel(values)))
    third = len(high) // 3
    left, middle, right = high[:third], high[third : 2 * third], high[2 * third :]
    assert left.max() > 100
    assert middle.max() <= 2
    assert right.max() == pytest.approx(left.max() / 2, rel=0.15)


def test_what_limits_leave_out_is_dimmed(tmp_path: Path):
    values = np.linspace(0, 10, 500)
    free = bars_of(draw(tmp_path, panel(values)))
    kept = bars_of(draw(tmp_path, panel(values, lower=5.0)))
    half = len(free) // 2
    assert free[: half - 9].mean() > 90
    assert kept[: half - 9].mean() < 3
    assert kept[half + 9 :].mean() == pytest.approx(free[half + 9 :].mean(), rel=0.05)


def test_a_range_to_compare_with_is_seen_behind_the_bars(tmp_path: Path):
    values = np.r_[np.zeros(50), np.full(50, 10.0)]
    plain = draw(tmp_path, panel(values)).astype(int)
    shaded = draw(tmp_path, panel(values, highlight=(4.0, 6.0), highlight_label="human"))
    differing = np.abs(shaded - plain).sum(2)[slice(*PLOT_Y), slice(*PLOT_X)].sum(0) > 0
    places = np.flatnonzero(differing) / len(differing)
    assert places.min() == pytest.approx(4.5 / 11, abs=0.02)
    assert places.max() == pytest.approx(6.5 / 11, abs=0.02)


def test_a_panel_without_values_says_so_and_draws_no_bars(tmp_path: Path):
    for values in ([], [math.nan, math.inf]):
        picture = draw(tmp_path, panel(values, lower=1.0))
        assert bars_of(picture).max() <= 20  # lettering
        assert (picture[290:340, 250:380].max((0, 1)) > 100).all()


def test_pictures_grow_by_rows_of_three_and_then_of_four(tmp_path: Path):
    sizes = {n: draw(tmp_path, *[panel(range(9))] * n).shape[:2] for n in (0, 1, 3, 4, 9, 10, 14)}
    assert {width for _, width in sizes.values()} == {1600}
    height = {n: size[0] for n, size in sizes.items()}
    assert height[0] == height[1] == height[3] < height[4] < height[9] == height[10]
    row = height[4] - height[3]
    assert height[14] == height[1] + 3 * row


def test_the_same_values_give_the_same_bytes(tmp_path: Path):
    first, second = (tmp_path / name for name in ("a.png", "b.png"))
    for path in (first, second):
        render_histograms(path, [panel(range(50))], title="t", subtitle="s")
    assert first.read_bytes() == second.read_bytes()


def test_a_picture_is_whole_or_absent(tmp_path: Path):
    path = tmp_path / "histograms.png"
    with pytest.raises(InputError, match="at most 200"):
        render_histograms(path, [panel([1])] * 201, title="", subtitle="")
    with pytest.raises(InputError, match="palette"):
        render_histograms(path, [], title="", subtitle="", palette="mud")
    with pytest.raises(FileNotFoundError):
        render_histograms(tmp_path / "no" / "x.png", [], title="", subtitle="")
    assert not list(tmp_path.iterdir())


ODD = {
    "long titles": Panel("word " * 999, "unit " * 99, np.arange(9.0), highlight=(1, 2)),
    "no titles": Panel("", "", np.arange(9.0), highlight=(2, 1), highlight_label="x " * 200),
    "foreign titles": Panel("雨の夜 🌙 \x00\n", "\ud800", np.arange(9.0)),
    "one value": panel([3.0], lower=3.0, upper=3.0),
    "equal values": panel(np.full(9, 0.1), lower=0.05, upper=0.2),
    "equal huge values": panel(np.full(9, 1e299)),
    "huge and tiny": panel([1e308, -1e308, 5e-324, 1e300, -1e300, 0]),
    "nearly equal": panel([1e9, np.nextafter(1e9, 2e9)]),
    "integers": Panel("n", "", np.arange(9)),
    "truth values": Panel("n", "", np.array([True, False])),
    "outlier": panel(np.r_[np.zeros(999), 1e6]),
    "limits that are none": panel(
        range(9), lower=math.nan, upper=math.inf, highlight=(0, math.nan)
    ),
    "limits far away": panel(range(9), lower=-1e9, upper=1e9, highlight=(1e8, 1e9)),
    "limits crossed": panel(range(9), lower=8, upper=2),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_panels_make_pictures(tmp_path: Path, name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw(tmp_path, ODD[name]).shape[1] == 1600


def test_nothing_is_lettered_outside_its_card(tmp_path: Path):
    alone = draw(tmp_path, panel([5.0])).astype(int)
    for odd in ODD.values():
        beyond = np.abs(draw(tmp_path, odd).astype(int) - alone)
        beyond[150:462, 56:537] = 0  # the card
        assert beyond.max() <= 1


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(), max_size=40),
    st.none() | st.floats(),
    st.none() | st.floats(),
    st.none() | st.tuples(st.floats(), st.floats()),
)
def test_any_numbers_make_a_picture(tmp_path_factory, values, lower, upper, highlight):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = panel(values, lower=lower, upper=upper, highlight=highlight, highlight_label="x")
        draw(tmp_path_factory.mktemp("any"), one)


def test_long_tails_are_cut_and_counted():
    values = np.r_[np.linspace(0, 1, 990), np.linspace(50, 100, 10)]
    axis = _axis(panel(values))
    assert axis.high < 2
    assert (axis.below, axis.above) == (0, 10)
    mirrored = _axis(panel(-values))
    assert (mirrored.below, mirrored.above) == (10, 0)
    even = _axis(panel(np.linspace(0, 1, 1000)))
    assert (even.low, even.high, even.below, even.above) == (0, 1, 0, 0)


def test_near_limits_are_on_the_axis_and_far_ones_do_not_squeeze_it():
    values = np.linspace(0, 1, 100)
    assert _axis(panel(values, lower=-0.4, highlight=(0.5, 1.5))).low == -0.4
    assert _axis(panel(values, lower=-0.4, highlight=(0.5, 1.5))).high == 1.5
    assert _axis(panel(values, upper=400)).high == 1


def test_bins_hold_every_value_and_whole_numbers_their_own():
    few = np.repeat([1, 2, 4], 5).astype(float)
    edges = _edges(few, _axis(panel(few)))
    assert np.histogram(few, edges)[0].tolist() == [5, 5, 0, 5]
    many = np.random.default_rng(1).normal(size=5000)
    assert np.histogram(many, _edges(many, _Axis(many.min(), many.max())))[0].sum() == 5000


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (0.2, 0.9), (-3, 40), (0, 1e9), (1e9, 1e9 + 5), (0, 2e-9), (-1e200, 7)],
)
def test_tick_labels_are_round_different_and_apart(low: float, high: float):
    ticks = _ticks(low, high, 5, whole=False)
    assert 2 <= len(ticks) <= 8
    step = ticks[1] - ticks[0]
    assert f"{step:.0e}"[0] in "125"
    found = _labels(_Axis(low, high), 0, 300, whole=False)
    assert found
    assert len({text for _, text, _ in found}) == len(found)
    ends = [x + set_line(text, "Quicksand-Medium.ttf", 15).width for _, text, x in found]
    assert all(end < start for end, (_, _, start) in zip(ends, found[1:], strict=False))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.25, "0.25"), (-14.02, "-14"), (1234, "1,234"), (12_345, "12.3k"),
     (0.00154, "0.00154"), (999.4, "999"), (2e6, "2M"), (1e20, "1e+20"), (100, "100"),
     (1200, "1,200")],
)  # fmt: skip
def test_numbers_are_short(value: float, shown: str):
    assert _number(value) == shown


def test_the_door_loads_no_drawing_library():
    code = "import sys, lofi.picture; sys.exit('skia' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_sparkline_is_high_where_the_values_are():
    line = sparkline([1, 1, 1, 1, 9, 9, 5], 0, 10, bins=10)
    assert line == " █   ▂   ▄"
    assert len(sparkline(np.linspace(0, 1, 99), 0, 1)) == 24
    assert set(sparkline(np.linspace(0, 1, 2400), 0, 1)) <= {"█", "▇"}


def test_a_sparkline_shows_one_among_thousands_and_leaves_strangers_out():
    assert sparkline([0.1] * 9999 + [0.9], 0, 1, bins=2) == "█▁"
    assert sparkline([math.nan, -1, 2, math.inf], 0, 1, bins=4) == "    "
    assert sparkline([], 0, 1, bins=3) == "   "
    assert sparkline([1.0], 0, 1, bins=3) == "  █"
    assert sparkline([-1e308, 1e308], -1.5e308, 1.5e308, bins=3) == "█ █"
    assert sparkline([5e-324], 0, 5e-324, bins=2) == " █"


@pytest.mark.parametrize(
    ("low", "high", "bins"), [(1, 1, 4), (2, 1, 4), (0, math.inf, 4), (0, 1, 0)]
)
def test_a_sparkline_of_no_span_is_refused(low: float, high: float, bins: int):
    with pytest.raises(ValueError, match="histogram needs"):
        sparkline([1], low, high, bins)
