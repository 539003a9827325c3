"""Sign flips of whole pairs: draws that can be stored and replayed, counts over thresholds and max |t|."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from plantain.stats._checks import checked_diffs
from plantain.stats.paired import is_degenerate

_UNITS = 128  # units per matrix product, at most 255: they are counted in bytes

_FLIPS = 1000  # flips per matrix product: 128 x 1000 sums stay in the cache

_TIE = 1e-12  # sums that differ by less, relative to what they are sums of, are one sum and rounding

_DRAWN = 10_000  # flips drawn at a time: they take eight bytes a sign until they are packed into one

_LOOK, _ENOUGH = 9_999, 100  # of so many flips so many: a p above .01, and no more are counted

_CHUNK = 256  # units that a thread takes at a time

MAX_PAIRS = 30  # of the exact p


def draw_signs(n_permutations: int, n_pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Draw sign flips, int8 (n_permutations, n_pairs) of -1 and 1, each with probability 1/2.

    Examples
    --------
    >>> draw_signs(2, 3, np.random.default_rng(0)).tolist()
    [[1, 1, 1], [-1, -1, -1]]
    """
    return (2 * rng.integers(0, 2, size=(n_permutations, n_pairs)) - 1).astype(np.int8)


@dataclass(frozen=True)
class SignFlipNull:
    """What the sign flips gave.

    Attributes
    ----------
    counts : int array (n_thresholds, n_permutations)
        Units with |t| above each threshold.
    max_abs_t : float array (n_permutations,)
    signs : int8 array (n_permutations, n_pairs)
        The flips themselves.
    """

    counts: np.ndarray
    max_abs_t: np.ndarray
    signs: np.ndarray


def sign_flip_null(
    diffs: np.ndarray,
    n_permutations: int = 1000,
    *,
    rng: np.random.Generator | None = None,
    signs: np.ndarray | None = None,
    thresholds: Sequence[float] = (3.0, 5.0),
) -> SignFlipNull:
    """Count units over |t| thresholds under random sign flips of whole pairs.

    All units of a pair are flipped together, so their dependence is kept. The null is self-contained:
    it says that the differences are symmetric around zero, not that other contrasts give less.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
    n_permutations : int
        Flips to draw with `rng`; ignored when `signs` is given.
    rng : numpy Generator
        Needed unless `signs` is given.
    signs : int array (n_permutations, n_pairs), optional
        Flips to replay.
    thresholds : sequence of float
        A unit counts when |t| is strictly above.

    Returns
    -------
    SignFlipNull

    Raises
    ------
    ValueError
        Bad differences, neither `rng` nor `signs`, or signs of another shape or other values.

    Notes
    -----
    The sum of squares Q of a unit does not change under flips, so t follows from r = |S| / sqrt(Q), with
    S = signs @ diffs: t^2 = r^2 (n - 1) / (n - r^2). This rises with r, so units are compared and counted
    by r, and only the largest r of a flip is turned into a t.

    References
    ----------
    Fisher (1935), The Design of Experiments, section 21. Nichols & Holmes (2002), Human Brain Mapping 15, 1-25.

    Examples
    --------
    >>> import numpy as np
    >>> from plantain.stats import sign_flip_null
    >>> diffs = np.random.default_rng(0).normal(size=(25, 600))
    >>> null = sign_flip_null(diffs, 1000, rng=np.random.default_rng(1))
    >>> null.counts.shape  # units with |t| above 3 and above 5, flip by flip
    (2, 1000)
    """
    diffs, n = checked_diffs(diffs), len(diffs)
    signs = checked_signs(n, n_permutations, rng, signs)
    limits = [c * np.sqrt(n / (n - 1 + c * c)) for c in thresholds]  # |t| > c is r > limit
    counts, largest = _flip(_unit_squares(diffs), signs, limits)
    with np.errstate(divide="ignore"):  # a flip that lines all pairs up has no variance left: its t is infinite
        max_abs_t = largest * np.sqrt((n - 1) / np.maximum(n - largest**2, 0.0))
    return SignFlipNull(counts, max_abs_t, signs)


def max_t_p(
    diffs: np.ndarray,
    n_permutations: int = 10_000,
    *,
    rng: np.random.Generator | None = None,
    signs: np.ndarray | None = None,
) -> np.ndarray:
    """Family-wise p of each unit: its |t| against the largest |t| of all units under sign flips (single step).

    A p at or below alpha everywhere it is called significant keeps the probability of even one false claim,
    among units whose differences are symmetric around zero, at or below alpha.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
    n_permutations : int
        Flips to draw with `rng`; ignored when `signs` is given.
    rng : numpy Generator
        Needed unless `signs` is given.
    signs : int array (n_permutations, n_pairs), optional
        Flips to replay.

    Returns
    -------
    float64 array (n_units,)
        (b + 1) / (m + 1), b the flips among m whose largest |t| is at least the unit's; 1 for a unit without
        any difference, NaN for a degenerate unit. Degenerate units have no part in the largest |t|.

    Raises
    ------
    ValueError
        As `sign_flip_null`.

    Notes
    -----
    A flip counts when its largest |sum| / sqrt(sum of squares) is at least the unit's less one part in 10^12, so
    a flip that is the identity counts, whatever the rounding.

    Family-wise error at .05, measured (1,000 data sets without effect, 25 pairs x 600 units, 999 flips; units
    independent / half of their variance in five shared factors / in one / the correlation of the stand-in's own units):
    normal differences .059 / .047 / .058 / .039, inside the 99.9% binomial interval of .029 to .074. Differences from
    an exponential distribution less its mean have a mean of zero, but are not symmetric: .919 / .152 / .135 / .054. So
    a small p says "not symmetric around zero".

    References
    ----------
    Westfall & Young (1993), Resampling-Based Multiple Testing. Nichols & Holmes (2002), Human Brain Mapping 15,
    1-25. Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39 (why b + 1 and m + 1).

    Examples
    --------
    >>> import numpy as np
    >>> from plantain.stats import max_t_p
    >>> diffs = np.random.default_rng(0).normal(size=(25, 600))
    >>> diffs[:, 7] += 3  # one unit of 600 has an effect
    >>> p = max_t_p(diffs, 999, rng=np.random.default_rng(1))
    >>> float(p[7]), int((p <= 0.05).sum())
    (0.001, 1)
    """
    diffs = checked_diffs(diffs)
    signs = checked_signs(diffs.shape[0], n_permutations, rng, signs)
    tested = ~is_degenerate(diffs)
    z = _unit_squares(diffs[:, tested])
    largest = np.sort(_flip(z, signs, [])[1])
    b = len(signs) - np.searchsorted(largest, np.abs(z.sum(axis=0)) * (1 - _TIE))
    p = np.full(diffs.shape[1], np.nan)
    p[tested] = (b + 1) / (len(signs) + 1)
    return p


def checked_signs(n_pairs: int, n_permutations: int, rng, signs) -> np.ndarray:
    """Return the signs to replay, or draw them; ValueError for another shape or value, or neither signs nor rng."""
    if signs is None:
        if rng is None:
            raise ValueError("give rng, a numpy Generator, or the signs to replay.")
        parts = [min(_DRAWN, n_permutations - start) for start in range(0, n_permutations, _DRAWN)]
        return np.concatenate([draw_signs(n, n_pairs, rng) for n in parts or [0]])
    signs = np.asarray(signs)
    if signs.ndim != 2 or signs.shape[1] != n_pairs:
        raise ValueError(f"signs must have shape (n_permutations, {n_pairs}), not {signs.shape}.")
    if not np.isin(signs, (-1, 1)).all():
        raise ValueError("signs must be -1 or 1.")
    return signs.astype(np.int8)


def _unit_squares(diffs: np.ndarray) -> np.ndarray:
    """Scale every unit to a sum of squares of one; a unit without any difference stays zero."""
    largest = np.abs(diffs).max(axis=0)
    scaled = diffs / np.where(largest == 0, 1.0, largest)  # first, so that no square overflows or vanishes
    return scaled / np.sqrt(np.maximum(np.einsum("pu,pu->u", scaled, scaled), 1.0))


def _flip(z: np.ndarray, signs: np.ndarray, limits: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Count |signs @ z| over limits and take its largest: (n_limits, n_permutations), (n_permutations,)."""
    z = np.ascontiguousarray(z.T)  # (n_units, n_pairs)
    flips = np.ascontiguousarray(signs.T, dtype=np.float64)  # (n_pairs, n_permutations)
    counts = np.zeros((len(limits), flips.shape[1]), dtype=np.int64)
    largest = np.zeros(flips.shape[1])
    for start in range(0, flips.shape[1], _FLIPS):
        part = slice(start, start + _FLIPS)
        _flip_part(z, flips[:, part], limits, counts[:, part], largest[part])
    return counts, largest


def _flip_part(z, flips, limits, counts, largest) -> None:
    sums = np.empty((_UNITS, flips.shape[1]))
    over = np.empty(sums.shape, dtype=bool)
    for start in range(0, len(z), _UNITS):
        block = z[start : start + _UNITS]
        r, high = sums[: len(block)], over[: len(block)]
        np.abs(np.matmul(block, flips, out=r), out=r)  # (block, flips)
        np.maximum(largest, r.max(axis=0), out=largest)
        for row, limit in zip(counts, limits, strict=True):
            row += np.greater(r, limit, out=high).view(np.uint8).sum(axis=0, dtype=np.uint8)


def exact_sign_flip_p(diffs: np.ndarray) -> np.ndarray:
    """Exact two-sided p of each unit over all 2^n sign patterns of its differences.

    Since the sum of squares is the same for all patterns, |sum| and |t| put them in one order, so this is the
    sign-flip p of t without a draw. It is per unit: nothing is corrected for the number of units.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
        2 to 30 pairs.

    Returns
    -------
    float64 array (n_units,)
        A multiple of 2^(1-n). Degenerate units have one too, 2^(1-n); a unit without any difference has 1.

    Raises
    ------
    ValueError
        Bad differences, or more than 30 pairs.

    Notes
    -----
    A pattern counts when |sum| >= |observed| - 1e-12 * sum|d|, so that ties survive rounding; where that bound is
    not positive, p = 1. The pairs are cut into two halves with 2^(n/2) partial sums each. Patterns come with their
    negatives, so p = 2 * #{a + b >= bound} / 2^n, counted by searching one sorted half from the other: about
    n 2^(n/2) steps in place of 2^n.

    For symmetric differences P(p <= a) <= a, exactly. Sign flips assume that symmetry: of 2,000 units with 25
    differences from an exponential distribution less its mean, 7.2% had p <= .05 and 2.5% had p <= .01.

    References
    ----------
    Fisher (1935), The Design of Experiments, section 21 (the test). Horowitz & Sahni (1974), J. ACM 21, 277-292
    (meeting in the middle). Pagano & Tritchler (1983), JASA 78, 435-440 (exact permutation p in less than 2^n steps).

    Examples
    --------
    >>> import numpy as np
    >>> from plantain.stats import exact_sign_flip_p
    >>> exact_sign_flip_p(np.array([[1.0], [2.0], [3.0], [4.0]])).tolist()  # 2 of 2^4 patterns are as extreme
    [0.125]
    """
    diffs = checked_diffs(diffs)
    if diffs.shape[0] > MAX_PAIRS:
        raise ValueError(
            f"{diffs.shape[0]} pairs are too many for exact p values; at most {MAX_PAIRS}. Use sign_flip_p."
        )
    return _in_threads(_exact_p, diffs)


class DrawnP(NamedTuple):
    """A p of drawn sign flips and its standard error from drawing so many and no more, float64 arrays (n_units,)."""

    p: np.ndarray
    error: np.ndarray


def sign_flip_p(
    diffs: np.ndarray,
    n_permutations: int = 99_999,
    *,
    rng: np.random.Generator | None = None,
    signs: np.ndarray | None = None,
) -> DrawnP:
    """Two-sided p of each unit against drawn sign flips: what `exact_sign_flip_p` is for more than 30 pairs.

    Parameters
    ----------
    diffs : float array (n_pairs, n_units)
    n_permutations : int
        Flips to draw with `rng`; ignored when `signs` is given.
    rng : numpy Generator
        Needed unless `signs` is given.
    signs : int array (n_permutations, n_pairs), optional
        Flips to replay; the same for all units.

    Returns
    -------
    DrawnP
        ``p`` is (1 + b) / (1 + m), b the flips among m whose |sum| is at least the observed one, ties as in
        `exact_sign_flip_p`; ``error`` is sqrt(p (1 - p) / m). It is per unit: nothing is corrected for the number of
        units.

    Raises
    ------
    ValueError
        As `sign_flip_null`.

    Notes
    -----
    Where 100 of the first 9,999 flips count, p is that of these alone, and above .01; all other units take all flips.
    For symmetric differences P(p <= a) <= a all the same: up to .01 by the p of all flips, above by that of the first,
    each of which counts the observed pattern as one of its flips. No p is below 1 / (1 + m), so that with few flips and
    many units nothing is left after correction.

    References
    ----------
    Besag & Clifford (1991), Biometrika 78, 301-304 (stopping early). Phipson & Smyth (2010), Stat. Appl. Genet. Mol.
    Biol. 9, 39 (why 1 + b and 1 + m).

    Examples
    --------
    >>> diffs = np.random.default_rng(0).normal(size=(40, 3)) + [0, 0, 2]
    >>> sign_flip_p(diffs, 999, rng=np.random.default_rng(1)).p.round(3).tolist()
    [0.342, 0.8, 0.001]
    """
    diffs = checked_diffs(diffs)
    signs = checked_signs(len(diffs), n_permutations, rng, signs)
    b, m = _in_threads(partial(_count_flips, signs=signs), diffs)
    p = (b + 1) / (m + 1)
    return DrawnP(p, np.sqrt(p * (1 - p) / np.maximum(m, 1)))


def _in_threads(make: Callable[[np.ndarray], np.ndarray], diffs: np.ndarray) -> np.ndarray:
    """Make an array (..., n_units) from a few units at a time."""
    chunks = [diffs[:, start : start + _CHUNK] for start in range(0, max(diffs.shape[1], 1), _CHUNK)]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(chunks))) as pool:
        # numpy sorts, searches and multiplies without the lock
        return np.concatenate(list(pool.map(make, chunks)), axis=-1)


def _bounds(diffs: np.ndarray) -> np.ndarray:
    """Return the least |sum| of each unit that counts as its own."""
    return np.abs(diffs.sum(axis=0)) - _TIE * np.abs(diffs).sum(axis=0)


def _count_flips(diffs: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return b and m of each unit, (2, n_units): among the first flips, and among all where few of these count."""
    bounds, units = _bounds(diffs), np.ascontiguousarray(diffs.T)
    b = _count_reaching(units, bounds, signs[:_LOOK])
    rare = b < _ENOUGH
    m = np.where(rare, len(signs), min(len(signs), _LOOK))
    b[rare] += _count_reaching(units[rare], bounds[rare], signs[_LOOK:])
    return np.stack([b, m])


def _count_reaching(units: np.ndarray, bounds: np.ndarray, signs: np.ndarray) -> np.ndarray:
    b = np.zeros(len(units), dtype=np.int64)
    for start in range(0, len(signs) if len(units) else 0, _FLIPS):
        flips = signs[start : start + _FLIPS].T.astype(np.float64)  # (n_pairs, flips)
        for first in range(0, len(units), _UNITS):
            part = slice(first, first + _UNITS)
            sums = units[part] @ flips
            b[part] += np.count_nonzero(np.abs(sums, out=sums) >= bounds[part, None], axis=1)
    return b


def _exact_p(diffs: np.ndarray) -> np.ndarray:
    bounds = _bounds(diffs)
    # Sums of quarters of the pairs for all units at once, (n_units, patterns); two quarters make a half.
    quarters = [_all_sums(part) for part in np.array_split(diffs, 4)]
    return np.array([_tail(bound, *rows) for bound, *rows in zip(bounds, *quarters, strict=True)])


def _all_sums(diffs: np.ndarray) -> np.ndarray:
    patterns = np.array(list(itertools.product((-1.0, 1.0), repeat=len(diffs))))  # (1, 0) for no pairs: one sum, 0
    return (patterns @ diffs).T.copy()


def _tail(bound: float, q1: np.ndarray, q2: np.ndarray, q3: np.ndarray, q4: np.ndarray) -> float:
    if bound <= 0:
        return 1.0
    a, b = (np.sort(np.add.outer(*half), axis=None) for half in ((q3, q4), (q1, q2)))  # b has the odd pair
    # a is symmetric around zero: bound + a are the values bound - a, rising, which is quick to search.
    below = np.searchsorted(b, bound + a).sum(dtype=np.int64)
    return 2.0 * float(a.size * b.size - below) / float(a.size * b.size)
