"""The untrained control: Klein's exact shape, a folder like any other, the same bytes after a kill."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
import safetensors
import torch
from browser import ROOT
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
from helpers import capture_pair
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError
from transformers import Qwen2TokenizerFast, Qwen3ForCausalLM

from plantain import cli as command_line
from plantain.models import untrained
from plantain.models.fingerprint import describe
from plantain.models.init_weights import n_bytes
from plantain.models.load import load_pipeline
from plantain.models.sources import ModelError
from plantain.models.stand_in import byte_tokenizer
from plantain.models.untrained import KLEIN_4B, SETTINGS, write_untrained
from plantain.runs.units import Layout, Selection, unit_table

SMALL = 300_000  # bytes a file of weights holds: many of them
REPO = "somebody/some-klein"


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "https://huggingface.co/somebody/some-klein"))


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def shards_of(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.glob("[!.]*/*.safetensors"))}


def unfinished(folder: Path) -> Path:
    return folder.with_name(folder.name + ".unfinished")


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory) -> Path:
    """Written in one go, under a name that suggests something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(untrained, "_SHARD_BYTES", SMALL)
        return write_untrained(tiny, tmp_path_factory.mktemp("made") / "FLUX.2-klein-base-4B")


@pytest.fixture
def again(tiny, tmp_path, monkeypatch):
    """Return a function that writes the same model to a fresh folder."""
    monkeypatch.setattr(untrained, "_SHARD_BYTES", SMALL)

    def write(**options):
        return write_untrained(tiny, tmp_path / "new", **options)

    return write


# --- what is written ---------------------------------------------------------------------------------------


def test_every_part_loads_without_a_missing_or_unexpected_key(made):
    classes = {"text_encoder": Qwen3ForCausalLM, "transformer": Flux2Transformer2DModel, "vae": AutoencoderKLFlux2}
    for part, model in classes.items():
        _, found = model.from_pretrained(made / part, output_loading_info=True)
        assert not any(found.values()), (part, found)


def test_the_pipeline_loads_without_a_warning(made, capfd, recwarn):
    pipe = Flux2KleinPipeline.from_pretrained(made, dtype=torch.bfloat16)
    bar = re.compile(r"(it/s|s/it)\]")  # a slow machine counts in seconds a step
    said = "\n".join(line for line in capfd.readouterr().err.splitlines() if not bar.search(line))
    # What an earlier test left open is closed, and complained of, whenever memory is tidied up.
    assert not said.strip() and not [w for w in recwarn if not issubclass(w.category, ResourceWarning)]
    assert pipe.config.is_distilled is False
    image = pipe(prompt="a plantain", height=64, width=64, num_inference_steps=1, guidance_scale=1.0).images[0]
    assert image.size == (64, 64)


def test_its_files_are_named_as_save_pretrained_names_them(made, tmp_path):
    pipe = Flux2KleinPipeline.from_pretrained(made, dtype=torch.bfloat16)
    pipe.save_pretrained(tmp_path / "saved", max_shard_size=SMALL)
    assert hashes(made).keys() - hashes(tmp_path / "saved").keys() == {SETTINGS}
    for part in ("transformer", "text_encoder"):
        (ours,), (theirs,) = ((folder / part).glob("*.index.json") for folder in (made, tmp_path / "saved"))
        ours, theirs = (json.loads(path.read_text()) for path in (ours, theirs))
        assert ours["weight_map"].keys() == theirs["weight_map"].keys()
        assert ours["metadata"]["total_size"] == theirs["metadata"]["total_size"]
    for path in (*made.glob("transformer/*.safetensors"), *made.glob("vae/*.safetensors")):
        same = tmp_path / "saved" / path.relative_to(made)  # the text encoder's tensors come in another order there
        assert path.read_bytes() == same.read_bytes(), path.name


def test_everybody_who_may_read_the_folder_may_read_its_weights(made):
    assert len({path.stat().st_mode for path in made.rglob("*") if path.is_file()}) == 1


def test_random_weights_are_never_taken_for_klein(made):
    pipe = load_pipeline(str(made))
    info = describe(pipe)
    assert (info.model, info.weights, info.dtype) == ("FLUX.2-klein-base-4B", "untrained", "bfloat16")
    assert pipe.text_encoder.config.plantain_weights == "untrained" and len(pipe.text_encoder.layers) == 27
    everything = Flux2KleinPipeline.from_pretrained(made, dtype=torch.bfloat16)
    assert describe(everything) == info


def test_another_seed_is_another_model(made, again, moral_set):
    other = again(seed=1)
    fingerprints = {describe(load_pipeline(str(folder))).fingerprint for folder in (made, other)}
    assert len(fingerprints) == 2
    assert json.loads((other / SETTINGS).read_text())["seed"] == 1
    capture = capture_pair(load_pipeline(str(made)), moral_set.pairs[0], 64, 0)
    assert capture.sums.n_pairs == 1


def test_progress_counts_bytes(again):
    told = []
    folder = again(progress=lambda done, total: told.append((done, total)))
    total = sum(path.stat().st_size for path in shards_of(folder))
    assert told[-1][0] == told[-1][1] and [done for done, _ in told] == sorted(done for done, _ in told)
    assert len({done for done, _ in told}) > 100
    assert 0 < total - told[-1][0] < 20_000 * len(shards_of(folder))  # the files' headers


# --- Klein's size ------------------------------------------------------------------------------------------


def test_at_full_size_it_has_kleins_parameters_and_units():
    pipe = untrained._meta_pipeline(KLEIN_4B, byte_tokenizer())
    sizes = {part: sum(p.numel() for p in getattr(pipe, part).parameters()) for part in ("transformer", "text_encoder")}
    assert sizes == {"transformer": 3_875_544_576, "text_encoder": 4_022_468_096}
    assert pipe.text_encoder.lm_head.weight is pipe.text_encoder.model.embed_tokens.weight
    assert len(pipe.text_encoder.model.layers) == 36
    assert pipe.text_encoder.config.hidden_size * 3 == pipe.transformer.config.joint_attention_dim
    assert pipe.vae.config.latent_channels * 4 == pipe.transformer.config.in_channels
    assert pipe.vae_scale_factor == 8
    layout = Layout.from_config(pipe.transformer.config)
    units = ("card", "heads", "text-heads", "mlp", "embedding")
    assert [unit_table(layout, Selection(u)).n_units for u in units] == [16_320, 600, 120, 1_440, 480]


def test_at_full_size_its_bytes_are_counted_and_spread_over_files_of_a_gigabyte():
    pipe = untrained._meta_pipeline(KLEIN_4B, byte_tokenizer())
    sizes = [n_bytes(getattr(pipe, part), torch.bfloat16) for part in ("transformer", "text_encoder", "vae")]
    assert sum(sizes) == 2 * (3_875_544_576 + 4_022_468_096) + 168_092_750
    assert untrained._SHARD_BYTES == 10**9


# --- killed and repeated -----------------------------------------------------------------------------------

KILLED_HALF_WAY = """
import os, signal, sys
from pathlib import Path
from diffusers import Flux2Transformer2DModel
from plantain.models.untrained import Architecture, write_untrained

def save_half(self, folder, **options):
    Path(folder).mkdir()
    (Path(folder) / "diffusion_pytorch_model.safetensors").write_bytes(b"half a file")
    os.kill(os.getpid(), signal.SIGKILL)

Flux2Transformer2DModel.save_pretrained = save_half
write_untrained(Architecture(**eval(sys.argv[1])), sys.argv[2])
"""


def test_killed_while_a_part_is_written_it_keeps_the_others_and_ends_with_the_same_bytes(tiny, tmp_path):
    args = [repr(tiny.__dict__), str(tmp_path / "new")]
    done = subprocess.run([sys.executable, "-c", KILLED_HALF_WAY, *args], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "new").exists()
    kept = {path: time for path, time in shards_of(unfinished(tmp_path / "new")).items() if path.parent.name[0] != "."}
    assert [path.parent.name for path in kept] == ["text_encoder"]

    folder = write_untrained(tiny, tmp_path / "new")
    assert {folder / path.relative_to(unfinished(folder)): time for path, time in kept.items()}.items() <= (
        shards_of(folder).items()
    ), "a finished part was written again"
    assert hashes(folder) == hashes(write_untrained(tiny, tmp_path / "other"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "other"]


def stop(part: float):
    """Break off when more than a part of the bytes is drawn."""

    def progress(done, total):
        if done > part * total:
            raise KeyboardInterrupt

    return progress


def test_stopped_again_and_again_it_ends_with_the_same_bytes(made, again):
    for part in (0, 0.5, 0.99):
        with pytest.raises(KeyboardInterrupt):
            again(progress=stop(part))
    assert hashes(again()) == hashes(made)


def test_an_unfinished_model_of_other_settings_is_not_continued(again, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        again(progress=stop(0.99))
    kept = shards_of(unfinished(tmp_path / "new"))
    with pytest.raises(ModelError, match="holds a model of other settings .*Repeat that command .*--overwrite"):
        again(seed=1)
    assert shards_of(unfinished(tmp_path / "new")) == kept != {}
    folder = again(seed=1, overwrite=True)
    assert json.loads((folder / SETTINGS).read_text())["seed"] == 1
    assert not unfinished(folder).exists()


def test_other_versions_are_other_settings(again, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        again(progress=stop(0.99))
    monkeypatch.setattr(safetensors, "__version__", "99")
    with pytest.raises(ModelError, match="other settings"):
        again()


def test_something_else_in_the_unfinished_folders_place_is_left_alone(again, tmp_path):
    strange = tmp_path / "new.unfinished"
    strange.mkdir()
    (strange / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ModelError, match="holds something other than an unfinished model. Move it away"):
            again(overwrite=overwrite)
    assert (strange / "thesis.txt").read_text() == "mine"


# --- the folder --------------------------------------------------------------------------------------------


def test_a_finished_folder_is_refused_and_replaced_when_asked(again, tmp_path):
    folder = again()
    with pytest.raises(ModelError, match=r"exists already. Choose another folder, or overwrite it \(--overwrite\)"):
        again(seed=1)
    again(seed=1, overwrite=True)
    assert json.loads((folder / SETTINGS).read_text())["seed"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("strange", ["thesis.txt", "model_index.json"])
def test_a_folder_with_something_else_is_never_replaced(again, tmp_path, strange):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / strange).write_text("{}")
    with pytest.raises(ModelError, match="holds something other than an untrained model"):
        again(overwrite=True)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [strange]


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(again, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    with pytest.raises(ModelError, match=r"0\.0 GB are needed and 0\.0 GB are free. Make room, or choose"):
        again()
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_needs_no_second_place_on_the_disk(made, again, tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        again(progress=stop(0.99))
    usage = namedtuple("usage", "total used free")
    whole, kept = (
        sum(path.stat().st_size for path in shards_of(folder)) for folder in (made, unfinished(tmp_path / "new"))
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 2**26 + whole - kept // 2))
    again()
    with pytest.raises(ModelError, match="are needed"):
        again(seed=1, overwrite=True)  # all of it


def test_a_place_that_cannot_be_written_is_said(tiny, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match=r"file/new: cannot be written \(Not a directory\)"):
        write_untrained(tiny, tmp_path / "file" / "new")


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(again, seed):
    with pytest.raises(ModelError, match="choose a whole number from 0"):
        again(seed=seed)


# --- the tokenizer -----------------------------------------------------------------------------------------


@pytest.fixture
def qwen_like(tmp_path) -> Path:
    """A tokenizer with other rules than the byte-level one: it has one merge, and files that are not its own."""
    tokenizer = byte_tokenizer()
    vocabulary = tokenizer.get_vocab()
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    rules["model"]["vocab"]["he"] = len(vocabulary)
    rules["model"]["merges"] = [["h", "e"]]
    folder = tmp_path / "qwen"
    tokenizer.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(rules))
    (folder / "weights.bin").write_bytes(b"not asked for")
    return folder


@pytest.fixture
def roomy(tiny):
    return type(tiny)(tiny.transformer, tiny.text_encoder | {"vocab_size": 300}, tiny.vae, tiny.scheduler)


def test_a_tokenizer_keeps_its_rules_and_what_lies_beside_it_stays(roomy, qwen_like, tmp_path):
    folder = write_untrained(roomy, tmp_path / "new", tokenizer=str(qwen_like))
    assert not (folder / "tokenizer" / "weights.bin").exists()
    tokenizer, own = load_pipeline(str(folder)).tokenizer, Qwen2TokenizerFast.from_pretrained(qwen_like)
    assert tokenizer.backend_tokenizer.to_str() == own.backend_tokenizer.to_str()
    assert tokenizer.chat_template == own.chat_template and tokenizer.get_vocab() == own.get_vocab()
    assert len(tokenizer("hehe")["input_ids"]) == 2 and len(byte_tokenizer()("hehe")["input_ids"]) == 4


def test_a_whole_models_folder_gives_its_tokenizer(roomy, qwen_like, tmp_path):
    qwen_like.rename(tmp_path / "tokenizer")
    folder = write_untrained(roomy, tmp_path / "new", tokenizer=str(tmp_path))
    assert len(load_pipeline(str(folder)).tokenizer("hehe")["input_ids"]) == 2


def test_a_hub_repository_gives_only_its_tokenizer(roomy, qwen_like, tmp_path, monkeypatch):
    qwen_like.rename(tmp_path / "tokenizer")
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *args, **kw: asked.append((args, kw)) or str(tmp_path)
    )
    folder = write_untrained(roomy, tmp_path / "new", tokenizer=REPO)
    assert len(load_pipeline(str(folder)).tokenizer("hehe")["input_ids"]) == 2
    (((repo,), options),) = asked
    assert repo == REPO and all(pattern.startswith("tokenizer/") for pattern in options["allow_patterns"])


def test_another_tokenizer_is_another_model_to_continue(roomy, qwen_like, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_untrained(roomy, tmp_path / "new", progress=stop(0.99))
    with pytest.raises(ModelError, match="other settings"):
        write_untrained(roomy, tmp_path / "new", tokenizer=str(qwen_like))


def refused_tokenizer(architecture, where, tmp_path: Path, match: str, error=ModelError) -> None:
    with pytest.raises(error, match=match) as caught:
        write_untrained(architecture, tmp_path / "new", tokenizer=str(where))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("new*"))


def test_a_tokenizer_that_cannot_be_used_is_refused(tiny, roomy, qwen_like, tmp_path):
    refused_tokenizer(roomy, tmp_path / "none", tmp_path, "no such folder. Give a folder with a Qwen tokenizer")
    refused_tokenizer(tiny, qwen_like, tmp_path, "has id 261, the model has 261")
    template = (qwen_like / "chat_template.jinja").rename(tmp_path / "template")
    refused_tokenizer(roomy, qwen_like, tmp_path, "has no chat template")
    template.rename(qwen_like / "chat_template.jinja")
    (qwen_like / "tokenizer.json").write_text("{")
    refused_tokenizer(roomy, qwen_like, tmp_path, "holds no tokenizer of Qwen's kind")
    (qwen_like / "tokenizer.json").unlink()
    refused_tokenizer(roomy, qwen_like, tmp_path, "holds no tokenizer.json")


@pytest.mark.parametrize(
    ("error", "match"),
    [
        (GatedRepoError("403", response=response(403)), "gated. Accept its terms"),
        (LocalEntryNotFoundError("offline"), "cannot be reached .*leave --tokenizer out"),
        (OSError(28, "No space left on device"), "the download failed .*No space left"),
    ],
    ids=["gated", "offline", "full"],
)
def test_a_hub_that_refuses_the_tokenizer_gives_one_error(tiny, tmp_path, monkeypatch, error, match):
    def download(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    refused_tokenizer(tiny, REPO, tmp_path, match, ModelError)


# --- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def small_command(tiny, monkeypatch):
    """The command line, with Klein's configurations replaced by small ones."""
    monkeypatch.setattr("plantain.cli.models.KLEIN_4B", tiny)
    return lambda *args: command_line.main(["make-model", "untrained-klein-4b", *args])


def test_the_command_writes_a_model_that_the_probe_takes(small_command, moral_file, tmp_path, capsys):
    folder = tmp_path / "control"
    assert small_command(str(folder), "--seed", "3") == 0
    assert f"--model {folder}" in capsys.readouterr().out
    assert json.loads((folder / SETTINGS).read_text())["seed"] == 3
    few = "".join(moral_file.read_text(encoding="utf-8").split("[[pair]]")[i] + "[[pair]]" * (i < 4) for i in range(5))
    (tmp_path / "few.toml").write_text(few, encoding="utf-8")
    args = ["--model", str(folder), "--prompts", str(tmp_path / "few.toml"), "--out", str(tmp_path / "run")]
    assert command_line.main(["run", *args, "--size", "64"]) == 0
    printed = capsys.readouterr().out
    assert "UNTRAINED" in printed.upper() and "control" in printed


def test_the_command_overwrites_only_when_asked(small_command, tmp_path, capfd):
    folder = tmp_path / "control"
    assert small_command(str(folder)) == 0
    capfd.readouterr()
    assert small_command(str(folder), "--seed", "1") == 2
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "exists already" in captured.err
    assert small_command(str(folder), "--seed", "1", "--overwrite") == 0


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("make-model", "required: kind, DIR"),
        ("make-model untrained-klein-9b {tmp}/new", "invalid choice: 'untrained-klein-9b'"),
        ("make-model untrained-klein-4b {tmp}/new --seed -1", "seed -1: choose"),
        ("make-model untrained-klein-4b {tmp}/new --seed big", "invalid int value"),
        ("make-model untrained-klein-4b {tmp}/new --tokenizer {tmp}/none", "no such folder"),
        ("make-model untrained-klein-4b {tmp}/new --tokenizer no-owner/no-model", "Hub cannot be reached"),
        ("make-model untrained-klein-4b {tmp} --overwrite", r"other than an untrained model \(mine.txt\)"),
        ("make-model untrained-klein-4b {tmp}/mine.txt", "holds something other than an untrained model"),
    ],
)
def test_bad_input_ends_with_2_and_one_line_and_leaves_nothing(line, match, tmp_path, capfd):
    (tmp_path / "mine.txt").write_text("mine")
    assert command_line.main([part.format(tmp=tmp_path) for part in line.split()]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("plantain: ") and captured.err.count("\n") == 1 and "\r" not in captured.err
    assert re.search(match, captured.err), captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_importing_it_imports_neither_torch_nor_diffusers():
    libraries = "{'torch', 'diffusers', 'transformers'}"
    code = f"import sys, plantain.models.untrained; print(sorted({libraries} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=os.environ)
    assert out.stdout.strip() == "[]", out.stderr
