"""Prompt sets in tables: every right CSV and TSV, Excel's too, is the same set as in TOML; a wrong one says all."""

import csv
import io

import pytest

from plantain.prompts.pasted import read_pasted
from plantain.prompts.sets import PromptError, PromptPair, load_prompt_set

PAIRS = [
    ("Anna hands the clerk a coin.", "Anna denies the clerk a coin."),
    ('Ben says "yes, of course", and waves.', 'Ben says "no, of course", and waves.'),
    ("Caro waits; the bus comes.", "Caro leaves; the bus comes."),
    ("Dan's dog sits.", "Dan's dog runs."),
    ("Eva lifts a 5\" plate.", "Eva drops a 5\" plate."),
]  # fmt: skip

FULL = [
    {
        "id": f"p{i}",
        "category": "c",
        "positive": a,
        "negative": b,
        "kind": "neglect",
        "role": "control" if i == 2 else "",
    }
    for i, (a, b) in enumerate(PAIRS)
]


def written(rows, **dialect):
    out = io.StringIO()
    csv.writer(out, **dialect).writerows(rows)
    return out.getvalue()


def loaded(tmp_path, content, name="own.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_prompt_set(path)


# --- what is right ---


DIALECTS = {
    "comma": {},
    "semicolon": {"delimiter": ";"},
    "tab": {"delimiter": "\t"},
    "all quoted": {"quoting": csv.QUOTE_ALL},
    "all quoted, semicolon": {"quoting": csv.QUOTE_ALL, "delimiter": ";"},
    "unix line ends": {"lineterminator": "\n"},
    "old line ends": {"lineterminator": "\r"},
    "backslashes": {"doublequote": False, "escapechar": "\\", "quoting": csv.QUOTE_ALL},
    "tabs without marks": {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None},
}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@pytest.mark.parametrize("mark", ["", "\ufeff", "utf-16"])
def test_a_table_is_the_set_whatever_wrote_it(tmp_path, dialect, mark):
    text = written([list(FULL[0]), *([row[key] for key in FULL[0]] for row in FULL)], **dialect)
    content = text.encode("utf-16") if mark == "utf-16" else (mark + text).encode()
    found = loaded(tmp_path, content)
    assert [(p.id, p.category, p.positive, p.negative, p.kind) for p in found.pairs] == [
        (row["id"], "c", row["positive"], row["negative"], "neglect") for row in FULL
    ]
    assert (found.name, found.title, found.role) == ("own", "own", "control")
    assert (found.positive, found.negative) == ("positive", "negative")


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_two_columns_without_names_are_pairs_on_the_page_as_well(tmp_path, dialect):
    text = written(PAIRS, **dialect)
    pasted, found = read_pasted(text), loaded(tmp_path, text, "own.tsv")
    assert pasted.pairs == found.pairs and [(p.positive, p.negative) for p in found.pairs] == PAIRS


@pytest.mark.parametrize(
    "first",
    [
        '"Ann waits; he runs",Ann runs',  # a semicolon inside quotation marks,
        'Ann waits; he runs,Ann runs; he waits',  # and outside
        '"Ann says ""a; b""",Ann runs',
        '"Ann waits, he runs", "Ann runs, he waits"',  # a blank after the separator,
        '"Ann waits, he runs" ,"Ann runs, he waits" ',  # and before it
        '"Ann waits, he runs" ; "Ann runs"',
    ],
)  # fmt: skip
def test_separators_and_blanks_near_quotation_marks_are_understood(first):
    sign = ";" if " ; " in first else ","
    rest = [f'"{a}"{sign}"{b}"' for a, b in (("Ola sits, here", "Ola stands, here"), ("Pia eats", "Pia sleeps"))]
    found = read_pasted("\n".join([first, *rest, f"Rui sings{sign}Rui hums"]))
    assert found.pairs[0].positive in ("Ann waits; he runs", "Ann waits, he runs", 'Ann says "a; b"')
    assert found.pairs[1] == PromptPair("row-2", "all", "Ola sits, here", "Ola stands, here")


def test_excels_line_about_the_separator_is_no_row():
    found = read_pasted("sep=;\r\n" + written(PAIRS, delimiter=";"))
    assert [(p.positive, p.negative) for p in found.pairs] == PAIRS


def test_columns_may_name_the_set_and_its_sides(tmp_path):
    head = "positive,negative,title,positive_name,negative_name,about\n"
    rows = "".join(f"does {i},leaves {i},{'Courage,brave,timid,why' if i == 0 else ',,,'}\n" for i in range(4))
    found = loaded(tmp_path, head + rows)
    assert (found.name, found.title, found.positive, found.negative, found.about) == (
        "own", "Courage", "brave", "timid", "why"
    )  # fmt: skip
    assert [pair.id for pair in found.pairs] == ["row-2", "row-3", "row-4", "row-5"]


def test_a_table_in_a_file_may_have_any_number_of_pairs(tmp_path):
    found = loaded(tmp_path, "".join(f"does {i},leaves {i}\n" for i in range(500)))
    assert len(found.pairs) == 500


# --- what is a name and no prompt ---

NAMES = ["positive_prompt,negative_prompt", "pos,neg", "Negative,Positive", "Positive Sentence,Negative Sentence"]


@pytest.mark.parametrize("head", NAMES)
@pytest.mark.parametrize("sign", [",", "\t", ";"])
def test_names_of_the_two_sides_are_understood(head, sign):
    body = "\n".join(
        f"{n} hands the clerk a coin.{sign}{n} denies the clerk a coin." for n in ("Ola", "Pia", "Rui", "Sam")
    )
    found = read_pasted(f"{head.replace(',', sign)}\n{body}")
    assert [p.id for p in found.pairs] == ["row-2", "row-3", "row-4", "row-5"]
    assert found.pairs[0].positive.split()[1] == ("denies" if head.startswith("Neg") else "hands")


OTHERS = ["sent_more,sent_less", "sentence_good,sentence_bad", "Good sentence,Bad sentence", "A,B", "x1,x2"]


@pytest.mark.parametrize("head", [*OTHERS, "more stereotypical sentence,less stereotypical sentence"])
@pytest.mark.parametrize("names", [("Ola", "Pia", "Rui", "Sam"), ("他", "她", "我", "你")])
def test_other_names_over_two_columns_are_never_a_pair(head, names):
    rows = [f"{n} hands the clerk a coin.,{n} denies the clerk a coin." for n in names]
    if not names[0].isascii():
        rows = [
            f"{n}在火车站帮助那位迷路的老人找到了回家的路。,{n}在火车站没有理会那位迷路的老人就走了。" for n in names
        ]
    with pytest.raises(PromptError, match="row 1 .* looks like names of columns"):
        read_pasted("\n".join([head, *rows]))


def test_short_prompts_are_no_names():
    assert len(read_pasted("a cat,a dog\nred,blue\nwarm tea,cold tea\nup,down").pairs) == 4
    four = "".join(f"He goes {i} up and rests,He goes {i} down and rests\n" for i in range(4))
    assert len(read_pasted(f"a man walks up the hill,a man walks down the hill\n{four}").pairs) == 5
    assert (
        len(read_pasted("up.,down.\n" + "\n".join(f"He goes {i} up.,He goes {i} down." for i in range(4))).pairs) == 5
    )


# --- all that is wrong, at once ---


def test_one_message_has_all_that_is_wrong_with_a_table(tmp_path):
    text = (
        "id,category,positive,negative,kind,role\n"
        "a,c,He runs.,He walks.,neglect,axis\n"
        "a,c,He sits.,He stands.,harm,control\n"
        "b,c,He eats.\n"
        "d,c,Same.,Same.,,\n"
        "e,c,One,Two,,,,more\n"
        "f,c,he RUNS,he walks!,,\n"
    )
    with pytest.raises(PromptError) as caught:
        loaded(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path}/own.csv: 6 faults: (1) ") and "\n" not in said
    for fault in (
        "row 3: the column 'role' holds 'control', a row before it 'axis'", "row 4 has no negative prompt.",
        "row 6 has 8 cells, the first row 6", "row 3: the kind 'harm' is unknown",
        "row 5: both prompts are the same", "pair 'f' repeats 'a'",
    ):  # fmt: skip
        assert fault in said, fault


def test_a_column_that_is_not_known_hides_no_other_fault(tmp_path):
    rows = "".join(f"p{i},He runs {i}.,He walks {i}.,glad\n" for i in range(4))
    with pytest.raises(PromptError) as caught:
        loaded(tmp_path, f"id,positive,negative,mood\n{rows}p3,He sits.,,sad\np2,He eats.,He fasts.,\n")
    said = str(caught.value)
    assert "3 faults: (1) row 1 names an unknown column 'mood'" in said and said.count("mood") == 1
    assert "row 6 has no negative prompt." in said and "the id 'p2' stands twice" in said


def test_very_many_faults_are_counted(tmp_path):
    with pytest.raises(PromptError, match=r"own.csv: 40 faults: .*\(20\) [^(]* … and 20 more$"):
        loaded(tmp_path, "positive,negative\n" + "".join(f"Same {i},Same {i}\n" for i in range(40)))


def test_what_excel_saves_otherwise_says_how_to_save(tmp_path):
    with pytest.raises(PromptError, match="is a spreadsheet. Save it as CSV in UTF-8"):
        loaded(tmp_path, b"PK", "own.xlsx")
    with pytest.raises(PromptError, match="is not a table in UTF-8 .* Save it as “CSV UTF-8”"):
        loaded(tmp_path, "Zoé runs,Zoé walks".encode("latin-1"))
