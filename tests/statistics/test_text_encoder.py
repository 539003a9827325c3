"""What the text encoder says already, and what a transformer adds: told apart by a reservoir, with planted truth.

The model is the stand-in; its reservoir has the same text encoder and tokenizer before another random transformer. A
vector is added on the positive sides alone, to the prompt embedding of both or inside one transformer.
"""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from own_hooks import sides_of

from plantain import stats
from plantain.models.stand_in import build_stand_in

SIZE = 0.05  # of the embedding's own spread
BLOCK = 3


@pytest.fixture(scope="module")
def reservoir(pipe):
    made = build_stand_in(11)
    made.register_modules(text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer)
    return made


@contextmanager
def pushed(module, size):
    """Add a vector to a module's first input in every second pass: on the positive side, which a pair runs first."""
    passes = []

    def push(_module, args, given):
        passes.append(1)
        x = args[0] if args else given["hidden_states"]
        along = torch.tensor(np.random.default_rng(0).normal(size=x.shape[-1]), dtype=x.dtype)
        x = x + (len(passes) % 2) * size * x.std() * along
        return ((x, *args[1:]), given) if args else (args, {**given, "hidden_states": x})

    hook = module.register_forward_pre_hook(push, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def gram_of(pipe, pairs):
    return stats.direction_grams(sides_of(pipe, pairs)).mean(axis=0)


def told(gram):
    return int(np.count_nonzero(stats.direction_scores(gram) > 0))


def test_what_the_embedding_says_the_reservoir_tells_as_well(pipe, reservoir, moral_set):
    grams = []
    for model in (pipe, reservoir):
        with pushed(model.transformer.context_embedder, SIZE):
            grams.append(gram_of(model, moral_set.pairs))
    assert min(map(told, grams)) >= 22
    found = stats.agreement_difference_test(*grams)
    assert found.agreement > 0.1 and found.other > 0.1 and found.p > 0.05


def test_what_a_transformer_adds_the_reservoir_does_not_have(pipe, reservoir, moral_set):
    with pushed(pipe.transformer.single_transformer_blocks[BLOCK], SIZE):
        mine = gram_of(pipe, moral_set.pairs)
    theirs = gram_of(reservoir, moral_set.pairs)
    assert told(mine) == 25 and told(theirs) < 18
    found = stats.agreement_difference_test(mine, theirs)
    assert found.difference > 0.1 and found.p < 0.001
