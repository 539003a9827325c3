"""The picture book: what it draws, what the probe finds in it, and a training that is killed."""

import hashlib
import random
import signal
import subprocess
import sys
import textwrap
from statistics import median

import pytest
from browser import ROOT
from diffusers import Flux2KleinPipeline
from drawings import crossed, held_out_verbs, pictures, right, trained_verbs, unseen

from plantain.findings.held_out import held_out
from plantain.findings.new_pair import Way
from plantain.models.load import identify, load_pipeline
from plantain.models.picture_book.architecture import build_transformer
from plantain.models.picture_book.make import write_picture_book
from plantain.models.picture_book.reader import read
from plantain.models.picture_book.train import Recipe, draw_encoder, drawn
from plantain.models.picture_book.world import SIZE
from plantain.models.sources import ModelError
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.prompts.sets import load_prompt_set
from plantain.prompts.shipped import PROMPTS, RUNS
from plantain.report.new_pair import plain_sentence
from plantain.runs.io import load_run
from plantain.ui.engine import Engine
from plantain.ui.texts import PICTURE_BOOK_EXAMPLES

N_STEPS, KEPT_EVERY = 5, 2  # of each part

SCRIPT = textwrap.dedent(
    f"""
    import os, signal, sys
    from plantain.models.picture_book import train
    from plantain.models.picture_book.make import write_picture_book
    from plantain.models.picture_book.train import Recipe

    train.KEEP_EVERY = {KEPT_EVERY}
    recipe = Recipe(scenes=16, vae_steps={N_STEPS}, vae_batch=2, steps={N_STEPS}, batch=4)

    def progress(what, done, _):
        print(what, done, flush=True)
        if f"{{what}} {{done}}" == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)

    write_picture_book(sys.argv[1], recipe, progress=progress)
    """
)


def train(folder, kill_at=""):
    """Train in another process, which kills itself once it has written the line `kill_at`. Return what it wrote."""
    command = [sys.executable, "-c", SCRIPT, str(folder), kill_at]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == (-signal.SIGKILL if kill_at else 0), done.stderr[-2000:]
    return done.stdout.splitlines()


def digests(folder):
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.safe*")}


def test_the_first_example_goes_with_the_shipped_run_and_a_change_of_size_does_not():
    engine, run = Engine("picture-book"), load_run(RUNS / "picture-book-moral")
    engine.load()
    first, *_, last = (engine.ranked(run, *pair).result for pair in PICTURE_BOOK_EXAMPLES.values())
    assert first.comparable and first.way is Way.WITH
    assert plain_sentence(first) == "Your pair goes the same way as the run's pairs, farther than 20 of 25."
    assert last.way is Way.NEITHER and "chance alone reaches as far" in plain_sentence(last)


def test_a_training_that_is_killed_at_any_of_its_steps_ends_with_the_same_weights(tmp_path):
    part, step = random.choice(["VAE", "transformer"]), random.randrange(1, N_STEPS)
    train(tmp_path / "whole")
    train(tmp_path / "book", kill_at=f"training the {part} {step}")
    assert not (tmp_path / "book").exists()
    lines = train(tmp_path / "book")
    first = next(line for line in lines if line.startswith(f"training the {part}"))
    kept = step // KEPT_EVERY * KEPT_EVERY  # steps, when it was killed
    assert int(first.split()[-1]) == kept + 1, f"killed at {step}"
    assert digests(tmp_path / "book") == digests(tmp_path / "whole"), f"killed at step {step} of the {part}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book", "whole"]


def test_a_training_that_was_begun_from_another_recipe_is_not_thrown_away(tmp_path):
    begun = tmp_path / "book.unfinished"
    begun.mkdir()
    (begun / "recipe.json").write_text("{}")
    (begun / "vae.safetensors").write_bytes(b"hours of work")
    with pytest.raises(ModelError, match="book.unfinished: holds a model of other settings .*recipe.*--overwrite"):
        write_picture_book(tmp_path / "book", Recipe(scenes=16))
    assert (begun / "vae.safetensors").read_bytes() == b"hours of work"


# --- what the shipped model draws ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def book():
    return load_pipeline("picture-book", device="cpu", images=True)


@pytest.fixture(scope="module")
def twins(book):
    """The same model with transformers that have learned nothing; the first is the one that training began with."""
    transformers = [drawn(build_transformer, seed, "transformer").eval().requires_grad_(False) for seed in range(3)]
    shared = book.scheduler, book.vae, book.text_encoder, book.tokenizer
    return [Flux2KleinPipeline(*shared, transformer) for transformer in transformers]


def test_the_program_in_the_models_readme_draws_what_it_says(monkeypatch):
    readme = (ROOT / "models" / "picture-book" / "README.md").read_text(encoding="utf-8")
    program = readme.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(ROOT)
    names = {}
    exec(program, names)
    reading = read(names["picture"])
    assert (reading.act, reading.actor, reading.other, reading.need) == ("helps", "Ana", "Ben", "apple")
    assert reading.tall and reading.near and reading.facing and reading.place == "park"


def test_captions_that_training_has_not_seen_are_drawn_right(book):
    captioned = unseen(trained_verbs, 50, seed=1, recipe=Recipe())
    shares = right(captioned, pictures(book, [text for _, text in captioned]))
    assert shares["act"] >= 0.92, shares
    assert min(shares["place"], shares["actor"]) >= 0.95, shares


@pytest.mark.parametrize(("draw", "least"), [(held_out_verbs, 0.88), (crossed, 0.85)])
def test_acts_are_drawn_right_by_verbs_held_out_and_with_distance_and_look_at_random(book, draw, least):
    captioned = unseen(draw, 50, seed=2, recipe=Recipe())
    shares = right(captioned, pictures(book, [text for _, text in captioned]))
    assert shares["act"] >= least, shares


def test_the_reader_cannot_tell_what_the_twin_draws(twins):
    captioned = unseen(trained_verbs, 20, seed=3, recipe=Recipe())
    readings = [read(picture) for picture in pictures(twins[0], [text for _, text in captioned])]
    assert sum(reading is None for reading in readings) >= 18


# --- what the probe finds -----------------------------------------------------------------------------------


def shipped(name):
    return load_run(RUNS / f"picture-book-{name}")


@pytest.mark.parametrize("name", ["moral", "moral-crossed", "replication"])
def test_helping_is_told_in_the_trained_model(name):
    assert held_out(shipped(name)).k >= 23


@pytest.fixture(scope="module")
def strangers(book):
    """Twins whose random text encoders differ too: the three first of the forty of docs/picture-book.md."""
    found = []
    for seed in range(1, 4):
        encoder = draw_encoder(book.tokenizer, seed)
        transformer = drawn(build_transformer, 1000 + seed, "transformer").eval().requires_grad_(False)
        found.append(Flux2KleinPipeline(book.scheduler, book.vae, encoder, book.tokenizer, transformer))
    return found


def told_by(pipes, name):
    """Count the held-out pairs that are told right in each, by magnitudes and by directions."""
    prompt_set = load_prompt_set(f"picture-book/{name}")
    found = [held_out(run_probe(pipe, prompt_set, ProbeConfig(size=SIZE))) for pipe in pipes]
    return [each.magnitudes.k for each in found], [each.k for each in found]


@pytest.mark.parametrize("name", ["moral", "replication", "paraphrase"])
def test_nothing_is_told_in_twins_with_any_text_encoder(strangers, name):
    told, directed = told_by(strangers, name)
    assert max(told) <= 17 and 8 <= median(told) <= 16, told
    assert 8 <= median(directed) <= 16, directed


@pytest.mark.parametrize(("name", "known"), [("moral", 16), ("replication", 19), ("paraphrase", 13)])
def test_the_twins_with_the_shipped_text_encoder_are_as_the_docs_say(twins, name, known):
    told, directed = told_by(twins, name)
    assert abs(told[0] - known) <= 1 and median(told) <= 17, told  # these words lean by chance: docs/picture-book.md
    assert directed[0] <= 17 and median(directed) <= 17, directed


def test_two_verbs_of_one_side_are_not_told_apart():
    assert held_out(shipped("paraphrase")).k <= 17


@pytest.mark.parametrize("path", sorted((PROMPTS / "picture-book").glob("*.toml")), ids=lambda path: path.stem)
def test_a_shipped_run_is_of_the_shipped_model_and_set(path, book):
    info = shipped(path.stem.replace("_", "-")).info
    assert (info.weights, info.prompts_sha256) == ("practice", load_prompt_set(path).sha256)
    assert info.fingerprint == identify(book).info.fingerprint
