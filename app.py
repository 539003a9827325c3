"""The Space and the local app: ``python app.py``. Wires model, runs and page; the only importer of spaces.

Environment: `PLANTAIN_MODEL` (a Hub id, a folder or tiny-random), `PLANTAIN_RUNS` (folder of runs, default
``precomputed``), `PLANTAIN_RESULTS_REPO` (OWNER/NAME on the Hub, whose published runs are shown too), `PLANTAIN_LOG`
(off: no line a request), `PLANTAIN_WARM` (off: nothing is computed before a visitor asks for it), and Gradio's own
`GRADIO_SERVER_PORT`.
"""

from __future__ import annotations

from plantain import _runtime  # before numpy and torch

if __name__ == "__main__":
    _runtime.end_silently_on_interrupt()

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

ON_ZERO_GPU = os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")  # as `spaces` reads it
if ON_ZERO_GPU:
    import spaces  # before anything touches CUDA

from plantain.findings.published import load_published
from plantain.models.load import KLEIN
from plantain.prompts.sets import PromptPair, load_prompt_set
from plantain.runs.info import Conditions
from plantain.ui import RunStore, build_demo, launch_options, start_log
from plantain.ui.engine import PAUSES_AT_START, Engine, Item

ROOT = Path(__file__).resolve().parent
QUEUE = 40  # waiting visitors; ZeroGPU's default is one
COLD_START = 15  # seconds: a cold worker moves 16 GB to the card inside the requested time
ARENAS, M_ARENA_MAX = 2, -8  # the second is glibc's number, in malloc.h
FACTOR = 1.5  # by which ZeroGPU counts a second of half an RTX Pro 6000; a test holds it against `spaces`


def gpu_seconds(pairs: int, size: int | None = None) -> int:
    """Return the GPU seconds to ask for. A guess from passes and pixels: nothing was measured on ZeroGPU yet."""
    per_pass = 0.1 + 0.4 * ((size or 1024) / 1024) ** 2
    return COLD_START + round(2 * pairs * per_pass)


def call_seconds(pairs: tuple[PromptPair, ...], conditions: Conditions) -> int:
    """Return the same for a call; a repeated measure costs as much as a pair."""
    return gpu_seconds(len(pairs) * conditions.n_repeats, conditions.size)


def quota_seconds(pairs: int, size: int | None) -> int:
    """Return what ZeroGPU holds against a visitor's quota: the seconds asked for, times the hardware's factor."""
    return round(gpu_seconds(pairs, size) * FACTOR)  # as `spaces` rounds what it asks for


def captures_on_gpu(pairs: tuple[PromptPair, ...], conditions: Conditions) -> Iterator[Item]:
    """Yield every pair's capture from where the accelerator is; plain data crosses the process boundary."""
    yield from engine.captures(pairs, conditions)


if ON_ZERO_GPU:
    captures_on_gpu = spaces.GPU(duration=call_seconds)(captures_on_gpu)

engine = Engine(
    os.environ.get("PLANTAIN_MODEL") or (KLEIN if ON_ZERO_GPU else None),
    on_device=captures_on_gpu,
    quota=quota_seconds if ON_ZERO_GPU else None,
)


def open_store() -> tuple[RunStore, Callable[[], None]]:
    """Read the saved runs, and return them with what has published ones brought, where a repository is named."""
    folder = os.environ.get("PLANTAIN_RUNS") or ROOT / "precomputed"
    repo_id = os.environ.get("PLANTAIN_RESULTS_REPO")
    if not repo_id:
        return RunStore(folder), lambda: None
    from plantain.hub.pull import Published  # only here: a page without published runs starts without it

    published = Published(repo_id)
    store = RunStore(folder, {repo_id: published.folder})
    return store, lambda: store.watch(repo_id, published.look)


def share_heaps() -> None:
    """Let all threads allocate from the same heaps, where the C library is glibc.

    By default each of the page's threads gets a heap of its own, and what one has freed is lost to the others: under
    load memory grew by 16% in four minutes, with shared heaps by 6% (`tests/benchmarks/bench_load.py`).
    """
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def warm_up(store: RunStore) -> threading.Thread | None:
    """Compute what the page shows of every saved run, in a thread of its own; not with ``PLANTAIN_WARM=off``.

    It takes half a minute of a core, which tests and short visits of one's own can do without.
    """
    if os.environ.get("PLANTAIN_WARM", "").lower() == "off":
        return None
    thread = threading.Thread(target=store.warm, name="statistics", daemon=True)
    thread.start()
    return thread


def main() -> None:
    """Start the page; off ZeroGPU it is served before torch is imported."""
    share_heaps()
    start_log()
    if ON_ZERO_GPU:
        engine.load(PAUSES_AT_START)  # in the main thread and before launch(): ZeroGPU packs the weights there
    store, watch = open_store()
    prompt_set = load_prompt_set(ROOT / "prompts" / "moral_valence.toml")
    demo = build_demo(store, engine, load_published(), prompt_set)
    demo.queue(max_size=QUEUE, default_concurrency_limit=4)
    demo.launch(prevent_thread_lock=True, **launch_options(demo, store, engine))
    watch()  # once the page is served: it need not wait for the Hub
    warm_up(store)
    if not ON_ZERO_GPU:
        engine.start_loading()
    try:
        demo.block_thread()
    finally:
        store.close()


if __name__ == "__main__":
    _runtime.raise_on_interrupt()
    main()
