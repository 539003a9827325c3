"""The strict loader: what is not exactly a prompt set is an error that names file, pair and cause."""

import re

import pytest
from browser import ROOT

from plantain import PlantainError
from plantain.prompts.sets import (
    PromptError,
    PromptPair,
    PromptSet,
    first_set,
    is_shipped,
    known_sets,
    load_prompt_set,
    other_words,
    same_set,
    set_faults,
    shipped_file,
    shipped_sets,
)

SHIPPED = ROOT / "prompts" / "moral_valence.toml"

HEAD = """
name = "kindness"
title = "Kindness"
positive = "kind"
negative = "unkind"
"""

PAIRS = [
    f"""
[[pair]]
id = "pair-{n}"
category = "street"
positive = "Ana greets neighbour {n}."
negative = "Ana ignores neighbour {n}."
"""
    for n in range(1, 5)
]

GOOD = HEAD + "".join(PAIRS)


@pytest.fixture
def load(tmp_path):
    """Return a function that writes a text to a file and loads it."""

    def write_and_load(text: str) -> PromptSet:
        path = tmp_path / "set.toml"
        path.write_text(text, encoding="utf-8")
        return load_prompt_set(path)

    return write_and_load


def test_a_good_file_loads_in_its_order(load):
    loaded = load(GOOD)
    assert (loaded.name, loaded.title, loaded.positive, loaded.negative) == ("kindness", "Kindness", "kind", "unkind")
    assert [pair.id for pair in loaded.pairs] == ["pair-1", "pair-2", "pair-3", "pair-4"]
    assert loaded.pairs[1] == PromptPair("pair-2", "street", "Ana greets neighbour 2.", "Ana ignores neighbour 2.")


def test_blanks_around_a_text_are_dropped(load):
    assert load(GOOD.replace('"Ana greets neighbour 1."', '"  Ana greets neighbour 1.\\n"')) == load(GOOD)


def test_the_shipped_set_has_25_pairs_in_five_categories():
    shipped = load_prompt_set(str(SHIPPED))
    assert len(shipped.pairs) == 25
    assert len({pair.category for pair in shipped.pairs}) == 5
    assert (shipped.name, shipped.positive, shipped.negative) == ("moral-valence", "helping", "ignoring")


TOP_FAULTS = {
    "unknown top key": (GOOD.replace("title =", 'colour = "red"\ntitle ='), "unknown key 'colour'; allowed are name"),
    "misspelt pair table": (GOOD.replace("[[pair]]", "[[pairs]]"), "unknown key 'pairs'"),
    "no name": (GOOD.replace('name = "kindness"', ""), "'name' is missing"),
    "no negative word": (GOOD.replace('negative = "unkind"', ""), "'negative' is missing"),
    "no pairs": (HEAD, "'pair' is missing"),
    "empty file": ("", "'name' is missing"),
    "blank title": (GOOD.replace('title = "Kindness"', 'title = "  "'), "'title' must be a text that is not empty"),
    "number for a name": (GOOD.replace('"kindness"', "7"), "'name' must be a text"),
    "one table for all pairs": (HEAD + PAIRS[0].replace("[[pair]]", "[pair]"), "its own [[pair]] table"),
    "pairs as texts": (HEAD + 'pair = ["Ana greets.", "Ana ignores."]', "its own [[pair]] table"),
    "three pairs": (HEAD + "".join(PAIRS[:3]), "has 3 pairs; the statistics need at least 4"),
    "not TOML": (GOOD + "[[pair]", "is not valid TOML"),
    "a key twice": (GOOD.replace("[[pair]]", 'name = "x"\n[[pair]]', 1), "is not valid TOML"),
}


@pytest.mark.parametrize(("text", "cause"), TOP_FAULTS.values(), ids=TOP_FAULTS)
def test_a_faulty_file_is_refused_with_file_and_cause(load, text, cause):
    with pytest.raises(PromptError, match=rf"set\.toml: .*{re.escape(cause)}"):
        load(text)


GREETS, IGNORES = 'positive = "Ana greets neighbour 3."', 'negative = "Ana ignores neighbour 3."'

PAIR_FAULTS = {
    "unknown key": (GREETS, GREETS + '\nnote = "x"', "unknown key 'note'; allowed are id"),
    "no positive": (GREETS, "", "'positive' is missing"),
    "no negative": (IGNORES, "", "'negative' is missing"),
    "no category": ('id = "pair-3"\ncategory = "street"', 'id = "pair-3"', "'category' is missing"),
    "empty prompt": (GREETS, 'positive = ""', "'positive' must be a text that is not empty"),
    "blank prompt": (IGNORES, 'negative = " \\t "', "'negative' must be a text that is not empty"),
    "a number": (GREETS, "positive = 3", "'positive' must be a text"),
    "a list": (GREETS, 'positive = ["Ana greets."]', "'positive' must be a text"),
    "equal prompts": (IGNORES, GREETS.replace("positive", "negative"), "both prompts are the same"),
    "equal but for blanks": (IGNORES, 'negative = " Ana greets neighbour 3. "', "both prompts are the same"),
}


@pytest.mark.parametrize(("old", "new", "cause"), PAIR_FAULTS.values(), ids=PAIR_FAULTS)
def test_a_faulty_pair_is_refused_with_file_pair_and_cause(load, old, new, cause):
    assert old in GOOD
    with pytest.raises(PromptError, match=rf"set\.toml: pair 3 \(pair-3\): .*{re.escape(cause)}"):
        load(GOOD.replace(old, new))


def test_a_pair_without_an_id_is_told_by_its_number(load):
    with pytest.raises(PromptError, match=r"set\.toml: pair 2 \(no id\): 'id' is missing"):
        load(GOOD.replace('id = "pair-2"', ""))


@pytest.mark.parametrize("twin", ["pair-1", " pair-1 "])
def test_an_id_that_stands_twice_is_refused(load, twin):
    with pytest.raises(PromptError, match=r"set\.toml: the id 'pair-1' stands twice"):
        load(GOOD.replace('"pair-4"', f'"{twin}"'))


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes(GOOD.replace("Ana", "Zoé").encode("latin-1"))
    with pytest.raises(PromptError, match=r"latin\.toml: is not valid TOML in UTF-8"):
        load_prompt_set(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(PromptError, match=r"nowhere\.toml: cannot be read \(No such file"):
        load_prompt_set(tmp_path / "nowhere.toml")
    with pytest.raises(PromptError, match="cannot be read"):
        load_prompt_set(tmp_path)


def test_a_folder_of_the_name_does_not_hide_a_shipped_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "contact").mkdir()  # as a run of it is called
    assert load_prompt_set("contact").sha256 == load_prompt_set(SHIPPED.with_name("contact.toml")).sha256


def test_errors_are_meant_for_the_user():
    assert issubclass(PromptError, PlantainError)
    assert issubclass(PromptError, ValueError)


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_and_line_ends_of_windows_do_not_matter(tmp_path, load, coding):
    path = tmp_path / "windows.toml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode(coding))
    assert load_prompt_set(path) == load(GOOD)


def test_one_message_has_all_that_is_wrong_with_a_file(load):
    text = GOOD.replace('name = "kindness"', 'colour = "red"\nrole = "boss"').replace('"unkind"', '"Kind."')
    text = text.replace(GREETS, "").replace('"pair-2"', '"pair-1"')
    with pytest.raises(PromptError) as caught:
        load(text)
    said = str(caught.value)
    assert "set.toml: 6 faults: (1) unknown key 'colour'" in said and "\n" not in said
    faults = ["'name' is missing", "the role 'boss'", "both sides are called 'kind'", "the id 'pair-1' stands twice"]
    assert all(fault in said for fault in [*faults, "pair 3 (pair-3): 'positive' is missing"])


# --- pairs that are no observations ---

TWINS = {
    "the same": ("Ana greets neighbour 1.", "Ana ignores neighbour 1.", "pair 'pair-4' repeats 'pair-1'"),
    "but for case and signs": ("ana greets  neighbour 1", "Ana ignores neighbour 1!", "repeats 'pair-1'"),
    "mirrored": ("Ana ignores neighbour 1.", "Ana greets neighbour 1.", "'pair-1' with its sides exchanged"),
    "mirrored but for signs": ("ana ignores neighbour 1", "Ana greets neighbour 1", "'pair-1' with its sides exch"),
}


@pytest.mark.parametrize(("positive", "negative", "said"), TWINS.values(), ids=TWINS)
def test_a_pair_under_a_new_id_is_no_second_observation(load, positive, negative, said):
    text = GOOD.replace("Ana greets neighbour 4.", positive).replace("Ana ignores neighbour 4.", negative)
    with pytest.raises(PromptError, match=said):
        load(text)


def test_a_contrast_of_punctuation_alone_is_one(load):
    pairs = "".join(
        f'[[pair]]\nid = "{i}"\ncategory = "c"\npositive = "He waits {i}!"\nnegative = "He waits {i}."\n'
        for i in range(4)
    )
    assert len(load(HEAD + pairs).pairs) == 4


def test_a_set_made_in_code_is_checked_like_a_file(load):
    good = load(GOOD)
    assert set_faults(good) == []
    four = (good.pairs[0],) * 4
    assert set_faults(PromptSet("n", "t", "a", "a", four)) == [
        "both sides are called 'a'; give each its own name.",
        *["the id 'pair-1' stands twice; give every pair its own.",
          "pair 'pair-1' repeats 'pair-1'; a repeated pair is no second observation."] * 3,
    ]  # fmt: skip
    assert set_faults(PromptSet("n", "", "a", "b", good.pairs[:3])) == [
        "'title' must be a text that is not empty.", "has 3 pairs; the statistics need at least 4."
    ]  # fmt: skip


# --- the content hash --------------------------------------------------------------------------------------


def test_layout_and_comments_do_not_change_the_hash(load):
    keys_in_another_order = GOOD.replace(f"{GREETS}\n{IGNORES}", f"{IGNORES}\n\n   {GREETS}   # here she greets")
    other = "# a comment\n" + keys_in_another_order.replace('title = "Kindness"', "title = 'Kindness'")
    assert other != GOOD
    assert re.fullmatch("[0-9a-f]{64}", load(GOOD).sha256)
    assert load(other).sha256 == load(GOOD).sha256


SWAPPED = 'positive = "Ana ignores neighbour 3."\nnegative = "Ana greets neighbour 3."'

CHANGES = {
    "name": ('"kindness"', '"kindnesses"'),
    "title": ('"Kindness"', '"kindness "'),
    "side word": ('"unkind"', '"cold"'),
    "id": ('"pair-3"', '"pair-5"'),
    "category": ('category = "street"', 'category = "road"'),
    "one letter of a prompt": ("greets neighbour 2", "greats neighbour 2"),
    "order of the pairs": (PAIRS[0] + PAIRS[1], PAIRS[1] + PAIRS[0]),
    "sides swapped": (f"{GREETS}\n{IGNORES}", SWAPPED),
    "a pair more": (PAIRS[3], PAIRS[3] + PAIRS[3].replace("4", "5")),
}


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_any_change_of_content_changes_the_hash(load, old, new):
    changed = GOOD.replace(old, new, 1)
    assert changed != GOOD
    assert load(changed).sha256 != load(GOOD).sha256


def test_the_hash_is_that_of_the_sorted_compact_json():
    # '{"name":"n","negative":"q","pairs":[{"category":"b","id":"a","negative":"d","positive":"cé"}],...' in UTF-8,
    # hashed with another tool: saved runs carry this hash, so it must not drift.
    prompt_set = PromptSet("n", "t", "p", "q", (PromptPair("a", "b", "cé", "d"),))
    assert prompt_set.sha256 == "97f18acab1175ec17bd757b3b718d4ef9e8d65257f915968d7ddd0ada6d8f91c"


def test_notes_are_read_and_do_not_count(tmp_path):
    path = tmp_path / "set.toml"
    path.write_text(GOOD, encoding="utf-8")
    plain = load_prompt_set(path)
    path.write_text('role = "control"\nabout = "a"\nreading = "r"\n' + GOOD, encoding="utf-8")
    noted = load_prompt_set(path)
    assert (noted.role, noted.about, noted.reading) == ("control", "a", "r") and noted.sha256 == plain.sha256
    assert (plain.role, plain.about) == ("", "")
    path.write_text('model = "picture-book"\n' + GOOD, encoding="utf-8")
    worded = load_prompt_set(path)
    assert (worded.model, plain.model, worded.sha256) == ("picture-book", "", plain.sha256)
    path.write_text('model = "another"\n' + GOOD, encoding="utf-8")
    with pytest.raises(PromptError, match="the model 'another' has no words of its own; allowed is picture-book"):
        load_prompt_set(path)
    path.write_text('role = "boss"\n' + GOOD, encoding="utf-8")
    with pytest.raises(PromptError, match="the role 'boss' is unknown; allowed are axis, replication"):
        load_prompt_set(path)


# --- kinds and readings, and texts that were changed ---

NOTED = "kind = 'neglect'\nnearer = 'positive'\nattentive = 'negative'\nnew_object = 'negative'\n"


def test_a_pair_may_say_its_kind_and_how_it_was_read_and_the_hash_does_not(tmp_path):
    plain, noted = tmp_path / "plain.toml", tmp_path / "noted.toml"
    plain.write_text(HEAD + "".join(PAIRS))
    noted.write_text(HEAD + "".join([PAIRS[0] + NOTED, *PAIRS[1:]]))
    one, other = load_prompt_set(plain), load_prompt_set(noted)
    assert one == other and one.sha256 == other.sha256
    said = [(p.kind, p.nearer, p.attentive, p.new_object) for p in other.pairs]
    assert said == [("neglect", "positive", "negative", "negative"), *[("", "", "", "")] * 3]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("kind = 'harm'", "the kind 'harm' is unknown; allowed are neglect, exclusion, wrongdoing"),
        ("kind = ''", "'kind' must be a text"),
        ("nearer = 'kind'", "the nearer 'kind' is unknown; allowed are positive, negative"),
        ("new_object = true", "'new_object' must be a text"),
    ],
)
def test_other_kinds_and_sides_are_refused(tmp_path, line, said):
    path = tmp_path / "set.toml"
    path.write_text(HEAD + "".join([*PAIRS[:3], PAIRS[3] + line]))
    with pytest.raises(PromptError, match=f"pair 4 .*{said}"):
        load_prompt_set(path)


FORMER_HASH = "15992833c1b11f27cb68457849f9e848a6cc85e2124b1a71644ce233c94328fd"


def test_the_former_moral_sets_keep_hash_role_and_file():
    known = known_sets()
    assert FORMER_HASH in known and not is_shipped(FORMER_HASH)
    assert shipped_file(FORMER_HASH, "?") == "prompts/former/moral_valence.toml"
    assert shipped_file(load_prompt_set("moral_valence").sha256, "?") == "prompts/moral_valence.toml"
    assert shipped_file("0" * 64, "?") == "?"
    former = {sha: found.role for sha, (_, found) in known.items() if not is_shipped(sha)}
    assert sorted(former.values()) == ["axis", "replication"] and former[FORMER_HASH] == "axis"


# --- the picture book's sets ---


def test_the_sets_of_the_picture_book_are_shipped_beside_kleins_and_never_among_them():
    plain, book = shipped_sets(), shipped_sets("picture-book")
    assert {found.model for _, found in plain.values()} == {""} and len(plain) == 16
    assert {found.model for _, found in book.values()} == {"picture-book"}
    roles = {path.relative_to(ROOT / "prompts").as_posix(): found.role for path, found in book.values()}
    assert roles == {
        "picture-book/moral.toml": "axis", "picture-book/moral_crossed.toml": "",
        "picture-book/replication.toml": "replication", "picture-book/nearness.toml": "control",
        "picture-book/attention.toml": "control", "picture-book/size.toml": "control",
        "picture-book/place.toml": "control", "picture-book/paraphrase.toml": "noise floor",
    }  # fmt: skip
    assert plain.keys().isdisjoint(book) and plain.keys() | book.keys() < known_sets().keys()
    assert (first_set().name, first_set("picture-book").name) == ("moral-valence", "picture-book-moral")
    mine = first_set("picture-book").sha256
    assert is_shipped(mine) and shipped_file(mine, "?") == "prompts/picture-book/moral.toml"


def test_sets_of_two_models_are_never_the_same_though_their_files_have_one_name():
    attention, theirs = (load_prompt_set(name).sha256 for name in ("attention", "picture-book/attention"))
    assert other_words(attention, theirs) and not same_set(attention, theirs)
    former = FORMER_HASH, load_prompt_set("moral_valence").sha256
    assert same_set(*former) and not other_words(*former)
    assert not other_words(attention, "0" * 64)


def test_a_set_in_a_folder_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("picture-book/moral", "picture-book/moral.toml", "prompts/picture-book/moral.toml")
    assert {load_prompt_set(name).name for name in names} == {"picture-book-moral"}
    for name in ("picture-book", "picture-book/../moral_valence", "../CITATION.cff", ""):
        with pytest.raises(PromptError, match="cannot be read"):
            load_prompt_set(name)
