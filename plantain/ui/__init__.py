"""The page. The only importer of gradio; knows nothing about ZeroGPU or models.

`build_demo`       all tabs, private listeners and the five public endpoints
`start_log`        a line a request
`keep_little`      what visitors choose is kept, no copy of the page
`launch_options`   theme, styles and switches that belong to `Blocks.launch`
"""

from __future__ import annotations

import os

from plantain.ui.log import start_log
from plantain.ui.page import build_demo
from plantain.ui.server import launch_options
from plantain.ui.sessions import keep_little
from plantain.ui.state import RunStore

# No version check and no telemetry: the page makes no request of its own. Read when Blocks() is built.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")


__all__ = ["RunStore", "build_demo", "keep_little", "launch_options", "start_log"]
