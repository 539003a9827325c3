"""Mean vectors of the stand-in's heads over image tokens, taken by hooks that share no code with the package's.

The planted truth of directions stands here too: a head whose vector is rotated, or only made longer.
"""

import numpy as np
import torch
from planting import SIZE, projection

from plantain.probe.denoising import denoise, encode

N_JOINT, N_SINGLE, N_HEADS, WIDTH = 5, 20, 4, 32
N_IMAGE = (SIZE // 16) ** 2
BLOCKS = [*(f"joint[{i}]" for i in range(N_JOINT)), *(f"single[{i}]" for i in range(N_SINGLE))]


def mean_vectors_of(pipe, prompts, change=None):
    """Run every prompt alone and return its heads' mean vectors, float64 (n_prompts, 100, 32), in the blocks' order.

    `change` is a block, a head and a function that takes that head's input, (n_tokens, 32), and the prompt's number.
    """
    found = np.zeros((len(prompts), len(BLOCKS), N_HEADS, WIDTH))
    for number, prompt in enumerate(prompts):
        handles = []

        def look(_module, args, place, number=number):
            tokens = args[0][0, -N_IMAGE:, : N_HEADS * WIDTH].double().numpy()
            found[number, place] = tokens.mean(axis=0).reshape(N_HEADS, WIDTH)

        def plant(_module, args, number=number):
            x, at = args[0].clone(), change[1] * WIDTH
            x[0, :, at : at + WIDTH] = change[2](x[0, :, at : at + WIDTH], number)
            return (x,)

        if change:
            handles.append(projection(pipe, change[0]).register_forward_pre_hook(plant))
        for place, block in enumerate(BLOCKS):
            hook = lambda module, args, place=place, look=look: look(module, args, place)  # noqa: E731
            handles.append(projection(pipe, block).register_forward_pre_hook(hook))
        try:
            next(denoise(pipe, encode(pipe, [prompt]), SIZE, 0))
        finally:
            for handle in handles:
                handle.remove()
    return found.reshape(len(prompts), -1, WIDTH)


def sides_of(pipe, pairs, change=None):
    """Return the same of pairs, (2, n_pairs, 100, 32); the positive sides have the even numbers."""
    prompts = [text for pair in pairs for text in (pair.positive, pair.negative)]
    return mean_vectors_of(pipe, prompts, change).reshape(len(pairs), 2, -1, WIDTH).transpose(1, 0, 2, 3)


def rotation(size, seed=0):
    """Push every token's vector by +size or -size of its length to one direction, and give it its length back."""
    to = np.random.default_rng(seed).normal(size=WIDTH)
    to = torch.tensor(to / np.linalg.norm(to), dtype=torch.float32)

    def rotate(x, number):
        length = x.norm(dim=1, keepdim=True)
        pushed = x + (-1) ** number * size * length * to
        return pushed * (length / pushed.norm(dim=1, keepdim=True))

    return rotate


def gain(size):
    """Make the head longer on the positive side."""
    return lambda x, number: x * (1 + size * (number % 2 == 0))
