"""The Triton kernels: interpreted and compiled on any machine, and run where there is a CUDA device."""

import json
import os
import subprocess
import sys
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from browser import ROOT
from helpers import capture_pair

from plantain.models.load import load_pipeline
from plantain.probe import hooks
from plantain.probe.tokens import Segment

pytestmark = pytest.mark.smoke

TOLERANCE = 1e-6  # of what was added up; torch's own way is within 6e-7 of float64

with_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed (requirements-dev.txt)")
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def python(*args, **environment):
    return subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, timeout=300, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **environment},
    )  # fmt: skip


@pytest.mark.robust
@with_triton
def test_the_interpreted_kernels_give_the_sums_of_torch_and_of_float64():
    done = python("tests/interpreted.py", TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr
    *cases, poisoned = map(json.loads, done.stdout.splitlines())
    assert len(cases) == 24 and all(case["formed"] for case in [*cases, poisoned])
    for case in cases:
        found = {name: value for name, value in case.items() if name not in ("case", "formed")}
        assert len(found) == 4 and max(found.values()) < TOLERANCE, case


COMPILE = """
import sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton import compile
from plantain.probe import fused
whole = ("prompt_stride", "token_stride", "n_channels", "n_slices", "n_kept")
for architecture, kinds in {80: ["*bf16"], 90: ["*bf16", "*fp16", "*fp32"], 120: ["*bf16"]}.items():
    target = GPUTarget("cuda", architecture, 32)
    for kind in kinds:
        signature = {"x": kind, "chunks": "*i32", "parts": "*fp32", **dict.fromkeys(whole, "i32")}
        sizes = {"ROWS": fused._ROWS, "CHANNELS": fused._CHANNELS, "SLICE": fused.SLICE}
        source = ASTSource(fused._sum_chunks, {**signature, **dict.fromkeys(sizes, "constexpr")}, sizes)
        assert compile(source, target=target).asm["cubin"]
    signature = {"parts": "*fp32", "first": "*i32", "out": "*fp32", "width": "i32", "COLUMNS": "constexpr"}
    assert compile(ASTSource(fused._add_chunks, signature, {"COLUMNS": fused._COLUMNS}), target=target).asm["cubin"]
print("compiled")
"""


@with_triton
@pytest.mark.robust
def test_the_kernels_compile_for_an_a100_an_h100_and_an_rtx_pro(tmp_path):
    done = python("-c", COMPILE, TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0 and done.stdout == "compiled\n", done.stderr


def test_without_triton_torch_reduces(monkeypatch):
    monkeypatch.setitem(sys.modules, "plantain.probe.fused", None)  # an import of it fails
    hooks._fused.cache_clear()
    assert hooks._fused(torch.float32) is None
    hooks._fused.cache_clear()


@with_triton
@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are built here")
def test_kernels_that_cannot_be_built_leave_it_to_torch_and_say_so(monkeypatch):
    hooks._fused.cache_clear()
    with pytest.warns(UserWarning, match="Triton cannot build its kernels"):
        assert hooks._fused(torch.float32) is None  # there is no CUDA device
    hooks._fused.cache_clear()


@with_triton
@on_cuda
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_on_cuda_the_kernels_give_the_sums_of_torch(dtype):
    edges = {"template": (0, 10), "words": (10, 150), "padding": (150, 512), "image": (512, 4608)}
    segments = [[Segment(scope, *edge) for scope, edge in edges.items()]] * 2
    scopes = tuple(edges)
    x = torch.randn(2, 4608, 12288, device="cuda", generator=torch.Generator("cuda").manual_seed(0)).to(dtype) + 1
    fused = hooks._fused(dtype)
    assert fused is not None
    got, theirs = (way(x, segments, scopes, 3072) for way in (fused, hooks._on_accelerator))
    sizes = hooks._on_accelerator(x.abs(), segments, scopes, 3072)
    for one, other, size in zip(got, theirs, (sizes[0], sizes[1]), strict=True):
        assert ((one - other).abs() / size).max() < TOLERANCE


@with_triton
@on_cuda
def test_on_cuda_a_pass_is_recorded_as_by_torch(moral_set, monkeypatch):
    pipe = load_pipeline("tiny-random", device="cuda")
    capture = partial(capture_pair, pipe, moral_set.pairs[0], 64, 0)
    one = capture()
    monkeypatch.setattr(hooks, "_fused", lambda _dtype: None)
    other = capture()
    for stream, values in one.sums.streams.items():
        np.testing.assert_allclose(values, other.sums.streams[stream], rtol=1e-5, atol=0)
    for part, values in one.means.parts.items():
        np.testing.assert_allclose(values, other.means.parts[part], rtol=2**-9, atol=1e-6)
