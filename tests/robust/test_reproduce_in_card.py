"""The stages that stand beside the card's run, on the practice model: pictures, causal test, random transformers."""

import dataclasses
import json
import re
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from browser import ROOT

from plantain.cli import main, reproduce
from plantain.findings.across_runs import study
from plantain.findings.directions import beside_untrained
from plantain.findings.interventions import REGISTERED
from plantain.models.picture_book.folder import Drawing
from plantain.models.reservoir import write_reservoir
from plantain.probe import interventions
from plantain.probe.checkpoint import Checkpoint
from plantain.runs.attached.interventions import INTERVENTIONS, read_interventions
from plantain.runs.attached.pictures import picture_files, read_pictures
from plantain.runs.io import load_run

PAIRS = (0, 1, 5, 6, 10, 11)  # two of each of three categories

SHORT = dataclasses.replace(REGISTERED, n_redraws=3)  # the registered test with fewer redraws

MOST_ROWS = 6 * (2 + 2 * (1 + 2 * 3 + 8 + 1 + 1))  # chosen, redraws of two kinds, eight blocks, all heads, all MLP


@pytest.fixture(autouse=True)
def short(monkeypatch):
    for module in (reproduce, study):
        monkeypatch.setattr(module, "REGISTERED", SHORT)
    monkeypatch.setattr(reproduce, "drawing_of", lambda _model: Drawing(64, 2, 2.0))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Six pairs in the practice model's words, with the card's sides."""
    head, *pairs = (ROOT / "prompts" / "picture-book" / "moral.toml").read_text(encoding="utf-8").split("[[pair]]")
    head = head.replace('negative = "not helping"', 'negative = "ignoring"')
    path = tmp_path_factory.mktemp("own") / "six.toml"
    path.write_text("[[pair]]".join([head, *(pairs[i] for i in PAIRS)]), encoding="utf-8")
    return path


def words(own, out, stages, *more):
    where = ["--model", "picture-book", "--device", "cpu", "--prompts", str(own), "--out", str(out)]
    return ["reproduce", *where, "--stages", stages, *more]


@pytest.fixture(scope="module")
def card(own, tmp_path_factory):
    """A study whose card is done, and nothing in it."""
    out = tmp_path_factory.mktemp("card") / "study"
    assert main(words(own, out, "card")) == 0
    return out


@pytest.fixture
def begun(card, tmp_path):
    return Path(shutil.copytree(card, tmp_path / "study"))


@pytest.fixture
def passed(monkeypatch):
    """How many prompts go through the transformer for each pair that is changed."""
    rows, real = [], interventions.intervene_pair

    def counted(pipe, *more):
        rows.append(0)

        def count(_module, _args, kwargs):
            rows[-1] += len(kwargs["hidden_states"])

        hook = pipe.transformer.register_forward_pre_hook(count, with_kwargs=True)
        try:
            return real(pipe, *more)
        finally:
            hook.remove()

    monkeypatch.setattr(interventions, "intervene_pair", counted)
    return rows


def results(out):
    """Return the bytes of the causal test, its JSON without date and seconds."""
    files = {path.name: path.read_bytes() for path in (out / "card" / INTERVENTIONS).iterdir()}
    facts = json.loads(files["patch.json"])
    del facts["info"]["date"], facts["info"]["seconds"]
    return {**files, "patch.json": json.dumps(facts)}


def test_broken_off_in_cause_it_goes_on_and_ends_with_the_same_bytes(
    own, begun, card, cli, passed, monkeypatch, tmp_path
):
    other = tmp_path / "other"
    code, said, err = cli(*words(own, other, "cause"))  # brings the card along
    assert code == 0, err
    table = (other / "card.md").read_text(encoding="utf-8")
    assert "beside the card" in table and "the 10 heads that the other categories choose" in table
    whole, n = results(other), sum(passed)
    assert set(whole) == {"patch.json", "patch.safetensors"} and len(passed) == 6
    run = load_run(other / "card")
    (found,) = read_interventions(other / "card", run)
    assert (found.info.asked.heads, found.info.asked.ks, found.info.asked.n_redraws) == ("top:10", (10,), 3)
    # The price is that of what went through, and before the model is loaded what it is at most.
    assert re.search(rf"\| cause +\| .*? \| to do +\| 6 +\| ≤ {MOST_ROWS} ", said)
    assert f"patch: {n} prompts go through" in said and found.info.n_rows == n <= MOST_ROWS
    assert "the 10 heads that the other categories choose" in said
    assert "numbers say nothing about FLUX.2 Klein" in said and "Look at it: python -m plantain report" in said

    counting, done = interventions.intervene_pair, len(passed)

    def stopping(*given):
        if len(passed) == done + 2:
            raise KeyboardInterrupt
        return counting(*given)

    monkeypatch.setattr(interventions, "intervene_pair", stopping)
    code, _, err = cli(*words(own, begun, "card,cause"))
    assert code == 130 and "stopped. Repeat the command" in err and not read_interventions(begun / "card")
    monkeypatch.setattr(interventions, "intervene_pair", counting)
    code, said, err = cli(*words(own, begun, "card,cause"))
    assert code == 0, err
    assert re.search(r"\| cause +\| .*? \| to do, 2 pairs kept +\| 4 ", said)
    assert len(passed) == done + 6 and f"patch: {sum(passed[-4:])} prompts go through" in said
    assert results(begun) == whole and (begun / "card.md").read_text(encoding="utf-8") == table
    code, said, _ = cli(*words(own, begun, "card,cause"))
    assert code == 0 and "the model is not loaded" in said and len(passed) == done + 6 and "the 10 heads" in said


def test_pictures_are_drawn_and_expected_once(own, begun, cli, passed):
    code, said, err = cli(*words(own, begun, "card,pictures"))
    assert code == 0, err
    assert "Left out: cause (" in said and f"≤ {MOST_ROWS} passes" in said and "--stages cause,reservoir." in said
    n_passes = 2 * 6 * (1 + 2 * 2)  # expected, and two steps with guidance
    assert re.search(rf"\| pictures +\| .*? \| to do +\| 6 +\| {n_passes} .*\| 24 +\|", said)
    run = load_run(begun / "card")
    settings = read_pictures(begun / "card", run.info)
    assert sorted(one.kind for one in settings.pictures) == ["drawn"] * 12 + ["expected"] * 12
    assert (settings.size, settings.steps, settings.guidance, settings.edits) == (64, 2, 2.0, ())
    assert "12 drawn (64 px, 2 steps, guidance 2), 12 as expected at sigma 1" in said and not passed
    before = picture_files(begun / "card", run.info)
    one = settings.pictures[0]
    (begun / "card" / "images" / one.file).unlink()
    code, said, _ = cli(*words(own, begun, "pictures"))
    assert code == 0 and "1 picture drawn now" in said
    after = picture_files(begun / "card", run.info)
    assert {path: after[path] for path in after if path.endswith("webp")} == {
        path: before[path] for path in before if path.endswith("webp")
    }
    assert "the model is not loaded" in cli(*words(own, begun, "pictures"))[1]


def test_results_of_other_settings_are_refused_before_the_model_loads(own, begun, cli, monkeypatch):
    options = ("--heads", "top:1", "--random-sets", "1", "--redraws", "within", "--no-blocks")
    assert cli("intervene", begun / "card", *options)[0] == 0
    monkeypatch.setattr(reproduce, "load_model", None)
    before = results(begun)
    code, said, err = cli(*words(own, begun, "cause"))
    assert (code, said, err.count("\n")) == (2, "", 1) and "has a result patch of other settings" in err
    assert results(begun) == before
    assert "Left out: pictures (" in cli(*words(own, begun, "card", "--dry-run"))[1]


RESERVOIRS = ("reservoir-0", "reservoir-1", "reservoir-2")


def captured(out):
    files = ("capture.safetensors", "directions.safetensors")
    return {(name, file): (out / name / file).read_bytes() for name in RESERVOIRS for file in files}


@pytest.fixture(scope="module")
def behind(own, card, tmp_path_factory):
    """The study with its reservoirs, made in one go, and what it printed."""
    out = tmp_path_factory.mktemp("behind") / "study"
    shutil.copytree(card, out)
    with redirect_stdout(StringIO()) as said:
        assert main(words(own, out, "reservoir")) == 0
    return out, said.getvalue()


def test_the_cards_pairs_stand_beside_random_transformers_behind_the_same_text_encoder(behind, cli):
    out, said = behind
    run, runs = load_run(out / "card"), {name: load_run(out / name) for name in RESERVOIRS}
    assert "| reservoir | picture-book-moral, 64 px · seed 0; 3 random transformers behind" in said
    assert [found.info.weights for found in runs.values()] == ["reservoir"] * 3
    assert len({found.info.fingerprint for found in (run, *runs.values())}) == 4
    embeddings = {found.sums.streams["embedding"].tobytes() for found in (run, *runs.values())}
    assert len(embeddings) == 1  # one text encoder
    report = cli("report", out / "card")[1]
    for name, other in runs.items():
        found = beside_untrained(run, name, other)
        line = (
            f"Two pairs' directions have a cosine of {found.agreement:.3f} on average, and of {found.other:.3f} in the "
            f"random transformer of {name}: a difference of {found.difference:+.3f}"
        )
        assert line in said and line in report
        assert found.agreement > 0.4 > 2 * found.other
    assert not (out / "models").exists()  # they follow from their seeds


def test_broken_off_among_the_random_transformers_it_goes_on_without_the_model(own, begun, behind, cli, monkeypatch):
    save, loaded = Checkpoint.save, []
    load = reproduce.load_model

    def stopping(self, index, *more):
        save(self, index, *more)
        if self.folder.name.startswith("reservoir-1") and index == 3:
            raise KeyboardInterrupt

    def loading(options, *more):
        loaded.append(Path(options.model).name)
        return load(options, *more)

    monkeypatch.setattr(Checkpoint, "save", stopping)
    monkeypatch.setattr(reproduce, "load_model", loading)
    assert cli(*words(own, begun, "reservoir"))[0] == 130
    assert (begun / "models" / "reservoir-1").is_dir() and not (begun / "models" / "reservoir-0").exists()
    monkeypatch.setattr(Checkpoint, "save", save)
    code, said, err = cli(*words(own, begun, "reservoir"))
    assert code == 0, err
    assert re.search(r"\| reservoir +\| .*? \| 1 of 3 done, [34] pairs kept +\| [89] ", said)
    assert loaded == ["reservoir-0", "reservoir-1", "reservoir-1", "reservoir-2"]  # the card is done
    assert captured(begun) == captured(behind[0]) and not (begun / "models").exists()
    code, said, _ = cli(*words(own, begun, "reservoir"))
    assert code == 0 and "the model is not loaded" in said and len(loaded) == 4


@pytest.fixture
def lacking(behind, tmp_path):
    """The study with its reservoirs, but for the last one."""
    out = tmp_path / "lacking"
    shutil.copytree(behind[0], out)
    shutil.rmtree(out / "reservoir-2")
    return out


def test_a_transformer_of_another_seed_is_made_anew_and_in_the_cards_precision(own, behind, lacking, cli, monkeypatch):
    load, types = reproduce.load_model, []

    def loading(options, *more):
        types.append(options.dtype)
        return load(options, *more)

    monkeypatch.setattr(reproduce, "load_model", loading)
    write_reservoir(lacking / "models" / "reservoir-2", "picture-book", seed=0)  # the one of reservoir-0
    assert cli(*words(own, lacking, "reservoir"))[0] == 0
    assert captured(lacking) == captured(behind[0]) and not (lacking / "models").exists()
    assert types == [load_run(lacking / "card").info.dtype]


def test_what_a_kill_left_of_a_finished_reservoir_goes_and_what_is_none_stays(own, behind, tmp_path, cli):
    out = tmp_path / "study"
    shutil.copytree(behind[0], out)
    write_reservoir(out / "models" / "reservoir-0", "picture-book", seed=0)
    (out / "models" / "reservoir-1").mkdir()
    (out / "models" / "reservoir-1" / "notes.txt").write_text("mine")
    code, said, _ = cli(*words(own, out, "reservoir"))
    assert code == 0 and "the model is not loaded" in said
    assert [path.name for path in (out / "models").glob("*/*")] == ["notes.txt"]
    assert not (out / "models" / "reservoir-0").exists()


def test_finished_reservoirs_of_one_transformer_are_refused(own, lacking, cli):
    shutil.copytree(lacking / "reservoir-0", lacking / "reservoir-2")
    code, _, err = cli(*words(own, lacking, "reservoir"))
    assert code == 2 and "made by the same weights as another reservoir" in err and err.count("\n") == 1


def test_reservoirs_stand_beside_prompts_of_the_role_axis_alone(own, tmp_path, cli):
    path = tmp_path / "six.toml"
    path.write_text(own.read_text(encoding="utf-8").replace('role = "axis"\n', ""), encoding="utf-8")
    code, _, err = cli(*words(path, tmp_path / "out", "reservoir"))
    assert code == 2 and 'write role = "axis" into' in err and err.count("\n") == 1


def test_a_control_has_no_text_encoder_of_its_own(own, cli, tmp_path):
    assert cli("make-model", "reservoir", tmp_path / "res", "--text-encoder", "picture-book")[0] == 0
    words = ("reproduce", "--model", tmp_path / "res", "--prompts", own, "--out", tmp_path / "out")
    code, _, err = cli(*words, "--stages", "reservoir")
    assert code == 2 and "needs a model with a text encoder of its own" in err and err.count("\n") == 1
