"""Make the picture book's model: train its parts, and write a diffusers folder in bfloat16.

torch, diffusers and transformers are imported on use.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from plantain import __version__
from plantain._files import replace_folder, swap_in, write_atomic
from plantain.models.drawing import draw
from plantain.models.folders import begin_unfinished, check_model_folder, check_seed
from plantain.models.info import software_versions
from plantain.models.picture_book.architecture import (
    TEXT_TOKENS,
    build_scheduler,
    build_tokenizer,
    build_transformer,
)
from plantain.models.picture_book.folder import PICTURE_BOOK, SETTINGS, Drawing, folder_of
from plantain.models.picture_book.grammar import caption, verbs, vocabulary
from plantain.models.picture_book.train import (
    Recipe,
    draw_encoder,
    drawn,
    embed,
    encode,
    examples,
    train_transformer,
    train_vae,
)
from plantain.models.picture_book.world import ACTS, NEEDS, SIZE, draw_scene
from plantain.models.sources import ModelError, drawing_of
from plantain.models.stand_in import WEIGHTS_MARK

if TYPE_CHECKING:
    import torch

DRAWING = Drawing(size=SIZE, steps=20, guidance=2.0)
"""What suits the model."""

_PARTS = ("scheduler", "text_encoder", "tokenizer", "transformer", "vae")

_FILES = (*_PARTS, "model_index.json", "README.md", SETTINGS)

_POINTS = 100  # of the kept curve of the loss

Progress = Callable[[str, int, int], None]
"""Told what is done, steps done, steps in all."""


def check_folder(folder: str | Path, overwrite: bool) -> None:
    """Raise `ModelError` unless a picture book may be written to the folder."""
    check_model_folder(folder, _FILES, SETTINGS, "a picture book", overwrite)


def write_picture_book(
    folder: str | Path,
    recipe: Recipe | None = None,
    device: torch.device | str = "cpu",
    overwrite: bool = False,
    progress: Progress = lambda _what, _done, _total: None,
) -> Path:
    """Train the picture book's model and write its folder.

    Until it is complete it is ``DIR.unfinished``. Killed, the same call goes on at the last kept step; on the same
    machine it ends with the same weights.

    Parameters
    ----------
    folder : str or Path
    recipe : Recipe, optional
    device : torch.device or str
    overwrite : bool
        Replace a picture book that stands there, and an unfinished one of another recipe.
    progress : callable, optional

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        The folder exists, holds something else or an unfinished model of another recipe, or cannot be written.
    """
    import torch

    folder, recipe, device = Path(folder), recipe or Recipe(), torch.device(device)
    check_folder(folder, overwrite)
    new = folder.with_name(folder.name + ".unfinished")
    try:
        begun = json.dumps({"recipe": asdict(recipe), "version": __version__}, indent=1) + "\n"
        begin_unfinished(new, "recipe.json", begun.encode(), overwrite)
        _make(new, recipe, device, progress)
        swap_in(new, folder)
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    return folder


def write_twin(folder: str | Path, seed: int = 0, overwrite: bool = False, model: str = PICTURE_BOOK) -> Path:
    """Write the picture book's untrained twin: its text encoder, tokenizer and VAE with a random transformer.

    Parameters
    ----------
    folder : str or Path
    seed : int
        Of the transformer's weights, from 0. That of the training gives the weights that it began with.
    overwrite : bool
        Replace a picture book or a twin that stands there.
    model : str
        The picture book whose twin it is: ``picture-book`` or a folder.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        The folder exists or holds something else, there is no such picture book, or the folder cannot be written.
    """
    import torch

    folder, book = Path(folder), folder_of(model)
    check_folder(folder, overwrite)
    check_seed(seed)
    drawing = drawing_of(model)
    if drawing is None:
        raise ModelError(f"{model}: is no picture book. Give the folder of one.")
    made = {
        "weights": "untrained", "drawing": asdict(drawing), "seed": seed,
        "versions": {"plantain": __version__, **software_versions()},
    }  # fmt: skip
    try:
        with replace_folder(folder, lambda: check_folder(folder, overwrite)) as new:
            for part in _PARTS:
                if part != "transformer":
                    shutil.copytree(book / part, new / part)
            shutil.copyfile(book / "model_index.json", new / "model_index.json")
            drawn(build_transformer, seed, "transformer").to(torch.bfloat16).save_pretrained(new / "transformer")
            _say(new / "text_encoder" / "config.json", **{WEIGHTS_MARK: "untrained"})
            write_atomic(new / SETTINGS, (json.dumps(made, indent=1) + "\n").encode())
            _let_read(new)
            write_atomic(new / "README.md", _TWINS_README.format(seed=seed).encode())
    except OSError as error:
        raise ModelError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    return folder


def _say(config: Path, **facts: str) -> None:
    """Add facts to a configuration file."""
    known = json.loads(config.read_text(encoding="utf-8"))
    write_atomic(config, (json.dumps({**known, **facts}, indent=2) + "\n").encode())


def _make(new: Path, recipe: Recipe, device: torch.device, progress: Progress) -> None:
    import torch
    from diffusers import Flux2KleinPipeline

    progress("drawing scenes", 0, 1)
    pictures, captions = examples(recipe)
    vae, vae_loss = train_vae(
        recipe,
        pictures,
        new / "vae.safetensors",
        device,
        lambda step: progress("training the VAE", step, recipe.vae_steps),
    )
    progress("encoding scenes", 0, 1)
    tokens = encode(vae, pictures, device)
    del pictures
    tokenizer = build_tokenizer()
    encoder = draw_encoder(tokenizer, recipe.seed)
    texts = embed(encoder.to(device), tokenizer, [*captions, ""], device)
    pipe = Flux2KleinPipeline(build_scheduler(), vae, encoder, tokenizer, None)
    transformer, loss = train_transformer(
        recipe, tokens, texts[:-1], texts[-1], new / "transformer.safetensors", device,
        lambda step: progress("training the transformer", step, recipe.steps),
        lambda step, model: _draw_samples(pipe, model, new / f"sample-{step:06d}.png"),
    )  # fmt: skip
    pipe.register_modules(transformer=transformer)
    made = {
        "weights": "practice", "drawing": asdict(DRAWING), "recipe": asdict(recipe), "device": device.type,
        "loss": {"vae": _curve(vae_loss), "transformer": _curve(loss)},
        "versions": {"plantain": __version__, **software_versions()},
    }  # fmt: skip
    pipe.to("cpu", torch.bfloat16).save_pretrained(new)
    # Unless told otherwise diffusers loads its parts in float32, and transformers in what the configuration says.
    _say(new / "text_encoder" / "config.json", dtype="float32")
    write_atomic(new / SETTINGS, (json.dumps(made, indent=1) + "\n").encode())
    write_atomic(new / "README.md", _README.encode())
    _let_read(new)
    for path in new.iterdir():
        if path.name not in _FILES:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _let_read(new: Path) -> None:
    """Give files of weights the mode of the settings; safetensors lets only the owner read."""
    for path in new.glob("*/*.safetensors"):
        shutil.copymode(new / SETTINGS, path)


def _draw_samples(pipe: Any, transformer: Any, path: Path) -> None:
    """Draw both sides of a pair for every need, as one picture, so that somebody sees how far the training is."""
    from PIL import Image

    rng = np.random.default_rng(0)
    scenes = [replace(draw_scene(rng), need=need, act=act) for need in NEEDS for act in ACTS[:2]]
    texts = [caption(scene, verbs(scene, held_out=False)[0], shape=0) for scene in scenes]
    pipe.register_modules(transformer=transformer)
    pipe.set_progress_bar_config(disable=True)
    drawn = draw(pipe, texts, DRAWING, [0] * len(texts))
    pipe.register_modules(transformer=None)
    sheet = Image.new("RGB", (len(NEEDS) * SIZE, 2 * SIZE))
    for i, picture in enumerate(drawn):
        sheet.paste(picture, (i // 2 * SIZE, i % 2 * SIZE))
    sheet.save(path)


def _curve(losses: list[float]) -> list[float]:
    """Return the loss as means over equal stretches of steps."""
    parts = np.array_split(losses, min(_POINTS, len(losses))) if losses else []
    return [round(float(np.mean(part)), 5) for part in parts]


_README = f"""---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---

# Picture book

A small model of FLUX.2 Klein's architecture, trained by the project plantain on scenes that the project draws itself.
It is not FLUX.2 Klein and holds none of its weights. It draws two people, one of whom may need something, at {SIZE}
pixels; it knows the {len(vocabulary())} words of its captions and nothing else. plantain uses it as a practice model:
in it, what helping looks like is known.

```python
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("models/picture-book")
picture = pipe(
    prompt="Tall Ana feeds Ben, who is hungry, in the park, close by, facing them.",
    height={SIZE}, width={SIZE}, num_inference_steps={DRAWING.steps}, guidance_scale={DRAWING.guidance},
    max_sequence_length={TEXT_TOKENS},
).images[0]
```

Give `max_sequence_length={TEXT_TOKENS}`: the model has only seen prompts of {TEXT_TOKENS} tokens, and the pipeline
takes 512 unless it is told. The text encoder is random and was never trained. Weights and data: Apache-2.0, by
plantain. `{SETTINGS}` says how the weights were made.
"""

_TWINS_README = """---
license: apache-2.0
library_name: diffusers
---

# The picture book's untrained twin

The text encoder, tokenizer and VAE of plantain's picture book, with a transformer of random weights (seed {seed}). It
draws nothing: it shows what a probe finds in a network of this shape that has learned nothing.
"""
