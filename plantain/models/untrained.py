"""The untrained control: Klein's exact architecture with random weights, written to a folder.

torch, diffusers and transformers are imported on use.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import __version__
from plantain._files import name_fault, swap_in, write_atomic
from plantain.models.info import software_versions
from plantain.models.init_weights import draw_weights, n_bytes
from plantain.models.sources import ModelError, check_tokenizer, hub_errors, require_tokenizer
from plantain.models.stand_in import WEIGHTS_MARK, byte_tokenizer

if TYPE_CHECKING:
    from diffusers import Flux2KleinPipeline

SETTINGS = "untrained.json"

_WITH_WEIGHTS = ("text_encoder", "transformer", "vae")

_PARTS = ("scheduler", "tokenizer", *_WITH_WEIGHTS)

_SHARD_BYTES = 10**9  # most bytes that a file of weights holds


@dataclass(frozen=True)
class Architecture:
    """The configurations of a pipeline's parts, as the arguments of their classes."""

    transformer: dict[str, Any]
    text_encoder: dict[str, Any]
    vae: dict[str, Any]
    scheduler: dict[str, Any]


# The transformer of FLUX.2 Klein base 4B, the text encoder Qwen3-4B, FLUX.2's VAE (the class's defaults) and
# the scheduler that FLUX.1 and FLUX.2 share. A probe's single step at sigma 1 never asks the scheduler.
KLEIN_4B = Architecture(
    transformer={
        "num_layers": 5, "num_single_layers": 20, "attention_head_dim": 128, "num_attention_heads": 24,
        "in_channels": 128, "joint_attention_dim": 7680, "timestep_guidance_channels": 256, "mlp_ratio": 3.0,
        "axes_dims_rope": (32, 32, 32, 32), "rope_theta": 2000, "guidance_embeds": False,
    },
    text_encoder={
        "vocab_size": 151_936, "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40_960,
        "max_window_layers": 36, "rms_norm_eps": 1e-6, "tie_word_embeddings": True, "bos_token_id": 151_643,
        "eos_token_id": 151_645, "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000},
    },
    vae={},
    scheduler={
        "shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15,
        "base_image_seq_len": 256, "max_image_seq_len": 4096,
    },
)  # fmt: skip


def write_untrained(
    architecture: Architecture,
    folder: str | Path,
    seed: int = 0,
    tokenizer: str | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Path:
    """Write a diffusers folder with random weights in bfloat16, one part of the pipeline in memory at a time.

    Until it is complete it is ``DIR.unfinished``. Killed, the same call keeps every finished part.

    Parameters
    ----------
    architecture : Architecture
    folder : str or Path
    seed : int
        Of all weights, from 0.
    tokenizer : str, optional
        Local folder or Hub id of a Qwen tokenizer; the stand-in's byte-level one unless given.
    overwrite : bool
        Replace an untrained model that stands there; it goes once the new one is complete.
    progress : callable, optional
        Called with (bytes done, bytes in all).

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        The folder exists, holds something else, or an unfinished model of other settings; the disk is too
        small; or the seed is out of range.
    ModelError
        The tokenizer cannot be found or downloaded, or does not fit.
    """
    import torch

    folder = Path(folder)
    check_folder(folder, overwrite)
    if not 0 <= seed < 2**63:
        raise ModelError(f"seed {seed}: choose a whole number from 0 to 2^63 - 1.")
    pipe = _meta_pipeline(architecture, find_tokenizer(tokenizer, architecture.text_encoder["vocab_size"]))
    sizes = {part: n_bytes(getattr(pipe, part), torch.bfloat16) for part in _WITH_WEIGHTS}
    settings = _settings(architecture, seed, pipe.tokenizer)
    new = folder.with_name(folder.name + ".unfinished")
    try:
        _start(new, settings, overwrite)
        _require_space(new, sizes)
        pipe.save_config(new)
        pipe.scheduler.save_config(new / "scheduler")
        pipe.tokenizer.save_pretrained(new / "tokenizer")
        _write_weights(pipe, new, sizes, seed, progress)
        swap_in(new, folder)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    return folder


def check_folder(folder: str | Path, overwrite: bool) -> None:
    """Raise `ModelError` unless an untrained model may be written to the folder."""
    folder = Path(folder)
    if fault := name_fault(folder):
        raise ModelError(f"{folder}: {fault}")
    if not folder.exists():
        return
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else [folder.name]
    strange = sorted(set(names) - {*_PARTS, "model_index.json", SETTINGS})
    if strange or (names and SETTINGS not in names):
        what = strange[0] if strange else f"no {SETTINGS}"
        raise ModelError(f"{folder}: holds something other than an untrained model ({what}). Choose another folder.")
    if not overwrite:
        raise ModelError(f"{folder}: exists already. Choose another folder, or overwrite it (--overwrite).")


def _meta_pipeline(architecture: Architecture, tokenizer: Any) -> Flux2KleinPipeline:
    """Build the whole pipeline on the meta device, in float32: shapes and configurations, no numbers."""
    import torch
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
    from diffusers import Flux2Transformer2DModel as Transformer
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(**architecture.text_encoder, **{WEIGHTS_MARK: "untrained"})
    with torch.device("meta"):
        transformer, vae = Transformer(**architecture.transformer), AutoencoderKLFlux2(**architecture.vae)
        encoder = Qwen3ForCausalLM(config)
    scheduler = FlowMatchEulerDiscreteScheduler(**architecture.scheduler)
    return Flux2KleinPipeline(scheduler, vae, encoder, tokenizer, transformer, is_distilled=False)


def _settings(architecture: Architecture, seed: int, tokenizer: Any) -> bytes:
    """Return everything that the files depend on, as JSON."""
    import safetensors

    rules = tokenizer.backend_tokenizer.to_str() + tokenizer.chat_template
    settings = {
        "weights": "untrained",
        "seed": seed,
        "architecture": asdict(architecture),
        "tokenizer_sha256": hashlib.sha256(rules.encode()).hexdigest(),
        "dtype": "bfloat16",
        "versions": {"plantain": __version__, **software_versions(), "safetensors": safetensors.__version__},
    }
    return (json.dumps(settings, indent=1) + "\n").encode()


def _start(new: Path, settings: bytes, overwrite: bool) -> None:
    """Make the unfinished folder, or go on with it if it has the same settings."""
    found = (new / SETTINGS).read_bytes() if (new / SETTINGS).is_file() else None
    if found is None and new.exists() and any(new.iterdir()):
        raise ModelError(f"{new}: holds something other than an unfinished model. Move it away.")
    if found not in (None, settings):
        if not overwrite and any((new / part).exists() for part in _WITH_WEIGHTS):
            raise ModelError(
                f"{new}: holds a model of other settings (seed, tokenizer or versions). Repeat that command to "
                "finish it, delete the folder, or add --overwrite."
            )
        shutil.rmtree(new)
    new.mkdir(parents=True, exist_ok=True)
    write_atomic(new / SETTINGS, settings)


def _require_space(new: Path, sizes: dict[str, int]) -> None:
    """Refuse a disk that is too small for what is missing; of a model that was just begun nothing stays."""
    missing = [part for part in sizes if not (new / part).exists()]
    needed, free = sum(sizes[part] for part in missing), shutil.disk_usage(new).free
    if missing and needed + 2**26 > free:  # 64 MB for tokenizer, configurations and file headers
        if len(missing) == len(sizes):
            shutil.rmtree(new)
        raise ModelError(
            f"{new.parent}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free. "
            "Make room, or choose a folder on another disk."
        )


def _write_weights(
    pipe: Flux2KleinPipeline, new: Path, sizes: dict[str, int], seed: int, progress: Callable[[int, int], None]
) -> None:
    """Draw and save the parts that are missing; a part is there whole or not at all."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # the caller shows its own
    total, done = sum(sizes.values()), 0
    for part, size in sizes.items():
        if not (new / part).exists():
            model, partial = getattr(pipe, part), new / f".{part}"
            shutil.rmtree(partial, ignore_errors=True)  # of a killed call
            draw_weights(model, seed, part, torch.bfloat16, lambda drawn, before=done: progress(before + drawn, total))
            model.save_pretrained(partial, max_shard_size=_SHARD_BYTES)
            for path in partial.iterdir():
                shutil.copymode(new / SETTINGS, path)  # safetensors lets only the owner read
            partial.rename(new / part)
            pipe.register_modules(**{part: None})
            del model  # 8 GB, before the next
        done += size
        progress(done, total)


def find_tokenizer(where: str | None, vocab_size: int) -> Any:
    """Return a fast tokenizer of Qwen's class that a model can use.

    Parameters
    ----------
    where : str or None
        A folder with a tokenizer, or with a subfolder ``tokenizer``; a Hub id, whose subfolder ``tokenizer`` is
        downloaded; or None for the stand-in's byte-level tokenizer.
    vocab_size : int
        Rows of the embedding; every id has to be below it.

    Raises
    ------
    ModelError
        There is no such folder, no tokenizer in it, or it does not fit.
    ModelError
        The Hub cannot be reached, or refuses.
    """
    tokenizer = byte_tokenizer() if where is None else _load(_folder(where), where)
    largest = max(tokenizer.get_vocab().values())
    if largest >= vocab_size:
        raise ModelError(f"{where or 'the byte-level tokenizer'}: has id {largest}, the model has {vocab_size}.")
    return tokenizer


def _folder(where: str) -> Path:
    folder = Path(where)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        files = ["tokenizer/*.json", "tokenizer/*.txt", "tokenizer/*.jinja"]
        wanted = "a folder with a Qwen tokenizer, or a Hub id"
        with hub_errors(where, wanted, "leave --tokenizer out (one token a byte)"):
            folder = Path(snapshot_download(where, allow_patterns=files))
    return folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder


def _load(folder: Path, where: str) -> Any:
    from transformers import Qwen2TokenizerFast

    require_tokenizer(folder, where)
    try:
        tokenizer = Qwen2TokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the libraries raise many kinds for a damaged file
        raise ModelError(f"{where}: holds no tokenizer of Qwen's kind. Give another folder, or a Hub id.") from error
    check_tokenizer(tokenizer, where)
    return tokenizer
