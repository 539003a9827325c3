"""Shared by the tests: one stand-in pipeline, one run of the 25 pairs on it, and small made-up runs."""

import dataclasses
import os
import pickle
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for the network
os.environ["OMP_NUM_THREADS"] = "1"  # tiny matrices are faster on one core; subprocesses get the same bits

from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pool
import pytest
from browser import app_command, chromium, serving
from filelock import FileLock
from loopback_hub import WRITER, loopback_hub

from plantain.cli import main
from plantain.models.load import load_pipeline
from plantain.models.stand_in import build_stand_in
from plantain.models.untrained import KLEIN_4B, Architecture
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.prompts.sets import PromptPair, PromptSet, load_prompt_set
from plantain.runs.capture import SumsOfSquares
from plantain.runs.info import PairRecord, RunInfo
from plantain.runs.io import save_run
from plantain.runs.run import Run
from plantain.runs.scopes import PLAIN_SCOPES, STREAM_SCOPES, recorded_scopes
from plantain.runs.units import Layout
from plantain.stats import draw_halves, draw_signs

ROOT = Path(__file__).parents[1]
SIZE = 64  # the smallest image: 16 image tokens


# The files that take longest, longest first: begun late, one of them would keep one of two workers busy on its own.
LONGEST = (
    "test_app_probe", "test_access", "test_zero_gpu_page", "test_app_takeaway", "test_app", "test_planted",
    "test_zero_gpu", "test_engine_probe", "test_phases", "test_stats_prediction", "test_app_visitor", "test_team",
    "test_stats_calibration", "test_pool_null", "test_hub_publish", "test_engine", "test_app_compare", "test_passes",
)  # fmt: skip


def pytest_configure(config):
    config.option.loadscopereorder = False  # pytest-xdist would begin with the files that have the most tests


def pytest_collection_modifyitems(items):
    place = {f"{name}.py": i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session", autouse=True)
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

    if "PYTEST_XDIST_WORKER" in os.environ:
        pool.once = shared
    return pool.once


@pytest.fixture(scope="session")
def pipe():
    """The stand-in as a probe loads it: 27 layers of its text encoder, no VAE. Tests that change it put it back."""
    return load_pipeline("tiny-random")


@pytest.fixture(scope="session")
def zero(tmp_path_factory):
    """The app as on ZeroGPU, started once for all tests of it; what they switch on they switch off."""
    pytest.importorskip("spaces")
    from scheduler import emulated

    with emulated(tmp_path_factory.mktemp("zero")) as zero:
        yield zero


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
    return _made_run


def _made_run(seed: int = 0, n_pairs: int = 4) -> Run:
    rng = np.random.default_rng(seed)
    layout = Layout(n_joint=1, n_single=2, n_heads=2, head_dim=32, mlp_dim=64, text_dim=48)
    streams = {
        stream: rng.uniform(1, 2, (2, n_pairs, len(recorded_scopes(stream, PLAIN_SCOPES)), layout.n_slices(stream)))
        for stream in STREAM_SCOPES
    }
    tokens = np.broadcast_to(np.array([25, 60, 427, 16]), (2, n_pairs, 4)).copy()
    pairs = tuple(
        PairRecord(PromptPair(f"pair-{i}", "any", f"Ünïcode {i} 🍌", f"Plain {i}"), 6 + i, 3) for i in range(n_pairs)
    )
    prompt_set = PromptSet("made-up", "Made up “×”", "yes", "no", tuple(record.pair for record in pairs))
    info = RunInfo(
        model="made-up", revision=None, weights="local", fingerprint="f" * 64, dtype="float32", device="cpu",
        size=SIZE, seed=seed, prompt_set="made-up", title="Made up “×”", positive="yes", negative="no",
        prompts_sha256=prompt_set.sha256, layout=layout, versions={"plantain": "0"}, date="2026-01-01T00:00:00+00:00",
        seconds=1.5,
    )  # fmt: skip
    sums = SumsOfSquares({s: values.astype(np.float32) for s, values in streams.items()}, tokens)
    return Run(info, pairs, sums, draw_signs(20, n_pairs, rng), draw_halves(10, n_pairs, rng))


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of the app with the stand-in, a server for each file of tests."""
    with serving(app_command(), tmp_path_factory.mktemp("app") / "log", PLANTAIN_MODEL="tiny-random") as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    """A Chromium for each file of tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on loopback that the hub library of this process talks to, as bob, who may write."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http as hub_http

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
        monkeypatch.setattr(hub_http.time, "sleep", lambda _: None)  # the library's and our own waits before a retry
        _hurry(monkeypatch, repo, served)
        hub_http.close_session()
        yield served
        hub_http.close_session()


def _hurry(monkeypatch, repo, served) -> None:
    """Cut the patience of the hub library's client short for requests that the hub lets hang, and for no others.

    So a busy machine has all of its minute for an answer. A request without an end to its patience keeps waiting.
    """
    make_client = repo.default_client_factory

    def hurry(request):
        if served.hangs(f"{request.method} {unquote(request.url.raw_path.decode())}"):
            patience = request.extensions["timeout"]
            patience |= {what: seconds and seconds * served.hurry for what, seconds in patience.items()}

    def hurried_client():
        client = make_client()
        client.event_hooks["request"].append(hurry)
        return client

    monkeypatch.setattr(repo, "default_client_factory", hurried_client)


@pytest.fixture(scope="session")
def saved_run(tmp_path_factory) -> Path:
    """The folder of a small run that may be published; tests copy it."""
    run = _made_run()
    info = dataclasses.replace(run.info, model="owner/model", weights="pretrained", revision="a" * 40)
    return save_run(dataclasses.replace(run, info=info), tmp_path_factory.mktemp("saved") / "klein")


@pytest.fixture
def local_run(saved_run, tmp_path) -> Path:
    """A folder of the same run for one test."""
    return Path(shutil.copytree(saved_run, tmp_path / "mine" / "klein"))


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
