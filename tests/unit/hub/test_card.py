"""A card's text: for arbitrary cards a section goes in once, and everything else stays byte for byte."""

import re

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plantain.hub.card import add_fields, lacks_fields, section_names, set_section

BODY = (
    "## Results\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```bash\npython -m plantain report runs/klein\n```\n\n"
    "<details><summary>More</summary>\n\nwords\n\n</details>"
)
FIELDS = {"base_model": "owner/model", "tags": ["interpretability", "plantain"]}
BEGIN, END = "<!-- plantain:begin klein -->", "<!-- plantain:end klein -->"

# Lines of which cards are made: markers whole, indented, broken, of another run; fences, front matter, headings.
LINES = st.sampled_from([
    BEGIN, END, f"  {BEGIN}  ", f"    {END}", f"> {BEGIN}", BEGIN.replace("klein", "other"),
    END.replace("klein", "other"), "```", "~~~~", "```python", "````", "   ```", "``` a`b", "---", "license: mit",
    "tags:", "- x", "base_model: mine", "a: [", "# Title", "## Results", "### More results", "## Limitations",
    "## License", "Ünïcode 🍌 words", "", "  ", "\ufeff", "\u2028", "| a |", "<!--", "-->", "\x00", "text\r",
    "{a: 1}", "key: |", "  block", "- ```bash", "1. ~~~", "  ```", "<details>", "</details>", "Results",
    "-------", "=====", "> quote", "- item", "<pre>", "</pre>", "[a]: <b", "<![CDATA[", "<?php",
])  # fmt: skip
ENDS = st.sampled_from(["\n", "\r\n", "\n", "\r"])
FRONTS = st.sampled_from(["license: mit", "tags:\n- x", "a: [", "", "b: |\n  c"])
CARDS = st.one_of(
    st.builds(
        lambda lines, last: "".join(line + end for line, end in lines) + last,
        st.lists(st.tuples(LINES, ENDS), max_size=14),
        st.sampled_from(["", "\n", END]),
    ),
    st.text(max_size=200),
    st.builds("---\n{}\n---\n{}".format, FRONTS, st.text(max_size=80)),
)


def without_section(card, name="klein"):
    """Cut the first section out, markers included, with the line ends around it."""
    begin, end = f"<!-- plantain:begin {name} -->", f"<!-- plantain:end {name} -->"
    notice = re.escape(begin) + r"\r?\n<!-- Written by plantain"
    start = re.search(notice, card).start()
    return card[:start], card[card.index(end, start) + len(end) :]


@settings(max_examples=800, deadline=None)
@given(CARDS)
@example(f"{BEGIN}\n{BEGIN}\nold\n{END}\n{END}\n")
@example(f"```\n{BEGIN}\n{END}\n")
@example(f"# T\r\n\r\n## Results\r\ntext\r\n## License\r\nx\r\n{END}\r\n{BEGIN}")
@example(f"text\n{BEGIN}\n<!-- plantain:end other -->\n{END}\n```\nnever closed")
def test_a_section_goes_in_once_and_all_other_text_stays(card):
    names = section_names(card)
    once = set_section(card, "klein", BODY)
    assert set_section(once, "klein", BODY) == once
    assert section_names(once).count("klein") == max(1, names.count("klein"))
    assert [n for n in section_names(once) if n != "klein"] == [n for n in names if n != "klein"]
    before, after = without_section(once)
    if "klein" in names:  # in the place of the old one
        assert card.startswith(before) and card.endswith(after)
        replaced = card[len(before) : len(card) - len(after)]
        assert re.fullmatch(re.escape(BEGIN) + r"(?s:.*)" + re.escape(END), replaced)
    else:  # nothing but line ends was added around it
        assert any(
            card == before[: len(before) - i] + after[j:]
            for i in range(5)
            for j in range(5)
            if not before[len(before) - i :].strip("\r\n") and not after[:j].strip("\r\n")
        )
    other = set_section(once, "klein", "## Other\n\nwords")
    assert without_section(other) == (before, after)


@settings(max_examples=800, deadline=None)
@given(CARDS)
def test_fields_are_added_once_and_all_other_text_stays(card):
    once = add_fields(card, FIELDS)
    assert add_fields(once, FIELDS) == once
    if once == card:
        return
    cut = next(i for i in range(len(once)) if i == len(card) or once[i] != card[i])
    assert any(once[:i] + once[i + len(once) - len(card) :] == card for i in range(cut + 1))  # one piece was put in
    front = re.match(r"\s*---[\r\n]+([\s\S]*?)[\r\n]+---(\r\n|\r|\n|$)", once)
    read = yaml.safe_load(front[1])
    assert all(key in read for key in FIELDS)
    old = re.match(r"\s*---[\r\n]+([\s\S]*?)[\r\n]+---(\r\n|\r|\n|$)", card)
    known = (yaml.safe_load(old[1]) or {}) if old else {}
    assert list(read)[: len(known)] == list(known) and all(
        read[key] == FIELDS[key] for key in FIELDS if key not in known
    )


@settings(max_examples=500, deadline=None)
@pytest.mark.robust
@given(CARDS)
@example("-------\n```\n")
@example("---\n\n---\r")
def test_rendering_a_whole_card_twice_is_rendering_it_once(card):
    def render(text):
        return set_section(add_fields(text, FIELDS), "klein", BODY)

    assert render(render(card)) == render(card)


# --- where a first section goes ----------------------------------------------------------------------------


CARD = "# moral\n\n## Thesis\nx\n\n## Results\nold table\n\n### Details\ny\n\n## Status\nz\n\n## License\nApache\n"


def place(card, name="klein"):
    """Return the line after a newly set section."""
    _, after = without_section(set_section(card, name, BODY), name)
    return after.strip().split("\n")[0]


@pytest.mark.parametrize(
    ("card", "line"),
    [
        (CARD, "## Status"),  # after the whole of the results
        (CARD.replace("## Results", "## Findings"), "## Status"),
        ("# T\n\ntext\n\n## Limitations\n\nfew\n", "## Limitations"),
        ("# T\n\n```\n## License\n```\n\n## Citation\n", "## Citation"),
        ("# Results\n\ntext\n", ""),
        ("text\n```\n## License", "```"),  # a block that is never closed would swallow the section
        ("# T\n\n- ```bash\n  pip install x\n  ```\n\n## License\nApache\n", "## License"),
        ("# T\n\n<!--\n## License\n-->\n\ntext\n", ""),
        ("# T\n\nResults\n-------\n\nold\n\nLicense\n-------\n", "License"),
        ("# T\n\n<!-- never closed\n\ntext", "<!-- never closed"),
        (set_section(CARD, "other", BODY), "## Status"),
    ],
)
def test_a_first_section_goes_to_a_sensible_place(card, line):
    assert place(card) == line


def test_sections_of_two_runs_stand_one_after_the_other_and_change_alone():
    both = set_section(set_section(CARD, "first", "one"), "second", "two")
    assert section_names(both) == ["first", "second"]
    assert set_section(both, "first", "changed") == both.replace("\none\n", "\nchanged\n")


def test_line_ends_are_the_cards():
    card = set_section(CARD.replace("\n", "\r\n"), "klein", BODY)
    assert "\n" not in card.replace("\r\n", "")


@pytest.mark.parametrize("card", ["---\n---\n# T\n\n---\nrest\n", "\ufeff---\na: b\n---\n", "---\na: [\n---\n"])
def test_what_only_looks_like_a_front_matter_is_left_and_known_as_lacking(card):
    assert add_fields(card, FIELDS) == card and lacks_fields(card, FIELDS)
    assert not lacks_fields(add_fields("# T", FIELDS), FIELDS)


@pytest.mark.parametrize("front", ["a: [", "- list", "just words", "{a: 1}", "text: 2020-13-45"])
def test_a_front_matter_to_which_nothing_can_be_added_is_left(front):
    card = f"---\n{front}\n---\n# T\n"
    assert add_fields(card, FIELDS) == card


def test_own_fields_keep_their_order_their_words_and_their_comments():
    card = "---\nlicense: mit # mine\ntags:\n  - a   \nbase_model: 'x/y'\n---\n\n# T\n"
    assert add_fields(card, FIELDS) == card
    less = card.replace("base_model: 'x/y'\n", "")
    assert add_fields(less, FIELDS) == less.replace("  - a   \n", "  - a   \nbase_model: owner/model\n")


def test_a_new_card_has_front_matter_and_a_title():
    card = add_fields("# Runs of plantain\n\nWords.\n", {"license": "apache-2.0", **FIELDS})
    assert card.startswith("---\nlicense: apache-2.0\n") and "\n# Runs of plantain\n\nWords.\n" in card
    assert add_fields(card, FIELDS) == card
