"""Statistics of paired differences: arrays in, arrays out, explicit randomness.

``diffs`` is always float (n_pairs, n_units): positive minus negative; ``vectors`` (2, n_pairs, n_heads, width).

Units whose differences are all zero have t = d = 0. A unit with zero variance and a mean that is not zero
is *degenerate*: its t does not exist. It is NaN here, and callers leave it out and count it.
"""

from __future__ import annotations

from plantain.stats.conformal import PredictionIntervals, conformal_scores, prediction_intervals
from plantain.stats.correlation import cosine, pearson, spearman
from plantain.stats.counts import (
    coin_range,
    count_interval,
    count_jackknife,
    count_p,
    leave_one_out_counts,
    quantile_above,
    quantile_interval,
    shrinkage,
)
from plantain.stats.dependence import Dependence, dependence, left_out_categories
from plantain.stats.dimensionality import Dimension, dimension
from plantain.stats.directions import (
    Agreement,
    AgreementDifference,
    DirectionRule,
    agreement_difference_test,
    agreement_test,
    direction_cosines,
    direction_grams,
    direction_reach,
    direction_scores,
    direction_test,
    direction_transfer_test,
    held_out_cosines,
    learn_directions,
    rule_cosine_interval,
    score_strength,
    tangential_directions,
    whole_group_p,
)
from plantain.stats.effect_size import detectable_effect, dz_interval, hedges_g, mean_interval
from plantain.stats.held_out import (
    HeldOut,
    Rule,
    count_frozen,
    count_told,
    held_out_null,
    held_out_test,
    learn_rule,
    transfer_test,
)
from plantain.stats.multicomp import QValues, fdr
from plantain.stats.paired import cohens_dz, is_degenerate, paired_differences, paired_t
from plantain.stats.randomization.redraws import (
    agreement_under_flips,
    draw_permutations,
    equal_strata,
    permute_in_order,
    redraw_p,
)
from plantain.stats.randomization.sign_flips import (
    MAX_PAIRS,
    DrawnP,
    SignFlipNull,
    draw_signs,
    exact_sign_flip_p,
    max_t_p,
    sign_flip_null,
    sign_flip_p,
)
from plantain.stats.reliability import draw_halves, spearman_brown, split_half, split_half_null
from plantain.stats.two_sample import (
    MembershipTest,
    SelectivityTest,
    TrueCorrelation,
    membership_test,
    selectivity_test,
    true_correlation,
)
from plantain.stats.unique_share import UniqueShare, unique_share
