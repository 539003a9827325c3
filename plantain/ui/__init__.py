"""The page. The environment that Gradio reads is set here, before it is imported."""

from __future__ import annotations

import os

# No version check and no telemetry: the page makes no request of its own. Read when Blocks() is built.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from plantain.ui.log import start_log
from plantain.ui.page import build_demo
from plantain.ui.server import launch_options
from plantain.ui.state import RunStore

__all__ = ["RunStore", "build_demo", "launch_options", "start_log"]
