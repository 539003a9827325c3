"""The page's longer texts."""

from __future__ import annotations

INTRODUCTION = """<h1>plantain</h1>
<p class="pl-lead">Does the image generator FLUX.2 Klein tell <b>helping</b> from <b>ignoring</b> in its attention
layers, before it has drawn anything?</p>
<p class="pl-links"><a href="https://huggingface.co/phanerozoic/moral-plantain">The published card</a> ·
<a href="https://huggingface.co/black-forest-labs/FLUX.2-klein-base-4B">the base model</a>{code}</p>
"""


MEASURED = """{n} pairs of prompts, {positive} against {negative}. The figures say how strongly each unit of the network
responds to the difference, and how much of that chance would give."""


UNITS_HELP = """**Units** are what is counted. The published card speaks of 16,320 “heads”, but Klein has 600
attention heads in the places that the card looked at: 25 blocks of 24, each 128 channels wide. 16,320 is what comes
out when the output projections' inputs are cut every 16 channels, an eighth of a head, and 70.6% of these
**slices** are not attention but the MLP part of the single blocks. (Inferred from the card's counts.) The eight
slices of one head are not independent, so counting them can say the same thing several times. With **true heads** a
count is out of 600 and leaves the MLP part out: max |t|, shares, p and the order of blocks are then those of heads,
which depend on one another as well. The text stream's heads and the **MLP groups**, as wide as a head, can be counted
on their own; the **prompt embedding** is the text before the transformer has seen it.

**Scopes** are the tokens over which a unit's magnitude is taken: all, the image's, the prompt's (chat template and
words), the words or the template alone, or the padding up to 512 tokens, which the transformer sees as well. A scope
is offered where the chosen units have such tokens. The joint blocks' heads of the image stream have image tokens
only: under “all tokens” they stand for these, under the text's scopes they are left out (480 heads instead of 600).
The published figures are of slices over all tokens."""


CHANCE_HELP = """If the two sides of a pair were interchangeable, swapping them at random would change nothing. So they
are swapped, many times, and everything is counted again: that is what chance gives, with all dependence between units
kept. The line is the run. The p are one-sided, from the flips drawn, for this one choice of units and scope:
looking through several choices finds more by chance. (More than chance is weak evidence: any constant difference in
wording beats it.)"""


COMPARE_HELP = """The chosen run beside another one, under the same units and scope. This is description, no test: two
runs of one model on the same pairs are not two samples."""


ATLAS_HELP = """Is ethical valence an axis of its own, or what any consistent contrast looks like? One contrast alone
cannot say: almost any constant difference in wording moves more units than chance. So runs of several prompt sets on
one model stand side by side: an independent replication, sibling axes, controls with one nameable contrast each, and
paraphrases as noise floor."""


OWN_PROMPTS = "These prompts are none of the project's own sets. What their words alone give away"


PAIR_HELP = """Write two prompts with the same scene and the same people, in which only what the run asks about
differs (the act, for helping against ignoring). They go through the same model and settings as the chosen run, and
your pair is ranked among the run's pairs: always on the true heads over all tokens, whatever is chosen above. One pair
is one pair: this is a look, not a test of the axis.

Start from an example of helping and ignoring, or write your own:"""


PROBE_HELP = """Runs all pairs of a prompt set through the loaded model, two passes of one denoising step a pair.
“Stop” ends within one pair. When you stop, close this page or something breaks, the pairs that are done are kept in
memory (of the last {unfinished} such probes), and the same settings continue from there."""


OWN_HELP = """A pair a row, the positive prompt first, as copied from a spreadsheet (or CSV). With more than two
columns, the first row has to name them: positive, negative, id, category. A prompt set's TOML does as well.
{pairs[0]} to {pairs[1]} pairs, at most {letters:,} characters a prompt and {kilobytes} kB in all. It is kept in the
memory of this page's process and written to no disk."""


PROBE_QUOTA = """A click asks ZeroGPU for {asked} s of your daily GPU quota for {now} pairs: an estimate, with the start
of a GPU and this hardware's factor of 1.5. A visitor without an account has 120 s a day, a free account 300 s."""


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


TAKE_HELP = """Every file is of the chosen run, units and scope, and says which weights made it. The CSV has a row a
unit, with every number in full. The JSON is what `python -m plantain report --json` prints, with the run's provenance.
The zip is the run's folder: unpacked, the command line and `load_run` read it to the bit. The figures of two runs, and
of your pair, can be saved where they stand."""


METHOD = """## What is measured

1. **25 pairs of prompts.** A pair has the same scene and the same named people and differs only in the act: helping
   (positive) or ignoring (negative). Runs of other prompt sets have other pairs and sides, and name them.
2. **One step of pure noise.** Every prompt runs one denoising step at guidance 1 from the same seed. The image is the
   same noise for all prompts, so nothing but the text differs between two passes. No picture is drawn. Runs made in
   another way say so: with more seeds or steps (averaged within a pair; at a later step the images differ as well),
   with a reference image (the same for both sides), or with the padding kept out of attention (and of “all tokens”).
3. **A hook on every attention output projection** records how large its input is: the root mean square (RMS) over
   tokens and channels of a unit.
4. **A paired t for every unit** over the 25 differences, positive minus negative; d is the mean difference over its
   standard deviation. With 25 pairs, |d| > 0.8 and |t| > 4 are the same statement.
5. **The null:** 1,000 times the two sides of random pairs are swapped, and the units over the threshold are counted
   again. “6.4× null p99” means 6.4 times the 99th percentile of those counts. Where that percentile is only a few
   units, the ratio is mostly noise.
6. **Split-half r:** the pairs are halved at random 100 times; r says how alike the two halves' t are over all units.
   Its spread is over splits of the same pairs and is no confidence interval.
7. **The text baseline:** the same test on the prompt embedding, the transformer's text input. What is over the
   threshold there differs before the transformer has seen anything; the figures stand side by side, without a reading
   of cause.
8. **The pairs:** the tab shows how far each pair goes with the others, t by category, the influence of single pairs,
   and whether a pair's size (how large its differences are, whatever their sign) goes with where, or in how many
   tokens, the prompts differ. This is description, no test.

## What a unit is

See “What are units and scopes?” above the tabs. In short: the card's 16,320 “heads” are slices of 16 channels, most of
them not attention; the true heads in the same places are 600.

## Your pair

The score is the mean over the 20 heads with the largest |t| of sign(t) × difference / SD. For its rank, your pair is
put in as one more (of the project's 25 pairs: the 26th), and each of all is scored from the others (full conformal
prediction), so all are treated alike. The p moves in steps of 1/26. The heads in the picture were chosen on the run's
own pairs: a new pair will look weaker on them (regression to the mean). The band behind each head is where one more
pair of the run's kind would fall in 95% of cases (leave-one-out: each pair in turn is left out, the heads are chosen
again, and it is predicted).

## Limits

- **More than a sign-flip null is weak evidence.** The null says only that the differences scatter around zero. Any
  constant difference in wording beats it. By the same author's cards, most other contrasts move more of the model
  (perspective about 74%, physical scale about 43%), some less (self-reference about 13%, after an event about 1%).
- **Magnitudes only.** A unit can carry a meaning in its direction at constant size; this probe does not see that.
- **Correlation only.** Nothing here shows that a unit matters for the picture.
- **The pairs are the sample.** 25 pairs are few, and all were written by the same hands in English.
- **Random weights respond too.** A stand-in or an untrained model is labelled wherever its numbers stand. They say
  nothing about Klein.
- **The published figures** are aggregates from the card. They were not run here.
"""
