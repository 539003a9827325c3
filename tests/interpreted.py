"""The Triton kernels under Triton's interpreter, beside torch's way and float64; prints one JSON line a case.

Started in a process of its own by a test, with TRITON_INTERPRET=1: Triton reads it when it is imported.
"""

import json

import torch

from plantain.probe import fused
from plantain.probe.hooks import _on_accelerator
from plantain.probe.tokens import Segment

SCOPES = ("template", "words", "padding", "image")


def cut(*lengths):
    """Lay segments of these lengths one after the other: template, words, template, padding, image."""
    found, start = [], 0
    for scope, length in zip(("template", "words", "template", "padding", "image"), lengths, strict=True):
        found += [Segment(scope, start, start + length)] if length else []
        start += length
    return found


CASES = {
    "one prompt, chunks that are not whole": ([cut(3, 147, 10, 352, 18)], 96, 40),
    "several prompts": ([cut(3, 30, 10, 257, 230), cut(1, 1, 1, 511, 16), cut(3, 499, 10, 0, 18)], 96, 96),
    "scopes of one token": ([cut(1, 1, 0, 1, 1)], 48, 16),
    "a whole chunk and one token more": ([cut(256, 257, 0, 0, 255)], 16, 16),
    "more channels than a program takes": ([cut(2, 5, 2, 3, 9)] * 2, 1200, 528),
    "nothing kept": ([cut(2, 5, 2, 3, 9)], 544, 0),
}  # fmt: skip


def case(segments, n_channels, n_kept, dtype, whole):
    """Return the largest differences, each a share of the sum of what was added up, and whether all is well formed."""
    generator = torch.Generator().manual_seed(n_channels)
    n_tokens = segments[0][-1].stop
    x = torch.randn((len(segments), n_tokens + 7, n_channels), generator=generator).to(dtype)
    x = x[:, :n_tokens].contiguous() if whole else x[:, 7:]  # the joint blocks' input is such a part
    x += 3  # as with a mean vector of its own
    squares, totals = fused.sum_up(x, segments, SCOPES, n_kept)
    theirs = _on_accelerator(x, segments, SCOPES, n_kept)
    worst = {"squares beside torch": 0.0, "totals beside torch": 0.0, "squares": 0.0, "totals": 0.0}
    for i, own in enumerate(segments):
        for j, scope in enumerate(SCOPES):
            tokens = [t for s in own if s.scope == scope for t in range(s.start, s.stop)]
            values = x[i, tokens].double()
            of_slices = (values**2).sum(0).unflatten(0, (-1, 16)).sum(1)
            size = values[:, :n_kept].abs().sum(0)
            for name, got, other, scale in (
                ("squares beside torch", squares[i, j], theirs[0][i, j], of_slices),
                ("squares", squares[i, j], of_slices, of_slices),
                ("totals beside torch", totals[i, j], theirs[1][i, j], size),
                ("totals", totals[i, j], values[:, :n_kept].sum(0), size),
            ):
                if not tokens:
                    assert not got.any()
                elif len(got):
                    worst[name] = max(worst[name], float(((got.double() - other.double()).abs() / scale).max()))
    alone = [fused.sum_up(x[i : i + 1], segments[i : i + 1], SCOPES, n_kept) for i in range(len(segments))]
    together = all(torch.equal(squares[i], a[0]) and torch.equal(totals[i], b[0]) for i, (a, b) in enumerate(alone))
    return worst, together and squares.dtype == totals.dtype == torch.float32


for name, given in CASES.items():
    for dtype in (torch.float32, torch.bfloat16):
        for whole in (True, False):
            worst, formed = case(*given, dtype, whole)
            print(json.dumps({"case": f"{name}, {dtype}, {'whole' if whole else 'part'}", "formed": formed, **worst}))
poisoned = torch.ones((2, 4, 16))
poisoned[0, 2, 3] = torch.nan
squares, totals = fused.sum_up(poisoned, [[Segment("words", 0, 4)]] * 2, ("words",), 16)
formed = squares[0].isnan().any() and squares[1].isfinite().all() and totals[1].isfinite().all()
print(json.dumps({"case": "a NaN stays with its prompt", "formed": bool(formed)}))
