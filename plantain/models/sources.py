"""Where a model's parts come from: a diffusers folder, the Hub, or the stand-in. Reads one part at a time.

torch, diffusers and transformers are imported on use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import PlantainError
from plantain.models.info import ModelInfo
from plantain.models.picture_book.folder import PICTURE_BOOK, SETTINGS, Drawing, folder_of, read_drawing
from plantain.models.stand_in import STAND_IN, TRANSFORMER, WEIGHTS_MARK, build_stand_in

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
    from transformers import Qwen3Model


PIPELINE_CLASS = "Flux2KleinPipeline"


class ModelError(PlantainError, RuntimeError):
    """A model that cannot be loaded; the message says why and what to do."""


class DownloadError(ModelError):
    """A model that did not come from the Hub, for now: the network or the Hub was at fault."""


class Saved:
    """A diffusers folder, local or downloaded."""

    def __init__(self, model: str, dtype: torch.dtype | None, revision: str | None) -> None:
        import diffusers
        import torch
        import transformers

        self._model = model
        self._folder, self._commit = _locate(model, revision)
        for library in (diffusers, transformers):
            library.utils.logging.disable_progress_bar()  # loading is quick; the download shows its own
        small = drawing_of(str(self._folder)) or saved_mark(self._folder) == "stand-in"
        own = torch.float32 if small else torch.bfloat16  # small matrices are faster in float32 on a processor
        self._dtype = own if dtype is None else dtype

    def stated(self, info: ModelInfo) -> ModelInfo:
        """Add to a description where the weights come from: id and commit, if they were found on the Hub."""
        if self._commit is None:
            return info
        weights = "pretrained" if info.weights == "local" else info.weights  # what is marked stays known as such
        return replace(info, model=self._model, revision=self._commit, weights=weights)

    def skeleton(self) -> Flux2KleinPipeline:
        """Load tokenizer and configuration."""
        from diffusers import Flux2KleinPipeline

        require_tokenizer(self._folder / "tokenizer", self._model)
        with self._damage("pipeline"):
            vae = _vae_on_meta(self._folder)
            pipe = Flux2KleinPipeline.from_pretrained(
                self._folder, text_encoder=None, transformer=None, vae=vae, local_files_only=True
            )
        check_tokenizer(pipe.tokenizer, self._model)
        pipe.tokenizer_max_length = int(min(pipe.tokenizer_max_length, pipe.tokenizer.model_max_length))
        pipe.register_modules(vae=None)
        return pipe

    def encoder(self, n_layers: int) -> Qwen3Model:
        """Return the text encoder's first layers."""
        with self._damage("text_encoder"):
            return _load_first_layers(self._folder / "text_encoder", n_layers, self._dtype)

    def transformer(self) -> Flux2Transformer2DModel:
        """Return the transformer."""
        from diffusers import Flux2Transformer2DModel

        return self._read(Flux2Transformer2DModel, "transformer")

    def vae(self) -> AutoencoderKLFlux2:
        """Return the VAE, which only pictures need."""
        from diffusers import AutoencoderKLFlux2

        return self._read(AutoencoderKLFlux2, "vae")

    def _read(self, kind: Any, part: str) -> Any:
        with self._damage(part):
            model, found = kind.from_pretrained(
                self._folder / part, torch_dtype=self._dtype, local_files_only=True, output_loading_info=True
            )
            _require_all_tensors(found["missing_keys"], found["unexpected_keys"])
            return model.eval()

    def n_bytes(self) -> int:
        """Return how much memory both halves take, about."""
        parts = (self._folder / part for part in ("text_encoder", "transformer"))
        return sum(file.stat().st_size for part in parts for file in part.glob("*.safetensors"))

    @contextmanager
    def _damage(self, part: str) -> Iterator[None]:
        try:
            yield
        except _WrongTensorsError as error:
            raise ModelError(f"{self._model}: {part} {error}") from None
        except Exception as error:  # the libraries raise many kinds for a damaged folder
            raise ModelError(f"{self._model}: the {part}'s files cannot be loaded ({_first_line(error)}).") from error


class _WrongTensorsError(ValueError):
    """A part's files lack tensors of its model, or hold others; the message says which."""


def _require_all_tensors(missing: Iterable[str], others: Iterable[str]) -> None:
    """Refuse what the libraries fill with random numbers or leave without memory, and what they leave out."""
    missing, others = sorted(missing), sorted(others)
    lacks = f"lacks {len(missing):,} of its tensors ({missing[0][:80]} is missing)" if missing else ""
    holds = f"holds {len(others):,} that are none of its own ({others[0][:80]})" if others else ""
    advice = "Its files are not whole, or of another model: get them anew."
    if any("lora" in name for name in others):
        advice = "An adapter is saved inside: merge it into the weights, take it off, and save the model again."
    if missing or others:
        raise _WrongTensorsError(f"{' and '.join(filter(None, (lacks, holds)))}. {advice}")


class StandIn:
    """The tiny pipeline, built anew for each part that is asked for."""

    def __init__(self, dtype: torch.dtype | None) -> None:
        self._dtype = dtype

    def stated(self, info: ModelInfo) -> ModelInfo:
        """Return the description as it is; the weights' mark says all."""
        return info

    def skeleton(self) -> Flux2KleinPipeline:
        """Build tokenizer and configuration."""
        pipe = build_stand_in()
        pipe.register_modules(text_encoder=None, transformer=None, vae=None)
        return pipe

    def encoder(self, n_layers: int) -> Qwen3Model:
        """Return the text encoder's first layers."""
        return self._cast(_first_layers(build_stand_in().text_encoder.model, n_layers))

    def transformer(self) -> Flux2Transformer2DModel:
        """Return the transformer."""
        return self._cast(build_stand_in().transformer)

    def vae(self) -> AutoencoderKLFlux2:
        """Return the VAE, which only pictures need."""
        return self._cast(build_stand_in().vae)

    def _cast(self, part: Any) -> Any:
        return part if self._dtype is None else part.to(dtype=self._dtype)

    def n_bytes(self) -> int:
        """Return how much memory both halves take, about."""
        return 0  # a few hundred kilobytes


def _vae_on_meta(folder: Path) -> AutoencoderKLFlux2 | None:
    """Build the VAE without memory: its depth decides how many pixels a latent has. None where there is no VAE."""
    import torch
    from diffusers import AutoencoderKLFlux2

    if json.loads((folder / "model_index.json").read_text(encoding="utf-8")).get("vae") == [None, None]:
        return None
    try:
        config = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
        _ = config["block_out_channels"]  # the class has a default for it
        with torch.device("meta"):
            return AutoencoderKLFlux2.from_config(config)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError("vae/config.json does not say how deep the VAE is") from error


def _load_first_layers(folder: Path, n_layers: int, dtype: torch.dtype) -> Qwen3Model:
    """Read the text encoder's first layers; the files' other tensors stay on the disk."""
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config.from_pretrained(folder, local_files_only=True)
    whole = config.num_hidden_layers
    _cut_config(config, n_layers)
    with _quiet_transformers():  # it would list the layers that are left out
        encoder, found = Qwen3Model.from_pretrained(
            folder, config=config, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    # A saved half encoder has no final norm, and a whole one more layers and a head.
    missing = set(found["missing_keys"]) - {"norm.weight"}
    left_out = re.compile(rf"(model\.)?layers\.({'|'.join(map(str, range(n_layers, whole)))})\.|lm_head\.weight$")
    _require_all_tensors(missing, (name for name in found["unexpected_keys"] if not left_out.match(name)))
    return encoder if whole == n_layers and not found["missing_keys"] else _without_norm(encoder)


def _first_layers(encoder: Qwen3Model, n_layers: int) -> Qwen3Model:
    """Cut a text encoder in memory."""
    _cut_config(encoder.config, n_layers)
    encoder.layers = encoder.layers[:n_layers]
    return _without_norm(encoder)


def _cut_config(config: Any, n_layers: int) -> None:
    if config.num_hidden_layers < n_layers:
        raise ValueError(f"text_encoder: has {config.num_hidden_layers} layers, the prompt embedding takes {n_layers}")
    config.num_hidden_layers = n_layers
    config.layer_types = config.layer_types[:n_layers]


def _without_norm(encoder: Qwen3Model) -> Qwen3Model:
    """Take the final norm off a cut encoder.

    transformers gives the last hidden state after the norm. In the whole encoder the last one that the prompt
    embedding takes is not the last, and so comes as its layer leaves it.
    """
    import torch

    encoder.norm = torch.nn.Identity()
    return encoder


def require_tokenizer(folder: Path, where: str) -> None:
    """Refuse a folder that lacks a file without which the libraries make an empty tokenizer, and say nothing.

    Raises
    ------
    ModelError
        The folder or a file is missing, or one is damaged.
    """
    names = {path.name for path in folder.glob("*")}
    if "tokenizer.json" not in names and not names >= {"vocab.json", "merges.txt"}:
        raise ModelError(f"{where}: its tokenizer holds no tokenizer.json. Get the folder whole, with all its files.")
    for path in sorted(folder.glob("*.json")):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            what = f"holds no tokenizer of Qwen's kind ({path.name} is damaged)"
            raise ModelError(f"{where}: {what}. Get the folder anew.") from error


def check_tokenizer(tokenizer: Any, where: str) -> None:
    """Refuse a tokenizer that cannot take a prompt as Klein's does.

    Raises
    ------
    ModelError
        It has no chat template, one that gives no prompt back, control tokens that are none, or no padding.
    """
    again = "Get the folder whole, with all its files."
    if not tokenizer.chat_template:
        raise ModelError(f"{where}: the tokenizer has no chat template (chat_template.jinja). {again}")
    message = [{"role": "user", "content": "prompt"}]
    try:
        text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    except Exception as error:  # the template is a program, and may raise anything
        raise ModelError(f"{where}: the tokenizer's chat template fails ({_first_line(error)}). {again}") from error
    if "prompt" not in text:
        raise ModelError(f"{where}: the tokenizer's chat template leaves the prompt out. {again}")
    known = tokenizer.get_vocab()
    if lost := [token for token in re.findall(r"<\|\w+\|>", text) if token not in known]:
        raise ModelError(f"{where}: the tokenizer does not know the control token {lost[0][:40]}. {again}")
    most = tokenizer.model_max_length
    if not isinstance(most, int | float) or not most >= 1:
        raise ModelError(f"{where}: the tokenizer says that prompts have {most} tokens at most. {again}")
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{where}: the tokenizer has no token for padding (tokenizer_config.json). {again}")


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def saved_mark(folder: Path) -> str | None:
    """Return what a folder says of its weights (a key of `models.info.WEIGHTS`); None where it says nothing."""
    try:
        return json.loads((folder / "text_encoder" / "config.json").read_text(encoding="utf-8")).get(WEIGHTS_MARK)
    except (OSError, ValueError, AttributeError):
        return None  # from_pretrained says what is wrong with the folder


def prompts_model(model: str) -> str:
    """Say for which model prompt sets have to be written; no weights are read.

    Parameters
    ----------
    model : str
        As for `models.load.load_pipeline`.

    Returns
    -------
    str
        ``picture-book`` for the picture book's model, its untrained twin and copies of them, which know the words of
        their captions only; empty for every other model, also for one that cannot be loaded.
    """
    if model == PICTURE_BOOK:
        return PICTURE_BOOK
    folder = folder_of(model)
    mark = saved_mark(folder)
    twin = mark in ("untrained", "reservoir") and (folder / SETTINGS).is_file()
    return PICTURE_BOOK if mark == "practice" or twin else ""


def drawing_of(model: str | None) -> Drawing | None:
    """Return size, steps and guidance that suit a model of the picture book; None for every other model.

    Parameters
    ----------
    model : str or None
        As for `models.load.load_pipeline`, or a pipeline's `name_or_path`.

    Raises
    ------
    ModelError
        The folder says that it is one, and not how to draw with it.
    """
    if not model or not prompts_model(model):
        return None
    folder = folder_of(model)
    _require_shipped(folder, model)
    try:
        return read_drawing(folder)
    except ValueError as error:
        raise ModelError(f"{model}: {SETTINGS} cannot be used: {error}. Get the folder anew.") from error


def _require_shipped(folder: Path, model: str) -> None:
    if model == PICTURE_BOOK and not folder.is_dir():
        raise ModelError(
            f"{model}: the model that is shipped is not in {folder}. Get the project whole, or make the model and give "
            "its folder (python -m plantain make-model picture-book DIR, which takes hours)."
        )


def transformer_config(model: str) -> dict[str, Any] | None:
    """Read the configuration of a model's transformer; no weights, no network.

    Parameters
    ----------
    model : str
        As for `models.load.load_pipeline`.

    Returns
    -------
    dict or None
        None for a model that is on the Hub.

    Raises
    ------
    ModelError
        It is no id and no folder of a Klein pipeline.
    """
    if model == STAND_IN:
        return TRANSFORMER
    folder = folder_of(model)
    _require_shipped(folder, model)
    if not folder.is_dir():
        _check_id(model, _WANTED)
        return None
    require_klein(folder / "model_index.json", model)
    try:
        return dict(json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{model}: has no readable transformer/config.json.") from error


_FILES = (".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".onnx", ".json", ".zip")  # never in a Hub id

_WANTED = f"a local folder, a Hub id (owner/name), {PICTURE_BOOK} or {STAND_IN}"


def _locate(model: str, revision: str | None) -> tuple[Path, str | None]:
    """Return the folder with the pipeline, downloaded if need be, and the commit if it is from the Hub."""
    folder = folder_of(model)
    _require_shipped(folder, model)
    if folder.is_dir():
        require_klein(folder / "model_index.json", model)
        return folder.resolve(), None  # a pipeline finds its folder again, from wherever
    from diffusers import Flux2KleinPipeline
    from huggingface_hub import hf_hub_download

    with hub_errors(model, _WANTED, f"use --model {PICTURE_BOOK} (drawings, not Klein)"):
        # The index first: a wrong repository is refused before gigabytes are fetched.
        index = Path(hf_hub_download(model, "model_index.json", revision=revision))
        require_klein(index, model)
        commit = index.parent.name
        folder = Path(Flux2KleinPipeline.download(model, revision=commit))
        _require_whole(folder, model)
        return folder, commit


@contextmanager
def hub_errors(repo_id: str, wanted: str, instead: str) -> Iterator[None]:
    """Turn whatever the Hub raises while something is downloaded into one error that says what to do.

    Parameters
    ----------
    repo_id : str
        What was given; refused before a request where it cannot be an id.
    wanted : str
        What can be given.
    instead : str
        What can be done without the Hub.

    Raises
    ------
    ModelError
        It is no id, access is gated, or there is no such repository.
    DownloadError
        The network is down, or the download failed: later it may work.
    """
    from huggingface_hub import is_offline_mode
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    _check_id(repo_id, wanted)
    try:
        yield
    except ModelError:
        raise
    except GatedRepoError as error:
        words = "Accept its terms on the Hub, then `hf auth login` (a Space: your token as its secret HF_TOKEN)."
        raise ModelError(f"{repo_id}: access is gated. {words}") from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"{repo_id}: no such model on the Hub (or it is private: `hf auth login`).") from error
    except LocalEntryNotFoundError as error:
        kind = ModelError if is_offline_mode() else DownloadError
        raise kind(
            f"{repo_id}: no folder of that name is here, the Hub cannot be reached and the model is not in the local "
            f"cache. Check the network, or {instead}."
        ) from error
    except Exception as error:  # httpx2, OSError and ValueError, depending on where the hub failed
        raise DownloadError(f"{repo_id}: the download failed ({_first_line(error)}). Try again.") from error


def _check_id(repo_id: str, wanted: str) -> None:
    if Path(repo_id).is_file():
        raise ModelError(
            f"{repo_id}: is a file, and a model is the folder of a whole diffusers pipeline. Give {wanted}."
        )
    if repo_id.lower().endswith(_FILES):
        raise ModelError(f"{repo_id}: is the name of a file, and no such file or folder is here. Give {wanted}.")
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", repo_id):
        raise ModelError(f"{repo_id}: no such folder. Give {wanted}.")


def require_klein(index: Path, model: str) -> None:
    """Raise `ModelError` unless a folder's model_index.json is that of a Klein pipeline."""
    try:
        found = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{model}: has no readable model_index.json, so it is no diffusers pipeline.") from error
    if found != PIPELINE_CLASS:
        raise ModelError(f"{model}: holds a {found}, not a {PIPELINE_CLASS}. Choose a FLUX.2 Klein model.")


def _require_whole(folder: Path, model: str) -> None:
    """Refuse a download that lacks a part: where the Hub falls silent half-way, the library returns what it has."""
    parts = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    named = [part for part, value in parts.items() if isinstance(value, list) and value != [None, None]]
    missing = [part for part in named if not any((folder / part).glob("*"))]
    if missing:
        raise DownloadError(f"{model}: only a part of it arrived ({missing[0]} is missing). Try again.")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
