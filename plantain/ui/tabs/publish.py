"""The section from which the owner of a model card publishes the chosen run to it.

Every listener asks for the sign-in of the request that calls it, and the desk asks the Hub whether that account may
write: what the browser shows or hides decides nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

import gradio as gr

from plantain import PlantainError, UsageError
from plantain.report.labels import run_label
from plantain.report.model_card import check_publishable
from plantain.ui import html
from plantain.ui.desk import Desk, Difference, Sent, signed_in, why_nobody_signs_in
from plantain.ui.errors import failure_html, listener
from plantain.ui.lazy import Section
from plantain.ui.log import logged
from plantain.ui.state import HIDDEN, LATER, VIEW, Choice, Page, queued
from plantain.ui.tabs.export import size_words
from plantain.ui.texts import PUBLISH_ELSEWHERE, PUBLISH_HELP
from plantain.ui.theme import static

_BUSY = {"concurrency_id": "publish", "concurrency_limit": 1}  # one section is computed at a time

SIGN_IN, _SIGN_OUT = "Sign in with Hugging Face", "Sign out"  # the script tells them apart

ANY_NAME = "run"  # where only the run is asked about, and no name is chosen yet


class _Seen(NamedTuple):
    """What the owner looked at. It stays on the server: a browser only says that the button was pressed."""

    run: str
    name: str
    digest: str


class _Counter:
    """What the section's listeners share."""

    def __init__(self, page: Page, desk: Desk) -> None:
        self.page, self.desk = page, desk

    def arrive(
        self,
        request: gr.Request,
        token: gr.OAuthToken | None,
        profile: gr.OAuthProfile | None,
        opened: str,
        chosen: str | None,
    ) -> tuple[Any, ...]:
        """Say who is signed in and what is chosen; who may publish it gets the controls, with a name for the run."""
        if not opened:
            return (gr.skip(),) * 8
        try:
            run = self.page.run(chosen)
            check_publishable(run, ANY_NAME)
            about = html.chip_html(run)
        except PlantainError as error:
            about, run = html.error_html(str(error)), None
        label = SIGN_IN if profile is None else f"{_SIGN_OUT} ({profile.username})"
        nothing = about, "", HIDDEN, None, gr.update(value=label)
        if token is None:
            return html.message_html("Nobody is signed in."), HIDDEN, "", *nothing
        try:
            with logged("sign-in"):
                account, proposed = self.desk.admit(signed_in(request, token), run, self._called(chosen))
        except Exception as error:
            return failure_html(error), HIDDEN, "", *nothing
        said = html.message_html(f"Signed in as {account}, who may write to {self.desk.card_repo}.")
        said += faults_html(self.page)
        return said, gr.update(visible=run is not None), proposed, *nothing

    def _called(self, name: str | None) -> str:
        """Return what a saved run is called for others; the name of a visitor's own opens it, and is told to nobody."""
        return self.page.store.folder_of(name)

    def compare(
        self, request: gr.Request, token: gr.OAuthToken | None, chosen: str | None, name: str
    ) -> Iterator[tuple[str, str, Any, _Seen | None]]:
        """Show what would change: progress, the difference, the button, what was seen."""
        try:
            with logged("difference"):
                token = signed_in(request, token)
                words = "Computing what the card will say: half a minute at full size, at once the second time …"
                yield _progress(words), "", HIDDEN, None
                found = self.desk.compare(token, self.page.run(chosen), name.strip())
            yield "", *self._shown(found, chosen, name.strip())
        except Exception as error:
            yield failure_html(error), "", HIDDEN, None

    def _shown(self, found: Difference, chosen: str, name: str, before: str = "") -> tuple[str, Any, _Seen | None]:
        shown = before + difference_html(found, self.desk)
        if not (found.files or found.results):
            return shown, HIDDEN, None
        if not found.files:
            label = f"Send to {self.desk.results_repo}"
        else:
            label = "Open pull request" if found.request is None else f"Update pull request {found.request}"
        return shown, gr.update(visible=True, value=label), _Seen(chosen, name, found.digest)

    def send(
        self, request: gr.Request, token: gr.OAuthToken | None, seen: _Seen | None, chosen: str | None, name: str
    ) -> Iterator[tuple[str, Any, Any, Any, Any]]:
        """Publish what was seen: progress, the difference, the button, what was seen, the outcome.

        What is chosen now can only refuse it: a difference that took long may come when another run is on show.
        """
        stay = gr.skip()
        try:
            with logged("publish"):
                token = signed_in(request, token)
                if seen is None:
                    raise UsageError("Look at the difference first.")
                if (seen.run, seen.name) != (chosen, name.strip()):
                    seen = None
                    raise UsageError("Another run or name is chosen now than was compared. Show the difference again.")
                yield _progress("Comparing with the card as it is now, then sending …"), stay, HIDDEN, stay, stay
                run = self.page.run(seen.run)
                sent = self.desk.send(token, run, seen.name, seen.digest)
                again = None if sent else self.desk.compare(token, run, seen.name)
            if again:
                changed = html.error_html("The card changed since you looked, so nothing was sent. Look again:")
                yield "", *self._shown(again, seen.run, seen.name, changed), stay
            else:
                self.page.store.refresh()
                yield "", "", HIDDEN, None, sent_html(sent)
        except Exception as error:  # the button stays: the next press may succeed
            kept = (stay, gr.update(visible=True), stay) if seen else ("", HIDDEN, None)
            yield failure_html(error), *kept, stay

    def brought(self, kept: str, mine: list[tuple[str, str]]) -> tuple[Any, Any]:
        """Choose the run again that was chosen before the sign-in, which loads the page anew."""
        run = self.page.store.find(kept)
        if run is None:
            return gr.skip(), gr.skip()
        if kept in self.page.store.saved:
            return gr.update(value=kept), gr.skip()
        label = run_label(f"yours: {run.info.date[11:16]} UTC, {run.info.size} px, seed {run.info.seed}", run.info)
        mine = [*mine, (label, kept)]
        return gr.Dropdown(self.page.saved_choices() + mine, value=kept), mine


def sign_in_button() -> gr.LoginButton | None:
    """Make the button to sign in, where anybody can; call it outside of any Blocks.

    Made inside, Gradio adds a listener of its own to it that says who is signed in, as a public endpoint. That there
    is such a button tells Gradio to serve the addresses of a sign-in.
    """
    return None if why_nobody_signs_in() else gr.LoginButton(SIGN_IN, elem_id="sign-in", size="md", render=False)


def publish_section(
    page: Page, desk: Desk, choice: Choice, section: Section, demo: gr.Blocks, sign_in: gr.LoginButton | None
) -> None:
    """Build what the section holds, with the button that `sign_in_button` made."""
    with section.fold:
        gr.HTML(PUBLISH_HELP.format(card=escape(desk.card_repo), results=_results_words(desk)))
        if sign_in is None:
            gr.HTML(html.message_html(why_nobody_signs_in()))
            command = gr.HTML(elem_id="publish-command")
            choice.relay_of(section.asked.change, choice.run.change).then(
                listener(lambda name, asked: command_html(page, desk, name) if asked else ""),
                [choice.run, section.asked],
                command,
                **LATER,
            )
            return
        sign_in.render()
        _desk(_Counter(page, desk), choice, section, demo, sign_in)


def _desk(counter: _Counter, choice: Choice, section: Section, demo: gr.Blocks, sign_in: gr.LoginButton) -> None:
    who = gr.HTML(elem_id="publish-who")
    about = gr.HTML(elem_id="publish-about")
    with gr.Column(visible=False, elem_id="publish-desk") as controls:
        name = gr.Textbox(label="Name of the run", info="on the card and in the repository", elem_id="publish-name")
        look = gr.Button("Show the difference to the card", elem_id="publish-look")
        progress = gr.HTML(elem_id="publish-progress", elem_classes="pl-queue")
        difference = gr.HTML(elem_id="publish-difference")
        go = gr.Button("Open pull request", variant="primary", visible=False, elem_id="publish-send")
    outcome = gr.HTML(elem_id="publish-outcome")
    seen, opened = gr.State(None), section.asked
    kept = gr.Textbox(visible="hidden", elem_id="publish-kept")

    arrival = [who, controls, name, about, difference, go, seen, sign_in]
    asking = html.message_html("Asking the Hub …"), HIDDEN
    # The controls are away until the answer: it brings a name, which must not come over one that is being typed.
    events = (
        opened.change(listener(lambda: asking), None, [who, controls], **VIEW),
        choice.switched.then(
            listener(lambda opened: asking if opened else (gr.skip(), gr.skip())), opened, [who, controls], **LATER
        ),
    )
    for event in events:
        event.then(listener(counter.arrive), [opened, choice.run], arrival, **LATER)
    # Another name is another section: what was shown is not what would be sent.
    name.input(listener(lambda: ("", HIDDEN, None)), None, [difference, go, seen], **VIEW)
    look.click(
        listener(counter.compare), [choice.run, name], [progress, difference, go, seen], **_BUSY, **queued(progress)
    )
    sending = [progress, difference, go, seen, outcome]
    go.click(listener(counter.send), [seen, choice.run, name], sending, **_BUSY, **queued(progress))
    # Signing in leaves the page. The browser's tab remembers which run was chosen, for a visitor's own is in no list.
    script = f"({static('signing.js')})"
    sign_in.click(None, [choice.run, sign_in], None, js=f"{script}.go", **VIEW)
    demo.load(None, None, kept, js=f"{script}.bring", **VIEW).then(
        listener(counter.brought), [kept, choice.mine], [choice.run, choice.mine], **VIEW
    )


def _results_words(desk: Desk) -> str:
    if desk.results_repo is None:
        return ""
    where = f"<code>{escape(desk.results_repo)}</code>"
    return f" The run itself also goes to {where}, and every page that watches that repository shows it."


def _progress(words: str) -> str:
    return f'<div class="pl-busy"><progress aria-label="publishing"></progress><p role="status">{words}</p></div>'


def difference_html(found: Difference, desk: Desk) -> str:
    """Show what a publish would change: the card line by line, files with their sizes, remarks."""
    parts = [html.paragraphs_html(found.remarks)]
    if not found.files:
        parts.insert(0, html.message_html(f"{desk.card_repo} has all of this already: nothing goes there."))
    lines = "".join(f"<span{_look(line)}>{escape(line)}\n</span>" for line in found.card.splitlines())
    if lines:
        parts.append(
            f'<pre class="pl-diff" tabindex="0" role="group" aria-label="difference of the card">{lines}</pre>'
        )
    for files, where in ((found.files, f"{desk.card_repo}, as a pull request"), (found.results, desk.results_repo)):
        if files:
            rows = [(path, size_words(size)) for path, size in files]
            parts.append(html.table_html("files that are sent", ("file", "size"), rows, f"What goes to {where}"))
    return "".join(parts)


def _look(line: str) -> str:
    kind = {"+": "pl-added", "-": "pl-removed"}.get(line[:1], "")
    return f' class="{kind}"' if kind and not line.startswith(("+++", "---")) else ""


def sent_html(sent: Sent) -> str:
    """Say what became of a publish, with the link to it."""
    url = escape(sent.url, quote=True)
    link = f'<p><a href="{url}" target="_blank" rel="noopener">{url}</a></p>'
    words = html.paragraphs_html((sent.words,))
    return f'<div class="pl-notice" role="status">{words}{link}{html.paragraphs_html(sent.remarks)}</div>'


def faults_html(page: Page) -> str:
    """Show what keeps published runs from this page and only its owner can mend."""
    return "".join(map(html.error_html, page.store.faults))


def command_html(page: Page, desk: Desk, name: str | None) -> str:
    """Write the command that publishes the chosen run, for a page on which nobody signs in."""
    try:
        run = page.run(name)
        check_publishable(run, ANY_NAME)
    except PlantainError as error:
        return html.error_html(str(error))
    saved = page.store.folder_of(name)
    folder = f"{page.store.folder.name}/{saved}" if saved else "FOLDER"
    lines = [f"python -m plantain publish {shlex.quote(folder)} --repo-id {desk.card_repo}"]
    if desk.results_repo not in (None, desk.card_repo):
        lines.append(f"python -m plantain publish {shlex.quote(folder)} --repo-id {desk.results_repo} --no-pr")
    said = "" if saved else html.message_html(PUBLISH_ELSEWHERE)
    said += faults_html(page)
    return f'{html.chip_html(run)}{said}<pre class="pl-command"><code>{escape(chr(10).join(lines))}</code></pre>'


def may_be_published(page: Page, name: str | None) -> bool:
    """Tell whether there is a desk on the page at which a run could be published by somebody."""
    run = page.store.find(name)
    if page.desk is None or run is None:
        return False
    try:
        check_publishable(run, ANY_NAME)
    except PlantainError:
        return False
    return True
