"""Several processes share the pairs, and the run is that of one."""

import os
import subprocess
import sys

import pytest
from helpers import run_bytes

from plantain.models.load import own_device
from plantain.probe.distributed import ALONE, Distributed, find_distributed
from plantain.probe.tokens import ProbeError
from plantain.runs.io import load_run


@pytest.mark.parametrize("size", [1, 2, 3, 7, 30])
def test_every_pair_is_in_one_share(size):
    shares = [Distributed(rank, size).share(25) for rank in range(size)]
    assert sorted(i for share in shares for i in share) == list(range(25))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_without_a_launcher_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert find_distributed(None) is ALONE and ALONE.is_main and list(ALONE.share(3)) == [0, 1, 2]
    assert ALONE.gather([1, 2]) == [1, 2]


def test_processes_that_do_not_find_one_another_are_an_error(monkeypatch):
    import accelerate

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(accelerate, "PartialState", lambda cpu: Distributed(0, 1))
    monkeypatch.setattr(Distributed, "num_processes", 1, raising=False)
    with pytest.raises(ProbeError, match="2 processes were started, but 1 came together"):
        find_distributed("cpu")


@pytest.mark.parametrize(
    ("device", "cuda", "expected"),
    [
        ("cpu", True, "cpu"),
        (None, False, None),
        (None, True, "cuda:1"),
        ("cuda", True, "cuda:1"),
        ("cuda:3", True, "cuda:3"),
    ],
)
def test_every_process_has_a_cuda_device_of_its_own(monkeypatch, device, cuda, expected):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert own_device(device, 1) == expected


def launch(out, *more, **environment):
    accelerate = [sys.executable, "-m", "accelerate.commands.launch"]
    settings = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = ["run", "--model", "tiny-random", "--prompts", "prompts/moral_valence.toml", "--out", str(out)]
    return subprocess.run(
        [*accelerate, "--multi_gpu", "--num_processes", "2", *settings, "-m", "plantain", *command, "--device", "cpu",
         "--size", "64", *more],
        capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("more", [(), ("--low-memory",)])
def test_two_processes_make_the_run_of_one_to_the_bit(moral_run, tmp_path, more):
    done = launch(tmp_path / "run", *more)
    assert done.returncode == 0, done.stderr
    run = load_run(tmp_path / "run")
    assert run_bytes(run) == run_bytes(moral_run)
    assert run.pairs == moral_run.pairs and run.info.fingerprint == moral_run.info.fingerprint
    assert done.stdout.count("Look at it") == 1  # one speaks for both
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_both_refuse_what_one_refuses(tmp_path):
    (tmp_path / "run").mkdir()
    done = launch(tmp_path / "run")
    assert done.returncode != 0 and "exists already" in done.stderr
    assert list((tmp_path / "run").iterdir()) == []
