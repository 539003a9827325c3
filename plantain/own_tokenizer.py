"""The tokenizer of a model that is written here: a Qwen tokenizer's files, or the stand-in's byte-level one.

Knows nothing about the model's weights. transformers and huggingface_hub are imported on use.

`find_tokenizer`   a local folder, a Hub id or None -> `Source`
`copy_tokenizer`   its files, as they are
"""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plantain import PlantainError
from plantain.sources import hub_errors
from plantain.stand_in import byte_tokenizer

# By name: whatever else lies in the folder stays there.
FILES = (
    "added_tokens.json", "chat_template.jinja", "merges.txt", "special_tokens_map.json", "tokenizer.json",
    "tokenizer_config.json", "vocab.json",
)  # fmt: skip


class TokenizerError(PlantainError, ValueError):
    """A tokenizer that cannot be taken; the message says why and what to do."""


@dataclass(frozen=True)
class Source:
    """Where a tokenizer comes from.

    Attributes
    ----------
    tokenizer
        A fast tokenizer of Qwen's class.
    folder : Path or None
        Its files; None for the byte-level one, which is built in memory.
    sha256 : str
        Of the files' names and contents, or of the tokenizer's rules.
    """

    tokenizer: Any
    folder: Path | None
    sha256: str


def find_tokenizer(where: str | None, vocab_size: int) -> Source:
    """Find a tokenizer and make sure that a model can use it.

    Parameters
    ----------
    where : str or None
        A folder with a tokenizer, or with a subfolder ``tokenizer``; a Hub id, whose subfolder ``tokenizer`` is
        downloaded; or None for the stand-in's byte-level tokenizer.
    vocab_size : int
        Rows of the embedding; every id has to be below it.

    Raises
    ------
    TokenizerError
        There is no such folder, no tokenizer in it, or it does not fit.
    ModelError
        The Hub cannot be reached, or refuses.
    """
    if where is None:
        tokenizer = byte_tokenizer()
        rules = tokenizer.backend_tokenizer.to_str() + tokenizer.chat_template
        source = Source(tokenizer, None, hashlib.sha256(rules.encode()).hexdigest())
    else:
        folder = _folder(where)
        source = Source(_load(folder, where), folder, _files_sha256(folder))
    largest = max(source.tokenizer.get_vocab().values())
    if largest >= vocab_size:
        raise TokenizerError(f"{where or 'the byte-level tokenizer'}: has id {largest}, the model has {vocab_size}.")
    return source


def copy_tokenizer(source: Source, folder: Path) -> None:
    """Put a tokenizer's files into a folder."""
    if source.folder is None:
        source.tokenizer.save_pretrained(folder)
        return
    for path in _files(source.folder):
        shutil.copyfile(path, folder / path.name)


def _folder(where: str) -> Path:
    folder = Path(where)
    if not folder.is_dir():
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", where) or where.startswith((".", "/")):
            raise TokenizerError(f"{where}: no such folder. Give a folder with a Qwen tokenizer, or a Hub id.")
        folder = _download(where)
    return folder / "tokenizer" if (folder / "tokenizer").is_dir() else folder


def _download(repo_id: str) -> Path:
    from huggingface_hub import snapshot_download

    with hub_errors(repo_id, "leave --tokenizer out (one token a byte)"):
        return Path(snapshot_download(repo_id, allow_patterns=[f"tokenizer/{name}" for name in FILES]))


def _files(folder: Path) -> list[Path]:
    return [folder / name for name in FILES if (folder / name).is_file()]


def _files_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in _files(folder):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _load(folder: Path, where: str) -> Any:
    from transformers import Qwen2TokenizerFast

    # Without its files the class would make an empty tokenizer, and say nothing.
    if not ((folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file()):
        raise TokenizerError(f"{where}: holds no tokenizer.json. Give a folder with a Qwen tokenizer, or a Hub id.")
    try:
        tokenizer = Qwen2TokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the libraries raise many kinds for a damaged file
        raise TokenizerError(
            f"{where}: holds no tokenizer of Qwen's kind. Give another folder, or a Hub id."
        ) from error
    if not tokenizer.chat_template:
        raise TokenizerError(f"{where}: has no chat template, which the prompts need. Give Klein's own tokenizer.")
    return tokenizer
