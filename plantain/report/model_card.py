"""What a model card says of a run, as markdown: its table, what limits it, how to make it again, its provenance."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from plantain._files import printable
from plantain.findings.across_runs.atlas import Atlas
from plantain.findings.across_runs.comparison import differences
from plantain.findings.across_runs.reproduction import Prompts, Reproduction
from plantain.findings.held_out import HeldOut, held_out
from plantain.findings.interventions import cause
from plantain.findings.published import Published, comparable
from plantain.models.info import CONTROLS
from plantain.models.load import KLEIN
from plantain.prompts.sets import SIDES, model_of, shipped_file
from plantain.report import labels
from plantain.report.across_runs.atlas import Part, atlas_parts, finding
from plantain.report.across_runs.reproduction import BLOCKS_HEAD, HEAD, block_rows, figure_rows, reservations
from plantain.report.interventions import CLAIM, main_intervention
from plantain.report.interventions import finding as cause_finding
from plantain.report.numbers import DASH, LEVEL, counted
from plantain.report.statements import Kind, careful_statements, corrected_count, notes, prompt_warnings
from plantain.report.tables import metrics
from plantain.report.verdict import standing, verdict_lines
from plantain.runs.attached import NOTHING_ATTACHED, Attached
from plantain.runs.attached.interventions import Interventions
from plantain.runs.attached.pictures import DRAWN, KINDS, PictureSettings
from plantain.runs.info import NOT_KLEIN
from plantain.runs.io import IMAGES, RunError
from plantain.runs.run import Run, RunSummary
from plantain.runs.units import CARD, HEADS, Selection

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._]*(-[A-Za-z0-9._]+)*")  # no dot in front, no "--": it goes into a comment

_LONGEST_NAME = 80

_FIRST = (Kind.COUNT, Kind.CORRECTED, Kind.RELIABILITY)  # what everyone should read; the rest is folded away

_HEADINGS = {
    "untrained": "random weights in Klein's architecture",
    "reservoir": "a random transformer behind another model's text encoder",
}
"""What the transformers are that have learned nothing, by the kind of weights."""


_N_PICTURED = 2  # pairs whose pictures a card shows

_WEIGHTS = ("model", "revision", "fingerprint")  # settings in which a control differs by definition


def check_publishable(run: Run, name: str) -> None:
    """Refuse a run or a name that must not stand on a card.

    Raises
    ------
    RunError
        The run is a stand-in's or the practice model's, or of its captions, or its folder's name does not fit in a
        card's markers and a repository's paths.
    """
    check_weights(run.info.weights, name)
    if model_of(run.info.prompts_sha256):
        raise RunError(
            f"{name}: is of captions for the practice model ({shipped_file(run.info.prompts_sha256, '')}), which no "
            "card of Klein asks about. Publish a run of a set for Klein."
        )
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise RunError(
            f"{name!r}: a published run needs a name of at most {_LONGEST_NAME} letters, digits, dots, single "
            "hyphens and underscores, with no dot or hyphen in front. Rename it."
        )


def check_weights(weights: str, name: str) -> None:
    """Raise `RunError` where weights are the stand-in's or the practice model's."""
    if weights == "practice":
        raise RunError(
            f"{name}: is a run of the practice model, which was trained on drawings and is not Klein: a card of Klein "
            "must not show it. Publish a run of Klein, or of the untrained control."
        )
    if weights == "stand-in":
        raise RunError(
            f"{name}: is a run of the stand-in, whose numbers say nothing about any model: it is not published. "
            "Publish a run of Klein, or of the untrained control."
        )


def results_section(
    run: Run,
    name: str,
    repo_id: str,
    control: Run | None,
    published: Published,
    figure: tuple[str, str],
    reproduction: Reproduction | None = None,
    found: HeldOut | None = None,
    attached: Attached = NOTHING_ATTACHED,
    cause_figure: str = "",
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
        The untrained control on the same prompt set.
    published : Published
        From `findings.published.load_published`.
    figure : tuple of str
        The figure's path in the repository, and what it shows in words.
    reproduction : Reproduction, optional
        The run beside the published card, where it repeats that.
    found : HeldOut, optional
        The headline with what other runs add to it; of the run alone unless given.
    attached : Attached
        Its interventions and pictures, which lie in the repository beside it.
    cause_figure : str
        The path of the figure of its interventions.

    Returns
    -------
    str
        Markdown with ``\\n`` as line ends. Words that come from the run are escaped.
    """
    i, summary = run.info, run.summary()
    same = reproduction is not None and reproduction.prompts is Prompts.SAME
    of = f"{' vs. '.join(labels.run_sides(run))} ({name})"
    heading = f"Results of plantain: {i.model}, {of}"
    if i.weights in _HEADINGS:
        heading = f"Control of plantain: {_HEADINGS[i.weights]}, not FLUX.2 Klein; {of}"
    careful = careful_statements(run, CARD)
    first = [statement.text for statement in careful if statement.kind in _FIRST]
    more = [statement.text for statement in careful if statement.kind not in _FIRST]
    one, *beside = verdict_lines(run, found or held_out(run), label=False)
    blocks = [
        f"## {_plain(heading)}",
        f"**{_plain(one)}**",
        *([f"**{NOT_KLEIN[i.weights]}**"] if i.is_random else []),
        _listed([*beside, standing(run, CARD)]),
        *_cause(attached.interventions, cause_figure),
        *_pictures(run, name, attached.pictures),
        "**The card's counts:** " + _plain(verdict(run, summary, control, published, same)),
        _plain(labels.provenance(run)),
        *(_reproduced(reproduction, run, published) if reproduction else ()),
        *(_table(run, units, control, published) for units in ("card", "heads")),
        r"**Top blocks by max \|t\|,** slices of 16 channels:",
        _listed(map(labels.block_line, summary.top_blocks)),
        f"![{_plain(figure[1])}]({figure[0]})",
        "**Read with care:**",
        _listed([*first, *_limits(run, summary, control, published)]),
        _folded("More to hold against it", more),
        _how_to(run, name, repo_id),
        _folded("Provenance", _provenance(run, name)),
    ]
    return "\n\n".join(blocks)


def _cause(interventions: Sequence[Interventions], figure: str) -> Iterator[str]:
    """Say whether heads matter, where that was tried."""
    if (main := main_intervention(interventions)) is not None:
        said = cause_finding(main.info, cause(main))
        yield f"**Do these heads matter more than others?** {_plain(said)} {_plain(CLAIM)}"
        yield f"![{_plain(said)}]({figure})"


def _pictures(run: Run, name: str, found: PictureSettings | None) -> Iterator[str]:
    """Show both sides of the first pairs that have pictures without edits, drawn ones before expected ones."""
    by_place = {
        (one.kind, one.pair, one.side): one.file for one in reversed(found.pictures if found else ()) if not one.edit
    }
    for kind in KINDS:
        both = [
            (record.pair, files)
            for record in run.pairs
            if all(files := [by_place.get((kind, record.pair.id, side)) for side in SIDES])
        ]
        if both:
            shown = both[:_N_PICTURED]
            how = f"drawn in {counted(found.steps, 'step')}" if kind == DRAWN else "as expected at sigma 1"
            yield (
                f"**Both sides of {counted(len(shown), 'pair')}** from one noise, {how}, {found.size} px. Pictures "
                "show what the model draws, not what it represents."
            )
            rows = [f"| {' | '.join(map(_plain, labels.run_sides(run)))} |", "|---|---|"]
            for pair, files in shown:
                texts = [_plain(getattr(pair, side)) for side in SIDES]
                cells = (f"![{t}](runs/{name}/{IMAGES}/{f})<br>{t}" for t, f in zip(texts, files, strict=True))
                rows.append(f"| {' | '.join(cells)} |")
            yield "\n".join(rows)
            return


def _reproduced(found: Reproduction, run: Run, published: Published) -> Iterator[str]:
    """Write what the card states beside what the run found."""
    yield f"**Beside the card {_plain(published.name)}: published, obtained, difference.**"
    yield _listed(reservations(found, run, published))
    yield _rows(HEAD, figure_rows(found))
    yield _rows(BLOCKS_HEAD, block_rows(found))


def atlas_section(atlas: Atlas, runs: Mapping[str, Run], name: str, repo_id: str) -> str:
    """Write the section of several prompt sets' runs: what their atlas comes to, its tables, where the runs are.

    Parameters
    ----------
    atlas : Atlas
    runs : mapping of str to Run
        By the name of the axis in the atlas.
    name : str
        Of the section; that of an axis follows it in the name of its run.
    repo_id : str
        Where to.

    Returns
    -------
    str
        Markdown with ``\\n`` as line ends. Words that come from runs are escaped.
    """
    info = next(iter(runs.values())).info
    heading = f"Prompt sets of plantain side by side: {info.model} ({name})"
    if info.weights in _HEADINGS:
        heading = f"Prompt sets through {_HEADINGS[info.weights]}, not FLUX.2 Klein ({name})"
    first, *more = (statement.text for statement in finding(atlas, info.weights))
    made = [f"runs/{name}-{axis}: {labels.provenance(run)}" for axis, run in runs.items()]
    blocks = [
        f"## {_plain(heading)}",
        *([f"**{NOT_KLEIN[info.weights]}**"] if info.is_random else []),
        _plain(first),
        _listed(more),
        *(block for part in atlas_parts(atlas) for block in _part(part)),
        "**How to look at it,** in plantain's folder:\n\n"
        f"```bash\npython -m plantain pull --repo-id {repo_id} --into published\n"
        f"python -m plantain atlas published/{shlex.quote(name)}-*\n```",
        _folded("Provenance", made),
    ]
    return "\n\n".join(blocks)


def _part(part: Part) -> Iterator[str]:
    yield f"**{_plain(part.heading)}**"
    yield from map(_plain, part.before)
    yield _rows(part.head, part.rows)
    yield from map(_plain, part.after)


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; every cell is escaped."""
    first, *lines = ("| " + " | ".join(_plain(cell) or DASH for cell in row) + " |" for row in (head, *rows))
    return "\n".join([first, "|" + "---|" * len(head), *lines])


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_plain(line)}" for line in lines)


def _folded(title: str, lines: Iterable[str]) -> str:
    return f"<details><summary>{title}</summary>\n\n{_listed(lines)}\n\n</details>"


def verdict(
    run: Run, summary: RunSummary, control: Run | None, published: Published, same_prompts: bool = False
) -> str:
    """Say the first figure in words, beside chance, the control and what was published."""
    facts, theirs = summary.inference.thresholds[3], published.thresholds[3]
    said = (
        f"{summary.thresholds[3].count:,} of {summary.n_units:,} slices exceed |t| > 3: "
        f"{'more than' if facts.p <= LEVEL else 'no more than'} chance gives (sign flips: {facts.null_median:,.0f} in "
        f"the median, p = {facts.p:.2g})."
    )
    if control is not None:
        mine, its = run.info, control.info
        size = "" if its.size == mine.size else f", at {its.size} px"
        text = "" if its.prompts_sha256 == mine.prompts_sha256 else ", on another text of this prompt set"
        said += f" The same network with random weights has {control.headline().thresholds[3].count:,}{size}{text}."
    if comparable(run, CARD):
        other = "" if run.info.model == published.base_model else f" and weights of {published.base_model}"
        prompts = "the same prompts, as is said by who ran this" if same_prompts else "prompts of its own"
        said += f" The card {published.name} published {theirs.count:,} ({theirs.percent}%), on {prompts}{other}."
    return said


def _limits(run: Run, summary: RunSummary, control: Run | None, published: Published) -> Iterator[str]:
    """Write what limits the figures, apart from their statistics."""
    yield f"The true heads: {corrected_count(run.summary(HEADS))}"
    for statement in (*notes(run, summary), *prompt_warnings(run)):
        if statement.kind is not Kind.RANDOM:  # which stands above already
            yield statement.text
    yield f"“The published card” is {published.name}."
    if control is not None:
        others = labels.difference_words([found for found in differences(run, control) if found.key not in _WEIGHTS])
        apart = f" Apart from its weights it differs in: {'; '.join(others)}." if others else ""
        yield f"The untrained control: {labels.provenance(control)}.{apart}"
    elif run.info.weights not in CONTROLS:
        yield "No untrained control was run on these prompts: what the architecture does by itself is not known."


def card_fields(run: Run) -> dict[str, Any]:
    """Return what a card's front matter should say of a run, where it does not say anything yet."""
    base = {"base_model": run.info.model} if run.info.weights == "pretrained" else {}
    return {**base, "tags": ["interpretability", "attention-heads", "flux2", "plantain"]}


def _table(run: Run, units: str, control: Run | None, published: Published) -> str:
    """Write the card's own table for one choice of units, the control's figures in a column of their own."""
    summary, tokens = run.summary(Selection(units)), "all tokens"
    if run.info.mask_padding:
        tokens = "all tokens but the padding, which is masked"
    elif not run.info.is_plain:
        tokens = f"all tokens (made with {labels.unlike_card(run.info)})"
    title = f"{summary.n_units:,} {labels.UNIT_WORDS[units]}, scope: {tokens}, {summary.n_pairs} pairs."
    found = metrics(summary, published, control.headline(Selection(units)) if control else None)
    rows = [["Metric", "Value", "Against its null", *(["Untrained control"] if control else []), "Prompt embedding"]]
    rows += [[m.name, m.value, m.significance, *([m.control] if control else []), m.baseline] for m in found]
    return f"**{_plain(title)}**\n\n{_rows(rows[0], rows[1:])}"


def _how_to(run: Run, name: str, repo_id: str) -> str:
    i, model, make = run.info, run.info.model, ""
    if i.weights == "untrained":
        model = f"models/{i.model}"
        make = (
            f"python -m plantain make-model untrained-klein-4b {shlex.quote(model)} --tokenizer {KLEIN}\n"
            "# its seed is not recorded: the weights' fingerprint below tells whether these are the same\n"
        )
    elif i.weights == "reservoir":
        model = f"models/{i.model}"
        make = (
            f"python -m plantain make-model reservoir {shlex.quote(model)} --text-encoder {KLEIN}\n"
            "# its seed and text encoder are not recorded: the fingerprint below tells whether these are the same\n"
        )
    command = labels.run_command(i, model, shipped_file(i.prompts_sha256, "THE-PROMPTS.toml"), f"runs/{name}")
    return (
        "**How to look at it and make it again,** in plantain's folder, after `pip install -c constraints.txt -r "
        "requirements.txt`. Every figure is computed from the run's raw material, which `pull` downloads:\n\n"
        f"```bash\npython -m plantain pull --repo-id {repo_id} --into published\n"
        f"python -m plantain report published/{shlex.quote(name)}\n\n{make}{printable(command)}\n```"
    )


def _provenance(run: Run, name: str) -> list[str]:
    i = run.info
    facts = {
        "Model": labels.weights_label(i),
        **({"Changed before the run": "; ".join(i.changes)} if i.changes else {}),
        "Revision": i.revision or "none",
        "Weights' fingerprint (SHA-256)": i.fingerprint,
        "Precision and device": f"{i.dtype} on {i.device}",
        "Image": f"{i.settings_words}, denoising at guidance 1",
        **({"Which pair saw which image (SHA-256)": i.references_sha256} if i.references else {}),
        **({"Its VAE (SHA-256)": i.vae} if i.vae else {}),
        "Prompts": f"{i.prompt_set}, {len(run.pairs)} pairs, SHA-256 {i.prompts_sha256} (in runs/{name}/run.json)",
        "Raw material (SHA-256)": run.capture_sha256,
        "Made": f"{i.date} in {i.seconds:.0f} s",
        "Software": ", ".join(map(" ".join, i.versions.items())),
    }
    return list(map(": ".join, facts.items()))


_MARKDOWN = re.compile(r"([\\`*_\[\]|#~$])")


def _plain(text: str) -> str:
    """Make any words plain text in markdown: on one line, no markup, no HTML."""
    escaped = _MARKDOWN.sub(r"\\\1", _line(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return (
        escaped.replace("@", "&#64;").replace("://", ":&#47;&#47;").replace("www.", "www&#46;")
    )  # no link, no mention


def _line(text: str) -> str:
    return printable(" ".join(text.split()))
