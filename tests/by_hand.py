"""The statistics of directions once more, one pair, head and flip after the other: no code of the package's."""

import math

import numpy as np


def directions(vectors, along=None):
    """Take what is left of every difference across the head's mean, scaled to one: lists of heads of pairs."""
    _, n, n_heads, width = np.shape(vectors)
    found = []
    for h in range(n_heads):
        mean = along[h] if along is not None else sum(vectors[s][i][h] for s in (0, 1) for i in range(n)) / (2 * n)
        rows = []
        for i in range(n):
            d = np.array(vectors[0][i][h], dtype=float) - np.array(vectors[1][i][h], dtype=float)
            d = d - (d @ mean) / (mean @ mean) * mean
            size = math.sqrt(sum(x * x for x in d))
            rows.append(d / size if size > 1e-9 else np.zeros(width))
        found.append(rows)
    return found


def cosines(vectors):
    """Every head's cosines of two pairs, 0 of a pair with itself, (n_heads, n, n)."""
    z = directions(vectors)
    n = len(z[0])
    return np.array([[[0.0 if i == j else head[i] @ head[j] for j in range(n)] for i in range(n)] for head in z])


def agreement(gram, flip=None):
    """Mean cosine of two different pairs of one head, under a flip."""
    n = len(gram)
    s = [1] * n if flip is None else flip
    products = [s[i] * s[j] * gram[i][j] for i in range(n) for j in range(n) if i != j]
    return sum(products) / len(products)


def family_wise(grams, flips):
    """Family-wise p of every head's agreement, each in units of its spread over *all* patterns of two pairs' signs."""
    n = grams.shape[1]
    spread = [math.sqrt(2 * sum(g * g for g in gram.ravel())) / (n * (n - 1)) or 1.0 for gram in grams]
    largest = [max(agreement(g, flip) / sd for g, sd in zip(grams, spread, strict=True)) for flip in flips]
    found = [agreement(g) / sd for g, sd in zip(grams, spread, strict=True)]
    return [(1 + sum(top >= own - 1e-9 for top in largest)) / (1 + len(flips)) for own in found]


def told(total, groups=None, flip=None):
    """Count the pairs whose summed cosines with the others, or the others of other groups, are above zero."""
    n = len(total)
    s = [1] * n if flip is None else flip
    k = 0
    for i in range(n):
        others = [j for j in range(n) if j != i and (groups is None or groups[j] != groups[i])]
        k += sum(s[i] * s[j] * total[i][j] for j in others) > 0
    return k


def transferred(learned, tested):
    """Score the pairs of one set by the mean directions of another, across the other's mean."""
    n_heads = np.shape(learned)[2]
    mean = [np.mean([learned[s][i][h] for s in (0, 1) for i in range(len(learned[0]))], axis=0) for h in range(n_heads)]
    z, new = directions(learned), directions(tested, mean)
    rule = [sum(rows) / len(rows) for rows in z]
    return [sum(rule[h] @ new[h][i] for h in range(n_heads)) for i in range(len(new[0]))]
