"""Plots: their arithmetic, and their edges."""

from xml.etree import ElementTree

import pytest

from slipway_optimizer.report.svg import Dot, Words, bars, bins, lines, scatter, steps, ticks

WORDS = Words("title", "what is seen", "x", "y")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.31, 0.72, [0.4, 0.5, 0.6, 0.7]),
        (0, 8123, [0, 2000, 4000, 6000, 8000]),
        (5, 5, [5]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_bins_hold_every_value() -> None:
    assert bins([0, 0.4, 0.5, 1, 7, -3], (0, 1), 2) == [3, 3]


@pytest.mark.parametrize(
    "plot",
    [
        pytest.param(scatter([Dot("a<b", 1, 1, 0, True)], WORDS), id="one dot"),
        pytest.param(scatter([Dot(n, 1, 2, 3, False) for n in "abc"], WORDS), id="equal dots"),
        pytest.param(steps([("a", []), ("b", [0, 0])], (0, 0), WORDS), id="nothing counted"),
        pytest.param(lines([(1, 0)], WORDS), id="one point at zero"),
        pytest.param(bars([("a&b", 0.0, "0")], WORDS), id="a bar of zero"),
        pytest.param(bars([("n" * 90, -3.0, "-3"), ("m", 2.0, "2")], WORDS), id="both sides"),
    ],
)
def test_every_plot_is_well_formed_and_in_its_frame(plot: str) -> None:
    root = ElementTree.fromstring(plot)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert "nan" not in plot
    for element in root.iter():
        for name, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            if name in element.attrib:
                assert -1 <= float(element.attrib[name]) <= most + 1


def test_names_that_would_overlap_are_moved_apart() -> None:
    root = ElementTree.fromstring(scatter([Dot(n, 1, 1, 1, False) for n in ("p", "q")], WORDS))
    names = [e for e in root.iter() if e.tag.endswith("text") and e.text in ("p", "q")]
    first, second = (float(e.attrib["y"]) for e in names)
    assert abs(first - second) >= 14


def test_what_a_bar_stands_for_has_room_beside_the_names() -> None:
    """A character has some 6 units, as drawn in a browser."""
    drawn = ElementTree.fromstring(bars([("8", -5.6, "-5.6 (54 rows)"), ("3", -1.0, "")], WORDS))
    texts = [node for node in drawn.iter() if node.tag.endswith("text")]
    name, shown = texts[0], texts[1]
    assert float(shown.get("x", "0")) - 6 * len(shown.text or "") >= float(name.get("x", "0"))
