"""Runs on their way to a hub on loopback and back. Used by the tests of publishing and pulling."""

import dataclasses
import json
import re
import tempfile
from functools import cache
from pathlib import Path

from browser import ROOT

from plantain.hub import publish as publishing
from plantain.hub.publish import load_candidate, make_offer
from plantain.prompts.sets import PromptSet

REPO = "bob/moral-plantain"
THEIRS = "eve/runs"
CARD = (
    "---\r\nlicense: mit   # mine\r\ntags:\r\n- x\r\n---\r\n# moral\r\n\r\nÜnïcode 🍌  \r\n\r\n"
    "## Results\r\n\r\nold\r\n\r\n## Limitations\r\nfew pairs\r\n"
).encode()

SHIPPED = ROOT / "precomputed" / "untrained-klein-4b"
COMMIT = r"^POST /api/models/\S+/commit/"


def outside(card: bytes) -> bytes:
    """Return a card without the sections of plantain and the fields that it added, line ends around them too."""
    text = re.sub(rb"(\r?\n)*<!-- plantain:begin (\S+) -->.*?<!-- plantain:end \2 -->(\r?\n)*", b"\n", card, flags=re.S)
    return re.sub(rb"(\r?\n)+", b"\n", re.sub(rb"\r?\nbase_model: owner/model", b"", text))


def offer_of(folder, repo_id, control=None):
    return make_offer(*load_candidate(folder, control), repo_id)


@cache
def _offered(name, content, repo_id, control):
    """Make the offer of a run from its bytes, once for all tests that send it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        folder.mkdir()
        for part, some in content:
            (folder / part).write_bytes(some)
        return offer_of(folder, repo_id, control)


def offered(folder, repo_id, control=None):
    """Make the offer of a run, or take the one that was made of the same bytes before."""
    folder = Path(folder).resolve()
    kept = ("run.json", "capture.safetensors", "directions.safetensors")
    content = tuple((part, (folder / part).read_bytes()) for part in kept if (folder / part).exists())
    return _offered(folder.name, content, repo_id, control)


def make_offers_once(monkeypatch):
    """Let the command line compute the figures of one run for one repository once; all else is done every time."""
    folders = {}

    def load(folder, control=None):
        name, run, beside = load_candidate(folder, control)
        folders[id(run)] = run, folder, control
        return name, run, beside

    def make(name, run, _control, repo_id, **_beside):
        _, folder, control = folders[id(run)]
        return offered(folder, repo_id, control)

    monkeypatch.setattr(publishing, "load_candidate", load)
    monkeypatch.setattr(publishing, "make_offer", make)


def published(cli, run, *more):
    return cli("publish", run, "--repo-id", REPO, *more)


def with_weights(run, weights="pretrained", **more):
    info = dataclasses.replace(run.info, model="owner/model", weights=weights, **more)
    prompts = PromptSet(
        info.prompt_set, info.title, info.positive, info.negative, tuple(record.pair for record in run.pairs)
    )
    return dataclasses.replace(run, info=dataclasses.replace(info, prompts_sha256=prompts.sha256))


def files_of(folder, name, only=("run.json", "capture.safetensors", "units.csv")):
    return {f"runs/{name}/{part}": (folder / part).read_bytes() for part in only}


def pulled(cli, folder, *more):
    return cli("pull", "--repo-id", THEIRS, "--into", folder, *more)


def with_facts(files, name, change):
    path = f"runs/{name}/run.json"
    facts = json.loads(files[path])
    del facts["sha256"]  # of run.json itself: older versions had none, and nobody has to send it
    change(facts)
    return {**files, path: json.dumps(facts).encode()}
