"""Figures as inline SVG that follow the page's light or dark theme. Knows nothing about where they are shown.

`heat_map`        signed t of every head (or MLP group), block by block; `drawn_units` says of which
`null_histogram`  counts over a threshold under sign flips, with the observed one
`split_histogram` split-half correlations beside those of flipped data
`unit_dots`       one unit's differences, by category
`scope_bars`      its t in every scope, or of its slices
`t_density`       t of one run against t of another
`replication_plot` units that one set chose, on new pairs
`count_bars`      how many units each of several axes moves
`axis_triangle`   how alike every two of them are
`score_dots`      every pair's score against the others, by category
`rank_dots`       a visitor's pair among the run's pairs, by score
`pair_dots`       the same by difference, on the top units
"""

from __future__ import annotations

from plantain.report.figures.axes import axis_triangle, count_bars
from plantain.report.figures.distributions import null_histogram, split_histogram
from plantain.report.figures.rows import pair_dots, rank_dots, scope_bars, score_dots, unit_dots
from plantain.report.figures.maps import PANELS, drawn_units, heat_map
from plantain.report.figures.scatter import replication_plot, t_density

__all__ = [
    "PANELS",
    "axis_triangle",
    "count_bars",
    "drawn_units",
    "heat_map",
    "null_histogram",
    "pair_dots",
    "rank_dots",
    "replication_plot",
    "scope_bars",
    "score_dots",
    "split_histogram",
    "t_density",
    "unit_dots",
]
