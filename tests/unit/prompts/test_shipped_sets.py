"""Audit the prompt sets: does anything but the moral act tell the two sides apart?

A sign-flip null rejects any systematic difference between the sides, a lexical one as readily as a moral
one. So each requirement on the stimuli (equal word counts, balanced words, negations, verbs and genders,
no bag-of-words classifier that works) is an assertion here, and each audit is shown to be able to
fail. `pytest -s` prints the tables behind the assertions.

Not checked here: the number of Qwen tokens, which must be equal within a pair too. That needs the tokenizer,
which is no dependency of the tests, so it is checked by hand whenever a prompt changes.
At the last check all 25 pairs of all 16 sets were equal, with 11 to 28 tokens a prompt.

The gender of an agent is how the name or title is conventionally read, and is written down by hand.
"""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from browser import ROOT
from texts import bigrams

from plantain.prompts.confounds import find_confounds
from plantain.prompts.lexical import (
    by_imbalance,
    differing_positions,
    length_differences,
    naive_bayes_margins,
    negation_count,
    one_sided_pairs,
    relative_onset,
    ridge_margins,
    right,
    unequal_word_counts,
    words,
)
from plantain.prompts.sets import KINDS, READ_KEYS, load_prompt_set
from plantain.prompts.sets import PromptPair as Pair

PROMPTS = ROOT / "prompts"


def side_totals(pairs: Iterable[Pair], count: Callable[[str], int]) -> tuple[int, int]:
    """Add up a count over the positive and over the negative sides."""
    return sum(count(pair.positive) for pair in pairs), sum(count(pair.negative) for pair in pairs)


def longer_is_positive_score(pairs: Iterable[Pair]) -> float:
    """Count the pairs whose positive side has more characters, a tie as one half."""
    # Not learned: where the lengths balance, leaving a pair out tips the rest against it, and a learned rule
    # falls far below chance. The fixed rule is as good as its opposite is bad, so bound it on both sides.
    return right(length_differences(pairs))


def classifier_scores(pairs: Sequence[Pair]) -> dict[str, float]:
    """Score every classifier by how many pairs, left out one at a time, it gets right."""
    return {
        "words, naive Bayes": right(naive_bayes_margins(pairs)),
        "words, ridge": right(ridge_margins(pairs)),
        "bigrams, naive Bayes": right(naive_bayes_margins(pairs, bigrams)),
        "bigrams, ridge": right(ridge_margins(pairs, bigrams)),
        "longer is positive": longer_is_positive_score(pairs),
    }


class Agents(NamedTuple):
    """Who acts and who is helped (or owed the truth, or the property), and how their names are read."""

    helper: str
    helper_gender: str
    helped: str
    helped_gender: str


class Audited(NamedTuple):
    """One moral set to audit, with what was written down about it by hand."""

    file: str
    categories: tuple[str, ...]
    agents: dict[str, Agents]


def load(path: Path) -> list[Pair]:
    """Return the pairs of a prompt file."""
    return list(load_prompt_set(path).pairs)


MORAL_VALENCE = Audited(
    "moral_valence.toml",
    (
        "physical assistance",
        "social inclusion",
        "honesty",
        "restraint from theft",
        "care for vulnerable parties",
    ),
    {
        "rolling-oranges": Agents("Maria", "F", "Mr. Okafor", "M"),
        "pram-on-stairs": Agents("Daniel", "M", "Aisha", "F"),
        "stalled-car": Agents("Ingrid", "F", "Petra", "F"),
        "swaying-ladder": Agents("Kenji", "M", "Omar", "M"),
        "bicycle-fall": Agents("Fatima", "F", "Grace", "F"),
        "cafeteria-chair": Agents("Amara", "F", "Leo", "M"),
        "basketball-court": Agents("Ravi", "M", "Chloe", "F"),
        "wedding-chair": Agents("Thomas", "M", "Mr. Haddad", "M"),
        "newcomer": Agents("Elena", "F", "Priya", "F"),
        "team-photograph": Agents("Marcus", "M", "Yusuf", "M"),
        "broken-vase": Agents("Nadia", "F", "Mr. Novak", "M"),
        "chocolate-cake": Agents("Andre", "M", "Mrs. Lin", "F"),
        "painted-mural": Agents("Hana", "F", "Diego", "M"),
        "rusty-van": Agents("Viktor", "M", "Lucia", "F"),
        "winning-ace": Agents("Keiko", "F", "Rosa", "F"),
        "fallen-wallet": Agents("Samuel", "M", "Mr. Petrov", "M"),
        "bakery-loaf": Agents("Carlos", "M", "Mrs. Dubois", "F"),
        "bicycle-rack": Agents("Zainab", "F", "Emily", "F"),
        "open-handbag": Agents("Miguel", "M", "Ms. Andersen", "F"),
        "plum-harvest": Agents("Ananya", "F", "Mr. Jensen", "M"),
        "lost-child": Agents("Olga", "F", "Hassan", "M"),
        "bedside-fan": Agents("Mei", "F", "Mrs. Kowalski", "F"),
        "bus-seat": Agents("Joseph", "M", "Mr. Tanaka", "M"),
        "toddler-at-pool": Agents("Nikolai", "M", "Zoe", "F"),
        "spare-blanket": Agents("Ahmed", "M", "Mr. Walsh", "M"),
    },
)
REPLICATION = Audited(
    "moral_valence_replication.toml",
    MORAL_VALENCE.categories,
    {
        "lost-paddle": Agents("Tala", "F", "Emeka", "M"),
        "sofa-on-lawn": Agents("Rafael", "M", "Mr. Reyes", "M"),
        "cliff-ledge": Agents("Jakub", "M", "Minh", "M"),
        "umbrella-for-two": Agents("Lars", "M", "Deepa", "F"),
        "stepping-stones": Agents("Irina", "F", "Wanjiru", "F"),
        "party-invitations": Agents("Sofia", "F", "Idris", "M"),
        "ring-of-dancers": Agents("Javier", "M", "Samira", "F"),
        "comic-under-oak": Agents("Astrid", "F", "Paloma", "F"),
        "treehouse-rope": Agents("Stefan", "M", "Arjun", "M"),
        "karaoke-stage": Agents("Bruno", "M", "Ms. Patel", "F"),
        "exam-hall": Agents("Sanjay", "M", "Naomi", "F"),
        "dented-truck": Agents("Beatriz", "F", "Mr. Kaya", "M"),
        "cracked-egg": Agents("Ngozi", "F", "Mrs. Rossi", "F"),
        "tennis-mark": Agents("Felix", "M", "Goran", "M"),
        "crayon-wall": Agents("Thandi", "F", "Mr. Rahman", "M"),
        "yellow-rose": Agents("Mateo", "M", "Mrs. Silva", "F"),
        "fur-coat": Agents("Hiroshi", "M", "Mr. Costa", "M"),
        "gold-bracelet": Agents("Freya", "F", "Mrs. Achebe", "F"),
        "hidden-parcel": Agents("Carmen", "F", "Mr. Weber", "M"),
        "pearl-earring": Agents("Leila", "F", "Ms. Eriksen", "F"),
        "wailing-baby": Agents("Tariq", "M", "Salma", "F"),
        "open-manhole": Agents("Teresa", "F", "Mrs. Ivanova", "F"),
        "spoonful-of-soup": Agents("Jamal", "M", "Mr. Nguyen", "M"),
        "scraped-knee": Agents("Yara", "F", "Nuno", "M"),
        "stuck-wheelchair": Agents("Dmitri", "M", "Ms. Bergman", "F"),
    },
)
AUDITED = [MORAL_VALENCE, REPLICATION]
# Sets about something else: the same audit, without what is about helpers and helped ones.
OTHERS = (
    "physical_scale", "perspective_taking", "self_reference", "post_event", "posture", "nonmoral_valence", "contact",
    "tempo", "attention", "nearness", "paraphrase", "colour", "number", "day_night",
)  # fmt: skip

MAX_WORD_IMBALANCE = 3
MAX_VERB_IMBALANCE = 3
MAX_READ_IMBALANCE = 3
MAX_CLASSIFIER_SCORE = 17

# Verbs are counted by form, from written lists and with no tagger, so that anyone can see and dispute what
# was counted. A form says little: "waves" is in no list, for it may be at a person or of a wallet, nor is
# "leaves", for it may be a room or a bag empty. MOTION is going past, away or off, but "walks" does not say
# which way; AWAY counts the small words that do. Forms in no prompt yet make the next prompt count too.
CONTACT = set(
    """carries catches closes cradles drapes draws drops embraces empties fills gathers gives grabs grips
    guides hands holds hugs keeps kicks laces lace lays lifts links opens hides sticks spreads snips hangs rocks scoops
    feeds covers throws lowers nudges offers passes picks pins pockets presses
    pulls pushes puts raises seizes shakes shoves shuts slams slides slips snatches steadies take takes tosses
    touches touching tucks taps strokes heaves forces digs props rub rubs wipes wraps zips""".split()
)
APPROACH = set(
    """approaches bends comes crouches crosses enters faces follows greet greets joins kneels leans reaches
    rushes runs stoops steps stretches visits""".split()
)
MOTION = set(
    """backs departs dodges drives flees hurries pedals retreats rides strides strolls swings turns walks
    wanders""".split()
)
AWAY = set("across aside away by from off out past".split())
SMILES = set("beams chuckles grin grins laugh laughs laughing smile smiles smiling smirk smirks".split())
FEMININE = {"she", "her", "hers", "herself"}
MASCULINE = {"he", "him", "his", "himself"}


# Words and sides


def count_of(text: str, lexicon: set[str]) -> int:
    """Count the words of a prompt that are in a lexicon."""
    return sum(word in lexicon for word in words(text))


def both(pair: Pair) -> tuple[str, str]:
    """Return the two prompts of a pair, the positive one first."""
    return pair.positive, pair.negative


def lexicon_totals(pairs: Iterable[Pair], lexicon: set[str]) -> tuple[int, int]:
    """Count the words of a lexicon on the positive and on the negative sides."""
    return side_totals(pairs, lambda text: count_of(text, lexicon))


def category_counts(pairs: Iterable[Pair]) -> Counter:
    """Count the pairs of each category."""
    return Counter(pair.category for pair in pairs)


# Agents


def gender_cells(agents: Iterable[Agents]) -> Counter:
    """Count the combinations of helper's and helped one's gender, as "FM" for a woman who helps a man."""
    return Counter(who.helper_gender + who.helped_gender for who in agents)


def mentions(text: str, name: str) -> int:
    """Count how often a name stands in a prompt."""
    return len(re.findall(rf"(?<!\w){re.escape(name)}(?!\w)", text))


def name_faults(pair: Pair, who: Agents) -> list[str]:
    """List the agents that are not named exactly once on both sides."""
    return [
        f"{pair.id}: {name!r} is not named once on the {side} side"
        for name in (who.helper, who.helped)
        for side in ("positive", "negative")
        if mentions(getattr(pair, side), name) != 1
    ]


def pronoun_faults(pair: Pair, who: Agents) -> list[str]:
    """List the pronouns that fit neither agent of a pair."""
    genders = {who.helper_gender, who.helped_gender}
    wrong = (FEMININE if "F" not in genders else set()) | (MASCULINE if "M" not in genders else set())
    used = set(words(pair.positive)) | set(words(pair.negative))
    return [f"{pair.id}: {word!r} fits neither agent" for word in sorted(used & wrong)]


def title_faults(pair_id: str, who: Agents) -> list[str]:
    """List the agents whose title contradicts the gender that the table gives them."""
    titles = {"Mr.": "M", "Mrs.": "F", "Ms.": "F"}
    read = ((who.helper, who.helper_gender), (who.helped, who.helped_gender))
    wrong = ((name, gender) for name, gender in read if titles.get(name.split()[0], gender) != gender)
    return [f"{pair_id}: {name} is not {gender}" for name, gender in wrong]


# Tables


MEASURES: dict[str, Callable[[str], int]] = {
    "chars": len,
    "words": lambda text: len(words(text)),
    "contact": lambda text: count_of(text, CONTACT),
    "approach": lambda text: count_of(text, APPROACH),
    "motion": lambda text: count_of(text, MOTION),
    "away": lambda text: count_of(text, AWAY),
    "negations": negation_count,
    "smiles": lambda text: count_of(text, SMILES),
    "commas": lambda text: text.count(","),
}


def cells(positive: Iterable[int], negative: Iterable[int]) -> str:
    """Format counts as columns of positive/negative."""
    return "".join(f"{f'{here}/{there}':>11}" for here, there in zip(positive, negative, strict=True))


def pair_row(pair: Pair) -> str:
    """Format one pair's counts on both sides, where the sides part and how many words differ."""
    counts = cells(*([count(text) for count in MEASURES.values()] for text in both(pair)))
    differing = differing_positions(pair)
    return f"{pair.id:<20}{counts}{differing[0] + 1:>8}{len(differing):>10}"


def table(pairs: list[Pair]) -> str:
    """Format the counts of every pair, and their totals, as positive/negative."""
    header = f"{'pair':<20}" + "".join(f"{name:>11}" for name in MEASURES) + f"{'parts':>8}{'differ':>10}"
    totals = zip(*(side_totals(pairs, count) for count in MEASURES.values()), strict=True)
    return "\n".join([header, *map(pair_row, pairs), f"{'total':<20}{cells(*totals)}"])


def summary(pairs: list[Pair], agents: dict[str, Agents]) -> str:
    """Format the most unbalanced words, the gender cells and the classifiers' scores."""
    worst = by_imbalance(one_sided_pairs(pairs))[:20]
    leaks = ", ".join(f"{word} {here}/{there}" for word, here, there in worst)
    scores = ", ".join(f"{name} {score:g}" for name, score in classifier_scores(pairs).items())
    lengths = length_differences(pairs)
    return "\n".join(
        [
            f"characters, positive - negative: mean {lengths.mean():.2f}, "
            f"longer in {(lengths > 0).sum()} pairs, shorter in {(lengths < 0).sum()}",
            f"words on one side only, positive/negative: {leaks}",
            f"helper and helped: {dict(gender_cells(agents.values()))}",
            f"left-out pairs right, of {len(pairs)}: {scores}",
        ]
    )


# Requirements: each raises an AssertionError that names the pair or word, and the numbers


def check_form(pairs: list[Pair]) -> None:
    """Require unique ids and prompts of one tidy sentence, 10 to 30 words long."""
    repeated = [name for name, count in Counter(pair.id for pair in pairs).items() if count > 1]
    assert not repeated, f"ids used more than once: {repeated}"
    for pair in pairs:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", pair.id), f"{pair.id!r} is not in kebab case"
        for text in both(pair):
            assert 10 <= len(words(text)) <= 30, f"{pair.id}: {len(words(text))} words: {text}"
            assert re.fullmatch(r"[A-Z]\S*( \S+)*\.", text), f"{pair.id}: untidy sentence: {text}"


def check_categories(pairs: list[Pair], categories: tuple[str, ...]) -> None:
    """Require five pairs in each category."""
    counts = category_counts(pairs)
    assert counts == dict.fromkeys(categories, 5), f"pairs per category, not five of each: {dict(counts)}"


def check_word_counts(pairs: list[Pair]) -> None:
    """Require as many words on both sides of each pair."""
    unequal = unequal_word_counts(pairs)
    assert not unequal, f"unequal word counts (pair, positive, negative): {unequal}"


def check_lengths(pairs: list[Pair]) -> None:
    """Require character lengths that do not tell the sides apart."""
    diffs = length_differences(pairs)
    assert abs(diffs.mean()) <= 1.5, f"positive sides are {diffs.mean():+.2f} characters longer on average"
    longer, shorter = (diffs > 0).sum(), (diffs < 0).sum()
    assert abs(longer - shorter) <= 5, f"positive sides are longer in {longer} pairs, shorter in {shorter}"
    score = longer_is_positive_score(pairs)
    assert 8 <= score <= 17, f"the longer side is the positive one in {score:g} of {len(pairs)} pairs"


def check_words(pairs: list[Pair]) -> None:
    """Require that no word form stands on one side of the pairs much more often than on the other."""
    rows = by_imbalance(one_sided_pairs(pairs))
    worst = [row for row in rows if abs(row[1] - row[2]) > MAX_WORD_IMBALANCE]
    assert not worst, f"words on one side only (word, positive, negative): {worst}"


def check_negations(pairs: list[Pair]) -> None:
    """Require as many negations on the positive sides as on the negative, give or take one."""
    positive, negative = side_totals(pairs, negation_count)
    assert abs(positive - negative) <= 1, f"negations: {positive} positive, {negative} negative"


def check_verbs(pairs: list[Pair]) -> None:
    """Require that contact, approach and motion do not stand in for the moral act."""
    for kind, lexicon in {"contact": CONTACT, "approach": APPROACH, "motion": MOTION}.items():
        positive, negative = lexicon_totals(pairs, lexicon)
        message = f"verbs of {kind}: {positive} positive, {negative} negative"
        assert abs(positive - negative) <= MAX_VERB_IMBALANCE, message


def check_onsets(pairs: list[Pair]) -> None:
    """Require that the sides part early in some pairs and late in others."""
    onsets = [relative_onset(pair) for pair in pairs]
    early, late = sum(onset < 0.4 for onset in onsets), sum(onset > 0.6 for onset in onsets)
    assert early >= 5 and late >= 5, f"the sides part early in {early} pairs and late in {late}"


def check_agents(pairs: list[Pair], agents: dict[str, Agents]) -> None:
    """Require that the table of agents fits the prompts: names, titles and pronouns."""
    ids = {pair.id for pair in pairs}
    assert ids == agents.keys(), f"in the prompts or in the table only: {sorted(ids ^ agents.keys())}"
    names = Counter(name for who in agents.values() for name in (who.helper, who.helped))
    assert names.most_common(1)[0][1] == 1, f"names used twice: {names.most_common(3)}"
    for pair in pairs:
        who = agents[pair.id]
        faults = name_faults(pair, who) + pronoun_faults(pair, who) + title_faults(pair.id, who)
        assert not faults, "; ".join(faults)


def check_genders(agents: dict[str, Agents]) -> None:
    """Require that who helps whom is balanced by gender."""
    counts = gender_cells(agents.values())
    assert set(counts) == {"FF", "FM", "MF", "MM"}, f"helper and helped: {dict(counts)}"
    assert all(5 <= count <= 8 for count in counts.values()), f"helper and helped: {dict(counts)}"
    women = counts["FF"] + counts["FM"]
    assert women in (12, 13), f"{women} helpers are women, not 12 or 13"


def check_reading(pairs: list[Pair]) -> None:
    """Require that a reader found the agent nearer, or more attentive, about as often on either side, and no prop."""
    for key in READ_KEYS:
        sides = Counter(getattr(pair, key) for pair in pairs)
        message = f"{key}: {sides['positive']} positive, {sides['negative']} negative"
        most = 0 if key == "new_object" else MAX_READ_IMBALANCE
        assert abs(sides["positive"] - sides["negative"]) <= most, message


def check_kinds(pairs: list[Pair]) -> None:
    """Require one kind in each category, and all kinds."""
    kinds = {category: {p.kind for p in pairs if p.category == category} for category in category_counts(pairs)}
    assert all(len(found) == 1 for found in kinds.values()), f"kinds by category: {kinds}"
    assert set().union(*kinds.values()) == set(KINDS), f"kinds by category: {kinds}"


def check_classifiers(pairs: list[Pair]) -> None:
    """Require that the words of the other pairs do not give the positive side of a pair away."""
    # Bounded above only: a word that stands as often on either side is, with its own pair left out, the more
    # frequent on the other side, so balanced words score somewhat below one half.
    for name, score in classifier_scores(pairs).items():
        if name.startswith("words"):
            assert score <= MAX_CLASSIFIER_SCORE, f"{name}: {score:g} of {len(pairs)} pairs right"


# Tests


@pytest.mark.parametrize("audited", AUDITED, ids=lambda audited: audited.file)
def test_prompts_differ_in_the_act_alone(audited):
    pairs = load(PROMPTS / audited.file)
    print(f"\n{audited.file}\n{table(pairs)}\n{summary(pairs, audited.agents)}")
    check_form(pairs)
    check_categories(pairs, audited.categories)
    check_agents(pairs, audited.agents)
    check_genders(audited.agents)
    check_word_counts(pairs)
    check_lengths(pairs)
    check_words(pairs)
    check_negations(pairs)
    check_verbs(pairs)
    check_onsets(pairs)
    check_classifiers(pairs)
    check_reading(pairs)
    check_kinds(pairs)


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_sets_hold_one_contrast_that_no_word_gives_away(name):
    pairs = load(PROMPTS / f"{name}.toml")
    print(f"\n{name}\n{table(pairs)}\n{summary(pairs, {})}")
    check_form(pairs)
    check_categories(pairs, tuple(category_counts(pairs)))
    assert len(category_counts(pairs)) == 5
    check_word_counts(pairs)
    check_lengths(pairs)
    check_words(pairs)
    check_negations(pairs)
    check_verbs(pairs)
    check_onsets(pairs)
    check_classifiers(pairs)
    check_reading(pairs)


def test_every_set_is_audited_says_what_it_is_for_and_shares_no_pair():
    sets = {path.stem: load_prompt_set(path) for path in sorted(PROMPTS.glob("*.toml"))}
    assert set(sets) == {audited.file.removesuffix(".toml") for audited in AUDITED} | set(OTHERS)
    roles = Counter(found.role for found in sets.values())
    assert roles == {"axis": 1, "replication": 1, "sibling": 4, "control": 6, "positive contrast": 3, "noise floor": 1}
    assert all(len(found.pairs) == 25 for found in sets.values())
    assert all(found.about and found.reading for found in sets.values())
    assert not any(find_confounds(found) for found in sets.values())  # what a visitor would be told of each
    ids = Counter(pair.id for found in sets.values() for pair in found.pairs)
    texts = Counter(text for found in sets.values() for pair in found.pairs for text in both(pair))
    assert ids.most_common(1)[0][1] == 1 and texts.most_common(1)[0][1] == 1


def test_the_replication_has_other_scenes_names_and_words():
    first, second = (load(PROMPTS / audited.file) for audited in AUDITED)
    names = [{n for who in audited.agents.values() for n in (who.helper, who.helped)} for audited in AUDITED]
    assert not names[0] & names[1]
    runs = [{run for pair in pairs for text in both(pair) for run in four_words(text)} for pairs in (first, second)]
    assert not runs[0] & runs[1]


def test_a_reader_tells_the_sides_of_every_directed_set_and_not_those_of_the_paraphrases():
    """The recorded sorting of a listing without sides: pairs and sides shuffled, texts by hash."""
    with (PROMPTS / "blind_reading.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    right = Counter()
    for path in PROMPTS.glob("*.toml"):
        if load_prompt_set(path).role == "positive contrast":
            continue  # plain differences of what is seen; docs/controls.md says that nobody read them blind
        pairs, read = {p.id: p for p in load(path)}, [row for row in rows if row["set"] == path.stem]
        assert {row["pair"] for row in read} == set(pairs), f"{path.stem}: read again what was changed"
        for row in read:
            texts = "\n".join(both(pairs[row["pair"]]))
            digest = hashlib.sha256(texts.encode()).hexdigest()[:16]
            assert digest == row["texts_sha256"], f"{path.stem}: {row['pair']} was changed after it was read"
            positive = "A" if row["shown_as_A"] == "positive" else "B"
            assert row["right"] == ("yes" if row["said_positive"] == positive else "no")
            side = {"": "", "AB": "", positive: "positive", "AB".replace(positive, ""): "negative"}
            said = tuple(side[row[f"said_{key}"]] for key in READ_KEYS)
            own = {"attention": "attentive", "nearness": "nearer"}.get(path.stem)  # what the set is about is in no pair
            noted = tuple("positive" if key == own else getattr(pairs[row["pair"]], key) for key in READ_KEYS)
            assert said == noted, f"{path.stem}: {row['pair']} says another reading than was recorded"
            right[path.stem] += row["right"] == "yes"
            assert row["said_depictable"] in ("", "both")  # empty: nobody was asked
        shown = Counter(row["shown_as_A"] for row in read)
        assert min(shown.values()) >= 6  # shuffled indeed
    assert 8 <= right.pop("paraphrase") <= 17  # 95% of coins
    assert min(right.values()) >= 22, right


def test_the_replication_says_what_was_read_in_it():
    replication = load_prompt_set(PROMPTS / "moral_valence_replication.toml")
    read = {key: Counter(getattr(pair, key) for pair in replication.pairs) for key in READ_KEYS}
    assert (read["nearer"]["positive"], read["attentive"]["negative"]) == (3, 3)
    assert (read["nearer"]["negative"], read["attentive"]["positive"]) == (0, 0)
    assert "nearer on the positive side in three" in replication.about
    assert "more attentive on the negative side in three" in replication.about


def four_words(text: str) -> set[tuple[str, ...]]:
    """List the runs of four words in a prompt."""
    found = words(text)
    return {tuple(found[i : i + 4]) for i in range(len(found) - 3)}


def made(*sides: tuple[str, str]) -> list[Pair]:
    """Build pairs from (positive, negative) texts."""
    return [Pair(f"pair-{i}", "honesty", positive, negative) for i, (positive, negative) in enumerate(sides)]


def test_words_ignore_case_and_keep_apostrophes_and_hyphens():
    assert words("Mr. Li's well-kept bag isn't hers.") == ["mr", "li's", "well-kept", "bag", "isn't", "hers"]


def test_a_word_on_one_side_of_five_pairs_is_caught():
    balanced = made(*[(f"Ana runs to tree{i}.", f"Ana runs to rock{i}.") for i in range(25)])
    check_words(balanced)
    leaking = made(*[(f"Ana runs to tree{i}.", f"Ana runs by{i} tree{i}.") for i in range(5)])
    with pytest.raises(AssertionError, match=r"'to', 5, 0"):
        check_words(leaking + balanced)


def test_a_word_on_one_side_is_offset_by_the_other_side():
    pairs = made(("Ana runs to Bo.", "Ana runs from Bo."), ("Cy hides from Di.", "Cy lies to Di."))
    counts = one_sided_pairs(pairs)
    assert counts["to"] == counts["from"] == (1, 1)
    assert "ana" not in counts


def test_a_telling_word_is_learned():
    pairs = made(*[(f"Agent{i} helps friend{i}.", f"Agent{i} verb{i} friend{i}.") for i in range(25)])
    scores = classifier_scores(pairs)
    assert scores["words, naive Bayes"] == scores["words, ridge"] == 25
    with pytest.raises(AssertionError, match="25 of 25"):
        check_classifiers(pairs)


def test_same_words_in_another_order_are_a_tie():
    pairs = made(*[(f"Ana{i} leaves Bo{i}.", f"Bo{i} leaves Ana{i}.") for i in range(25)])
    assert classifier_scores(pairs)["words, ridge"] == classifier_scores(pairs)["words, naive Bayes"] == 12.5


def test_unequal_word_counts_are_caught():
    with pytest.raises(AssertionError, match=r"'pair-0', 2, 3"):
        check_word_counts(made(("Ana helps.", "Ana walks on.")))


def test_unbalanced_negations_are_caught():
    pairs = made(("Ana stays.", "Ana doesn't stay."), ("Bo sees Cy.", "Bo ignores Cy."))
    with pytest.raises(AssertionError, match="negations: 0 positive, 2 negative"):
        check_negations(pairs)


def test_a_wrong_category_count_is_caught():
    with pytest.raises(AssertionError, match="'honesty': 4"):
        check_categories(made(*[("Ana helps.", "Ana waits.")] * 4), ("honesty",))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Ana helps Bo.", "pair-a: 3 words"),
        ("Ana helps Bo  with the bag on the steep stairs outside.", "pair-a: untidy"),
        ("Ana helps Bo with the bag on the steep stairs outside", "pair-a: untidy"),
    ],
)
def test_untidy_prompts_are_caught(text, fault):
    with pytest.raises(AssertionError, match=fault):
        check_form([Pair("pair-a", "honesty", text, text)])


def test_longer_positive_sides_are_caught():
    with pytest.raises(AssertionError, match=r"\+3.00 characters"):
        check_lengths(made(*[("Ana listens.", "Ana runs.")] * 25))


def test_contact_on_the_positive_side_alone_is_caught():
    with pytest.raises(AssertionError, match="verbs of contact: 5 positive, 0 negative"):
        check_verbs(made(*[("Ana lifts Bo.", "Ana watches Bo.")] * 5))


def test_a_reading_that_goes_one_way_is_caught():
    pairs = [Pair(f"pair-{i}", "any", "Ana helps.", "Ana waits.", nearer="positive") for i in range(4)]
    with pytest.raises(AssertionError, match="nearer: 4 positive, 0 negative"):
        check_reading(pairs)
    check_reading([*pairs, Pair("pair-4", "any", "Ana stays.", "Ana comes.", nearer="negative")])
    with pytest.raises(AssertionError, match="new_object: 0 positive, 1 negative"):
        check_reading([Pair("pair-5", "any", "Ana stays.", "Ana eats a pear.", new_object="negative")])


def test_a_category_of_two_kinds_is_caught():
    pairs = [Pair(f"pair-{i}", "any", "Ana helps.", "Ana waits.", kind) for i, kind in enumerate(KINDS)]
    with pytest.raises(AssertionError, match="kinds by category"):
        check_kinds(pairs)


def test_sides_that_always_part_late_are_caught():
    with pytest.raises(AssertionError, match="early in 0 pairs and late in 25"):
        check_onsets(made(*[("On the road Ana helps.", "On the road Ana waits.")] * 25))


def test_helpers_of_one_gender_are_caught():
    with pytest.raises(AssertionError, match="'FM': 25"):
        check_genders({f"pair-{i}": Agents(f"Ana{i}", "F", f"Bo{i}", "M") for i in range(25)})


@pytest.mark.parametrize(
    ("positive", "negative", "fault"),
    [
        ("Ana helps Mr. Li.", "Ana leaves.", "'Mr. Li' is not named once on the negative side"),
        ("Ana hands Mr. Li his hat.", "Ana hides Mr. Li.", "Mr. Li is not F"),
        ("Ana helps him up, Mr. Li.", "Ana helps Mr. Li.", "'him' fits neither agent"),
    ],
)
def test_agents_that_do_not_fit_the_table_are_caught(positive, negative, fault):
    table_of_agents = {"pair-0": Agents("Ana", "F", "Mr. Li", "F")}
    with pytest.raises(AssertionError, match=re.escape(fault)):
        check_agents(made((positive, negative)), table_of_agents)
