"""Weights drawn module by module are the libraries' own initialisation: nothing made up, nothing left out."""

import copy
import math

import pytest
import torch
from scipy.stats import ks_2samp
from torch import nn
from transformers import PreTrainedModel

from plantain.models.init_weights import draw_weights, n_bytes
from plantain.models.untrained import _meta_pipeline

PARTS = ("transformer", "text_encoder", "vae")


@pytest.fixture(scope="module")
def meta(tiny, pipe):
    return _meta_pipeline(tiny, pipe.tokenizer)


def draw_all(model, seed=0, label="part", dtype=torch.float32) -> dict[str, torch.Tensor]:
    """Draw a copy of a model's weights; a tied one has one name."""
    model, named = copy.deepcopy(model), {}
    draw_weights(model, seed, label, dtype)
    for name, tensor in model.state_dict(keep_vars=True).items():
        named.setdefault(id(tensor), (name, tensor.detach()))
    return dict(named.values())


def ordinary(model) -> dict[str, torch.Tensor]:
    """The same model, built at once by its library's constructor."""
    kwargs = model.config if isinstance(model, PreTrainedModel) else None
    torch.manual_seed(1)
    built = type(model)(kwargs) if kwargs is not None else type(model).from_config(model.config)
    return built.state_dict()


@pytest.mark.parametrize("part", PARTS)
def test_every_tensor_is_distributed_as_in_the_librarys_own_construction(meta, part):
    expected, got = ordinary(getattr(meta, part)), draw_all(getattr(meta, part))
    assert got.keys() == expected.keys() - {"lm_head.weight"}
    constant = 0
    for name, tensor in got.items():
        reference = expected[name]
        assert (tensor.shape, tensor.dtype) == (reference.shape, reference.dtype), name
        if reference.numel() == 1 or reference.min() == reference.max():
            assert torch.equal(tensor, reference), name
            constant += 1
            continue
        assert tensor.min() != tensor.max(), name
        assert ks_2samp(tensor.flatten(), reference.flatten()).pvalue > 1e-6, name
        n, std = reference.numel(), reference.std().item()
        assert abs(tensor.mean().item()) < 6 * std / math.sqrt(n), name
        if n >= 512:
            assert abs(tensor.std().item() / std - 1) < 6 / math.sqrt(n), name
    # Norms: 4 a joint block and 2 a single one; 4 a layer and the last; in the VAE also their biases, and statistics.
    assert constant == {"transformer": 60, "text_encoder": 145, "vae": 2 * 36 + 3}[part]


def test_the_comparison_can_fail(meta):
    """A uniform drawing of the same spread is found out, and so is one a tenth too wide."""
    reference = ordinary(meta.text_encoder)["model.embed_tokens.weight"].flatten()
    uniform = (torch.rand(reference.shape) - 0.5) * math.sqrt(12) * reference.std()
    assert ks_2samp(uniform, reference).pvalue < 1e-6
    assert abs((reference * 1.1).std() / reference.std() - 1) > 6 / math.sqrt(reference.numel())


def test_numbers_depend_on_seed_label_and_name_and_on_nothing_else(meta):
    model = meta.transformer
    one = draw_all(model)
    torch.manual_seed(99)
    again = draw_all(model)
    alone = draw_all(nn.ModuleDict({"x_embedder": model.x_embedder}))  # without the modules that were drawn before
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert torch.equal(one["x_embedder.weight"], alone["x_embedder.weight"])
    weights = [name for name in one if "norm" not in name]
    for other in (draw_all(model, seed=1), draw_all(model, label="other")):
        assert not any(torch.equal(one[name], other[name]) for name in weights)
    blocks = [one[f"single_transformer_blocks.{i}.attn.to_out.weight"] for i in (0, 1)]
    assert not torch.equal(*blocks)


def test_they_are_drawn_in_float32_and_then_rounded(meta):
    fine, coarse = (draw_all(meta.text_encoder, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert all(torch.equal(fine[name].bfloat16(), coarse[name]) for name in fine)
    counter = draw_all(meta.vae, dtype=torch.bfloat16)["bn.num_batches_tracked"]
    assert (counter.dtype, counter.item()) == (torch.int64, 0)


def test_the_callers_random_numbers_go_on_undisturbed(meta):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    draw_all(meta.vae)
    assert torch.equal(torch.rand(3), expected)


def test_progress_counts_the_bytes_that_a_file_will_hold(meta):
    model, told = copy.deepcopy(meta.text_encoder), []
    draw_weights(model, 0, "part", torch.bfloat16, told.append)
    assert told == sorted(told) and told[-1] == n_bytes(meta.text_encoder, torch.bfloat16)
    assert told[-1] == sum(tensor.nbytes for tensor in draw_all(meta.text_encoder, dtype=torch.bfloat16).values())


def test_a_tied_weight_is_saved_once_and_an_untied_one_is_drawn(meta, tiny, pipe):
    assert "lm_head.weight" not in draw_all(meta.text_encoder)
    untied = type(tiny)(tiny.transformer, tiny.text_encoder | {"tie_word_embeddings": False}, tiny.vae, tiny.scheduler)
    drawn = draw_all(_meta_pipeline(untied, pipe.tokenizer).text_encoder)
    assert not torch.equal(drawn["lm_head.weight"], drawn["model.embed_tokens.weight"])


class Forgetful(nn.Module):
    """Initialises one of its two parameters."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Parameter(torch.empty(3)), nn.Parameter(torch.empty(3))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.zeros_(self.first)


class Bare(nn.Module):
    """Has a parameter that only its constructor fills."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))


class Count(nn.Module):
    """Has a whole number that nobody sets."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))


@pytest.mark.parametrize(
    ("module", "name"), [(Forgetful, "0.second"), (Bare, "0.scale"), (Count, "0.count")], ids=lambda v: str(v)
)
def test_memory_that_nobody_initialises_is_found_out(module, name):
    with torch.device("meta"):
        model = nn.Sequential(module())
    with pytest.raises(ValueError, match=f"{name}: nobody initialises it"):
        draw_all(model)
