"""Tests by randomization: flipped signs of pairs, permuted labels of units."""
