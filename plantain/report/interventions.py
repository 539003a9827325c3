"""What interventions show: text, sentences and JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from plantain._files import plain
from plantain.findings.interventions import Against, AtSize, Cause, Interaction, cause
from plantain.report.labels import weights_label
from plantain.report.numbers import LEVEL, number
from plantain.runs.attached.interventions import (
    FLIPS,
    MATCHED,
    METHODS,
    WITHIN,
    InterventionInfo,
    Interventions,
    read_interventions,
)
from plantain.runs.info import NOT_KLEIN
from plantain.runs.registration import REGISTRATION, departures
from plantain.runs.run import Run

CLAIM = (
    "A share restored by patching speaks of what differs in that pair. Only steering that was learned on other pairs "
    "speaks of an axis; an interaction does where the run's heads themselves do more in the run's pairs than in the "
    "control's. Distance is not meaning."
)

TITLES = {"patch": "Patching", "steer": "Steering", "ablate": "Ablation"}

_DO = {"patch": "restore", "steer": "restore", "ablate": "take away"}

_DOES = {"patch": "restores", "steer": "restores", "ablate": "takes away"}

_HOW = {
    "patch": "patched from the other side of their pair",
    "steer": "moved by the mean difference of other pairs",
    "ablate": "replaced by their mean over all prompts",
}

_SHORT_HOW = {"patch": "patched", "steer": "steered", "ablate": "replaced by their mean"}

REDRAW_WORDS = {
    WITHIN: "within blocks",
    MATCHED: "over all blocks, in strata of like written length",
    FLIPS: "with flipped signs of the pairs",
}

_SHORT_EFFECT = {"patch": "the way over", "steer": "the way over", "ablate": "the difference gone"}

_PLAIN_REDRAWS = {
    WITHIN: "random heads of their blocks",
    MATCHED: "random heads of strata of like written length",
    FLIPS: "with flipped signs",
}

SHORT_REDRAWS = {WITHIN: "within blocks", MATCHED: "in strata", FLIPS: "with flipped signs"}

REDRAW_MEANINGS = {
    WITHIN: "Within blocks: random heads of the same blocks.",
    MATCHED: "In strata: each head exchanged for a random one, of any block, that writes changes of like length.",
    FLIPS: "With flipped signs: heads and directions chosen anew, the sides of random pairs exchanged.",
}

_N_BLOCKS = 5


def main_intervention(found: Sequence[Interventions]) -> Interventions | None:
    """Return the one that a card shows: of all pairs, the registered test before others; None where there is none."""
    whole = [each for each in found if not each.info.asked.is_part]

    def rank(each: Interventions) -> tuple[bool, int]:
        return not cause(each).is_registered, METHODS.index(each.info.asked.method)

    return min(whole, key=rank, default=None)


def run_interventions(run: Run) -> tuple[Interventions, ...]:
    """Read the interventions in a run's folder; raises as `read_interventions`."""
    return () if run.folder is None else read_interventions(run.folder, run)


def cause_blocks(run: Run) -> list[str]:
    """Write a block (markdown) for every intervention in a run's folder; nothing where there are none."""
    return [intervention_text(found, run) for found in run_interventions(run)]


def intervention_text(found: Interventions, run: Run) -> str:
    """Write what interventions show, in at most twelve lines."""
    info, shown = found.info, cause(found)
    title = f"{TITLES[shown.method]}{f', heads from {info.asked.heads_from}' if info.asked.heads_from else ''}"
    points = [f"- {point}" for point in cause_points(info, shown)]
    lines = [finding(info, shown), *points, standing(info, shown, run), CLAIM]
    return "\n".join([f"## Do these heads matter more than others? {title}", "", *lines])


def cause_points(info: InterventionInfo, shown: Cause) -> list[str]:
    """Write what interventions show beside their finding, in at most seven sentences."""
    points = [*(_at_size(info, shown, size) for size in shown.sizes), _beside(shown)]
    if shown.blocks:
        largest = sorted(shown.blocks.items(), key=lambda item: -item[1])[:_N_BLOCKS]
        named = ", ".join(f"{block} {share:.2f}" for block, share in largest)
        points.append(f"All heads of one block, the {len(largest)} largest of {len(shown.blocks)}: {named}.")
    if shown.controls:
        points.append(" ".join(map(_interaction, shown.controls)))
    return points


def standing(info: InterventionInfo, shown: Cause, run: Run) -> str:
    """Say what the finding counts for."""
    return " ".join(_standing(info, shown, departures(run.info)))


def finding(info: InterventionInfo, shown: Cause) -> str:
    """Write the finding in one sentence, with its figures and the name of the weights."""
    size, do = shown.headline, _DO[shown.method]
    one, how = (_DOES if size.k == 1 else _DO)[shown.method], _HOW[shown.method]
    first, *others = size.redraws
    what = f"{_heads(info, size.k)} {one} {size.share:.2f} of the difference between both sides when {how}"
    against = f"redraws {REDRAW_WORDS[first.kind]} {do} {_range(first)}"
    beside = "".join(f"; redraws {REDRAW_WORDS[other.kind]} {_range(other)}" for other in others)
    end = f"Weights: {weights_label(info)}."
    if first.p is None:
        return f"In {shown.n_pairs} of the run's {info.asked.n_pairs} pairs {what}; {against}{beside}. {end}"
    floor = f"the smallest p that {info.asked.n_redraws} redraws can give is {shown.floor:.2g}"
    return f"{yes_or_no(shown)}: {what}; {against}{beside}; {floor}. {end}"


def yes_or_no(shown: Cause) -> str:
    """Answer in a word or a few whether the heads matter more than redraws of them."""
    if shown.floor > LEVEL:
        return "Too few redraws to tell"
    return "Yes" if shown.test.p <= LEVEL else "Not shown"


def brief(info: InterventionInfo, shown: Cause) -> str:
    """Write the finding in one short sentence, for where the whole one, with its weights, is folded."""
    size, kind = shown.headline, "named" if info.asked.chosen_by == "names" else "top"
    heads = f"{kind} head" if size.k == 1 else f"{kind} {size.k} heads"
    first = shown.test
    told = first.p is not None  # not of a part of the pairs
    answer, p = (f"{yes_or_no(shown)}: {heads}", f" (p = {first.p:.2g})") if told else (heads.capitalize(), "")
    median = round(first.median, 2) + 0.0  # no minus before a zero
    return (
        f"{answer} {_SHORT_HOW[shown.method]}, {size.share:.2f} of {_SHORT_EFFECT[shown.method]}; "
        f"{_PLAIN_REDRAWS[first.kind]}, {median:.2f}{p}."
    )


def _heads(info: InterventionInfo, k: int) -> str:
    heads = "the one head" if k == 1 else f"the {k} heads"
    asked = info.asked
    if asked.chosen_by == "names":
        return f"{heads} that {'was' if k == 1 else 'were'} named"
    if asked.heads_from:
        return f"{heads} that {asked.heads_from} chooses"
    folds = "folds" if asked.fold_rule == "hash" else "categories"
    return f"{heads} that the other {folds} choose"


def _range(found: Against) -> str:
    p = "" if found.p is None else f", p = {found.p:.2g}"
    median, low, high = (round(value, 2) + 0.0 for value in (found.median, found.low, found.high))  # no minus before 0
    return f"{median:.2f} ({low:.2f} to {high:.2f}){p}"


def _at_size(info: InterventionInfo, shown: Cause, size: AtSize) -> str:
    ways = f" ({size.ways[0]:.2f} from the negative side, {size.ways[1]:.2f} from the positive)" if size.ways else ""
    redraws = "; ".join(f"redraws {SHORT_REDRAWS[found.kind]} {_range(found)}" for found in size.redraws)
    main = " Secondary." if len(shown.sizes) > 1 and size.k != shown.headline_k else ""
    kept = "" if size.kept is None else f" A redraw within blocks keeps {size.kept:.1f} of the {size.k} on average."
    beside = f"off that difference {size.off:.2f}"
    return f"k = {size.k}: {size.share:.2f}{ways}, {beside}; {redraws}.{kept}{_written(info, shown, size)}{main}"


def _written(info: InterventionInfo, shown: Cause, size: AtSize) -> str:
    """Say how much the chosen heads write beside their redraws: where few write as much, size can make a p small."""
    known = [each for each in size.redraws if each.written is not None]
    if not known:
        return ""
    beside = "; ".join(
        f"{each.written:.2f} times as much as in the median redraw {SHORT_REDRAWS[each.kind]} ({each.n_writing} of "
        f"{round(1 / shown.floor) - 1} have as much)"
        for each in known
    )
    whose = f" in the pairs of {info.asked.heads_from}" if info.asked.heads_from else ""
    return f" Lengths of what heads write differently on the two sides{whose}, summed: {beside}."


def _beside(shown: Cause) -> str:
    built = " (1 by construction: a check)" if shown.method == "patch" else ""
    mlp = f"; all MLP of the single blocks {shown.mlp:.2f}" if shown.mlp is not None else ""
    return (
        f"All heads at once {number(shown.heads, '.4f')}{built}{mlp}. Shares do not add up. Redraws: "
        "median and range of 95%."
    )


def _interaction(found: Interaction) -> str:
    return (
        f"Beside {found.name}: the run's heads restore {found.own:.2f} in its own pairs and {found.theirs_by_own:.2f} "
        f"in the control's, {found.own - found.theirs_by_own:+.2f} ({_ps(found.of_own)}); the control's heads "
        f"{found.own_by_theirs:.2f} and {found.theirs:.2f}; together {found.value:+.2f} ({_ps(found.redraws)})."
    )


def _ps(redraws: Sequence[Against]) -> str:
    return "; ".join(f"{SHORT_REDRAWS[each.kind]} p = {each.p:.2g}" for each in redraws if each.p is not None)


def _standing(info: InterventionInfo, shown: Cause, departed: Sequence[str]) -> Iterator[str]:
    if shown.is_part:
        yield "A part of the pairs: no p of the run."
    elif shown.is_registered and departed:
        what = ", ".join(departed)
        yield f"Exploratory: made as the causal test of {REGISTRATION.name} is, but the run departs from it in {what}."
    elif shown.is_registered:
        yield f"The finding is the causal test of {REGISTRATION.name}; all beside it is secondary."
    else:
        yield f"Exploratory: not the causal test of {REGISTRATION.name}."
    if info.asked.chosen_by == "names":
        yield "If these pairs showed somebody which heads to name, the p is too small."
    if shown.n_equal:
        yield f"In {shown.n_equal} of {shown.n_pairs} pairs the sides do not differ; they count nowhere."
    if note := NOT_KLEIN.get(info.weights):
        yield note


def intervention_answer(found: Interventions, run: Run) -> dict[str, Any]:
    """Return what `intervention_text` writes as JSON values.

    Returns
    -------
    dict
        The fields of `findings.interventions.Cause`; ``finding``, ``lines``, ``claim`` and ``weights_label`` in words;
        and ``settings``, the fields of `InterventionInfo`.
    """
    shown = cause(found)
    return {
        **plain(shown),
        "finding": finding(found.info, shown),
        "lines": [finding(found.info, shown), *cause_points(found.info, shown), standing(found.info, shown, run)],
        "claim": CLAIM,
        "weights_label": weights_label(found.info),
        "settings": plain(found.info),
    }


def cause_answers(run: Run) -> list[dict[str, Any]]:
    """Return what `cause_blocks` writes as JSON values."""
    return [intervention_answer(found, run) for found in run_interventions(run)]
