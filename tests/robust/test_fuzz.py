"""Random input, built like the right one: prompt files, calls of the endpoints, events of the page's own script.

What is right by a rule of its own here must be taken, everything else refused with a sentence; the page goes on.
"""

import json
import re

import pytest
from asking import ask, call
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from plantain.prompts.sets import MIN_PAIRS, NOTE_KEYS, ROLES, PromptError, is_blank, parse_prompt_set, same_text
from plantain.runs.scopes import UNITS, scopes_of

LEAK = re.compile(r"Traceback|site-packages|/plantain/|File \\?\"")  # what nobody outside is to see
POSTS = (
    "/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/call/summary", "/gradio_api/mcp/",
    "/gradio_api/call/v2/summary", "/gradio_api/run/predict", "/gradio_api/run/summary", "/gradio_api/api/top_units",
)  # fmt: skip
MARKUP = "<img src=x onerror=alert(1)>"
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CALM = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

# --- prompt files ------------------------------------------------------------------------------------------

_GOOD = {"name": "n", "title": "t", "positive": "p", "negative": "q"}
ODD = st.one_of(WORDS, st.integers(), st.booleans(), st.floats(allow_nan=False), st.lists(WORDS, max_size=2))


def toml(content):
    """Write what is in a prompt set; JSON's strings, numbers and lists are TOML's as well."""
    pairs = content["pair"]
    lines = [f"{json.dumps(key)} = {value(v)}" for key, v in content.items() if key != "pair"]
    for pair in pairs:
        lines += ["[[pair]]", *(f"{json.dumps(key)} = {value(v)}" for key, v in pair.items())]
    return "\n".join(lines)


def value(v):
    return json.dumps(v, ensure_ascii=False).replace("\x7f", "\\u007f")


@st.composite
def prompt_files(draw):
    """A right prompt set, then up to three changes: a value, a key that goes or comes, a pair that is there twice."""
    n = draw(st.sampled_from((MIN_PAIRS, MIN_PAIRS, MIN_PAIRS + 2, MIN_PAIRS - 1)))
    pairs = [{"id": f"{i}", "category": "c", "positive": f"does {i}", "negative": f"leaves {i}"} for i in range(n)]
    content = {**_GOOD, "pair": pairs}
    for _ in range(draw(st.sampled_from((0, 1, 1, 2, 3)))):
        table = draw(st.sampled_from([content, *pairs]))
        key = draw(st.sampled_from([k for k in table if k != "pair"] or ["new"]))
        match draw(st.sampled_from(["value", "words", "drop", "add", "twice"])):
            case "value":
                table[key] = draw(ODD)
            case "words":
                table[key] = draw(WORDS)
            case "drop":
                table.pop(key, None)
            case "add":
                table[draw(st.sampled_from(["about", "reading", "role", "more"]))] = draw(WORDS)
            case "twice":
                pairs.append(dict(draw(st.sampled_from(pairs))))
    return content


def is_right(content):
    """Tell by the rules of docs/prompts.md whether a prompt set is one."""
    pairs = content["pair"]
    texts = [v for table in (content, *pairs) for key, v in table.items() if key != "pair"]
    return (
        all(isinstance(text, str) and not is_blank(text) for text in texts)
        and {*_GOOD, "pair"} <= set(content) <= {*_GOOD, "pair", *NOTE_KEYS}
        and content.get("role", ROLES[0]).strip() in ROLES
        and all(set(pair) == {"id", "category", "positive", "negative"} for pair in pairs)
        and all(pair["positive"].strip() != pair["negative"].strip() for pair in pairs)
        and len({pair["id"].strip() for pair in pairs}) == len(pairs) >= MIN_PAIRS
        and same_text(content["positive"]) != same_text(content["negative"])
        and len({frozenset(map(same_text, (pair["positive"], pair["negative"]))) for pair in pairs}) == len(pairs)
    )


@settings(CALM, max_examples=300)
@given(prompt_files())
def test_a_prompt_file_is_taken_if_it_is_right_and_else_refused_with_a_sentence(content):
    try:
        found = parse_prompt_set(toml(content), "file")
    except PromptError as error:
        said = str(error)
        assert said.startswith("file: ") and "\n" not in said and not is_right(content), said
        event(re.sub(r"'[^']*'|\d+|\(.*\)", "…", said)[:60])
    else:
        assert is_right(content)
        event("taken")
        assert [pair.id for pair in found.pairs] == [pair["id"].strip() for pair in content["pair"]]


# --- endpoints ---------------------------------------------------------------------------------------------
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), WORDS, st.just(MARKUP)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=5,
)
RUNS = ("tiny-random", "untrained-klein-4b")
ALL_SCOPES = ("all", "image", "prompt", "words", "padding", "template", "reference")


def mostly(good):
    """Take one that is right, or now and then anything."""
    return st.integers(0, 7).flatmap(lambda i: st.sampled_from(good) if i else JSON)


CALLS = st.one_of(
    st.tuples(st.just("summary"), st.tuples(mostly(RUNS), mostly(UNITS), mostly(ALL_SCOPES))),
    st.tuples(
        st.just("top_units"),
        st.tuples(mostly(RUNS), mostly(UNITS), mostly(ALL_SCOPES), mostly((-1, 0, 1, 5, 10**9)), st.just("")),
    ),
    st.tuples(st.just("probe_pair"), st.tuples(mostly(RUNS), JSON, JSON)),
    st.tuples(st.just("run_probe"), st.tuples(JSON.filter(lambda v: type(v) is not int), JSON)),
    st.tuples(st.sampled_from(["summary", "top_units", "list_runs", "__init__", "a/b"]), st.lists(JSON, max_size=6)),
)


def is_answered(name, given):
    """Tell whether a call must be answered; None where the rule here does not know."""
    if name == "list_runs" and not given:
        return True
    if name not in ("summary", "top_units") or len(given) != {"summary": 3, "top_units": 5}[name]:
        return None
    run, units, scope = given[:3]
    known = all(isinstance(v, str) for v in (run, units, scope)) and run in RUNS and units in UNITS
    return known and scope in scopes_of(units) and (name == "summary" or (type(given[3]) is int and given[4] == ""))


@CALM
@given(CALLS)
def test_a_call_is_answered_if_it_is_right_and_else_refused(app, called):
    name, given = called
    kind, said = call(app[0], name, list(given))
    expected = is_answered(name, given)
    assert expected is None or (kind == "complete") is expected, (kind, said[-300:])
    assert not LEAK.search(said), said[-300:]
    event(f"{name}: {kind}")


@CALM
@given(st.one_of(st.binary(max_size=60), JSON.map(lambda v: json.dumps(v).encode())), st.sampled_from(POSTS))
def test_any_body_at_any_address_is_an_answer_without_a_trace(app, body, path):
    status, _, content = ask(app[0], path, "POST", body, {"content-type": "application/json"})
    assert 200 <= status < 600 and not LEAK.search(content.decode(errors="replace"))
    assert ask(app[0], "/health")[0] == 200


# --- the page's own events ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(app):
    """What the page's script may ask for without a pass: events, what a new page would send, the outputs' kinds."""
    config = json.loads(ask(app[0], "/config")[2])
    parts = {part["id"]: part for part in config["components"]}
    return [
        (
            found["id"],
            [parts[i]["props"].get("value") for i in found["inputs"]],
            [parts[i]["type"] for i in found["outputs"]],
        )
        for found in config["dependencies"]
        if found["backend_fn"] and not found["queue"]
    ]


@settings(CALM, max_examples=200)
@given(st.data())
def test_any_event_of_the_page_is_answered_or_refused_and_markup_is_text(app, page, data):
    number, start, kinds = data.draw(st.sampled_from(page))
    given = [data.draw(st.just(MARKUP) | JSON) if data.draw(st.integers(0, 3)) == 0 else v for v in start]
    body = json.dumps({"data": given, "fn_index": number, "session_hash": "fuzz"}).encode()
    status, _, content = ask(app[0], "/gradio_api/run/predict", "POST", body, {"content-type": "application/json"})
    assert not LEAK.search(content.decode())
    event(f"{status}")
    if status == 200:
        for kind, shown in zip(kinds, json.loads(content)["data"], strict=False):
            assert kind not in ("html", "markdown") or MARKUP not in json.dumps(shown)
    assert ask(app[0], "/health")[0] == 200
