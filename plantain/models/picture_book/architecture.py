"""The parts of the small Klein: tokenizer of the captions, random text encoder, VAE, transformer, scheduler.

torch, diffusers and transformers are imported on use.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from plantain.models.picture_book.grammar import draw_caption
from plantain.models.stand_in import CHAT_TEMPLATE, WEIGHTS_MARK

if TYPE_CHECKING:
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
    from transformers import Qwen3ForCausalLM

TEXT_TOKENS = 40
"""Tokens of a prompt, template and padding included: the tokenizer's `model_max_length`."""

_VAE_CHANNELS = 8

_HEADS, _HEAD_WIDTH = 6, 32

_TEXT_WIDTH = 64

_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")


def build_tokenizer() -> Any:
    """Build a tokenizer of Qwen's class: a token for every word of the captions, and one a byte for other text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    rng = np.random.default_rng(0)
    texts = [draw_caption(rng)[1] for _ in range(5000)] + ["user\n", "assistant\n", "\n\n", "\n"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained = Tokenizer(models.BPE())
    blank = Qwen2TokenizerFast(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[])
    trained.normalizer = blank.backend_tokenizer.normalizer
    trained.pre_tokenizer = blank.backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=10_000, min_frequency=1, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(texts, trainer)

    model = json.loads(trained.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for token in _CONTROL:
        vocabulary[token] = len(vocabulary)
    tokenizer = Qwen2TokenizerFast(
        vocab=vocabulary, merges=[tuple(m) if not isinstance(m, str) else tuple(m.split(" ")) for m in model["merges"]],
        eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=TEXT_TOKENS,
    )  # fmt: skip
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<think>", "</think>"]})
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_encoder(n_words: int) -> Qwen3ForCausalLM:
    """Build the text encoder: 28 layers of width 64."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=n_words, hidden_size=_TEXT_WIDTH, intermediate_size=2 * _TEXT_WIDTH, num_hidden_layers=28,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=True,
        max_position_embeddings=512, initializer_range=0.03, **{WEIGHTS_MARK: "practice"},
    )  # fmt: skip
    return Qwen3ForCausalLM(config)


def build_vae() -> AutoencoderKLFlux2:
    """Build the VAE: 64 x 64 pixels become 8 x 8 latents of 8 channels."""
    from diffusers import AutoencoderKLFlux2

    return AutoencoderKLFlux2(
        latent_channels=_VAE_CHANNELS, block_out_channels=(32, 48, 64, 64), layers_per_block=1, norm_num_groups=8,
        sample_size=64,
    )  # fmt: skip


def build_transformer() -> Flux2Transformer2DModel:
    """Build the transformer: 2 joint and 6 single blocks, 6 heads of 32."""
    from diffusers import Flux2Transformer2DModel

    return Flux2Transformer2DModel(
        in_channels=4 * _VAE_CHANNELS, num_layers=2, num_single_layers=6, attention_head_dim=_HEAD_WIDTH,
        num_attention_heads=_HEADS, joint_attention_dim=3 * _TEXT_WIDTH, timestep_guidance_channels=64, mlp_ratio=3.0,
        axes_dims_rope=(8, 8, 8, 8), rope_theta=2000, guidance_embeds=False,
    )  # fmt: skip


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Build the scheduler: as many steps at every noise level."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=1.0)
