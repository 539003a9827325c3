"""Where shipped prompt sets and saved runs lie, and what was fixed before anyone looked."""

from __future__ import annotations

from plantain._files import ROOT

PROMPTS = ROOT / "prompts"

RUNS = ROOT / "precomputed"

REGISTRATION = ROOT / "PREREGISTRATION.md"
