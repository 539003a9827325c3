"""The untrained control: Klein's exact architecture with random weights, written to a folder.

torch, diffusers and transformers are imported on use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plantain import __version__
from plantain._files import swap_in
from plantain.models.folders import begin_unfinished, check_model_folder, check_seed, put_part, require_space
from plantain.models.info import software_versions
from plantain.models.init_weights import draw_weights, n_bytes
from plantain.models.sources import ModelError, check_tokenizer, hub_errors, require_tokenizer
from plantain.models.stand_in import WEIGHTS_MARK, byte_tokenizer

if TYPE_CHECKING:
    from diffusers import Flux2KleinPipeline

SETTINGS = "untrained.json"

_WITH_WEIGHTS = ("text_encoder", "transformer", "vae")

_FILES = ("scheduler", "tokenizer", *_WITH_WEIGHTS, "model_index.json", SETTINGS)

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
    check_seed(seed)
    pipe = _meta_pipeline(architecture, find_tokenizer(tokenizer, architecture.text_encoder["vocab_size"]))
    sizes = {part: n_bytes(getattr(pipe, part), torch.bfloat16) for part in _WITH_WEIGHTS}
    settings = _settings(architecture, seed, pipe.tokenizer)
    new = folder.with_name(folder.name + ".unfinished")
    try:
        begin_unfinished(new, SETTINGS, settings, overwrite)
        missing = [part for part in sizes if not (new / part).exists()]
        require_space(new, sum(sizes[part] for part in missing), begun=len(missing) < len(sizes))
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
    check_model_folder(folder, _FILES, SETTINGS, "an untrained model", overwrite)


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
            model = getattr(pipe, part)
            draw_weights(model, seed, part, torch.bfloat16, lambda drawn, before=done: progress(before + drawn, total))
            put_part(model, new, part, SETTINGS, max_shard_size=_SHARD_BYTES)
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
