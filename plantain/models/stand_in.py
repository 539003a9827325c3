"""The stand-in: a real Flux2KleinPipeline of tiny width with random weights, built in memory.

torch, diffusers and transformers are imported on use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from diffusers import Flux2KleinPipeline


STAND_IN = "tiny-random"

# In the text encoder's configuration, where save_pretrained and from_pretrained carry it along.
WEIGHTS_MARK = "plantain_weights"


TRANSFORMER = {
    "num_layers": 5, "num_single_layers": 20, "attention_head_dim": 32, "num_attention_heads": 4, "in_channels": 16,
    "joint_attention_dim": 96, "timestep_guidance_channels": 32, "mlp_ratio": 3.0, "axes_dims_rope": (8, 8, 8, 8),
    "rope_theta": 2000, "guidance_embeds": False,
}  # fmt: skip
"""The transformer's configuration, as the arguments of its class."""

# Klein's chat template, as far as one user message without thinking goes.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
)


def build_stand_in(seed: int = 0) -> Flux2KleinPipeline:
    """Build a real pipeline of tiny width with random weights: 5 joint and 20 single blocks, 4 heads of 32."""
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
    from diffusers import Flux2Transformer2DModel as Transformer
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = byte_tokenizer()
    encoder_config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=28,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, tie_word_embeddings=True,
        **{WEIGHTS_MARK: "stand-in"},
    )  # fmt: skip
    transformer = Transformer(**TRANSFORMER)
    vae = AutoencoderKLFlux2(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=4, sample_size=64
    )
    encoder = Qwen3ForCausalLM(encoder_config)
    for offset, module in enumerate((transformer, encoder, vae)):
        _fill(module, np.random.default_rng((seed, offset)))
        module.eval().requires_grad_(False)
    return Flux2KleinPipeline(FlowMatchEulerDiscreteScheduler(), vae, encoder, tokenizer, transformer)


def _fill(module: torch.nn.Module, rng: np.random.Generator) -> None:
    """Fill every matrix with uniform numbers of variance 1/fan_in, the same on every platform.

    numpy's uniform floats are exact; torch's normal ones differ between processors in the last bit, and
    so would the fingerprint of the same stand-in.
    """
    import torch

    for name, weight in sorted(module.named_parameters()):
        if weight.ndim < 2:
            torch.nn.init.constant_(weight, float(not name.endswith("bias")))  # norms 1, biases 0
            continue
        fan_in = weight[0].numel()
        bound = np.float32(np.sqrt(3.0 / fan_in))
        values = (rng.random(tuple(weight.shape), dtype=np.float32) * np.float32(2) - np.float32(1)) * bound
        with torch.no_grad():
            weight.copy_(torch.from_numpy(values))


def byte_tokenizer() -> Any:
    """Build a byte-level tokenizer of Qwen's class: one token a byte, plus the chat tokens."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2TokenizerFast

    vocabulary = {symbol: i for i, symbol in enumerate(sorted(ByteLevel.alphabet()))}
    for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"):
        vocabulary[token] = len(vocabulary)
    tokenizer = Qwen2TokenizerFast(vocab=vocabulary, merges=[], eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<think>", "</think>"]})
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
