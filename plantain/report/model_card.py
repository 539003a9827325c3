"""What a model card says of a run, as markdown: its table, what limits it, how to make it again, its provenance."""

from __future__ import annotations

import re
from typing import Any

from plantain._files import printable
from plantain.findings.comparison import differences
from plantain.findings.published import Published, comparable
from plantain.models.load import KLEIN
from plantain.prompts.sets import shipped_file
from plantain.report.labels import (
    UNIT_WORDS,
    block_line,
    difference_words,
    provenance,
    run_command,
    unlike_card,
    weights_label,
)
from plantain.report.numbers import DASH
from plantain.report.statements import Kind, careful_statements, corrected_count, notes, prompt_warnings
from plantain.report.tables import Metric, metrics
from plantain.runs.info import RANDOM
from plantain.runs.io import RunError
from plantain.runs.run import Run, RunSummary
from plantain.runs.units import HEADS, Selection

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._]*(-[A-Za-z0-9._]+)*")  # no dot in front, no "--": it goes into a comment

_LONGEST_NAME = 80

_LEVEL = 0.05

_FIRST = (Kind.COUNT, Kind.CORRECTED, Kind.RELIABILITY)  # what everyone should read; the rest is folded away

_WEIGHTS = ("model", "revision", "fingerprint")  # settings in which a control differs by definition


def check_publishable(run: Run, name: str) -> None:
    """Refuse a run or a name that must not stand on a card.

    Raises
    ------
    RunError
        The run is a stand-in's, or its folder's name does not fit in a card's markers and a repository's paths.
    """
    if run.info.weights == "stand-in":
        raise RunError(
            f"{name}: is a run of the stand-in, whose numbers say nothing about any model: it is not published. "
            "Publish a run of Klein, or of the untrained control."
        )
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise RunError(
            f"{name!r}: a published run needs a folder name of at most {_LONGEST_NAME} letters, digits, dots, single "
            "hyphens and underscores, with no dot or hyphen in front. Rename the folder."
        )


def results_section(
    run: Run, name: str, repo_id: str, control: Run | None, published: Published, figure: tuple[str, str]
) -> str:
    """Write a run's section: everything that a reader needs to judge its figures.

    Parameters
    ----------
    run : Run
    name : str
        Under which it is published.
    repo_id : str
        Where to.
    control : Run or None
        The untrained control on the same prompts.
    published : Published
        From `findings.published.load_published`.
    figure : tuple of str
        The figure's path in the repository, and what it shows in words.

    Returns
    -------
    str
        Markdown with ``\\n`` as line ends. Words that come from the run are escaped.
    """
    i, summary = run.info, run.summary()
    sides = f"{i.positive} vs. {i.negative}"
    heading = f"Results of plantain: {i.model}, {sides} ({name})"
    if i.weights == "untrained":
        heading = f"Control of plantain: random weights in Klein's architecture, not FLUX.2 Klein; {sides} ({name})"
    lines = [f"## {_plain(heading)}", ""]
    if i.is_random:
        lines += [f"**{RANDOM}**", ""]
    lines += [_plain(_verdict(run, summary, control, published)), "", _plain(provenance(run)), ""]
    for units in ("card", "heads"):
        lines += _table(run, units, control, published)
    lines += [r"**Top blocks by max \|t\|,** slices of 16 channels:", ""]
    lines += [f"- {_plain(block_line(row))}" for row in summary.top_blocks]
    lines += ["", f"![{_plain(figure[1])}]({figure[0]})", "", "**Read with care:**", ""]
    careful = careful_statements(run, Selection("card", "all"))
    first = [statement.text for statement in careful if statement.kind in _FIRST]
    first += _limits(run, summary, control, published)
    more = [statement.text for statement in careful if statement.kind not in _FIRST]
    lines += [f"- {_plain(line)}" for line in first]
    lines += ["", *_folded("More to hold against it", [f"- {_plain(line)}" for line in more]), ""]
    return "\n".join([*lines, *_how_to(run, name, repo_id), "", *_folded("Provenance", _provenance(run, name))])


def _folded(title: str, lines: list[str]) -> list[str]:
    """Fold lines away."""
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]


def _verdict(run: Run, summary: RunSummary, control: Run | None, published: Published) -> str:
    """Say the first figure in words, beside chance, the control and what was published."""
    count, facts = summary.thresholds[3].count, summary.inference.thresholds[3]
    more = "more than" if facts.p <= _LEVEL else "no more than"
    said = (
        f"{count:,} of {summary.n_units:,} slices exceed |t| > 3: {more} chance gives (sign flips: "
        f"{facts.null_median:,.0f} in the median, p = {facts.p:.2g})."
    )
    if control is not None:
        said += f" The same network with random weights has {control.headline().thresholds[3].count:,}."
    if comparable(run, Selection("card", "all")):
        theirs = published.thresholds[3]
        theirs = f"{theirs.count:,} ({theirs.percent}%)"
        said += f" The card {published.name} published {theirs}, on prompts of its own."
    return said


def _limits(run: Run, summary: RunSummary, control: Run | None, published: Published) -> list[str]:
    """Write what limits the figures, apart from their statistics."""
    limits = [note for note in notes(run, summary) if note.kind is not Kind.RANDOM]  # which stands above already
    return [
        f"The true heads: {corrected_count(run.summary(HEADS))}",
        *(statement.text for statement in (*limits, *prompt_warnings(run))),
        f"“The published card” is {published.name}.",
        *_control_lines(run, control),
    ]


def card_fields(run: Run) -> dict[str, Any]:
    """Return what a card's front matter should say of a run, where it does not say anything yet."""
    base = {"base_model": run.info.model} if run.info.weights == "pretrained" else {}
    return {**base, "tags": ["interpretability", "attention-heads", "flux2", "plantain"]}


def _table(run: Run, units: str, control: Run | None, published: Published) -> list[str]:
    """Write the card's own table for one choice of units, the control's figures in a column of their own."""
    summary = run.summary(Selection(units))
    rows = metrics(summary, published, control.headline(Selection(units)) if control else None)
    head = ["Metric", "Value", "Against its null", *(["Untrained control"] if control else []), "Prompt embedding"]
    title = f"{summary.n_units:,} {UNIT_WORDS[units]}, scope: {_tokens(run)}, {summary.n_pairs} pairs."
    return [f"**{_plain(title)}**", "", *_markdown(head, [_row(m, control) for m in rows]), ""]


def _tokens(run: Run) -> str:
    if run.info.mask_padding:
        return "all tokens but the padding, which is masked"
    return "all tokens" if run.info.is_plain else f"all tokens (made with {unlike_card(run.info)})"


def _row(m: Metric, control: Run | None) -> list[str]:
    return [m.name, m.value, m.significance, *([m.control or ""] if control else []), m.baseline]


def _markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(_plain(cell) or DASH for cell in row) + " |" for row in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def _control_lines(run: Run, control: Run | None) -> list[str]:
    if run.info.weights == "untrained":
        return []
    if control is None:
        return ["No untrained control was run on these prompts: what the architecture does by itself is not known."]
    line = f"The untrained control: {provenance(control)}."
    other = difference_words([found for found in differences(run, control) if found.key not in _WEIGHTS])
    return [f"{line} Apart from its weights it differs in: {'; '.join(other)}." if other else line]


def _how_to(run: Run, name: str, repo_id: str) -> list[str]:
    i, model, made = run.info, run.info.model, []
    if i.weights == "untrained":
        model = f"models/{i.model}"
        made = [
            f"python -m plantain make-model untrained-klein-4b {model} --tokenizer {KLEIN}",
            "# its seed is not recorded: the weights' fingerprint below tells whether these are the same",
        ]
    prompts = shipped_file(i.prompts_sha256, "THE-PROMPTS.toml")
    return [
        "**How to look at it and make it again,** in plantain's folder, after `pip install -c constraints.txt -r "
        "requirements.txt`. Every figure is computed from the run's raw material, which `pull` downloads:",
        "",
        "```bash",
        f"python -m plantain pull --repo-id {repo_id} --into published",
        f"python -m plantain report published/{name}",
        "",
        *made,
        _line(run_command(i, model, prompts, f"runs/{name}")),
        "```",
    ]


def _provenance(run: Run, name: str) -> list[str]:
    i = run.info
    facts = {
        "Model": weights_label(i),
        "Revision": i.revision or "none",
        "Weights' fingerprint (SHA-256)": i.fingerprint,
        "Precision and device": f"{i.dtype} on {i.device}",
        "Image": f"{i.settings_words}, denoising at guidance 1",
        **({"Which pair saw which image (SHA-256)": i.references_sha256} if i.references else {}),
        **({"Its VAE (SHA-256)": i.vae} if i.vae else {}),
        "Prompts": f"{i.prompt_set}, {len(run.pairs)} pairs, SHA-256 {i.prompts_sha256} (in runs/{name}/run.json)",
        "Raw material (SHA-256)": run.capture_sha256,
        "Made": f"{i.date} in {i.seconds:.0f} s",
        "Software": ", ".join(f"{library} {version}" for library, version in i.versions.items()),
    }
    return [f"- {what}: {_plain(fact)}" for what, fact in facts.items()]


_MARKDOWN = re.compile(r"([\\`*_\[\]|#~$])")


def _plain(text: str) -> str:
    """Make any words plain text in markdown: on one line, no markup, no HTML."""
    escaped = _MARKDOWN.sub(r"\\\1", _line(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        escaped.replace("@", "&#64;").replace("://", ":&#47;&#47;").replace("www.", "www&#46;")
    )  # no link, no mention


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
