"""The Space and the local app: ``python app.py``. Wires model, runs and page; the only importer of spaces.

Environment: `PLANTAIN_MODEL` (a Hub id, a folder, picture-book or tiny-random), `PLANTAIN_RUNS` (folder of runs,
default ``precomputed``), `PLANTAIN_RESULTS_REPO` (OWNER/NAME on the Hub, whose published runs are shown too),
`PLANTAIN_CARD_REPO` (OWNER/NAME of the model card that its owner publishes to from the page), `PLANTAIN_LOG` (off: no
line a request), `PLANTAIN_WARM` (off: nothing is computed before a visitor asks for it), and Gradio's own
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
from plantain.prompts.sets import load_prompt_set
from plantain.ui import RunStore, build_demo, launch_options, start_log
from plantain.ui.desk import Desk
from plantain.ui.engine import PAUSES_AT_START, Engine, Item, Work
from plantain.ui.turns import DrawWork, TurnWork

ROOT = Path(__file__).resolve().parent
QUEUE = 40  # waiting visitors; ZeroGPU's default is one
ARENAS, M_ARENA_MAX = 2, -8  # the second is glibc's number, in malloc.h
FACTOR = 1.5  # by which ZeroGPU counts a second of half an RTX Pro 6000; a test holds it against `spaces`


def quota_seconds(seconds: int) -> int:
    """Return what ZeroGPU holds against a visitor's quota: the seconds asked for, times the hardware's factor."""
    return round(seconds * FACTOR)  # as `spaces` rounds what it asks for


def work_seconds(work: Work | TurnWork | DrawWork) -> int:
    """Return the seconds that a call asks for; `plantain.ui.prices` settled them."""
    return work.seconds


def work_on_gpu(work: Work) -> Iterator[Item]:
    """Yield what comes from where the accelerator is; plain data crosses the process boundary."""
    yield from engine.captures(work)


def turn_on_gpu(work: TurnWork) -> Iterator[Item]:
    """Yield what turned heads give there."""
    yield from engine.turns(work)


def draw_on_gpu(work: DrawWork) -> Iterator[Item]:
    """Yield what a whole drawing gives there, step by step."""
    yield from engine.drawings(work)


if ON_ZERO_GPU:
    work_on_gpu = spaces.GPU(duration=work_seconds)(work_on_gpu)
    turn_on_gpu = spaces.GPU(duration=work_seconds)(turn_on_gpu)
    draw_on_gpu = spaces.GPU(duration=work_seconds)(draw_on_gpu)

engine = Engine(
    os.environ.get("PLANTAIN_MODEL") or (KLEIN if ON_ZERO_GPU else None),
    on_device=work_on_gpu,
    quota=quota_seconds if ON_ZERO_GPU else None,
    turn_on_device=turn_on_gpu,
    draw_on_device=draw_on_gpu,
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


def open_desk() -> Desk | None:
    """Return where the owner publishes from the page: nowhere, unless a repository is named."""
    results = os.environ.get("PLANTAIN_RESULTS_REPO") or None
    card = os.environ.get("PLANTAIN_CARD_REPO") or results
    if card is None:
        return None
    from plantain.hub import owner  # only here, as above

    return owner.Desk(card, results)


def share_heaps() -> None:
    """Let all threads allocate from the same heaps, where the C library is glibc.

    By default each of the page's threads gets a heap of its own, and what one has freed is lost to the others: under
    load memory grew by 16% in four minutes, with shared heaps by 6% (`tests/benchmarks/bench_load.py`).
    """
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def warm_up(store: RunStore) -> threading.Thread | None:
    """Compute what the page shows of every saved run and of those that arrive; not with ``PLANTAIN_WARM=off``.

    It has a thread of its own. At first it takes half a minute of a core, which tests and short visits of one's own
    can do without.
    """
    if os.environ.get("PLANTAIN_WARM", "").lower() == "off":
        return None
    thread = threading.Thread(target=store.keep_warm, name="statistics", daemon=True)
    thread.start()
    return thread


def main() -> None:
    """Start the page; off ZeroGPU it is served before torch is imported."""
    share_heaps()
    start_log()
    if ON_ZERO_GPU:
        engine.load(PAUSES_AT_START)  # in the main thread and before launch(): ZeroGPU packs the weights there
    store, watch = open_store()
    engine.learn_from(store.saved.values())
    prompt_set = load_prompt_set(ROOT / "prompts" / "moral_valence.toml")
    demo = build_demo(store, engine, load_published(), prompt_set, open_desk())
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
