"""Prompt pairs and sets, and checks of their wording."""
