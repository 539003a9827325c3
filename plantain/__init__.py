"""Probe FLUX.2 Klein for an axis of ethical valence in its attention output projections."""

__version__ = "0.1.0"
