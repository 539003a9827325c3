"""What follows from runs: units, pairs, comparisons, the atlas."""
