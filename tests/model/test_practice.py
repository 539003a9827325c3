"""The practice model, the picture book: found by name and folder, loaded, probed and named, and its untrained twin."""

import json
import shutil

import pytest
import torch
from diffusers import DiffusionPipeline

import plantain
from plantain.models import sources
from plantain.models.drawing import text_tokens
from plantain.models.load import PhasedPipeline, default_model, identify
from plantain.models.picture_book import folder as places
from plantain.models.picture_book.folder import SETTINGS, Drawing
from plantain.models.picture_book.make import write_twin
from plantain.models.sources import ModelError, drawing_of, prompts_model
from plantain.models.stand_in import WEIGHTS_MARK
from plantain.probe.denoising import encode
from plantain.probe.runner import ProbeConfig
from plantain.probe.tokens import tokenize
from plantain.prompts.sets import PromptPair, PromptSet

PAIRS = tuple(
    PromptPair(f"pair-{i}", "hungry", f"{who} feeds Ben, who is hungry.", f"{who} watches Ben, who is hungry.")
    for i, who in enumerate(("Ana", "Eva", "Ida", "Tom"))
)

CONFIG = ProbeConfig(n_permutations=20, n_splits=4)

SMALL = PromptSet("small", "Small", "helping", "ignoring", PAIRS, model="picture-book")


@pytest.fixture(scope="module")
def loaded(book):
    return PhasedPipeline(str(book), "cpu").load_both()


@pytest.fixture(scope="module")
def run(loaded):
    return plantain.run_probe(loaded, SMALL, CONFIG)


@pytest.fixture(scope="module")
def twin(book, tmp_path_factory):
    return write_twin(tmp_path_factory.mktemp("twin") / "twin", model=str(book))


@pytest.fixture
def shipped(book, monkeypatch):
    """The made book as if it were the shipped one."""
    monkeypatch.setattr(places, "MODELS", book.parent)


@pytest.fixture
def copy(book, tmp_path):
    return shutil.copytree(book, tmp_path / "copy")


def test_it_is_the_default_without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_model() == "picture-book"


@pytest.mark.parametrize("model", ["picture-book", "models/picture-book"])
def test_its_name_finds_it_from_any_folder(model, shipped, book, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        places, "MODELS", shutil.copytree(book, tmp_path / "elsewhere" / "models" / "picture-book").parent
    )
    assert prompts_model(model) == "picture-book" and drawing_of(model) == Drawing(64, 20, 2.0)
    assert sources.transformer_config(model)["num_single_layers"] == 6
    pipe = plantain.load_pipeline(model, device="cpu")
    assert identify(pipe).info.model == "picture-book"


@pytest.mark.parametrize("ask", [plantain.load_pipeline, drawing_of, sources.transformer_config])
def test_where_it_is_not_shipped_this_is_said(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "MODELS", tmp_path)
    assert prompts_model("picture-book") == "picture-book"
    with pytest.raises(ModelError, match="make-model picture-book DIR"):
        ask("picture-book")


def test_it_is_a_practice_model_in_float32_with_40_tokens(loaded, book):
    info, pipe = loaded.info, loaded.pipe
    assert (info.weights, info.is_random, info.dtype, info.revision) == ("practice", False, "float32", None)
    assert (pipe.tokenizer_max_length, text_tokens(pipe)) == (40, 40)
    assert len(tokenize(pipe.tokenizer, "Ana feeds Ben.", text_tokens(pipe)).ids) == 40
    assert encode(pipe, ["Ana feeds Ben."]).shape == (1, 40, 192)
    assert next(plantain.load_pipeline(str(book), dtype="bfloat16").transformer.parameters()).dtype is torch.bfloat16


def test_a_probe_takes_its_size_and_names_it(run, twin):
    assert (run.info.size, run.info.weights, run.n_image_tokens) == (64, "practice", 16)
    assert int(run.sums.tokens[0, 0].sum()) == 40 + 16
    control = plantain.run_probe(plantain.load_pipeline(str(twin)), SMALL, CONFIG)
    assert (control.info.size, control.info.weights, control.info.layout) == (64, "untrained", run.info.layout)


def test_a_pipeline_of_plain_diffusers_is_probed_alike(loaded, run, book):
    pipe = DiffusionPipeline.from_pretrained(book, dtype=torch.float32)
    found = identify(pipe)
    assert found.info.fingerprint == loaded.info.fingerprint and pipe.tokenizer_max_length == 512
    other = plantain.run_probe(found, SMALL, CONFIG)
    assert other.capture_sha256 == run.capture_sha256 and other.info.size == 64


def test_the_twin_has_the_books_text_encoder_and_another_transformer(book, twin, loaded):
    theirs = PhasedPipeline(str(twin), "cpu").load_both()
    assert (theirs.info.weights, theirs.info.is_random) == ("untrained", True)
    assert prompts_model(str(twin)) == "picture-book" and drawing_of(str(twin)) == drawing_of(str(book))
    halves = [
        [getattr(m.pipe, half).parameters() for m in (theirs, loaded)] for half in ("text_encoder", "transformer")
    ]
    same, other = ([torch.equal(a, b) for a, b in zip(*half, strict=True)] for half in halves)
    assert all(same) and not all(other)
    again = write_twin(twin.with_name("again"), seed=1, model=str(book))
    weights = "transformer/diffusion_pytorch_model.safetensors"
    assert (again / weights).read_bytes() != (twin / weights).read_bytes()
    with pytest.raises(ModelError, match="exists already"):
        write_twin(twin, model=str(book))
    with pytest.raises(ModelError, match="is no picture book"):
        write_twin(twin.with_name("third"), model="tiny-random")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"no json", "cannot be used"),
        (b"[]", "does not say how to draw"),
        (b'{"drawing": {"size": 65, "steps": 20, "guidance": 2}}', "its size"),
        (b'{"drawing": {"size": 64, "steps": 1e9, "guidance": 2}}', "its steps"),
        (b'{"drawing": {"size": 64, "steps": 20, "guidance": "2"}}', "its guidance"),
        (b" " * (1 << 21), "too large"),
        (None, "cannot be read"),
    ],
)
def test_a_damaged_settings_file_is_refused(content, why, copy):
    (copy / SETTINGS).unlink()
    if content is not None:
        (copy / SETTINGS).write_bytes(content)
    with pytest.raises(ModelError, match=why):
        plantain.load_pipeline(str(copy))


def test_a_settings_file_in_a_folder_that_is_no_picture_book_is_ignored(copy):
    config = copy / "text_encoder" / "config.json"
    facts = json.loads(config.read_text())
    for mark in (None, "pretrained", ["practice"]):
        config.write_text(json.dumps(facts | {WEIGHTS_MARK: mark}))
        (copy / SETTINGS).write_text("{}")
        assert (prompts_model(str(copy)), drawing_of(str(copy))) == ("", None)
    config.write_text("[]")
    assert prompts_model(str(copy)) == ""


@pytest.mark.parametrize("model", ["tiny-random", "owner/model", "/no/such/folder", "models", ""])
def test_other_models_have_no_prompts_of_their_own(model):
    assert (prompts_model(model), drawing_of(model)) == ("", None)


def test_the_command_makes_a_twin_and_refuses_other_kinds_options(cli, shipped, tmp_path):
    code, out, _ = cli("make-model", "untrained-picture-book", tmp_path / "twin", "--seed", 3)
    assert code == 0 and f"--model {tmp_path / 'twin'} --prompts prompts/picture-book/moral.toml" in out
    assert json.loads((tmp_path / "twin" / SETTINGS).read_text())["seed"] == 3
    code, _, err = cli("make-model", "untrained-picture-book", tmp_path / "other", "--steps", 3)
    assert (code, err) == (2, "plantain: --steps goes with make-model picture-book\n")
    code, _, err = cli("make-model", "picture-book", tmp_path / "twin")
    assert code == 2 and "exists already" in err


def test_references_are_drawn_at_its_size_steps_and_guidance(cli, copy, tmp_path):
    (copy / SETTINGS).write_text('{"drawing": {"size": 64, "steps": 1, "guidance": 1.5}}')
    pair = '[[pair]]\nid = "{0.id}"\ncategory = "c"\npositive = "{0.positive}"\nnegative = "{0.negative}"\n'
    rows = "".join(map(pair.format, PAIRS))
    prompts = tmp_path / "few.toml"
    prompts.write_text(
        f'name = "few"\ntitle = "Few"\npositive = "helping"\nnegative = "ignoring"\nmodel = "picture-book"\n{rows}'
    )
    code, _, err = cli("make-references", prompts, tmp_path / "drawn", "--model", copy)
    assert code == 0, err
    made = json.loads((tmp_path / "drawn" / "references.json").read_text())
    assert (made["size"], made["steps"], made["guidance"]) == (64, 1, 1.5)
