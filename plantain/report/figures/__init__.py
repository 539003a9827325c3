"""Figures as SVG that follow the page's light or dark theme, and as files."""
