"""Passes through a model: tokens, hooks, passes, the run loop."""
