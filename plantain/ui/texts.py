"""The page's longer texts; those that stand alone, the method and the help on units, are static/*.html.

They are HTML, not Markdown: for that the browser would load a parser before it shows the page.
"""

from __future__ import annotations

INTRODUCTION = """<h1>plantain</h1>
<p class="pl-lead">Does the image generator FLUX.2 Klein tell <b>prosocial</b> acts from others in its attention
layers, before it has drawn anything?</p>
<p class="pl-links"><a href="https://huggingface.co/phanerozoic/moral-plantain">The published card</a> ·
<a href="https://huggingface.co/black-forest-labs/FLUX.2-klein-base-4B">the base model</a>{code}</p>
"""


MEASURED = """{n} pairs of prompts, {contrast}. The figures say how strongly each unit of the network
responds to the difference, and how much of that chance would give."""


CHANCE_HELP = """<p>If the two sides of a pair were interchangeable, swapping them at random would change nothing. So
they are swapped, many times, and everything is counted again: that is what chance gives, with all dependence between
units kept. The line is the run. The p are one-sided, from the flips drawn, for this one choice of units and scope:
looking through several choices finds more by chance. (More than chance is weak evidence: any constant difference in
wording beats it.)</p>"""


COMPARE_HELP = """<p>The chosen run beside another one, under the same units and scope. This is description, no test:
two runs of one model on the same pairs are not two samples.</p>"""


ATLAS_HELP = """<p>Is ethical valence an axis of its own, or what any consistent contrast looks like? One contrast
alone cannot say: almost any constant difference in wording moves more units than chance. So runs of several prompt
sets on one model stand side by side: an independent replication, sibling axes, controls with one nameable contrast
each, and paraphrases as noise floor. The unique share says how much of what the two moral sets share is not shared
with siblings and controls.</p>"""


OWN_PROMPTS = "These prompts are none of the project's own sets. What their words alone give away"


PAIR_HELP = """<p>Write two prompts with the same scene and the same people, in which only what the run asks about
differs (the act, for helping against ignoring). They go through the same model and settings as the chosen run, and
your pair is ranked among the run's pairs: always on the true heads over all tokens, whatever is chosen above. Where
the loaded model made no run yet, the pair is measured, not ranked. One pair is one pair: this is a look, not a test
of the axis.</p>
<p>Start from an example of helping and ignoring, or write your own:</p>"""


EXPECTED = """From pure noise the model can only expect an average of all the pictures that fit a prompt, so these are
blurry. They are decoded from what the measured passes compute anyway, and are no finished drawings."""


EXPECTED_RANDOM = "The weights are random: the pictures look like noise and show nothing of FLUX.2 Klein."


PROBE_HELP = """<p>Runs all pairs of a prompt set through the loaded model, two passes of one denoising step a pair;
at the end one prompt beside itself, which has to give no difference. “Stop” ends within one pair. When you stop,
close this page or something breaks, the pairs that are done are kept in memory (of the last {unfinished} such
probes), and the same settings continue from there.</p>"""


OWN_HELP = """<p>A pair a row, the positive prompt first, as copied from a spreadsheet (or CSV). With more than two
columns, the first row has to name them: positive, negative, id, category. A prompt set's TOML does as well.
{pairs[0]} to {pairs[1]} pairs, at most {letters:,} characters a prompt and {kilobytes} kB in all. It is kept in the
memory of this page's process and written to no disk.</p>"""


PROBE_QUOTA = """A click asks ZeroGPU for up to {asked} s of your daily GPU quota for {what}: by what its like
took, with the start of a GPU (which a click right after another saves), a margin, and this hardware's factor of 1.5. A
visitor without an account has 120 s a day, a free account 300 s."""


PROBE_AFTERWARDS = """The run is kept in this page's memory, among the last {kept} probes of all visitors, and on no
disk, except a file that you download (deleted after an hour or two). Your list is gone when you reload the page, the
run when the page restarts or newer ones replace it. To keep it, download it in the tab “Take away”. The tab “Compare”
sets it beside any other run."""


# Equal in tokens under Klein's tokenizer and under the stand-in's bytes. The last one is about no act at all: a
# visitor sees what any difference in wording gives.
EXAMPLES = {
    "Dropped books": ("Sam drops his books and Lena gathers them.", "Sam drops his books and Lena ignores them."),
    "Tears": ("Nora sees Ali crying and stops right beside him.", "Nora sees Ali crying and strides right past him."),
    "Stairs": ("Anna helps the old man up the stairs.", "Anna trips the old man on the stairs."),
    "Crutches": ("Peter opens the gate to a man on crutches.", "Peter shuts the gate on a man on crutches."),
    "Stray dog": ("Two sisters feed the stray dog at the door.", "Two sisters kick the stray dog at the door."),
    "Only a colour": ("Anna paints the old garden gate bright green.", "Anna paints the old garden gate bright brown."),
}


PUBLISH_HELP = """<p>For the owner of the model card <code>{card}</code>: whoever may write to that repository on the
Hub can publish the chosen run to it. A section of the card, the run's files and a figure go there as a pull request,
with your own sign-in.{results} You see the exact difference first. The page keeps no token, and nobody else gets the
button.</p>"""


PUBLISH_ELSEWHERE = """This run is in the memory of this page only. Download it in the tab “Take away” as “Whole run as
zip”, unpack it, and give its folder:"""


TAKE_HELP = """<p>Every file is of the chosen run, units and scope, and says which weights made it. The CSV has a row
a unit, with every number in full. The JSON is what <code>python -m plantain report --json --top all</code> prints of
the run alone. The zip is the run's folder: unpacked, the command line and <code>load_run</code> read it to the
bit. The figures of two runs, and of your pair, can be saved where they stand.</p>"""
