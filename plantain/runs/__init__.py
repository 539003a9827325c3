"""Runs: units and scopes, what was captured, statistics, files."""
