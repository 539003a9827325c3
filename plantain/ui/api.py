"""The five public endpoints, for programs. Their docstrings are the API's documentation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import gradio as gr

from plantain import PlantainError
from plantain.engine import Engine
from plantain.prompts import PromptSet
from plantain.results import Run
from plantain.tables import block_names, top_units_frame, weights_label
from plantain.ui.failures import failure_text, kept_words
from plantain.ui.store import RunStore

_MOST = 1000  # rows of /top_units


class BadRequest(PlantainError, ValueError):
    """A value that an endpoint cannot take."""


def _require(kind: type, **values: object) -> None:
    """Refuse values of another type before anything is computed: JSON brings what it likes."""
    for name, value in values.items():
        if type(value) is not kind:
            raise BadRequest(f"{name} is {value!r}; give a {'text' if kind is str else 'whole number'}.")


def add_endpoints(store: RunStore, engine: Engine, prompt_set: PromptSet) -> None:
    """Register /list_runs, /summary, /top_units, /probe_pair and /run_probe; call it inside a Blocks context."""

    def list_runs() -> list[dict]:
        """List the saved runs: name, model, weights, prompt set, pairs, size, seed, date."""
        return [_describe(name, run) for name, run in store.saved.items()]

    def summary(run: str, units: str = "card", scope: str = "all") -> dict:
        """Headline figures of a run, as `python -m plantain report --json` prints them, with its weights.

        units: card, heads, text-heads, mlp or embedding. scope: all, image, prompt, words, padding or template.
        """
        with _errors():
            _require(str, run=run, units=units, scope=scope)
            found = store.get(run)
            return {"run": run, "weights_label": weights_label(found.info), **found.summary(units, scope)}

    def top_units(run: str, units: str = "heads", scope: str = "all", n: int = 20, block: str = "") -> list[dict]:
        """The n units with the largest |t|, in one block (such as single[19]) or all: rank, t, d_z, p."""
        with _errors():
            _require(str, run=run, units=units, scope=scope, block=block)
            _require(int, n=n)
            found = store.get(run)
            analysis = found.analysis(units, scope)
            known = block_names(analysis)
            if block and block not in known:
                raise BadRequest(f"unknown block {block!r}; choose one of {', '.join(known)}.")
            frame = top_units_frame(analysis, max(0, min(n, _MOST)), block or None, found.inference(units, scope))
            frame = frame.assign(weights=found.info.weights)
            return json.loads(frame.to_json(orient="records", double_precision=12))

    def probe_pair(run: str, positive: str, negative: str) -> dict:
        """Send one pair of prompts through the loaded model and rank it among a run's pairs (uses the GPU)."""
        with _errors() as call:
            _require(str, run=run, positive=positive, negative=negative)
            found = store.get(run)
            call.asked = engine.asks(1, found.info.size)
            return {"weights": weights_label(found.info), **asdict(engine.probe_pair(found, positive, negative))}

    def run_probe(size: int = 0, seed: int = 0) -> dict:
        """Run all pairs through the loaded model (uses the GPU). size 0: the device's default.

        Returns the run's name, for the other endpoints, and its summary. When it breaks off, the pairs that are done
        are kept: the same call goes on from there.
        """
        with _errors() as call:
            _require(int, size=size, seed=seed)
            total, chosen = len(prompt_set.pairs), size or None
            call.asked = engine.asks(total - engine.kept(prompt_set, chosen, seed), chosen)
            call.kept = lambda: kept_words(engine.kept(prompt_set, chosen, seed), total)
            *_, last = engine.iter_probe(prompt_set, size or None, seed)
            name = store.add(last.run)
            return {**_describe(name, last.run), "summary": last.run.summary()}

    gr.api(list_runs, api_name="list_runs", queue=False)
    gr.api(summary, api_name="summary", queue=False)
    gr.api(top_units, api_name="top_units", queue=False)
    gr.api(probe_pair, api_name="probe_pair", concurrency_id="pair")
    gr.api(run_probe, api_name="run_probe", concurrency_id="probe")


def _describe(name: str, run: Run) -> dict:
    i = run.info
    return {
        "run": name, "model": i.model, "revision": i.revision, "weights": weights_label(i), "dtype": i.dtype,
        "device": i.device, "prompt_set": i.prompt_set, "n_pairs": len(run.pairs), "size": i.size, "seed": i.seed,
        "date": i.date,
    }  # fmt: skip


@dataclass
class _Call:
    """What is known of a call when it fails: seconds of quota asked for, and what is kept."""

    asked: int | None = None
    kept: Callable[[], str] = str


@contextmanager
def _errors() -> Iterator[_Call]:
    """Give a caller the message instead of a bare 'error'."""
    call = _Call()
    try:
        yield call
    except Exception as error:
        raise gr.Error(f"{failure_text(error, call.asked)} {call.kept()}".strip()) from error
