"""The five public endpoints, for programs and, where `mcp` is installed, for agents.

Their docstrings are the documentation, in Gradio's own form: what stands under "Parameters:" goes to each parameter.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr

from plantain import UsageError
from plantain._files import plain
from plantain.findings.held_out import held_out, told_by_kind
from plantain.prompts.sets import PromptSet
from plantain.report.labels import weights_label
from plantain.report.tables import top_units_frame
from plantain.runs.run import Run
from plantain.runs.units import Selection
from plantain.ui.engine import Engine
from plantain.ui.errors import kept_words, told
from plantain.ui.log import logged
from plantain.ui.state import RunStore

MOST_ROWS = 200  # of /top_units: Gradio keeps a session's last answer in memory


def _require(kind: type, **values: object) -> None:
    """Refuse values of another type before anything is computed: JSON brings what it likes."""
    for name, value in values.items():
        if type(value) is not kind:
            raise UsageError(f"{name} is {value!r}; give a {'text' if kind is str else 'whole number'}.")


def add_endpoints(store: RunStore, engine: Engine, prompt_set: PromptSet) -> None:
    """Register /list_runs, /summary, /top_units, /probe_pair and /run_probe; call it inside a Blocks context."""

    def list_runs() -> list[dict]:
        """List the saved runs, without parameters.

        Returns:
            One object a run: run (its name, for the other endpoints), model, revision, weights, dtype, device,
            prompt_set, n_pairs, size, seed, settings (in words), date.
        """
        return [_describe(name, run) for name, run in store.saved.items()]

    def summary(run: str, units: str = "card", scope: str = "all") -> dict:
        """Give the headline figures of a run, as `python -m plantain report --json` prints them, with its weights.

        Parameters:
            run: Name of a run, from /list_runs or /run_probe.
            units: What is counted: card (the card's slices of 16 channels), heads, text-heads, mlp or embedding.
            scope: Which tokens: all, image, prompt, words, padding, template or reference.
        Returns:
            One object with held_out (k of n held-out pairs told right, and its p), kinds (the same k of n by kind of
            pair; empty where the pairs have none), thresholds, large_effect,
            split_half, max_abs_t, top_blocks, inference, text_baseline and weights_label.
        """
        with told(), logged("view"):
            _require(str, run=run, units=units, scope=scope)
            found = store.get(run)
            figures = plain(found.summary(Selection(units, scope)))
            return {
                "run": run,
                "weights_label": weights_label(found.info),
                **figures,
                "held_out": plain(held_out(found)),
                "kinds": [plain(part) for part in told_by_kind(found)],
            }

    def top_units(run: str, units: str = "heads", scope: str = "all", n: int = 20, block: str = "") -> list[dict]:
        """List the units with the largest |t|. They were chosen for their size: expect them to be smaller elsewhere.

        Parameters:
            run: Name of a run, from /list_runs or /run_probe.
            units: What is counted: card (the card's slices of 16 channels), heads, text-heads, mlp or embedding.
            scope: Which tokens: all, image, prompt, words, padding, template or reference.
            n: How many units, at most 200.
            block: One block, such as single[19]; empty for all blocks.
        Returns:
            One object a unit: rank, unit, block, kind, t, d_z, mean_difference, percent_of_magnitude, rms_percent, g,
            d_low, d_high, p_exact, p_fwer, q_bh, q_by, weights.
        """
        with told(), logged("view"):
            _require(str, run=run, units=units, scope=scope, block=block)
            _require(int, n=n)
            found, selection = store.get(run), Selection(units, scope)
            analysis = found.analysis(selection)
            if block and block not in (known := analysis.table.blocks):
                raise UsageError(f"unknown block {block!r}; choose one of {', '.join(known)}.")
            frame = top_units_frame(analysis, min(max(n, 0), MOST_ROWS), block or None, found.inference(selection))
            return json.loads(frame.assign(weights=found.info.weights).to_json(orient="records", double_precision=12))

    def probe_pair(run: str, positive: str, negative: str) -> dict:
        """Send one pair of prompts through the loaded model and rank it among a run's pairs (uses the GPU).

        Always on the true heads over all tokens. One pair is one pair: a look, not a test.

        Parameters:
            run: Name of a run that the loaded model made, from /list_runs or /run_probe.
            positive: The prompt of the side that the run calls positive, such as helping.
            negative: The same scene and people on the other side, with as many tokens.
        Returns:
            One object with score, scores (the run's pairs), p, n_at_or_below, tokens, comparable, top and weights.
        """
        with told() as call:
            _require(str, run=run, positive=positive, negative=negative)
            found = store.get(run)
            call.asked = engine.asks(found.info.conditions.n_repeats, found.info.size)
            with logged("pair"):
                result = engine.probe_pair(found, positive, negative)
            return {"weights": weights_label(found.info), **asdict(result)}

    def run_probe(size: int = 0, seed: int = 0) -> dict:
        """Run all pairs through the loaded model (uses the GPU, and takes a while).

        Parameters:
            size: Height and width of the image in pixels, a multiple of 16; 0 for the device's default.
            seed: Seed of the noise and of the sign flips.
        Returns:
            One object with run (its name, for the other endpoints; it is kept for a while only), model, weights, size,
            seed, date and summary. When it breaks off, the pairs that
            are done are kept: the same call goes on from there.
        """
        with told() as call:
            _require(int, size=size, seed=seed)
            total, chosen = len(prompt_set.pairs), size or None
            call.asked = engine.asks(engine.sends(prompt_set, chosen, seed), chosen)
            call.kept = lambda: kept_words(engine.kept(prompt_set, chosen, seed), total)
            with logged("probe"):
                *_, last = engine.iter_probe(prompt_set, chosen, seed)
            name = store.add(last.run)
            return {**_describe(name, last.run), "summary": plain(last.run.summary())}

    for view in (list_runs, summary, top_units):
        _publish(view, queue=False)
    _publish(probe_pair, concurrency_id="pair")
    _publish(run_probe, concurrency_id="probe")


def _publish(endpoint: Callable, **options: Any) -> None:
    # By itself Gradio shows only what stands above "Parameters:" in its API's description.
    words = " ".join(inspect.getdoc(endpoint).split())
    gr.api(endpoint, api_name=endpoint.__name__, api_description=words, **options)


def _describe(name: str, run: Run) -> dict:
    i = run.info
    return {
        "run": name, "model": i.model, "revision": i.revision, "weights": weights_label(i), "dtype": i.dtype,
        "device": i.device, "prompt_set": i.prompt_set, "n_pairs": len(run.pairs), "size": i.size, "seed": i.seed,
        "settings": i.settings_words, "date": i.date,
    }  # fmt: skip
