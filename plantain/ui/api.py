"""The seven public endpoints, for programs and, where `mcp` is installed, for agents.

Their docstrings are the documentation, in Gradio's own form: what stands under "Parameters:" goes to each parameter.
"""

from __future__ import annotations

import base64
import inspect
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gradio as gr

from plantain import UsageError
from plantain._files import plain
from plantain.findings.directions import unit_directions
from plantain.findings.held_out import held_out, told_by_kind
from plantain.prompts.sets import SIDES, PromptSet
from plantain.report.directions import direction_answer
from plantain.report.labels import weights_label
from plantain.report.new_pair import pair_answer
from plantain.report.tables import N_SHOWN, top_units_frame
from plantain.report.turning import TURN_CLAIM
from plantain.runs.run import Run
from plantain.runs.units import Selection
from plantain.ui.engine import Engine
from plantain.ui.errors import kept_words, told
from plantain.ui.log import logged
from plantain.ui.state import RunStore
from plantain.ui.turns import TurnAnswer, answer_sentences, asked_of, pair_of

MOST_ROWS = 200  # of /top_units: Gradio keeps a session's last answer in memory


def _require(kind: type, **values: object) -> None:
    """Refuse values of another type before anything is computed: JSON brings what it likes."""
    for name, value in values.items():
        if type(value) is not kind:
            raise UsageError(f"{name} is {value!r}; give a {'text' if kind is str else 'whole number'}.")


def add_endpoints(store: RunStore, engine: Engine, prompt_set: PromptSet) -> None:
    """Register all of them; call it inside a Blocks context."""

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
            One object with held_out (k of n held-out pairs told right, its p, and its measure: direction where the run
            keeps directions, with the same by magnitudes inside), directions (the heads that agree most, and what the
            rule does on other categories and kinds of pairs; null where the run keeps none), kinds (k of n by kind of
            pair; empty where the pairs have none), thresholds, large_effect, split_half, max_abs_t, top_blocks,
            inference, text_baseline and weights_label.
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
                "directions": direction_answer(found, N_SHOWN),
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
            One object a unit: rank, unit, block, kind, t, d_z, mean_difference, percent (of the magnitude; also
            under its earlier name, percent_of_magnitude), rms_percent, g, d_low, d_high, p_exact, p_fwer, q_bh, q_by,
            weights; above 30 pairs p_flips and p_flips_error in place of p_exact. Where the run keeps the units'
            directions also k_direction (pairs that they tell right), agreement and p_direction_fwer.
        """
        with told(), logged("view"):
            _require(str, run=run, units=units, scope=scope, block=block)
            _require(int, n=n)
            found, selection = store.get(run), Selection(units, scope)
            analysis = found.analysis(selection)
            if block and block not in (known := analysis.table.blocks):
                raise UsageError(f"unknown block {block!r}; choose one of {', '.join(known)}.")
            inference, directed = found.inference(selection), unit_directions(found, selection)
            n = min(max(n, 0), MOST_ROWS)
            frame = top_units_frame(analysis, n, block or None, inference, directions=directed)
            more = {"percent_of_magnitude": frame["percent"], "weights": found.info.weights}  # an earlier name
            return json.loads(frame.assign(**more).to_json(orient="records", double_precision=12))

    def probe_pair(run: str, positive: str, negative: str) -> dict:
        """Send one pair of prompts through the loaded model and rank it among a run's pairs (uses the GPU).

        By the magnitudes of the true heads over all tokens, and by the directions of all heads at image tokens where
        the run keeps them, which then say what the page says first. One of the run's own pairs, also with its sides
        exchanged, is scored by the others alone and has no p. One pair is one pair: a look, not a test.

        Parameters:
            run: Name of a run that the loaded model made, from /list_runs or /run_probe.
            positive: The prompt of the side that the run calls positive, such as helping.
            negative: The same scene and people on the other side, with as many tokens.
        Returns:
            One object with score, scores (the run's pairs), pairs (their ids, in the order of scores), p (null for the
            run's own pair), n_at_or_below, own, tokens, comparable, top and weights, all of magnitudes; twin (the run's
            own pair with these prompts: id and is_mirrored, or null); sentence, and way (none, neither, with or
            against), which go by measure: direction or magnitude; and an object for each measure, magnitudes and
            directions (null where they are not known), with its own way, score, scores, pairs, p, n_at_or_below, own
            and measure.
        """
        with told() as call:
            _require(str, run=run, positive=positive, negative=negative)
            found = store.get(run)
            call.asked = engine.asks(found.info.conditions.n_repeats, found.info.size)
            with logged("pair"):
                result = engine.probe_pair(found, positive, negative)
            return pair_answer(result, found)

    def run_probe(size: int = 0, seed: int = 0) -> dict:
        """Run all pairs of the moral set in the loaded model's words through it (uses the GPU, and takes a while).

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
            engine.wait()  # the pairs are in its words
            probed, chosen = engine.first_set(prompt_set), size or None
            call.asked = engine.asks(engine.sends(probed, chosen, seed), chosen)
            call.kept = lambda: kept_words(engine.kept(probed, chosen, seed), len(probed.pairs))
            with logged("probe"):
                *_, last = engine.iter_probe(probed, chosen, seed)
            name = store.add(last.run)
            return {**_describe(name, last.run), "summary": plain(last.run.summary())}

    def intervene_pair(
        run: str, pair: str, heads: str = "top:10", change: str = "patch", side: str = "negative"
    ) -> dict:
        """Turn heads of one pair of a run, and say what that does to what the model expects (uses the GPU).

        At the image tokens, in one denoising step from pure noise. One pair is one pair: a look, not a test.

        Parameters:
            run: Name of a run that the loaded model made, from /list_runs or /run_probe.
            pair: Id of one of its pairs, as in run.json.
            heads: top:K (those whose directions agree most), random:K, or names with commas, such as single[19].3.
            change: off, half, normal, double, or patch (they get what they write on the other side).
            side: The side that is changed, positive or negative.
        Returns:
            One object with on (the share of the way to the other side that the changed side goes), off (the length of
            what goes beside that way, over that of the way), effect (the way's RMS), names (of the heads), change_grid
            (by image token, over the usual length of the way at a token), the same of other heads (others), sentences
            and weights.
        """
        with told() as call:
            _require(str, run=run, pair=pair, heads=heads, change=change, side=side)
            found = store.get(run)
            asked = asked_of(found, pair, heads, change, side)
            call.asked = engine.turn_asks(engine.turn_work(found, (asked, asked), pictures=False))
            with logged("turn"):
                answer = engine.intervene_pair(found, asked, pictures=False)
            return {
                "weights": weights_label(found.info),
                "run": run,
                **{"pair": pair, "heads": heads, "change": change, "side": side, "effect": answer.turned.effect},
                **_turned(answer, 0),
                "others": _turned(answer, 1),
                "sentences": [*answer_sentences(answer, found), TURN_CLAIM],
            }

    def draw_pair(
        run: str,
        pair: str,
        heads: str = "",
        change: str = "patch",
        side: str = "negative",
        size: int = 0,
        steps: int = 0,
    ) -> dict:
        """Draw both sides of one pair of a run from one noise, and one side with heads turned (uses the GPU).

        Unless asked otherwise as the model says that it is drawn with; FLUX.2 Klein at 512 px in 24 steps, guidance 4.

        Parameters:
            run: Name of a run that the loaded model made, from /list_runs or /run_probe.
            pair: Id of one of its pairs, as in run.json.
            heads: As for /intervene_pair; empty where nothing is turned.
            change: off, half, normal, double, or patch (they get what they write on the other side, step by step).
            side: The side that is changed, positive or negative.
            size: Height and width of the pictures in pixels, a multiple of 16, at most 1024; 0 for the model's own.
            steps: Denoising steps, at most 50; 0 for the model's own.
        Returns:
            One object with pictures (positive and negative, and changed where heads are turned: data URLs of WebP),
            names (of the heads), size, steps, guidance, seed and weights.
        """
        with told() as call:
            _require(str, run=run, pair=pair, heads=heads, change=change, side=side)
            found = store.get(run)
            asked = asked_of(found, pair, heads, change, side) if heads else None
            _require(int, size=size, steps=steps)
            work = engine.draw_work(found, pair_of(found, pair), asked, size, steps)
            call.asked = engine.draw_asks(work)
            with logged("draw"):
                *_, answer = engine.draw_pair(found, work)
            names = (*SIDES, "changed")[: len(answer.drawn.webp)]
            return {
                "weights": weights_label(found.info),
                "run": run,
                **{"pair": pair, "heads": heads, "change": change, "side": side},
                "names": list(asked.names) if asked else [],
                **asdict(work.drawing),
                "seed": work.seed,
                "pictures": {
                    name: f"data:image/webp;base64,{base64.b64encode(content).decode()}"
                    for name, content in zip(names, answer.drawn.webp, strict=True)
                },
            }

    for view in (list_runs, summary, top_units):
        _publish(view, queue=False)
    _publish(probe_pair, concurrency_id="pair")
    _publish(intervene_pair, concurrency_id="pair")
    _publish(draw_pair, concurrency_id="drawing")
    _publish(run_probe, concurrency_id="probe")


def _publish(endpoint: Callable, **options: Any) -> None:
    # By itself Gradio shows only what stands above "Parameters:" in its API's description.
    words = " ".join(inspect.getdoc(endpoint).split())
    gr.api(endpoint, api_name=endpoint.__name__, api_description=words, **options)


def _turned(answer: TurnAnswer, i: int) -> dict[str, Any]:
    (on, off), grid = answer.turned.shares[i], answer.turned.change[i]
    return {"names": list(answer.asked[i].names), "on": on, "off": off, "change_grid": grid.round(4).tolist()}


def _describe(name: str, run: Run) -> dict:
    i = run.info
    return {
        "run": name, "model": i.model, "revision": i.revision, "weights": weights_label(i), "dtype": i.dtype,
        "device": i.device, "prompt_set": i.prompt_set, "n_pairs": len(run.pairs), "size": i.size, "seed": i.seed,
        "settings": i.settings_words, "date": i.date,
    }  # fmt: skip
