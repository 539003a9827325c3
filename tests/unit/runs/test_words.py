"""A set that is not in a model's words is refused before the model loads, with those that are."""

from dataclasses import replace

import pytest
from browser import ROOT

from plantain.cli import main
from plantain.findings.across_runs.study import TRAINED, plan_study
from plantain.models.picture_book.world import SIZE
from plantain.models.stand_in import build_stand_in
from plantain.probe.runner import run_probe
from plantain.prompts.sets import PromptError, first_set, load_prompt_set, shipped_sets
from plantain.runs import words
from plantain.runs.words import check_words, words_of

BOOK = "picture-book"
KLEIN = "black-forest-labs/FLUX.2-klein-base-4B"
TEMPO, MORAL = "prompts/tempo.toml", "prompts/picture-book/moral.toml"


def test_klein_takes_plain_sentences_the_picture_book_its_own_words_and_the_stand_in_both():
    tempo, moral = load_prompt_set(TEMPO), load_prompt_set(MORAL)
    assert [words_of(model) for model in (KLEIN, BOOK, "tiny-random")] == ["", BOOK, ""]
    for prompt_set, model in ((tempo, KLEIN), (moral, BOOK), (tempo, "tiny-random"), (moral, "tiny-random")):
        check_words(prompt_set, model)
    with pytest.raises(PromptError) as error:
        check_words(tempo, BOOK, "there")
    files = [f"prompts/{path.relative_to(ROOT / 'prompts').as_posix()}" for path, _ in shipped_sets(BOOK).values()]
    assert str(error.value) == (
        "there: is in plain sentences, and picture-book takes the words of picture-book. Sets that fit: "
        f"{', '.join(files)}."
    )
    with pytest.raises(PromptError) as error:
        check_words(moral, KLEIN)
    assert str(error.value).startswith(
        f"picture-book-moral: is in the words of picture-book, and {KLEIN} takes plain sentences. Sets that fit: "
        "prompts/attention.toml, prompts/colour.toml, "
    )
    assert "picture-book/" not in str(error.value) and str(error.value).count(".toml") == 16


def test_the_owner_of_a_set_is_told_how_it_says_its_words():
    own = replace(load_prompt_set(MORAL), name="mine", model="")
    with pytest.raises(PromptError, match='A set of your own in the words of picture-book says so: model = "pic'):
        check_words(own, BOOK)
    check_words(replace(own, model=BOOK), BOOK)


@pytest.mark.parametrize(
    "line",
    [
        f"run --model {BOOK} --prompts {MORAL} {TEMPO} --out OUT/runs",
        f"make-references --model {BOOK} {TEMPO} OUT/images",
        f"reproduce --model {BOOK} --prompts {TEMPO} --out OUT/study",
        f"reproduce --model {BOOK} --prompts {TEMPO} --out OUT/study --dry-run",
    ],
)
def test_commands_refuse_a_set_before_anything_is_loaded_or_made(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for command in ("run", "report", "references"):
        monkeypatch.setattr(f"plantain.cli.{command}.PhasedPipeline", None)  # whoever loads fails
    assert main(line.replace("OUT", str(tmp_path)).split()) == 2
    error = capsys.readouterr().err
    assert f"{TEMPO}: is in plain sentences, and picture-book takes" in error and MORAL in error
    assert not list(tmp_path.iterdir())


def test_a_pair_beside_a_run_in_other_words_is_refused_before_the_model_loads(monkeypatch, capsys):
    monkeypatch.setattr("plantain.cli.report.PhasedPipeline", None)
    pair = ["--positive", "Tall Ana feeds Ben.", "--negative", "Tall Ana teases Ben."]
    assert main(["pair", "precomputed/tiny-random", "--model", BOOK, *pair]) == 2
    error = capsys.readouterr().err
    assert "the run's prompt set, prompts/" in error
    assert "moral_valence.toml: is in plain sentences, and picture-book takes the words of picture-book." in error


def test_a_study_of_the_picture_book_is_of_its_own_sets_at_its_own_size():
    card, _, _, controls = plan_study(words=BOOK)
    assert card.parts[0].prompt_set.name == "picture-book-moral"
    names = [part.name for part in controls.parts]
    assert names == [f"controls/{path.stem}" for path, _ in shipped_sets(BOOK).values()] and len(names) == 8
    assert TRAINED == {BOOK: SIZE} and {part.conditions.size for part in (*card.parts, *controls.parts)} == {SIZE}
    assert plan_study(words=BOOK, size=128)[0].parts[0].conditions.size == 128


def test_from_python_the_moral_pairs_are_those_in_the_models_words(monkeypatch):
    asked = []

    class Enough(Exception):
        pass

    def stop(_model, prompt_set, *_):
        asked.append(prompt_set)
        raise Enough

    monkeypatch.setattr("plantain.probe.runner.plan_run", stop)
    pipe = build_stand_in()
    with pytest.raises(Enough):
        run_probe(pipe)
    with pytest.raises(Enough):
        run_probe(pipe, "picture-book/size")
    pipe.register_to_config(_name_or_path="some/book")
    monkeypatch.setattr(words, "prompts_model", lambda name: BOOK if name == "some/book" else "")
    with pytest.raises(Enough):
        run_probe(pipe)
    with pytest.raises(PromptError, match="tempo: is in plain sentences, and some/book takes the words of picture"):
        run_probe(pipe, "tempo")
    assert asked == [first_set(), load_prompt_set("picture-book/size"), first_set(BOOK)]
