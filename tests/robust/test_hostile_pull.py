"""What a stranger publishes to harm is named, refused and harms nothing; a hub in trouble leaves what is here."""

import hashlib
import json
import os
import pickle
import re
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from made import small_run, with_directions
from offers import THEIRS as REPO
from offers import files_of, pulled, with_facts

from plantain.runs.io import load_run, save_run
from plantain.runs.run import directions_bytes

MARK = Path(tempfile.gettempdir()) / f"plantain-executed-{os.getpid()}"


@pytest.fixture
def good(made_run, tmp_path):
    return save_run(made_run(5), tmp_path / "there" / "good")


def with_means(change, told=True):
    """Give the run directions that were changed by a stranger, with run.json told of it or not."""

    def attack(files):
        content = directions_bytes(with_directions(small_run(5)).directions)
        changed = change(content)
        facts = with_facts(files, "bad", lambda facts: facts.update(
            directions_sha256=hashlib.sha256(changed if told else content).hexdigest()))  # fmt: skip
        return {**facts, "runs/bad/directions.safetensors": changed}

    return attack


def infinite(content):
    arrays = safetensors.numpy.load(content)
    return safetensors.numpy.save(arrays | {"means.single": arrays["means.single"] * np.float16(np.inf)})


class Bomb:
    """A pickle that leaves a mark where it is executed."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def with_capture(files, name, content):
    """Put another capture into a run, with run.json told of it: it is no accident that the hash fits."""
    told = with_facts(files, name, lambda facts: facts.update(capture_sha256=hashlib.sha256(content).hexdigest()))
    return {**told, f"runs/{name}/capture.safetensors": content}


def with_arrays(files, name, **changed):
    arrays = safetensors.numpy.load(files[f"runs/{name}/capture.safetensors"])
    arrays |= {key.replace("__", "."): value(arrays[key.replace("__", ".")]) for key, value in changed.items()}
    return with_capture(files, name, safetensors.numpy.save(arrays))


def raw_header(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def doubled_header(content):
    """Repeat an array's name in the header of a safetensors file."""
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length].rstrip(), content[8 + length :]
    entry = json.dumps({"tokens": json.loads(header)["tokens"]})[1:-1].encode()
    return raw_header(header[:-1] + b"," + entry + b"}", data)


def with_text(files, old, new):
    content = re.sub(rb',\s*"sha256": "\w+"', b"", files["runs/bad/run.json"])
    assert content.count(old) == 1
    return {**files, "runs/bad/run.json": content.replace(old, new)}


def strange_info(**values):
    return lambda files: with_facts(files, "bad", lambda facts: facts["info"].update(values))


def strange_layout(**values):
    return lambda files: with_facts(files, "bad", lambda facts: facts["info"]["layout"].update(values))


HOSTILE = {
    "truncated capture": (lambda f: {**f, "runs/bad/capture.safetensors": f["runs/bad/capture.safetensors"][:-9]},
                          "does not match run.json"),
    "truncated capture, hash told": (lambda f: with_capture(f, "bad", f["runs/bad/capture.safetensors"][:-9]),
                                     "SafetensorError"),
    "truncated run.json": (lambda f: {**f, "runs/bad/run.json": f["runs/bad/run.json"][:50]}, "run.json is damaged"),
    "not text": (lambda f: {**f, "runs/bad/run.json": b"\xff\xfe\x00"}, "run.json is damaged"),
    "deeply nested": (lambda f: {**f, "runs/bad/run.json": b"[" * 200_000}, "nested too deeply"),
    "a number that is none": (lambda f: {**f, "runs/bad/run.json": b'{"schema": NaN}'}, "not JSON compliant"),
    "doubled names": (lambda f: {**f, "runs/bad/run.json": b'{"schema": 1, ' + f["runs/bad/run.json"][1:]},
                      "the name 'schema' comes twice"),
    "doubled arrays": (lambda f: with_capture(f, "bad", doubled_header(f["runs/bad/capture.safetensors"])),
                       "duplicate|twice"),
    "newer schema": (lambda f: with_facts(f, "bad", lambda facts: facts.update(schema=99)), "Update plantain"),
    "absurd header": (lambda f: with_capture(f, "bad", struct.pack("<Q", 1 << 60) + b"{}"), "SafetensorError"),
    "absurd array": (lambda f: with_capture(f, "bad", raw_header(
        b'{"x":{"dtype":"I64","shape":[9007199254740993,9],"data_offsets":[0,8]}}', b"\0" * 8)), "SafetensorError"),
    "wrong kind of numbers": (lambda f: with_arrays(f, "bad", sum_squares__single=lambda a: a.astype(np.float64)),
                              "sum_squares.single is float64, not float32"),
    "whole numbers": (lambda f: with_arrays(f, "bad", halves=lambda a: a.astype(np.int8)), "halves is int8, not bool"),
    "another array": (lambda f: with_capture(f, "bad", safetensors.numpy.save(
        safetensors.numpy.load(f["runs/bad/capture.safetensors"]) | {"more": np.zeros(1)})), "'more' is unknown"),
    "negative": (lambda f: with_arrays(f, "bad", sum_squares__single=lambda a: -a), "finite and not negative"),
    "infinite": (lambda f: with_arrays(f, "bad", sum_squares__single=lambda a: a * np.float32(np.inf)), "finite"),
    "negative tokens": (lambda f: with_arrays(f, "bad", tokens=lambda a: -a), "token counts must not be negative"),
    "absurd tokens": (lambda f: with_arrays(f, "bad", tokens=lambda a: a + 2**62), "nor absurd"),
    "no flips": (lambda f: with_arrays(f, "bad", signs=lambda a: a[:0]), "the signs must have rows"),
    "flat flips": (lambda f: with_arrays(f, "bad", signs=lambda a: a.ravel()), "the signs must have rows"),
    "empty halves": (lambda f: with_arrays(f, "bad", halves=lambda a: np.zeros_like(a)), "every half needs 2 pairs"),
    "no pairs": (lambda f: with_facts(f, "bad", lambda facts: facts.update(pairs=[])), "0 pairs, but"),
    "a pickle in disguise": (lambda f: with_capture(f, "bad", pickle.dumps(Bomb(MARK))), "SafetensorError"),
    "a pickle for text": (lambda f: {**f, "runs/bad/run.json": pickle.dumps(Bomb(MARK))}, "run.json is damaged"),
    "a name that is a number": (strange_info(model=7), "info.model: input should be a valid string"),
    "a negative seed": (strange_info(seed=-1), "info.seed: input should be greater than or equal to 0"),
    "weights of no kind": (strange_info(weights="klein"), "info.weights: input should be 'pretrained', 'local'"),
    "more facts": (strange_info(more=1), "info.more: unexpected keyword argument"),
    "a seed twice": (strange_info(seeds=[1, 1]), "info.seeds: a seed stands twice"),
    "too many passes": (strange_info(seeds=[1, 2, 3], steps=6), "3 seeds of 6 steps are more than 16 passes"),
    "true for a number": (strange_info(steps=True), "info.steps: input should be a valid integer"),
    "a hash that is none": (strange_info(references={"pair-0": "A" * 64}), "info.references.pair-0: string should"),
    "half a character": (strange_info(title="\ud800"), "surrogates not allowed"),
    "endless seconds": (lambda f: with_text(f, b'"seconds": 1.5', b'"seconds": 1e999'), "not JSON compliant"),
    "too many seconds": (lambda f: with_text(f, b'"seconds": 1.5', b'"seconds": 1' + b"0" * 400), "too large a number"),
    "a huge size": (strange_info(size=1 << 40), "info.size: input should be less than"),
    "a far token": (lambda f: with_facts(f, "bad", lambda facts: facts["pairs"][0].update(first_difference=1 << 40)),
                    "pairs.0.first_difference: input should be less than"),
    "other prompts": (lambda f: with_facts(f, "bad", lambda facts: facts["pairs"][0].update(positive="Other.")),
                      "the pairs are not those of prompts_sha256"),
    "other heads": (strange_layout(n_heads=999), "slices, but the layout has"),
    "too many heads": (strange_layout(n_heads=10**9), "info.layout.n_heads: input should be less than"),
    "no heads": (strange_layout(n_heads=0), "info.layout.n_heads: input should be greater than"),
    "no channels": (strange_layout(head_dim=0), "info.layout.head_dim: input should be greater than"),
    "negative blocks": (strange_layout(n_joint=-1, n_single=-2), "info.layout.n_joint: input should be greater"),
    "too many halves": (lambda f: with_arrays(f, "bad", halves=lambda a: np.tile(a, (200, 1))), "the halves must have"),
    "a terminal's orders": (lambda f: with_facts(f, "bad", lambda facts: facts["info"].update({"\x1b[2J\ngood": 1})),
                            r"\x1b[2J\ngood"),
    "only text": (lambda f: {p: c for p, c in f.items() if not p.endswith("bad/capture.safetensors")},
                  "capture.safetensors is missing"),
    "cut directions": (with_means(lambda c: c[:-9], told=False), "directions.safetensors does not match run.json"),
    "cut directions, hash told": (with_means(lambda c: c[:-9]), "SafetensorError"),
    "infinite directions": (with_means(infinite), "single: mean vectors must be finite"),
    "a pickle for directions": (with_means(lambda _: pickle.dumps(Bomb(MARK))), "is damaged"),
    "only numbers": (lambda f: {p: c for p, c in f.items() if not p.endswith("bad/run.json")}, "run.json is missing"),
}  # fmt: skip


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_run_is_named_and_refused_and_the_good_one_comes(hub, cli, good, tmp_path, attack):
    MARK.unlink(missing_ok=True)
    change, words = HOSTILE[attack]
    files = change({**files_of(good, "bad"), **files_of(good, "good")})
    hub.add(REPO, files)
    code, out, err = pulled(cli, tmp_path / "runs")
    line = next(line for line in out.splitlines() if line.startswith("bad: "))
    assert code == 2 and line.startswith("bad: REFUSED: ") and "good: brought" in out
    assert any(word in line for word in words.split("|")), line
    assert "1 of 2 were refused: bad." in err and err.count("\n") == 1 and "Traceback" not in out + err
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["good"]
    assert load_run(tmp_path / "runs" / "good").capture_sha256 == load_run(good).capture_sha256
    assert not MARK.exists()


def test_the_bomb_works_or_the_pickles_above_show_nothing():
    pickle.loads(pickle.dumps(Bomb(MARK))).close()
    assert MARK.exists()
    MARK.unlink()


@pytest.mark.parametrize(
    "path",
    [
        "runs/../../evil/run.json",
        "runs/a/../../../evil",
        "/etc/run.json",
        "runs\\..\\evil",
        "C:/x",
        "runs/a\x00b/run.json",
    ],
)
def test_paths_that_lead_out_are_named_and_not_followed(hub, cli, good, tmp_path, path):
    hub.add(REPO, {**files_of(good, "good"), path: b"{}"})
    code, out, _ = pulled(cli, tmp_path / "deep" / "runs")
    assert code == 2 and f"{path!a}: REFUSED: its path leads out of the folder" in out and "good: brought" in out
    assert sorted(p.name for p in (tmp_path / "deep").rglob("*") if p.is_dir() and p.name != "statistics") == [
        "good",
        "runs",
    ]


def test_names_that_are_hidden_or_no_runs_are_not_looked_at(hub, cli, good, tmp_path):
    others = {"runs/.hidden/run.json": b"x", "runs/a/b/run.json": b"x", "runs/run.json": b"x", "other/run.json": b"x"}
    hub.add(REPO, {**files_of(good, "good"), **others})
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 0 and out.startswith("good: brought\nLook at them")
    hub.add(REPO, others)
    code, _, err = pulled(cli, tmp_path / "runs")
    assert code == 2 and "has no published runs" in err


def test_sizes_are_refused_before_anything_is_fetched(hub, cli, good, tmp_path, monkeypatch):
    hub.add(REPO, {**files_of(good, "big"), **files_of(good, "good"), "runs/big/run.json": b" " * (17 << 20)})
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 2 and "big: REFUSED: run.json has 17,825,792 bytes; at most 16,777,216 bytes are taken" in out
    assert hub.sent("GET .*runs/big") == 0 and "good: brought" in out
    monkeypatch.setattr("plantain.hub.pull.MOST_RUNS", 1)
    assert "good: REFUSED: no more than 1 runs" in pulled(cli, tmp_path / "other")[1]


def test_a_file_that_is_not_what_the_hub_said_is_refused(hub, cli, good, tmp_path):
    hub.add(REPO, files_of(good, "good"))

    def swap(served):
        repo = served.repos["models", REPO]
        head = repo.head()
        head["runs/good/run.json"] = head["runs/good/run.json"].replace(b"made-up", b"mad--up")

    hub.fail("GET .*run.json", swap, times=1)
    code, out, _ = pulled(cli, tmp_path / "runs")
    assert code == 2 and "run.json is not what the Hub says it is" in out and not (tmp_path / "runs" / "good").exists()


@pytest.mark.parametrize(
    ("pattern", "what", "exit_code", "words"),
    [
        ("GET /api/models", 500, 1, "has trouble of its own (error 500)"),
        ("GET /api/models", "drop", 1, "the connection to the Hub failed"),
        ("GET /api/models", "hang", 1, "did not answer in time"),
        ("GET /api/models", 429, 1, "too many requests"),
        ("GET .*new/capture", 503, 1, "has trouble of its own (error 503)"),
        ("GET .*new/capture", 403, 2, "your token may not do this"),
    ],
)
def test_a_hub_in_trouble_leaves_what_is_here(hub, cli, good, tmp_path, pattern, what, exit_code, words):
    repo = hub.add(REPO, files_of(good, "good"))
    pulled(cli, tmp_path / "runs")
    repo.commit("main", {**repo.head(), **files_of(good, "new")})
    hub.fail(pattern, what)
    code, _, err = pulled(cli, tmp_path / "runs")
    assert code == exit_code and words in err and err.count("\n") == 1, err
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["good"] and load_run(tmp_path / "runs" / "good")


def test_a_folder_that_cannot_be_written_is_said(hub, cli, good, tmp_path):
    hub.add(REPO, files_of(good, "good"))
    (tmp_path / "runs").write_text("a file")
    code, _, err = pulled(cli, tmp_path / "runs")
    assert code == 2 and "cannot be written" in err
