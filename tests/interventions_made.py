"""Results of interventions that are made up. Used by the unit tests."""

from dataclasses import replace

import numpy as np

from plantain.runs.attached.interventions import Asked, ControlInfo, InterventionInfo, Interventions
from plantain.runs.units import Layout

LAYOUT = Layout(n_joint=1, n_single=2, n_heads=2, head_dim=16, mlp_dim=32, text_dim=32)


def made_asked(n_redraws=3, **changes) -> Asked:
    """What was asked of a run of four pairs in two folds, with two heads a block."""
    asked = Asked(
        method="patch", capture_sha256="a" * 64, layout=LAYOUT, size=64, noise_seed=0,
        pairs=tuple(f"pair-{i}" for i in range(4)), n_pairs=4, fold_rule="category",
        folds=("a", "a", "b", "b"),
        heads="top", heads_from="", heads_from_sha256="",
        chosen_by="directions", ks=(1, 2),
        chosen=((("joint[0] head 0",), ("joint[0] head 1",)), (("joint[0] head 0", "single[1] head 1"),) * 2),
        redraws=("within", "matched"), n_redraws=n_redraws, draws_seed=0,
        blocks=("joint[0]", "single[0]", "single[1]"), mlp=True, controls=(),
    )  # fmt: skip
    if changes.get("method") == "steer":
        changes["redraws"] = ("flips",)
    return replace(asked, **changes)


def made_result(n_redraws=3, chosen=None, weights="pretrained", **changes) -> Interventions:
    """Make figures up; those of the chosen sets on request."""
    asked, rng = made_asked(n_redraws, **changes), np.random.default_rng(0)
    arrays = {name: rng.uniform(0.1, 0.5, shape).astype(np.float32) for name, shape in asked.shapes().items()}
    arrays["heads"][..., 0] = 1
    if chosen is not None:
        arrays["chosen"][..., 0] = chosen
    info = InterventionInfo(
        asked=asked, model="some/model", revision=None, weights=weights, fingerprint="f" * 64, dtype="float32",
        device="cpu", title="Kindness", versions={"plantain": "0"}, date="2026-01-01T00:00:00+00:00", seconds=1.5,
        n_rows=100,
    )  # fmt: skip
    return Interventions(info, arrays)


def result_of(run, n_redraws=3, chosen=None, **changes) -> Interventions:
    """Make up the result of a run: of its pairs, in two folds, and its model."""
    ids = tuple(record.pair.id for record in run.pairs)
    belongs = {
        "capture_sha256": run.capture_sha256, "layout": run.info.layout, "size": run.info.size, "pairs": ids,
        "n_pairs": len(ids), "folds": tuple("ab"[2 * i // len(ids)] for i in range(len(ids))),
    }  # fmt: skip
    found = made_result(n_redraws, chosen, run.info.weights, **{**belongs, **changes})
    return replace(found, info=replace(found.info, model=run.info.model, fingerprint=run.info.fingerprint))


CONTROL = ControlInfo("size", "Size", "c" * 64, 3)
