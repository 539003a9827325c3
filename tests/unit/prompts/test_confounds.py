"""What a set of somebody's own is warned of: each warning can come, and comes only where there is cause."""

from dataclasses import replace

import numpy as np
import pytest
from texts import bigrams

from plantain.prompts import lexical
from plantain.prompts.confounds import confounds_of_own_set, find_confounds, lopsided, telling_score
from plantain.prompts.sets import PromptPair, PromptSet, known_sets, shipped_sets

# No two pairs share a word, and within a pair one word differs: early in the even ones, late in the odd ones.
CLEAN = [
    (f"ax{i} bo{i} ce{i} da{i} eg{i}", f"zz{i} bo{i} ce{i} da{i} eg{i}")
    if i % 2
    else (f"ax{i} bo{i} ce{i} da{i} eg{i}", f"ax{i} bo{i} ce{i} da{i} zz{i}")
    for i in range(25)
]


def made(sides, positive="large", negative="small"):
    pairs = tuple(PromptPair(f"pair-{i}", "any", *texts) for i, texts in enumerate(sides))
    return PromptSet("made", "Made", positive, negative, pairs)


def told(sides, count_tokens=None):
    return {warning.kind: warning for warning in find_confounds(made(sides), count_tokens)}


def test_a_clean_set_is_told_nothing_and_a_shipped_one_no_word():
    assert told(CLEAN) == {}
    assert all(confounds_of_own_set(found) == [] for _, found in shipped_sets().values())
    assert len(confounds_of_own_set(made(CLEAN), len)) == 0
    assert len(confounds_of_own_set(made([(a + " x", b) for a, b in CLEAN]))) > 1


def test_unequal_word_counts_are_told_with_pairs_and_side():
    one = told([("ax0 bo0 ce0 da0 eg0 more", CLEAN[0][1]), *CLEAN[1:]])["word counts"]
    assert one.pairs == ("pair-0",) and one.text.startswith("1 of 25 pairs has unequal numbers of words")
    assert "“large” in 1, “small” in 0" in one.text and one.text.endswith("whatever they mean.")
    many = told([(a, f"{b} m{i}") for i, (a, b) in enumerate(CLEAN)])["word counts"]
    assert "pair-4 and 20 more" in many.text
    assert many.text.endswith("A head that counts words would look like a head for “small”.")


def test_a_word_on_one_side_is_told_from_six_of_25_pairs_on():
    def leaking(n):
        return [
            (a.replace("da", "very da" if i < n else "veri da"), b.replace("da", f"q{i} da"))
            for i, (a, b) in enumerate(CLEAN)
        ]

    assert "words" in told(leaking(20)) and "“very” 20/0" in told(leaking(20))["words"].text
    found = told([(f"{a} w{i if i > 5 else ''}", f"{b} v{i}") for i, (a, b) in enumerate(CLEAN)])["words"]
    assert "(“large”/“small”, of 25 pairs): “w” 6/0." in found.text and "|t| = 2.8" in found.text
    assert "words" not in told([(f"{a} w{i if i > 4 else ''}", f"{b} v{i}") for i, (a, b) in enumerate(CLEAN)])


def test_in_a_handful_of_pairs_more_than_half_are_enough():
    assert lopsided(3, 0, 4) and not lopsided(2, 0, 4) and not lopsided(3, 1, 4)
    assert lopsided(6, 0, 25) and lopsided(0, 6, 25) and not lopsided(5, 0, 25) and not lopsided(7, 1, 25)
    assert lopsided(15, 4, 200) and not lopsided(100, 80, 200) and not lopsided(0, 0, 4)
    found = told([(f"{a} w", f"{b} v{i}") for i, (a, b) in enumerate(CLEAN[:4])])["words"]
    assert "without limit" in found.text and "head for “large”" in found.text


def test_negations_on_one_side_are_told():
    sides = [(a.replace(f"ce{i}", ("not", "nobody", "isn't")[i % 3]), b) for i, (a, b) in enumerate(CLEAN)]
    found = told(sides)["negations"]
    assert found.text.startswith("25 of 25 pairs have") and "head for “large”" in found.text


def test_longer_prompts_on_one_side_are_told():
    found = told([(a, b.replace("bo", "booooo")) for a, b in CLEAN])["lengths"]
    assert "“large” in 0, “small” in 25" in found.text and "4.0 characters" in found.text
    assert "lengths" not in told(
        [(a, b.replace("bo", "booooo")) if i % 2 else (b.replace("bo", "booooo"), a) for i, (a, b) in enumerate(CLEAN)]
    )


def test_a_bag_of_words_that_works_is_told():
    words = ("big", "huge", "giant", "tall", "vast")  # each in five pairs: too few for a sign test
    found = told([(f"{a} {words[i % 5]}", f"{b} n{i}") for i, (a, b) in enumerate(CLEAN)])
    assert "words" not in found and "25 of 25 left-out pairs right (a coin gets 12.5)" in found["classifiers"].text


def test_a_score_is_telling_where_a_coin_has_five_percent_or_none():
    assert telling_score(25) == 18  # what the project's own sets must stay below
    assert (telling_score(4), telling_score(5), telling_score(100)) == (4, 5, 59)


def test_pairs_with_few_common_words_and_pairs_that_all_part_early_are_told():
    found = told([*CLEAN[:24], ("one two three", "four five six")])["unlike"]
    assert found.pairs == ("pair-24",) and "1 of 25 pairs has less than half" in found.text
    assert "in 25 of 25 pairs and late" in told(CLEAN[1::2] * 2 + [CLEAN[1]])["onsets"].text


def test_two_scenes_with_other_names_are_no_25_observations():
    """The names change and nothing else: sign flips would take them for 25 pairs."""
    scenes = [
        ("While {} sways on the ladder, {} holds it.", "While {} sways on the ladder, {} leaves it."),
        ("{} offers {} a seat by the window.", "{} denies {} a seat by the window."),
    ]
    sides = [tuple(text.format(f"Ana{i}", f"Bo{i}") for text in scenes[i % 2]) for i in range(25)]
    found = told(sides)["repeats"]
    assert set(found.pairs) == {f"pair-{i}" for i in range(25)}
    assert found.text.startswith("25 of 25 pairs have more than 60% of their words in common with another pair")
    assert "pair-0 and pair-2 (80%)" in found.text  # 8 of 10 forms: all but the names


def test_a_share_is_of_the_pair_with_fewer_words():
    def shares(one, other, share):
        return lexical.near_duplicates(made([one, other]).pairs, share)

    long = ("a b c d e f g h i j", "a b c d e f g h i k")
    assert shares(("a b c x", "a b c y"), long, 0.59) == [("pair-0", "pair-1", pytest.approx(0.6))]
    assert shares(("a b c x", "a b c y"), long, 0.61) == []
    assert "repeats" not in told([("a b c x", "a b c y"), long, *CLEAN])  # at 60%, not above
    assert shares(("!", "?"), ("!!", "??"), 0.5) == []


def test_the_former_sets_and_all_shipped_ones_in_plain_sentences_repeat_no_scene():
    plain = [found for _, found in known_sets().values() if not found.model]
    assert len(plain) == len(shipped_sets()) + 2
    for found in plain:
        assert lexical.near_duplicates(found.pairs, 0.6) == []


def test_a_reading_that_goes_one_way_is_told():
    def read(n, key, side="positive"):
        pairs = [PromptPair(f"p{i}", "any", *texts, **{key: side} if i < n else {}) for i, texts in enumerate(CLEAN)]
        return find_confounds(PromptSet("made", "Made", "large", "small", tuple(pairs)))

    (found,) = read(6, "nearer")
    assert found.kind == "reading" and found.pairs == tuple(f"p{i}" for i in range(6))
    assert found.text.startswith("In 6 of 25 pairs, as it was read, the agent is nearer to the other person on the")
    assert found.text.endswith("A head that measures nearness would look like a head for “large”.")
    assert read(6, "new_object", "negative")[0].text.endswith("would look like a head for “small”.")
    assert read(5, "attentive") == []


def test_tokens_are_counted_by_whoever_can():
    assert "tokens" not in told(CLEAN) and "tokens" not in told(CLEAN, lambda text: len(text.split()))
    found = told(CLEAN, lambda text: 5 + ("zz3 " in text))["tokens"]
    assert found.pairs == ("pair-3",) and "unequal numbers of tokens of the loaded model" in found.text


def test_odd_sets_are_audited_too():
    for sides in ([("!", "?")] * 4, [("a", "a a")] * 4, [("x", "x!")] * 4, [("ё" * 1000, "速" * 1000)] * 4):
        assert all(warning.text and warning.kind for warning in find_confounds(made(sides)))


def test_sides_that_were_swapped_at_random_are_seldom_told_of():
    rng, own = np.random.default_rng(0), [pair for _, found in shipped_sets().values() for pair in found.pairs]
    alarms = 0
    for _ in range(100):
        chosen = [own[i] for i in rng.choice(len(own), 25, replace=False)]
        sides = [(p.positive, p.negative) if rng.random() < 0.5 else (p.negative, p.positive) for p in chosen]
        alarms += bool(told(sides))
    assert alarms <= 20


# --- the classifiers ---


def plain_margins(counts, fit):
    """Leave every pair out for real: `counts` (2, pairs, words), `fit` returns a weight a word."""
    weights = [fit(np.delete(counts, i, axis=1)) for i in range(counts.shape[1])]
    return np.array([(counts[0, i] - counts[1, i]) @ w for i, w in enumerate(weights)])


def bayes(counts):
    totals = counts.sum(axis=1) + lexical.SMOOTHING
    positive, negative = np.log(totals / totals.sum(axis=1, keepdims=True))
    return positive - negative


def ridge(counts):
    diffs = counts[0] - counts[1]
    return diffs.T @ np.linalg.solve(diffs @ diffs.T + lexical.RIDGE * np.eye(len(diffs)), np.ones(len(diffs)))


@pytest.mark.parametrize("features", [lexical.words, bigrams])
def test_the_classifiers_shortcuts_give_what_leaving_out_gives(moral_set, features):
    pairs = moral_set.pairs
    sides = [[features(getattr(pair, side)) for pair in pairs] for side in ("positive", "negative")]
    vocabulary = sorted({word for side in sides for found in side for word in found})
    counts = np.array([[[found.count(word) for word in vocabulary] for found in side] for side in sides], float)
    assert np.allclose(lexical.naive_bayes_margins(pairs, features), plain_margins(counts, bayes))
    assert np.allclose(lexical.ridge_margins(pairs, features), plain_margins(counts.clip(max=1), ridge))


# --- names exchanged, sides exchanged, languages without blanks ---

SHORT = [
    ("Ola helps Pia.", "Ola ignores Pia."),
    ("A dog runs.", "A dog sits."),
    ("It rains on Rui.", "It pours on Rui."),
]


@pytest.mark.parametrize(
    "twin",
    [
        ("Pia helps Ola.", "Pia ignores Ola."),  # the names change places,
        ("Sam helps Tea.", "Sam ignores Tea."),  # others come,
        ("Pia ignores Ola.", "Pia helps Ola."),  # and the sides are exchanged too
    ],
)
def test_a_scene_of_other_people_is_no_second_observation(twin):
    found = told([*SHORT, twin])["repeats"]
    assert found.pairs == ("pair-0", "pair-3") and "pair-0 and pair-3" in found.text


def test_other_acts_and_other_things_are_other_scenes():
    for other in (("Sam hugs Tea.", "Sam ignores Tea."), ("Sam helps Tea.", "Sam greets Tea.")):
        assert "repeats" not in told([*SHORT, other]), other


def test_a_set_that_turns_a_shipped_one_around_is_told_so():
    moral = next(found for _, found in shipped_sets().values() if found.role == "axis")
    turned = tuple(replace(p, id=f"own-{p.id}", positive=p.negative, negative=p.positive) for p in moral.pairs)
    said = confounds_of_own_set(PromptSet("own", "Own", "ignoring", "helping", turned))
    assert said[0] == (
        "This set is prompts/moral_valence.toml with all sides exchanged: the same question with the opposite sign. "
        "A set stands once."
    )
    copied = confounds_of_own_set(replace(moral, title="My own"))
    assert copied[0].startswith("This set and prompts/moral_valence.toml hold the same pairs")


CHINESE = [("她帮助那位老人过马路。", "她不理那位老人过马路。"), ("雨中他把伞递给了邻居。", "雨中他把伞藏在了身后。")]


def test_words_of_languages_without_blanks_are_their_characters():
    assert lexical.words("他帮助Anna's儿子。") == ["他", "帮", "助", "anna's", "儿", "子"]
    assert lexical.words("ช่วยเขา") == ["ช่", "ว", "ย", "เ", "ข", "า"]
    assert lexical.words("도와 주다") == ["도와", "주다"]  # Korean has blanks
    assert [round(lexical.common_share(made([pair]).pairs[0]), 2) for pair in CHINESE] == [0.8, 0.6]
    kinds = told(CHINESE * 2)
    assert "unlike" not in kinds and "word counts" not in kinds and "repeats" in kinds
