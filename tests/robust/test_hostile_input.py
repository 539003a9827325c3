"""Texts and options of every kind, at the engine, over HTTP, at the command line: an answer, or one clear sentence."""

import json

import pytest
from asking import call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plantain import PlantainError
from plantain.cli import main
from plantain.models.load import identify
from plantain.prompts.sets import PromptError, load_prompt_set
from plantain.ui.engine import Engine, Status

HOSTILE = {
    "empty": "", "blank": " \t\n ", "one letter": "a",
    "emoji": "🌿", "family": "👩‍👩‍👧‍👦", "right to left": "עזרה \u202eabc",
    "nul": "a\0b", "controls": "a\x07\x1b[31mb\x7f", "lone surrogate": "a\ud800b", "combining": "e" + "\u0301" * 100,
    "html": "<b>bold</b><img src=x onerror=alert(1)>", "script": "</script><script>alert(1)</script>",
    "chat end": "stop <|im_end|> here", "chat start": "<|im_start|>system", "think": "<think>", "template": "{{ 7*7 }}",
    "jinja": "{% for x in y %}", "long": "word " * 130, "very long": "x" * 100_000, "newlines": "a\n" * 50,
    "format": "%s%n{0}", "sql": "'; DROP TABLE runs;--", "path": "../../etc/passwd", "bom": "\ufeffAnna helps.",
    "zero width": "\u200b", "filler": "\u3164\ufe0f", "private": "\ue000",
    "number": "1e400", "formula": "=1+1", "line sep": "a\u2028b",
}  # fmt: skip
FINE = "Anna waits at the door."
REFUSED = {
    "empty", "blank", "zero width", "filler", "private", "lone surrogate", "chat end", "chat start", "think",
    "long", "very long",
}  # fmt: skip


@pytest.fixture(scope="module")
def engine(pipe):
    engine = Engine("tiny-random")
    engine._loaded, engine._counter = identify(pipe), pipe.tokenizer
    engine._status = Status("ready", "")
    engine._settled.set()
    return engine


@pytest.mark.parametrize("name", HOSTILE)
def test_a_text_of_every_kind_is_scored_or_refused_before_a_pass(engine, moral_run, monkeypatch, name):
    passes = []
    on_device = engine.on_device
    monkeypatch.setattr(engine, "on_device", lambda *given: passes.append(1) or on_device(*given))
    if name in REFUSED:
        with pytest.raises(PlantainError) as caught:
            engine.probe_pair(moral_run, HOSTILE[name], FINE)
        assert not passes and "\n" not in str(caught.value) and len(str(caught.value)) < 300
    else:
        assert 0 < engine.probe_pair(moral_run, HOSTILE[name], FINE).p <= 1 and len(passes) == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_two_texts_are_a_result_or_a_sentence(engine, moral_run, positive, negative):
    said, result = "", None
    try:
        result = engine.probe_pair(moral_run, positive, negative)
    except PlantainError as error:
        said = str(error)
    assert (result is None) == bool(said) and "\n" not in said
    if result is not None:
        json.dumps(result.scores, allow_nan=False)
        assert 0 < result.p <= 1 and result.pair.positive != result.pair.negative


@pytest.mark.parametrize("size", [0, 63, 100, 10**9, -64, 2064])
def test_settings_out_of_range_are_refused_before_the_device_is_asked(engine, moral_set, monkeypatch, size):
    monkeypatch.setattr(engine, "on_device", lambda *_: pytest.fail("the device was asked"))
    if size:  # 0 is the device's default at the endpoint, and None here
        with pytest.raises(PlantainError, match="choose a multiple of 16"):
            next(engine.iter_probe(moral_set, size, 0))
    with pytest.raises(PlantainError, match="seed -1"):
        next(engine.iter_probe(moral_set, 64, -1))


# --- over HTTP ---------------------------------------------------------------------------------------------


# All that are refused, and of those that are scored the ones that mean something on the way.
@pytest.mark.parametrize(
    "name", [*sorted(REFUSED), "html", "script", "sql", "path", "formula", "format", "nul", "controls"]
)
def test_a_text_at_the_endpoint_is_an_answer_and_never_a_trace(app, name):
    kind, said = call(app[0], "probe_pair", ["tiny-random", HOSTILE[name], FINE])
    assert kind in ({"error", 400, 422} if name in REFUSED else {"complete"}), said[-300:]
    assert "Traceback" not in said and "plantain/" not in said


BAD_CALLS = [
    ("summary", ["../../etc", "card", "all"]), ("summary", [None, None, None]), ("summary", [["a"], {}, 1]),
    ("summary", ["tiny-random", "neurons", "all"]), ("summary", ["tiny-random", "text-heads", "image"]),
    ("summary", []), ("summary", ["tiny-random"] * 9), ("top_units", ["tiny-random", "heads", "all", -5, "nowhere"]),
    ("top_units", ["tiny-random", "heads", "all", 1e308, ""]),
    ("top_units", ["tiny-random", "heads", "all", "many", ""]),
    ("run_probe", [100, 0]), ("run_probe", [10**12, 0]), ("run_probe", [64, -1]), ("run_probe", ["64", "0"]),
    ("run_probe", [64, 10**30]), ("probe_pair", ["nowhere", "a b", "a c"]), ("nothing", []), ("summary", b"{"),
    ("summary", b"\xff\xfe"), ("summary", b"[" * 100_000), ("probe_pair", ["tiny-random", {"a": 1}, ["b"]]),
    ("intervene_pair", ["tiny-random", "nowhere", "top:10", "patch", "negative"]),
    ("intervene_pair", ["tiny-random", "rolling-oranges", "top:0", "patch", "negative"]),
    ("intervene_pair", ["tiny-random", "rolling-oranges", "random:99999999", "patch", "negative"]),
    ("intervene_pair", ["tiny-random", "rolling-oranges", "," * 100_000, "patch", "negative"]),
    ("intervene_pair", ["tiny-random", "rolling-oranges", "top:1", {"a": 1}, "negative"]),
    ("draw_pair", ["untrained-klein-4b", "rolling-oranges", "", "patch", "negative"]),
    ("draw_pair", ["tiny-random", None, "", "patch", "negative"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data"), BAD_CALLS, ids=range(len(BAD_CALLS)))
def test_a_bad_call_is_refused_and_the_next_one_is_answered(app, name, data):
    kind, said = call(app[0], name, data)
    assert kind != "complete", said
    assert "Traceback" not in said and "site-packages" not in said
    assert call(app[0], "list_runs", [])[0] == "complete"


def test_no_answer_left_a_trace_of_a_visitor_in_the_log(app):
    text = app[1].read_text()
    for name in ("html", "sql", "path", "formula"):
        assert HOSTILE[name] not in text


# --- files and the command line ----------------------------------------------------------------------------


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass"))))
def test_any_file_is_a_prompt_set_or_one_sentence(tmp_path, content):
    path = tmp_path / "any.toml"
    path.write_bytes(content)
    with pytest.raises(PromptError) as caught:
        load_prompt_set(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value).strip()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_words_at_the_command_line_end_with_2_and_one_line(tmp_path, capfd, data):
    words = st.text(st.characters(exclude_characters="\0"), max_size=12)
    options = (
        "--model",
        "--prompts",
        "--out",
        "--size",
        "--seed",
        "--seeds",
        "--steps",
        "--reference",
        "--units",
        "--x",
    )
    command = data.draw(
        st.sampled_from(["run", "report", "pair", "atlas", "make-references", "make-model", "pull", "x"])
    )
    line = [command]
    for _ in range(data.draw(st.integers(0, 3))):
        line += [data.draw(st.sampled_from(options)), data.draw(words)]
    line += data.draw(st.lists(words.filter(lambda w: w not in ("-h", "--help", "--h")), max_size=2))
    if any(word.startswith(("-h", "--h", "--v")) for word in line):
        return  # help and version are no errors
    before = sorted(tmp_path.iterdir())
    assert main(line) == 2, line
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("plantain: ") and err.count("\n") == 1, (line, err)
    assert sorted(tmp_path.iterdir()) == before
