"""The page's longer texts; those that stand alone, the method and the help on units, are static/*.html.

They are HTML, not Markdown: for that the browser would load a parser before it shows the page.
"""

from __future__ import annotations

from plantain.prompts.sets import PICTURE_BOOK

TITLE = "plantain: ethical valence in FLUX.2 Klein"

DESCRIPTION = (
    "Does the image generator FLUX.2 Klein tell helping from ignoring in its attention heads, before it draws "
    "anything? See what was found, try a pair of prompts, turn heads."
)

EVIDENCE_HELP = "<p>What speaks for the finding and what against it, for the run that is chosen.</p>"


INTRODUCTION = """<h1>plantain</h1>
<p class="pl-lead">Does the image generator FLUX.2 Klein tell <b>helping</b> from not helping in its attention
heads, before it draws anything?</p>
"""


LINKS = """<p class="pl-links"><a href="https://huggingface.co/phanerozoic/moral-plantain">The published card</a> ·
<a href="https://huggingface.co/black-forest-labs/FLUX.2-klein-base-4B">the base model</a>{code}</p>"""


MEASURED = """{n} pairs of prompts, {contrast}. The figures say how strongly each unit of the network
responds to the difference, and how much of that chance would give."""


CHANCE_HELP = """<p>Swap the two sides of each pair at random and count again: that is what chance gives.</p>"""

CHANCE_CARE = """<p>If the two sides of a pair were interchangeable, swapping them at random would change nothing. So
they are swapped, many times, and everything is counted again, with all dependence between units kept. The p are
one-sided, from the flips drawn, for this one choice of units and scope: looking through several choices finds more by
chance. (More than chance is weak evidence: any constant difference in wording beats it.)</p>"""


CONTROLS_CARE = """<p>The practice model was trained to draw the difference, so that a count near all pairs is right
there. A network of random weights has learned nothing: what it tells right beyond chance comes from the words alone.
Each count is of pairs that the rule had not seen. None of it says anything about FLUX.2 Klein; it says what the method
finds where there is something, and where there is nothing.</p>"""


COMPARE_HELP = """<p>The chosen run beside another one: a description, no test.</p>"""


ATLAS_HELP = """<p>Is this contrast an axis of its own, or what any consistent contrast looks like?</p>"""

ATLAS_CARE = """<p>One contrast alone cannot say: almost any constant difference in wording moves more units than
chance. So runs of several prompt sets on one model stand side by side: an independent replication, sibling axes,
controls with one nameable contrast each, and paraphrases as noise floor. The unique share says how much of what the
two moral sets share is not shared with siblings and controls.</p>"""


OWN_PROMPTS = "These prompts are none of the project's own sets. What their words alone give away"


PAIR_HELP = """<p>Write two prompts with the same scene and the same people, in which only what the run asks about
differs (the act, for helping against not helping). They go through the same model and settings as the chosen run.
Where the run keeps directions, the score is the mean cosine, over all heads at image tokens, of the directions in
which yours and theirs differ. Beside it, and elsewhere alone, stands the score by magnitudes: the mean, over the heads
that part the run's pairs most clearly, of how far yours differs the same way, in the usual spread (SD) of the run's
pairs: always on the true heads over all tokens, whatever is chosen above. Every pair of the run is scored in the same
way, by all others. Where the loaded model made no run yet, the pair is measured and not ranked. One pair is one pair:
this is a look, not a test of the axis.</p>"""


TURN_HELP = """<p>Change heads, and see how far a pair's expected picture goes to its other side.</p>"""

TURN_CARE = """The heads are changed at the image tokens of one pass, before anything is drawn. The test of a run is by
rank among redraws of heads; one pair is a look. The top heads were chosen on this run's pairs, this one among them."""


EXPECTED = """From pure noise the model can only expect an average of all the pictures that fit a prompt, so these are
blurry. They are decoded from what the measured passes compute anyway, and are no finished drawings."""

DRAWN_IN = "Drawn: in {steps} steps, guidance {guidance:g}."

_NOISE = "The weights are random: the pictures look like noise and show nothing of FLUX.2 Klein."

PICTURES_OF = {
    "practice": "The model was trained on drawings: the pictures show what it learned, and nothing of FLUX.2 Klein.",
    "untrained": _NOISE,
    "reservoir": _NOISE,
    "stand-in": _NOISE,
}
"""What has to be said of pictures that are never Klein's, by the kind of weights."""


PROBE_HELP = """<p>Run all pairs of a prompt set through the loaded model.</p>"""

PROBE_CARE = """A pair takes two passes of one denoising step; at the end one prompt goes beside itself, which has to
give no difference. “Stop” ends within one pair. When you stop, close this page or something breaks, the pairs that are
done are kept in memory (of the last {unfinished} such probes), and the same settings continue from there."""


OWN_HELP = """<p>A pair a row, the positive prompt first, as copied from a spreadsheet (or CSV). With more than two
columns, the first row has to name them: positive, negative, id, category. A prompt set's TOML does as well.
{pairs[0]} to {pairs[1]} pairs, at most {letters:,} characters a prompt and {kilobytes} kB in all. It is kept in the
memory of this page's process and written to no disk.</p>"""


PROBE_QUOTA = """A click asks ZeroGPU for up to {asked} s of your daily GPU quota for {what}: by what its like
took, with the start of a GPU (which a click right after another saves), a margin, and this hardware's factor of 1.5. A
visitor without an account has 120 s a day, a free account 300 s."""


PROBE_AFTERWARDS = """The run is kept in this page's memory, among the last {kept} probes of all visitors, and on no
disk, except a file that you download (deleted after an hour or two). Your list is gone when you reload the page, the
run when the page restarts or newer ones replace it. To keep it, download it under “Take away”. Under “Two
runs side by side” it stands beside any other run."""


# Equal in tokens under Klein's tokenizer and under the stand-in's bytes. The last one is about no act at all: a
# visitor sees what any difference in wording gives.
EXAMPLES = {
    "Dropped books": ("Sam drops his books and Lena gathers them.", "Sam drops his books and Lena ignores them."),
    "Tears": ("Nora sees Ali crying and stops right beside him.", "Nora sees Ali crying and strides right past him."),
    "Stairs": ("Anna helps the old man up the stairs.", "Anna trips the old man on the stairs."),
    "Crutches": ("Peter opens the gate to a man on crutches.", "Peter shuts the gate on a man on crutches."),
    "Stray dog": ("Two sisters feed the stray dog at the door.", "Two sisters kick the stray dog at the door."),
    "Only a colour (nobody helps)": (
        "Anna paints the old garden gate bright green.",
        "Anna paints the old garden gate bright brown.",
    ),
}


# In the picture book's words; equal in tokens, and no pair of its sets. The first one goes with the shipped run's pairs
# farther than chance reaches; the last one is about no act, and does not.
PICTURE_BOOK_EXAMPLES = {
    "Lost purse": (
        "Eva lost a purse in the park, and tall Dan alerts Eva.",
        "Eva lost a purse in the park, and tall Dan robs Eva.",
    ),
    "Hungry": (
        "Short Ana feeds Gus, who is hungry, in the room.", "Short Ana teases Gus, who is hungry, in the room.",
    ),
    "In the rain": (
        "Tall Hana shelters Ben, who stands in rain, in the street, far off.",
        "Tall Hana forgets Ben, who stands in rain, in the street, far off.",
    ),
    "On the ground": (
        "In the snow, tall Ben lifts Cleo, who has fallen.", "In the snow, tall Ben ignores Cleo, who has fallen.",
    ),
    "All alone": (
        "Short Finn comforts Ana, who sits alone, on the beach.", "Short Finn shuns Ana, who sits alone, on the beach.",
    ),
    "Only a size (nobody helps)": (
        "Tall Cleo meets Dan, in the forest, close by.", "Short Cleo meets Dan, in the forest, close by.",
    ),
}  # fmt: skip

EXAMPLES_IN = {"": EXAMPLES, PICTURE_BOOK: PICTURE_BOOK_EXAMPLES}
"""The examples by the words that a model takes, as `PromptSet.model`."""


PUBLISH_HELP = """<p>For the owner of the model card <code>{card}</code>: whoever may write to that repository on the
Hub can publish the chosen run to it. A section of the card, the run's files and a figure go there as a pull request,
with your own sign-in.{results} You see the exact difference first. The page keeps no token, and nobody else gets the
button.</p>"""


PUBLISH_ELSEWHERE = """This run is in the memory of this page only. Download it under “Take away” as “Whole run as
zip”, unpack it, and give its folder:"""


TAKE_HELP = """<p>Every file is of the chosen run, units and scope, and says which weights made it. The CSV has a row
a unit, with every number in full. The JSON is what <code>python -m plantain report --json --top all</code> prints of
the run alone. The zip is the run's folder: unpacked, the command line and <code>load_run</code> read it to the
bit. The figures of two runs, and of your pair, can be saved where they stand.</p>"""
