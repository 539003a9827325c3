"""Prompt sets that were pasted: a set or an error that names the row, whatever comes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plantain.prompts.pasted import MOST_BYTES, MOST_LETTERS, MOST_PAIRS, read_pasted
from plantain.prompts.sets import PromptError, PromptSet, load_prompt_set

FOUR = [
    "A horse gallops.\tA horse trots.",
    "Rain pours.\tRain drips.",
    "He runs.\tHe walks.",
    "She dashes.\tShe strolls.",
]


def rows(*lines: str) -> str:
    return "\n".join(lines)


def refused(text: str, *names: str) -> str:
    with pytest.raises(PromptError) as caught:
        read_pasted(text, *names)
    return str(caught.value)


# --- what is taken ---


def test_two_columns_are_pairs_named_by_their_rows():
    found = read_pasted(rows(*FOUR[:2], "", *FOUR[2:]), "Tempo, again!", "fast", "slow")
    assert (found.name, found.title, found.positive, found.negative) == ("tempo-again", "Tempo, again!", "fast", "slow")
    assert [pair.id for pair in found.pairs] == ["row-1", "row-2", "row-4", "row-5"]
    assert (found.pairs[0].positive, found.pairs[0].negative) == ("A horse gallops.", "A horse trots.")
    assert {pair.category for pair in found.pairs} == {"all"}


def test_what_has_no_name_gets_a_plain_one():
    found = read_pasted(rows(*FOUR), " ", "", "\t")
    assert (found.title, found.positive, found.negative) == ("A set of your own", "positive", "negative")
    assert found.name == "a-set-of-your-own" and read_pasted(rows(*FOUR), "速度").name == "own-set"


@pytest.mark.parametrize(
    "head",
    ["category\tnegative\tid\tpositive", "Category\tNEGATIVE\tid\t Positive "],
)
def test_a_first_row_names_the_columns_in_any_order(head):
    body = [f"pace\tslow {i}\tp{i}\tfast {i}" for i in range(4)]
    found = read_pasted(rows(head, *body), "", "fast", "slow")
    assert [(p.id, p.category, p.positive, p.negative) for p in found.pairs] == [
        (f"p{i}", "pace", f"fast {i}", f"slow {i}") for i in range(4)
    ]


@pytest.mark.parametrize(
    ("head", "swapped"),
    [
        ("positive prompt\tnegative prompt", False),
        ("Negative prompt\tPositive", True),
        ("helping\tIgnoring", False),
        ("ignoring\thelping", True),
    ],
)
def test_a_first_row_that_names_two_columns_is_no_pair(head, swapped):
    found = read_pasted(rows(head, *FOUR), "", "Helping", "ignoring")
    sides = [tuple(line.split("\t")) for line in FOUR]
    assert [(p.positive, p.negative) for p in found.pairs] == [s[::-1] if swapped else s for s in sides]
    assert [p.id for p in found.pairs] == ["row-2", "row-3", "row-4", "row-5"]


@pytest.mark.parametrize("first", ["Positive news cheers him.\tNegative news saddens him.", "Helping.\tWaiting."])
def test_a_first_row_of_prompts_is_a_pair(first):
    found = read_pasted(rows(first, *FOUR), "", "helping", "ignoring")
    assert len(found.pairs) == 5 and found.pairs[0].positive == first.split("\t")[0]


def test_cells_are_quoted_as_spreadsheets_do():
    text = rows('"He says ""go"", and runs."\tHe walks.', *FOUR[1:])
    assert read_pasted(text).pairs[0].positive == 'He says "go", and runs.'
    for sign in ",;":
        text = rows(*(f'"{a}{sign} now"{sign}{b}' for a, b in (line.split("\t") for line in FOUR)))
        assert read_pasted(text).pairs[0].positive == f"A horse gallops.{sign} now"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_a_mark_at_the_start_and_empty_cells_at_the_end_do_not_matter(end):
    text = "\ufeff" + end.join(f"{line}\t\t" for line in FOUR) + end
    assert read_pasted(text).pairs == read_pasted(rows(*FOUR)).pairs


def test_toml_is_what_the_file_would_be(moral_file):
    assert read_pasted(moral_file.read_text(encoding="utf-8"), "other", "x", "y") == load_prompt_set(moral_file)


# --- what is refused ---


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" \n ", "is empty"),
        (rows("one cell", *FOUR), "the first row has one cell only"),
        (rows(*FOUR, "a\tb\tc"), "row 5 has 3 cells, the first row 2"),
        (rows(*FOUR, "a"), "row 5 has no negative prompt"),
        (rows(*FOUR, "\tb"), "row 5 has no positive prompt"),
        ('""\t""\n\t', "is empty"),
        (rows("a, b, c", "d, e"), "row 1 has 3 cells, separated by commas, not 2"),
        (rows("id,category,a,b"), "row 1 has 4 cells"),
        (rows(*(f"p{i}\tpace\t{line}" for i, line in enumerate(FOUR))), "row 1 has 4 cells, separated by tabs, not 2"),
        (rows("positive prompt\tnegative prompt\tid", *FOUR), "row 1 has 3 cells"),
        (rows("positive\tother", *FOUR), "row 1 names columns, but none is 'negative'"),
        (rows("positive\tnegative\tcolour", *FOUR), "row 1 names an unknown column 'colour'"),
        (rows("positive\tnegative\tpositive", *FOUR), "row 1 names the column 'positive' twice"),
        (rows(*FOUR, '"a\tb'), "row 5 cannot be read (unexpected end of data)"),
        (rows(*FOUR, 'a\t"b" c\td'), "row 5 cannot be read"),
        (rows(*FOUR, "same\tsame"), "row 5: both prompts are the same"),
        (rows(*FOUR, FOUR[0]), "'row-5' repeats 'row-1'"),
        (rows("id\tpositive\tnegative", *(f"x\t{line}" for line in FOUR)), "the id 'x' stands twice"),
        (rows(*FOUR[:3]), "has 3 pairs; the statistics need at least 4"),
        (
            rows(*FOUR, f"{'x' * (MOST_LETTERS + 1)}\tb"),
            "row 5: the positive prompt has 1,001 characters; at most 1,000",
        ),
        (rows(*(f"a{i}\tb{i}" for i in range(MOST_PAIRS + 1))), "has 201 pairs; at most 200"),
        (rows(*FOUR) + " " * MOST_BYTES, "has 200 kB; at most 200 kB"),
        (rows(*FOUR, "a\u202eb\tb"), "row 5: the positive prompt holds the control character U+202E"),
        (rows(*FOUR, 'a\t"b\nc"'), "row 5: the negative prompt holds the control character U+000A"),
        (rows(*FOUR, "a\t\ud800"), "signs that are no text"),
        ("[[pair]]\nx = " + "[" * 5000, "is not valid TOML"),
        ("[[pair]]\nx = " + "1" * 5000, "is not valid TOML"),
        ("[[pair]]\nid = 'x'", "'name' is missing"),
    ],
)
def test_what_is_no_set_is_refused_with_its_row(text, said):
    assert said in refused(text)


def test_a_long_paste_of_nothing_is_refused_at_once():
    """A pattern that looks for its beginning again at every line would take minutes here."""
    assert "has 1 pair;" in refused("\n" * 100_000 + "a\tb")


def test_names_are_held_to_the_limits_as_well(moral_file):
    assert "both sides are called 'x'" in refused(rows(*FOUR), "", "x", "x ")
    assert "the title has 61 characters; at most 60" in refused(rows(*FOUR), "x" * 61)
    assert "the positive side's name has 61" in refused(rows(*FOUR), "", "x" * 61)
    text = moral_file.read_text(encoding="utf-8").replace("Maria stands", "Maria" + " x" * 600)
    assert "pair 1 (rolling-oranges): the positive prompt has 1," in refused(text)


CELLS = st.text(st.sampled_from('ab\t\n\r,;"[] =#\u2028\u202e\x00\ufeff\ud800é'), max_size=6)
TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(st.lists(CELLS, min_size=1, max_size=4).map("\t".join), max_size=8).map("\n".join),
    st.lists(st.lists(CELLS, min_size=1, max_size=4).map(",".join), max_size=8).map("\r\n".join),
    st.text(max_size=80).map(lambda text: f"[[pair]]\n{text}"),
)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.tuples(*[st.text(max_size=5)] * 3))
def test_nothing_comes_of_a_paste_but_a_set_or_an_error(text, names):
    try:
        found = read_pasted(text, *names)
    except PromptError:
        return
    assert isinstance(found, PromptSet) and len(found.sha256) == 64 and 4 <= len(found.pairs) <= MOST_PAIRS
    assert found.positive != found.negative and found.name and found.title


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text("ab, ;\"'\té", min_size=1, max_size=9).filter(str.strip)), min_size=4, max_size=9))
def test_what_a_spreadsheet_writes_comes_back(cells):
    import csv
    import io

    out = io.StringIO()
    pairs = [(f"{i}{cell.strip()}".replace("\t", " "), f"no {i}") for i, (cell,) in enumerate(cells)]
    csv.writer(out, "excel-tab").writerows(pairs)
    assert [(pair.positive, pair.negative) for pair in read_pasted(out.getvalue()).pairs] == pairs
