"""A prompt's tokens by scope: template, words and padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from plantain import PlantainError
from plantain.prompts.sets import PromptError, is_blank

_PLACEHOLDER = "\ue000"  # of private use: in no template


class ProbeError(PlantainError, RuntimeError):
    """A probe that cannot be made as it is asked for, or a pass that cannot be recorded."""


@dataclass(frozen=True)
class Segment:
    """A run of neighbouring tokens of one scope, as a half-open range."""

    scope: str
    start: int
    stop: int


@dataclass(frozen=True)
class Tokens:
    """A tokenized prompt.

    Attributes
    ----------
    ids : tuple of int
        All ids, padding included (512 for Klein).
    segments : tuple of Segment
        Template, words, template, padding, in the order of the text.
    """

    ids: tuple[int, ...]
    segments: tuple[Segment, ...]

    def count(self, scope: str) -> int:
        return sum(s.stop - s.start for s in self.segments if s.scope == scope)


def tokenize(tokenizer: Any, prompt: str, max_length: int = 512) -> Tokens:
    """Tokenize a prompt as the pipeline does, and tell template, words and padding apart.

    Parameters
    ----------
    tokenizer
        A fast tokenizer with the model's chat template.
    prompt : str
    max_length : int
        Tokens that the pipeline pads to.

    Returns
    -------
    Tokens

    Raises
    ------
    PromptError
        The prompt is empty, holds a control token, is changed by the chat template, or is longer than
        `max_length`; it would be truncated silently otherwise.

    Examples
    --------
    >>> import plantain
    >>> pipe = plantain.load_pipeline("tiny-random", device="cpu")
    >>> tokens = plantain.probe.tokenize(pipe.tokenizer, "Ana helps Tom.")
    >>> {segment.scope: tokens.count(segment.scope) for segment in tokens.segments}
    {'template': 25, 'words': 14, 'padding': 473}
    """
    if is_blank(prompt):
        raise PromptError("the prompt is empty; write a sentence.")
    if any("\ud800" <= c <= "\udfff" for c in prompt):  # bytes on the command line that are no UTF-8
        raise PromptError("the prompt is not valid Unicode; type it anew.")
    head, _, tail = _render(tokenizer, _PLACEHOLDER).partition(_PLACEHOLDER)
    text = _render(tokenizer, prompt)
    if text != head + prompt + tail:
        raise PromptError("the model's chat template changes this prompt; remove leading and trailing blanks.")
    encoded = tokenizer(text, padding="max_length", max_length=max_length, return_offsets_mapping=True)
    if len(encoded["input_ids"]) > max_length:
        raise PromptError(f"the prompt has {len(encoded['input_ids'])} tokens, {max_length} are possible; shorten it.")
    if not encoded["attention_mask"][0]:
        raise ProbeError("the tokenizer pads on the left; FLUX.2 Klein's pads on the right.")
    used = sum(encoded["attention_mask"])
    start, stop = len(head), len(head) + len(prompt)
    inside = [i for i, (a, b) in enumerate(encoded["offset_mapping"][:used]) if a < stop and b > start]
    if set(encoded["input_ids"][inside[0] : inside[-1] + 1]) & set(tokenizer.get_added_vocab().values()):
        raise PromptError("the prompt holds a control token such as <|im_end|>; remove it.")
    scopes, stops = ("template", "words", "template", "padding"), (inside[0], inside[-1] + 1, used, max_length)
    segments = map(Segment, scopes, (0, *stops), stops)
    return Tokens(tuple(encoded["input_ids"]), tuple(s for s in segments if s.start < s.stop))


def _render(tokenizer: Any, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)


def compare_tokens(positive: Tokens, negative: Tokens) -> tuple[int, int]:
    """Return the index of the first differing token and the number of positions that differ."""
    differs = np.array(positive.ids) != np.array(negative.ids)
    return int(differs.argmax()) if differs.any() else len(differs), int(differs.sum())
