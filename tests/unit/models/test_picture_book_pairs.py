"""The picture book's sets: the files are what the code draws, and what the sets say of themselves holds."""

import re
from collections import Counter

import pytest
from browser import ROOT

from plantain.models.picture_book.architecture import TEXT_TOKENS, build_tokenizer
from plantain.models.picture_book.grammar import HELPING, N_TRAINED, NOT_HELPING, vocabulary
from plantain.models.picture_book.pairs import SETS, build
from plantain.models.picture_book.world import NAMES, NEEDS, PLACES
from plantain.prompts.sets import load_prompt_set

SIDES = ("positive", "negative")
DISTANCES, LOOKS = ("close by", "far off"), ("facing them", "facing away")
TRAINED = [{v for known in side.values() for v in known[:N_TRAINED]} for side in (HELPING, NOT_HELPING)]
HELD_OUT = [{v for known in side.values() for v in known[N_TRAINED:]} for side in (HELPING, NOT_HELPING)]
VERB = {
    verb: (helps, need)
    for helps, side in ((True, HELPING), (False, NOT_HELPING))
    for need in NEEDS
    for verb in side[need]
}


def words(text):
    return re.findall(r"[\w]+", text)


def verb(text):
    found = [word for word in words(text) if word in VERB or word == "meets"]
    assert len(found) == 1, text
    return found[0]


def shape(text):
    return 2 if ", and " in text else 1 if text.startswith(("In the", "On the")) else 0


def said(text, choices):
    found = [choice for choice in choices if choice in text]
    assert len(found) <= 1
    return found[0] if found else None


def names(text):
    """Return who acts and on whom."""
    before, after = text.split(f" {verb(text)} ")
    return words(before)[-1], words(after)[0]


@pytest.mark.parametrize("name", SETS)
def test_a_file_is_what_the_code_draws(name):
    found = load_prompt_set(ROOT / "prompts" / "picture-book" / f"{name}.toml")
    drawn = [(p.id, p.category, p.positive, p.negative, p.kind) for p in build(name)]
    assert [(p.id, p.category, p.positive, p.negative, p.kind) for p in found.pairs] == drawn and len(drawn) == 25
    assert found.name == f"picture-book-{name.replace('_', '-')}" and found.about and found.reading


def test_both_sides_have_as_many_tokens_all_of_words_that_the_model_knows():
    tokenizer, known = build_tokenizer(), {word.lower() for word in vocabulary()}
    for name in SETS:
        for pair in build(name):
            counts = []
            for text in (pair.positive, pair.negative):
                assert {word.lower() for word in words(text)} <= known, text
                whole = tokenizer.apply_chat_template(
                    [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True,
                    enable_thinking=False,
                )  # fmt: skip
                counts.append(len(tokenizer(whole)["input_ids"]))
                assert len(tokenizer(text)["input_ids"]) == len(re.findall(r"\w+|[,.]", text)), text
            assert counts[0] == counts[1] <= TEXT_TOKENS == 40, (name, pair)


@pytest.mark.parametrize(("name", "known"), [("moral", TRAINED), ("moral_crossed", TRAINED), ("replication", HELD_OUT)])
def test_the_moral_sets_oppose_every_verb_of_their_lists_once_and_change_nothing_else(name, known):
    pairs = build(name)
    assert [{verb(getattr(p, side)) for p in pairs} for side in SIDES] == known
    for p in pairs:
        here, there = verb(p.positive), verb(p.negative)
        assert here in HELPING[p.category] and there in NOT_HELPING[p.category]
        assert p.positive.replace(here, there) == p.negative
        assert p.kind == ("wrongdoing" if p.category in ("purse", "apple") else "neglect")
        assert words(p.positive.lower()).count("tall") + words(p.positive.lower()).count("short") == 1
        assert said(p.positive, PLACES)
    texts = [p.positive for p in pairs]
    assert Counter(p.category for p in pairs) == dict.fromkeys(NEEDS, 5)
    assert sorted(Counter(said(text.lower(), ("tall", "short")) for text in texts).values()) == [12, 13]
    assert sorted(Counter(said(text, PLACES) for text in texts).values()) == [4, 4, 4, 4, 4, 5]
    acting, other = zip(*map(names, texts), strict=True)
    if name == "replication":
        assert set(acting) | set(other) == set(NAMES[4:])
        assert sorted(Counter(map(shape, texts)).items()) in ([(1, 12), (2, 13)], [(1, 13), (2, 12)])
        assert sorted(Counter(acting).values()) == sorted(Counter(other).values()) == [6, 6, 6, 7]
    else:
        assert sorted(Counter(map(shape, texts)).values()) == [8, 8, 9]
        assert sorted(Counter(acting).values()) == sorted(Counter(other).values()) == [3, 3, 3, 3, 3, 3, 3, 4]
    crossings = Counter((said(text, DISTANCES), said(text, LOOKS)) for text in texts)
    if name == "moral_crossed":
        assert sorted(crossings.values()) == [6, 6, 6, 7] and None not in {x for both in crossings for x in both}
    else:
        assert crossings == {(None, None): 25}


ONE_WORD = {
    "nearness": (*DISTANCES, LOOKS), "attention": (*LOOKS, DISTANCES), "size": ("tall", "short", None),
    "place": ("in the park", "on the beach", None),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_WORD)
def test_the_controls_change_one_thing_with_help_and_without_alike(name):
    here, there, varied = ONE_WORD[name]
    pairs, recased = build(name), {"Tall": "Short", "In the park": "On the beach"}
    for p in pairs:
        changed = p.positive.replace(here, there)
        for one, other in recased.items():
            changed = changed.replace(one, other) if here.startswith(one.lower()) else changed
        assert changed == p.negative != p.positive
    verbs = [verb(p.positive) for p in pairs]
    n_helping, n_not = (sum(v in side for v in verbs) for side in TRAINED)
    assert (n_helping, n_not, verbs.count("meets")) == ((6, 6, 13) if varied else (8, 8, 9))
    assert max(Counter(v for v in verbs if v != "meets").values()) == 1
    if varied:
        unsaid = sum(said(p.positive, varied) is None for p in pairs)
        assert unsaid in (12, 13) and all(said(p.positive, varied) == said(p.negative, varied) for p in pairs)
        assert {said(p.positive, varied) for p in pairs} == {*varied, None}
    else:
        assert all(said(getattr(p, side), (*DISTANCES, *LOOKS)) is None for p in pairs for side in SIDES)


def test_the_paraphrases_are_of_one_side_and_held_out_verbs_stand_as_training_shows_them():
    pairs = build("paraphrase")
    verbs = [(verb(p.positive), verb(p.negative)) for p in pairs]
    assert len({v for both in verbs for v in both}) == 50
    assert all(VERB[here] == VERB[there] for here, there in verbs)
    assert all(p.positive.replace(*both) == p.negative for p, both in zip(pairs, verbs, strict=True))
    helping = sum(here in HELPING[p.category] for p, (here, _) in zip(pairs, verbs, strict=True))
    assert helping in (12, 13)
    held_out = [(p, both) for p, both in zip(pairs, verbs, strict=True) if both[0] in HELD_OUT[0] | HELD_OUT[1]]
    assert [p.category for p, _ in held_out] == list(NEEDS)
    for p, (_, there) in held_out:
        assert (
            there in HELD_OUT[0] | HELD_OUT[1] and shape(p.positive) == 0 and set(names(p.positive)) <= set(NAMES[:4])
        )
