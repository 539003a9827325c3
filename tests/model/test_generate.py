"""Reference images that the model draws: from the shared words alone, resumable, nobody's pictures are lost."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from plantain.models.load import PhasedPipeline, identify, load_pipeline
from plantain.probe.pictures.generate import MANIFEST, STYLES, GenerationConfig, make_references, shared_text
from plantain.probe.tokens import ProbeError
from plantain.prompts.sets import PromptPair

QUICK = GenerationConfig(2, 4.0, 64, seed=7)


@pytest.fixture(scope="module")
def painter():
    """The stand-in with its VAE, and the texts that it was asked to draw."""
    return identify(load_pipeline("tiny-random", images=True))


@pytest.fixture
def asked(painter, monkeypatch):
    texts, encode = [], type(painter.pipe).encode_prompt
    monkeypatch.setattr(
        type(painter.pipe),
        "encode_prompt",
        lambda self, prompt, *a, **k: texts.extend(prompt) or encode(self, prompt, *a, **k),
    )
    return texts


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.png")}


def test_the_shared_text_has_the_words_of_both_sides_and_no_other():
    pair = PromptPair("a", "c", "On the bridge, Ana helps the old man up.", "On the bridge, Ana passes the old man by.")
    assert shared_text(pair) == "On the bridge, Ana the old man ."
    swapped = PromptPair("a", "c", pair.negative, pair.positive)
    assert shared_text(swapped) == shared_text(pair)
    with pytest.raises(ProbeError, match="pair 'a': its two prompts share no word"):
        shared_text(PromptPair("a", "c", "Help!", "Wait!"))


def test_the_styles_are_the_pipelines_defaults_and_the_siblings(painter):
    import inspect

    defaults = inspect.signature(type(painter.pipe).__call__).parameters
    assert STYLES["klein"] == (defaults["num_inference_steps"].default, defaults["guidance_scale"].default)
    assert STYLES["siblings"] == (14, 4.0)


def test_every_pair_gets_what_the_pipeline_draws_of_its_shared_text(painter, whole, small_set, tmp_path):
    told = []
    assert make_references(painter, small_set, tmp_path / "refs", QUICK, lambda *step: told.append(step)) == 4
    assert told == [(i, 4) for i in range(5)]
    for pair in small_set.pairs:
        expected = whole(
            prompt=shared_text(pair), height=64, width=64, num_inference_steps=2, guidance_scale=4.0,
            generator=torch.Generator("cpu").manual_seed(7),
        ).images[0]  # fmt: skip
        got = Image.open(tmp_path / "refs" / f"{pair.id}.png")
        np.testing.assert_array_equal(np.asarray(got), np.asarray(expected))
    manifest = json.loads((tmp_path / "refs" / MANIFEST).read_text())
    assert manifest["model"] == "tiny-random" and manifest["guidance"] == 4.0
    assert manifest["texts"] == {pair.id: shared_text(pair) for pair in small_set.pairs}
    assert {f"{stem}.png" for stem in manifest["texts"]} == set(hashes(tmp_path / "refs"))


def test_broken_off_it_draws_only_what_is_missing(painter, small_set, tmp_path, asked):
    def stop(done, _total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_references(painter, small_set, tmp_path / "refs", QUICK, stop)
    before = hashes(tmp_path / "refs")
    assert len(before) == 2
    asked.clear()
    assert make_references(painter, small_set, tmp_path / "refs", QUICK) == 2
    assert [text for text in asked if text] == [shared_text(pair) for pair in small_set.pairs[2:]]
    assert hashes(tmp_path / "refs").items() > before.items()
    whole_run = tmp_path / "whole"
    make_references(painter, small_set, whole_run, QUICK)
    assert hashes(whole_run) == hashes(tmp_path / "refs")


def test_nobodys_pictures_are_drawn_over(painter, small_set, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / f"{small_set.pairs[0].id}.png").write_bytes(b"mine")
    with pytest.raises(ProbeError, match="is no folder of reference images"):
        make_references(painter, small_set, tmp_path / "mine", QUICK)
    make_references(painter, small_set, tmp_path / "refs", QUICK)
    with pytest.raises(ProbeError, match="drawn otherwise"):
        make_references(painter, small_set, tmp_path / "refs", GenerationConfig(3, 4.0, 64, seed=7))
    first, *others = small_set.pairs
    reworded = replace(small_set, pairs=(replace(first, positive=f"At noon {first.positive}"), *others))
    assert shared_text(reworded.pairs[0]) == shared_text(first)  # of the same scene
    assert make_references(painter, reworded, tmp_path / "refs", QUICK) == 0
    other_scene = replace(first, positive=f"At noon {first.positive}", negative=f"At noon {first.negative}")
    with pytest.raises(ProbeError, match="drawn otherwise"):
        make_references(painter, replace(small_set, pairs=(other_scene, *others)), tmp_path / "refs", QUICK)
    edited = tmp_path / "refs" / f"{small_set.pairs[1].id}.png"
    edited.write_bytes(b"edited by hand")
    assert make_references(painter, small_set, tmp_path / "refs", QUICK) == 0
    assert edited.read_bytes() == b"edited by hand"


@pytest.mark.parametrize(("size", "seed"), [(0, 0), (100, 0), (-64, 0), (32, 0), (64, -1), (64, 2**70)])
def test_settings_out_of_range_are_refused(size, seed):
    with pytest.raises(ProbeError, match="choose"):
        GenerationConfig(2, 4.0, size, seed)


def test_what_can_be_refused_is_refused_before_the_model_loads(cli, tmp_path, moral_file, monkeypatch):
    monkeypatch.setattr(PhasedPipeline, "load_both", lambda *_: pytest.fail("the model was loaded"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.png").write_bytes(b"x")
    for words, match in (
        ([moral_file, tmp_path / "mine"], "is no folder of reference images"),
        ([moral_file, tmp_path / "new", "--size", "0"], "size 0"),
        ([moral_file, tmp_path / "new", "--seed", "-1"], "seed -1"),
    ):
        code, _, error = cli("make-references", *words, "--model", "tiny-random")
        assert code == 2 and match in error
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", ["", "null", '{"model": NaN}', '{"model": 1, "model": 2}'])
def test_a_damaged_manifest_is_an_error_that_names_it(painter, small_set, tmp_path, content):
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / MANIFEST).write_text(content)
    with pytest.raises(ProbeError, match=MANIFEST):
        make_references(painter, small_set, tmp_path / "refs", QUICK)


def test_the_command_line_draws_and_probes_with_what_it_drew(cli, tmp_path, moral_file):
    few = tmp_path / "few.toml"
    head, *pairs = moral_file.read_text().split("[[pair]]")
    few.write_text("[[pair]]".join([head, *pairs[:4]]))
    code, said, _ = cli("make-references", few, tmp_path / "refs", "--model", "tiny-random", "--style", "siblings",
                        "--size", "64")  # fmt: skip
    assert code == 0 and "4 reference images, 4 of them drawn now" in said
    code, said, _ = cli("run", "--model", "tiny-random", "--prompts", few, "--size", "64", "--out", tmp_path / "run",
                        "--reference-set", tmp_path / "refs", "--low-memory")  # fmt: skip
    assert code == 0 and "4 reference images" in said
    code, _, error = cli("make-references", few, tmp_path / "refs", "--model", "tiny-random", "--size", "64")
    assert code == 2 and "drawn otherwise" in error
