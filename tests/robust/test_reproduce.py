"""The whole study on the stand-in: the same files after a kill in any stage, and from two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from browser import ROOT
from few import STUDY_SETS, write_sets
from offers import REPO

from plantain.findings.across_runs.study import TIMES
from plantain.models.untrained import write_untrained
from plantain.probe import trajectory
from plantain.probe.checkpoint import Checkpoint
from plantain.prompts import sets
from plantain.runs.io import load_run

PARTS = ("card", "seeds", *(f"controls/{name}" for name in STUDY_SETS))

_MAIN = f"""
import pathlib, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from plantain import _runtime
from plantain.prompts import sets
from plantain.cli import _terminate, main
sets.SHIPPED = pathlib.Path(sys.argv.pop(1))
signal.signal(signal.SIGTERM, _terminate)
sys.exit(main())
"""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The folder of two small sets, in the place of those that are shipped."""
    return write_sets(tmp_path_factory.mktemp("sets") / "prompts")


@pytest.fixture
def small_sets(shipped, monkeypatch):
    monkeypatch.setattr(sets, "SHIPPED", shipped)
    sets.known_sets.cache_clear()
    yield
    sets.known_sets.cache_clear()


def study(model, out, *more):
    where = ["--model", str(model), "--size", "64", "--device", "cpu", "--out", str(out)]
    return ["reproduce", *where, "--stages", "card,seeds,controls", *more]  # the later times take long: their own test


@pytest.fixture(scope="module")
def by_two(shipped, tmp_path_factory):
    """A study that nothing disturbed, by two processes, and what they printed."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "main.py").write_text(_MAIN)
    settings = "--num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0".split()
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", *settings]
    command = [*launch, str(folder / "main.py"), str(shipped), *study("tiny-random", folder / "study")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "study", done.stdout


def kept(out: Path, part: str) -> int:
    return len(list((out / f"{part}.unfinished").glob("pair-*.safetensors")))


def content(out: Path) -> dict[str, bytes]:
    """Return all files of a study, run.json without its date, its seconds and its own hash."""
    paths = [path for path in out.rglob("*") if path.is_file() and path.name != ".plantain.lock"]
    files = {str(path.relative_to(out)): path.read_bytes() for path in paths}
    for name in [name for name in files if name.endswith("run.json")]:
        facts = json.loads(files[name])
        del facts["sha256"], facts["info"]["date"], facts["info"]["seconds"]
        files[name] = json.dumps(facts).encode()
    return files


def test_two_processes_share_the_study_and_one_speaks(by_two):
    out, said = by_two
    assert said.count("Look at it") == 3 and said.count("in all") == 1
    assert all(len(load_run(out / part).pairs) == 6 for part in PARTS)


@pytest.mark.parametrize("signs", [(signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)])
def test_killed_in_every_stage_it_ends_with_the_same_files(by_two, shipped, small_sets, cli, tmp_path, signs):
    out = tmp_path / "study"
    for part, sign in zip(("card", "seeds", "controls/tempo"), signs, strict=True):
        process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, str(shipped), *study("tiny-random", out)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        limit = time.monotonic() + 200
        while kept(out, part) < 2:
            assert process.poll() is None and time.monotonic() < limit, process.stdout.read()
            time.sleep(0.005)
        process.send_signal(sign)
        said = process.communicate(timeout=60)[0].decode()
        assert process.returncode == (143 if sign == signal.SIGTERM else -sign), said
        assert not (out / part).exists() and kept(out, part) >= 2, "killed in the midst of it"
        assert ("stopped. Repeat the command" in said) == (sign == signal.SIGTERM)
    code, said, err = cli(*study("tiny-random", out))
    assert code == 0, err
    assert "| controls | 2 prompt sets, 64 px · seed 0; then the atlas | 1 of 2 done" in said
    one, other = content(by_two[0]), content(out)
    assert sorted(one) == sorted(other) and not [name for name in one if "unfinished" in name]
    assert [name for name in one if one[name] != other[name]] == []
    assert {Path(name).parent.as_posix() for name in one} >= set(PARTS) and "card.md" in one
    assert sum(Path(name).name.startswith(".atlas-") for name in one) == 1


def test_the_stage_of_later_times_keeps_directions_whatever_the_others_keep(small_sets, cli, tmp_path, monkeypatch):
    monkeypatch.setattr(trajectory, "TRAJECTORY", 2)
    words = study("tiny-random", tmp_path / "study", "--stages", "times", "--directions", "off")
    code, said, err = cli(*words)
    assert code == 0, err
    assert load_run(tmp_path / "study" / "times").directions.times == TIMES[1:]
    assert "At time 0.1 the heads tell " in said and "weights are random" in said
    again = cli(*words)
    assert again[0] == 0 and "All of it is done" in again[1]


def test_pairs_that_a_kill_left_beside_a_finished_run_go(by_two, cli, small_sets):
    out, _ = by_two
    words, left = study("tiny-random", out, "--stages", "card"), out / "card.unfinished"
    run = load_run(out / "card").info
    settings = {
        "fingerprint": run.fingerprint, "dtype": run.dtype, "prompts_sha256": run.prompts_sha256, "references": {},
        "conditions": {"size": 64, "seeds": [0], "steps": 1, "mask_padding": False},
    }  # fmt: skip
    Checkpoint(out / "card", {**settings, "fingerprint": "0" * 64})
    code, said, _ = cli(*words)
    assert code == 0 and "All of it is done" in said and left.is_dir()  # somebody's pairs of another run
    Checkpoint(out / "card", settings, overwrite=True)
    assert cli(*words)[0] == 0 and not left.exists()


def test_a_distilled_model_is_called_by_its_own_name(tiny, small_sets, cli, tmp_path):
    model, out = write_untrained(tiny, tmp_path / "FLUX.2-klein-4B"), tmp_path / "study"
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps({**index, "is_distilled": True}))
    code, said, err = cli(*study(model, out, "--stages", "card"))
    assert code == 0 and load_run(out / "card").info.model == "FLUX.2-klein-4B", err
    assert "# FLUX.2-klein-4B beside the card phanerozoic/moral-plantain" in said
    assert (
        "the card's figures are of black-forest-labs/FLUX.2-klein-base-4B, these of FLUX.2-klein-4B (UNTRAINED" in said
    )
    os.rename(model, tmp_path / "again")
    code, said, err = cli(*study(tmp_path / "again", out, "--stages", "card"))  # the same weights by another name
    assert code == 0 and "done" in said, err
    code, _, err = cli(*study("tiny-random", out, "--stages", "card"))
    assert code == 2 and "holds a finished run with other settings (model: FLUX.2-klein-4B" in err


def test_a_stand_in_by_another_name_is_not_published(hub, cli, small_sets, pipe, tmp_path):
    hub.add(REPO)
    pipe.save_pretrained(tmp_path / "klein-base-4B")
    code, _, err = cli(*study(tmp_path / "klein-base-4B", tmp_path / "out", "--repo-id", REPO))
    assert code == 2 and "is a run of the stand-in" in err and not (tmp_path / "out").exists()  # before any pass
    code, out, err = cli(*study(tmp_path / "klein-base-4B", tmp_path / "out", "--repo-id", "bob/nothing"))
    assert (code, out) == (2, "") and "there is no such repository" in err
