"""What is kept of the evidence of many cases."""

from __future__ import annotations

from assay.evidence import curve, true
from assay.measure import MOST_FIGURES, Measurement


def test_a_figure_seen_again_takes_no_place_from_another() -> None:
    """A case drawn a hundred times gives its figure a hundred times; the figure of another case is shown all the same."""
    kept = Measurement()
    figures = [curve(f"case {k}", [1.0, 2.0], {"y": [0.0, k]}, x_label="x", y_label="y") for k in range(9)]
    for figure in [figures[0]] * 5 + figures:
        kept.add(true(True, what="seen").with_figure(figure))
    assert kept.figures == figures[:MOST_FIGURES]
