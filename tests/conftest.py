"""Shared by the tests: one stand-in pipeline, one run of the 25 pairs on it, and small made-up runs."""

import dataclasses
import os
import pickle
import shutil
import time

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for the network
os.environ["PLANTAIN_WARM"] = "off"  # no server computes what no test looks at
os.environ["OMP_NUM_THREADS"] = "1"  # tiny matrices are faster on one core; subprocesses get the same bits

from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import app_command, chromium, serving
from few import run_args, write_set
from filelock import FileLock
from loopback_hub import WRITER, loopback_hub
from made import small_run
from small_book import write_small_book

from plantain.cli import main
from plantain.models.load import load_pipeline
from plantain.models.stand_in import build_stand_in
from plantain.models.untrained import KLEIN_4B, Architecture
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.prompts.sets import PromptSet, load_prompt_set
from plantain.runs.io import save_run
from plantain.runs.run import Run

ROOT = Path(__file__).parents[1]
SECRET_TOKEN = "hf_" + "s" * 34  # must not be seen in any log
SIZE = 64  # the smallest image: 16 image tokens


SLOW = {"app", "model", "statistics", "robust"}
"""Folders that the README's test command leaves out, but for their smoke tests."""


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by mark
def pytest_collection_modifyitems(items):
    """Mark the tests of slow folders by their folder; those marked `smoke` stay with the fast ones."""
    for item in items:
        group = item.path.relative_to(ROOT / "tests").parts[0]
        if group in SLOW and item.get_closest_marker("smoke") is None:
            item.add_marker(group)


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """Return a function that makes something once for all workers of pytest-xdist: `once(name, make)`."""

    def shared(name, make):
        kept = tmp_path_factory.getbasetemp().parent / f"{name}.pickle"  # the folder of all workers of this session
        with FileLock(f"{kept}.lock"):
            if not kept.exists():
                part = kept.with_suffix(".part")
                part.write_bytes(pickle.dumps(make()))
                part.replace(kept)
            return pickle.loads(kept.read_bytes())

    return shared if "PYTEST_XDIST_WORKER" in os.environ else lambda _name, make: make()


@pytest.fixture(scope="session")
def pipe():
    """The stand-in as a probe loads it: 27 layers of its text encoder, no VAE. Tests that change it put it back."""
    return load_pipeline("tiny-random")


@pytest.fixture(scope="module")
def zero(tmp_path_factory):
    """The app as on ZeroGPU, started once for a file: what tests switch on they switch off; it takes time when idle."""
    pytest.importorskip("spaces")
    from scheduler import FEW, emulated

    with emulated(tmp_path_factory.mktemp("zero"), PAIRS=str(FEW)) as zero:
        yield zero


@pytest.fixture(scope="session")
def book(tmp_path_factory) -> Path:
    """The folder of a picture book that was hardly trained, written once for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "picture-book"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            write_small_book(folder)
    return folder


@pytest.fixture(scope="session")
def whole():
    """The stand-in with everything: 28 layers, language-model head and VAE. Tests that change it put it back."""
    pipe = build_stand_in()
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="session")
def tiny() -> Architecture:
    """Klein's architecture in small: as many blocks and layers, little width."""
    return Architecture(
        transformer=KLEIN_4B.transformer | {
            "attention_head_dim": 32, "num_attention_heads": 4, "in_channels": 16, "joint_attention_dim": 96,
            "timestep_guidance_channels": 32, "axes_dims_rope": (8, 8, 8, 8),
        },
        text_encoder=KLEIN_4B.text_encoder | {
            "vocab_size": 261, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2,
            "num_key_value_heads": 1, "head_dim": 16,
        },
        vae={
            "latent_channels": 4, "block_out_channels": (8, 8, 8, 8), "layers_per_block": 1, "norm_num_groups": 4,
            "sample_size": 64,
        },
        scheduler=KLEIN_4B.scheduler,
    )  # fmt: skip


@pytest.fixture(scope="session")
def moral_file() -> Path:
    return ROOT / "prompts" / "moral_valence.toml"


@pytest.fixture(scope="session")
def moral_set(moral_file) -> PromptSet:
    return load_prompt_set(moral_file)


@pytest.fixture(scope="session")
def small_set(moral_set) -> PromptSet:
    """The first four pairs, the fewest that a run can have."""
    return PromptSet("small", "Small", "helping", "ignoring", moral_set.pairs[:4])


@pytest.fixture(scope="session")
def finished(once, pipe, moral_set) -> tuple[Run, list[tuple[int, int]]]:
    """The run of the 25 pairs, and what its progress was told."""

    def make():
        told: list[tuple[int, int]] = []
        return run_probe(pipe, moral_set, ProbeConfig(size=SIZE), lambda *step: told.append(step)), told

    return once("finished", make)


@pytest.fixture(scope="session")
def moral_run(finished) -> Run:
    return finished[0]


@pytest.fixture(scope="session")
def other_run(once, pipe, moral_set) -> Run:
    """The same pairs with another seed."""
    return once("other", lambda: run_probe(pipe, moral_set, ProbeConfig(size=SIZE, seed=3)))


@pytest.fixture
def made_run():
    """Return a function that makes up a small run; another seed gives other numbers."""
    return small_run


@pytest.fixture(scope="session")
def app(tmp_path_factory):
    """Address and log of the app with the stand-in: one server for all tests that leave it as it was."""
    log = tmp_path_factory.mktemp("app") / "log"
    with serving(app_command(), log, PLANTAIN_MODEL="tiny-random", HF_TOKEN=SECRET_TOKEN) as url:
        yield url, log


@pytest.fixture(scope="session")
def url(app):
    """The address of that server."""
    return app[0]


@pytest.fixture(scope="module")
def browser():
    """A Chromium for each file of tests: while it runs, asyncio can do nothing else in this process."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on loopback that the hub library of this process talks to, as bob, who may write."""
    from huggingface_hub import close_session, constants

    from plantain.hub import repo

    with loopback_hub() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace("https://huggingface.co", served.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "home"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
        monkeypatch.setenv("HF_TOKEN", WRITER)
        monkeypatch.setattr(time, "sleep", lambda _: None)  # the hub library waits before it tries again
        _hurry(monkeypatch, repo, served)
        close_session()
        yield served
        close_session()


def _hurry(monkeypatch, repo, served) -> None:
    """Cut the patience of the hub library's client short for requests that the hub lets hang, and for no others.

    So a busy machine has all of its minute for an answer. A request without an end to its patience keeps waiting.
    """
    make_client = repo._client

    def hurry(request):
        if served.hangs(f"{request.method} {unquote(request.url.raw_path.decode())}"):
            patience = request.extensions["timeout"]
            patience |= {what: seconds and seconds * served.hurry for what, seconds in patience.items()}

    def hurried_client():
        client = make_client()
        client.event_hooks["request"].append(hurry)
        return client

    monkeypatch.setattr(repo, "_client", hurried_client)


@pytest.fixture(scope="session")
def saved_run(tmp_path_factory) -> Path:
    """The folder of a small run that may be published; tests copy it."""
    run = small_run()
    info = dataclasses.replace(run.info, model="owner/model", weights="pretrained", revision="a" * 40)
    return save_run(dataclasses.replace(run, info=info), tmp_path_factory.mktemp("saved") / "klein")


@pytest.fixture
def local_run(saved_run, tmp_path) -> Path:
    """A folder of the same run for one test."""
    return Path(shutil.copytree(saved_run, tmp_path / "mine" / "klein"))


@pytest.fixture(scope="module")
def prompts(tmp_path_factory) -> Path:
    """The file of a few pairs, which a run is through with in seconds."""
    return write_set(tmp_path_factory.mktemp("prompts") / "few.toml")


@pytest.fixture(scope="module")
def uninterrupted(prompts, tmp_path_factory) -> Path:
    """A run by the command line that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(run_args(prompts, out)) == 0
    return out


@pytest.fixture(scope="module")
def moral_folder(moral_run, tmp_path_factory) -> Path:
    """The saved run of the 25 pairs."""
    return save_run(moral_run, tmp_path_factory.mktemp("moral") / "run")


@pytest.fixture
def cli(capsys):
    """Return a function that runs a command and returns its exit code, stdout and stderr."""

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        assert WRITER not in said.out + said.err, "a token must not be shown"
        return code, said.out, said.err

    return call
