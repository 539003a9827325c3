"""Time and memory of the probe against the naive way; prints a table. Run by hand on a quiet machine.

    python tests/benchmarks/bench_probe.py                               the stand-in, seconds
    python tests/benchmarks/bench_probe.py --model DIR --size 256        a saved model, minutes
    python tests/benchmarks/bench_probe.py --hooks 5 --size 256          the hooks alone, on a fifth of Klein's blocks

The naive way is the one that the card describes: the whole pipeline in memory, ``pipe(...)`` once per prompt with its
picture decoded, and hooks that square in float32. Ours is what `python -m plantain run` does: half of the text
encoder, no VAE, one half of the model in memory at a time. Each way runs in a process of its own, on the same
prompts, with the time for loading left out. The goals are 0.72 of the naive time and 0.55 of its peak memory at full
size, magnitudes within 0.001 of one another in bfloat16, and for a hooked pass against an unhooked one 1.03 without
directions and 1.05 with those of heads. The passes of the hooks' figures take turns, so that other work on the machine
falls on all of them; their weights may be random (`--hooks N`: Klein's width, and every N-th of its 5 and 20 blocks).
"""
# ruff: noqa: E402  the path and the threads' habits have to be set before anything is imported

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the command line does; read when torch is imported

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from plantain.prompts.sets import load_prompt_set

GOALS = {"time": 0.72, "memory": 0.55, "difference": 1e-3, "off": 1.03, "heads": 1.05}
SEED = 0


# --- measuring ---------------------------------------------------------------------------------------------


class Memory:
    """Peak resident memory of this process, in GB: all of it, what is its own, and what is mapped from files."""

    def __init__(self) -> None:
        self._phases: dict[str, dict[str, float]] = {}
        self._phase = "start"
        self._stop = threading.Event()
        threading.Thread(target=self._sample, daemon=True).start()

    def enter(self, phase: str) -> None:
        self._phase = phase

    def _sample(self) -> None:
        while not self._stop.wait(0.02):
            now, peak = _resident(), self._phases.setdefault(self._phase, {})
            for name, value in now.items():
                peak[name] = max(peak.get(name, 0.0), value)

    def report(self) -> dict[str, Any]:
        """Stop sampling; return the peaks of every phase and of the whole process."""
        self._stop.set()
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"peak": kilobytes * 1024 / 1e9, "phases": self._phases}


def _resident() -> dict[str, float]:
    lines = Path("/proc/self/status").read_text().splitlines()
    found = (line.split() for line in lines if line.startswith(("VmRSS", "RssAnon", "RssFile")))
    return {name.rstrip(":"): int(value) * 1024 / 1e9 for name, value, _ in found}


CLOCKS = {"by the clock": time.perf_counter, "by the processor's time": time.process_time}


def on_clocks(call: Callable[[], Any]) -> list[float]:
    """Return the seconds of a call on each of the clocks."""
    starts = [clock() for clock in CLOCKS.values()]
    call()
    return [clock() - start for clock, start in zip(CLOCKS.values(), starts, strict=True)]


def timed(call: Callable[[], Any]) -> float:
    return on_clocks(call)[0]


def matrix_rate(n_tokens: int, weight: Any) -> float:
    """Return the machine's floating-point operations a second in a product of the transformer's own shape."""
    import torch

    n_in, n_out = 3072, 12288
    x, w = torch.randn(n_tokens, n_in).to(weight), torch.randn(n_out, n_in).to(weight)
    seconds = [timed(lambda: finished(torch.nn.functional.linear(x, w))) for _ in range(12)]
    return 2 * n_tokens * n_in * n_out / statistics.median(seconds[2:])


def finished(x: Any) -> None:
    """Wait until the device is through: a GPU works on after a call has come back."""
    import torch

    if x.device.type == "cuda":
        torch.cuda.synchronize()


# --- the two ways, each in a process of its own ------------------------------------------------------------


def naive(model: str, prompts: list[str], size: int, out: Path) -> dict[str, Any]:
    """Follow the card: the whole pipeline, a call and a picture per prompt, squares in float32."""
    import torch
    from diffusers import Flux2KleinPipeline

    from plantain.models.stand_in import STAND_IN, build_stand_in

    memory = Memory()
    memory.enter("whole pipeline")
    pipe = build_stand_in() if model == STAND_IN else Flux2KleinPipeline.from_pretrained(model, dtype=torch.bfloat16)
    pipe.to("cuda" if torch.cuda.is_available() else "cpu").set_progress_bar_config(disable=True)
    rms: dict[str, torch.Tensor] = {}
    modules = {f"joint {i}": b.attn.to_out[0] for i, b in enumerate(pipe.transformer.transformer_blocks)}
    modules |= {f"single {i}": b.attn.to_out for i, b in enumerate(pipe.transformer.single_transformer_blocks)}

    def hook(name: str):
        def record(_module, args) -> None:
            squares = args[0].float().pow(2).unflatten(-1, (-1, 16))
            rms[name] = squares.mean(dim=(0, 1, 3)).sqrt().cpu()

        return record

    for name, module in modules.items():
        module.register_forward_pre_hook(hook(name))
    seconds, magnitudes = [], []
    for prompt in [prompts[0], *prompts]:  # the first one twice: weights are read from the disk on first use
        call = lambda text=prompt: pipe(  # noqa: E731
            prompt=text, height=size, width=size, num_inference_steps=1, guidance_scale=1.0,
            generator=torch.Generator("cpu").manual_seed(SEED),
        )  # fmt: skip
        seconds.append(timed(call))
        magnitudes.append(torch.cat([rms[name] for name in modules]).numpy())
    np.save(out, np.array(magnitudes[1:]))
    return {"seconds": seconds[1:], "memory": memory.report()}


def ours(model: str, prompts: list[str], size: int, out: Path) -> dict[str, Any]:
    """Do what ``run`` does with one half of the model in memory at a time, and time hooks apart."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from plantain.models.load import PhasedPipeline
    from plantain.probe.denoising import denoise, encode, image_tokens
    from plantain.probe.hooks import recording
    from plantain.probe.passes import Passes, layout_of
    from plantain.probe.tokens import tokenize
    from plantain.prompts.sets import PromptPair
    from plantain.runs.info import Conditions
    from plantain.runs.units import magnitudes

    memory, halves = Memory(), PhasedPipeline(model)
    memory.enter("encoding")
    pipe = halves.load_encoder()
    encode(pipe, prompts[:1])  # weights are read from the disk on first use
    embeds: dict[str, torch.Tensor] = {}
    encoding = [timed(lambda p=p: embeds.update({p: encode(pipe, [p]).cpu()})) for p in prompts]
    memory.enter("passes")
    pipe = halves.load_transformer()
    pairs = [PromptPair(str(i), "", *prompts[i : i + 2]) for i in range(0, len(prompts), 2)]
    kept = lambda pair: torch.cat([embeds[pair.positive], embeds[pair.negative]])  # noqa: E731
    passes = Passes(pipe, Conditions(size, (SEED,)), batch=1, embed=kept)
    with FlopCounterMode(display=False) as counter:
        next(denoise(pipe, embeds[prompts[0]], size, SEED))
    probing, captures = [], []
    for pair in pairs:
        probing += [timed(lambda pair=pair: captures.append(passes.capture([pair])[0])) / 2] * 2
    values = [magnitudes(c.sums, layout_of(pipe))[:, 0] for c in captures]
    np.save(out, np.concatenate(values))

    text, n_image = [tokenize(pipe.tokenizer, prompts[0]).segments], image_tokens(pipe, size)

    weight = next(pipe.transformer.parameters())

    def bare() -> None:
        next(denoise(pipe, embeds[prompts[0]], size, SEED))
        finished(weight)

    def hooked(level: str) -> None:
        with recording(pipe.transformer, text, n_image, directions=level) as recorder:
            next(denoise(pipe, embeds[prompts[0]], size, SEED))
        recorder.collect(layout_of(pipe), prompts[:1], rounded=True)

    unhooked, hooks = in_turn(bare, hooked)["by the clock"]
    return {
        "seconds": [a + b for a, b in zip(encoding, probing, strict=True)],
        "encoding": statistics.median(encoding),
        "probing": statistics.median(probing),
        "hooks": hooks,
        "unhooked": unhooked,
        "flops": counter.get_total_flops(),
        "rate": matrix_rate(text[0][-1].stop + n_image, weight),
        "device": str(weight.device),
        "dtype": str(weight.dtype),
        "memory": memory.report(),
    }


WAYS = {"naive": naive, "ours": ours}


LEVELS = ("off", "heads", "all")


def in_turn(
    bare: Callable[[], None], hooked: Callable[[str], None], n: int = 9
) -> dict[str, tuple[float, dict[str, float]]]:
    """Return, by clock, the median seconds of a bare pass and the median ratio of a hooked one to its round's bare one.

    A round before the `n` is left out. Each round begins with another of the calls, so that none is always the first.
    """
    calls = [bare, *(partial(hooked, level) for level in LEVELS)]
    rounds = np.empty((n + 1, len(calls), len(CLOCKS)))
    for i, of_round in enumerate(tqdm(rounds, desc="rounds", disable=None)):
        for call in np.roll(range(len(calls)), -i):
            of_round[call] = on_clocks(calls[call])
    rounds = rounds[1:]
    seconds, ratios = np.median(rounds[:, 0], axis=0), np.median(rounds[:, 1:] / rounds[:, :1], axis=0)
    return {name: (seconds[i], dict(zip(LEVELS, ratios[:, i], strict=True))) for i, name in enumerate(CLOCKS)}


def hooks_alone(share: int, size: int, batch: int, dtype: str) -> None:
    """Time the hooks on random weights of Klein 4B's width, with a part of its blocks, and print what they cost."""
    import torch
    from diffusers import Flux2Transformer2DModel

    from plantain.models.untrained import KLEIN_4B
    from plantain.probe.hooks import recording
    from plantain.probe.tokens import Segment
    from plantain.runs.units import Layout

    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = {"num_layers": 5 // share, "num_single_layers": 20 // share}
    kind = getattr(torch, dtype)
    torch.set_default_dtype(kind)
    with torch.device(device), torch.no_grad():
        transformer = Flux2Transformer2DModel(**{**KLEIN_4B.transformer, **config}).eval()
    torch.set_default_dtype(torch.float32)
    n_image, layout = (size // 16) ** 2, Layout.from_config(transformer.config)
    edges = {"template": (0, 20), "words": (20, 50), "padding": (50, 512)}
    text = [tuple(Segment(scope, *edge) for scope, edge in edges.items())] * batch
    generator = torch.Generator().manual_seed(SEED)
    given = {
        "hidden_states": torch.randn((batch, n_image, 128), generator=generator),
        "encoder_hidden_states": torch.randn((batch, 512, layout.text_dim), generator=generator),
        "timestep": torch.ones(batch), "txt_ids": torch.zeros(512, 4), "img_ids": torch.zeros(n_image, 4),
    }  # fmt: skip
    given = {name: value.to(device, kind) for name, value in given.items()}

    @torch.no_grad()
    def bare() -> None:
        transformer(**given, guidance=None, return_dict=False)
        finished(given["hidden_states"])

    @torch.no_grad()
    def hooked(level: str) -> None:
        with recording(transformer, text, n_image, directions=level) as recorder:
            transformer(**given, guidance=None, return_dict=False)
        recorder.collect(layout, ["a prompt"] * batch, rounded=True)

    for name, (seconds, hooks) in in_turn(bare, hooked).items():  # kernels are built in the round that is left out
        if device == "cpu" or CLOCKS[name] is time.perf_counter:
            what = f"{config}, {size} px, batch {batch}, {dtype} on {device} ({processor()})"
            print(f"{what}; {name}, a bare pass takes {seconds:.3f} s\n")
            print_hooks(hooks)


def print_hooks(hooks: dict[str, float]) -> None:
    for level, ratio in hooks.items():
        print(f"{f'hooked pass, directions {level}':34} {ratio:31.4f}  {goal(level, ratio) if level in GOALS else ''}")


# --- the table ---------------------------------------------------------------------------------------------


def run_way(name: str, model: str, size: int, n_prompts: int, folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Run one way in a process of its own."""
    result, values = folder / f"{name}.json", folder / f"{name}.npy"
    command = [sys.executable, __file__, "--model", model, "--size", str(size), "--prompts", str(n_prompts)]
    subprocess.run([*command, "--worker", name, str(result), str(values)], check=True, cwd=ROOT)
    return json.loads(result.read_text()), np.load(values)


def some_prompts(n: int) -> list[str]:
    pairs = load_prompt_set(ROOT / "prompts" / "moral_valence.toml").pairs
    return [text for pair in pairs for text in (pair.positive, pair.negative)][:n]


def goal(name: str, value: float) -> str:
    return f"goal {GOALS[name]:g}: {'met' if value <= GOALS[name] else 'MISSED'}"


def table(model: str, size: int, n_prompts: int) -> None:
    """Run both ways and print what they took."""
    with tempfile.TemporaryDirectory() as folder:
        (slow, theirs), (fast, mine) = (run_way(w, model, size, n_prompts, Path(folder)) for w in WAYS)
    seconds = [statistics.median(way["seconds"]) for way in (slow, fast)]
    peaks = [way["memory"]["peak"] for way in (slow, fast)]
    difference = float(np.max(np.abs(theirs - mine) / theirs))
    print(f"{model}, {size} px, {n_prompts} prompts, {fast['dtype']} on {fast['device']} ({processor()})\n")
    print(f"{'':34} {'naive':>10} {'ours':>10} {'ratio':>8}")
    for name, values, unit, key in (
        ("seconds per prompt", seconds, "s", "time"),
        ("peak memory", peaks, "GB", "memory"),
    ):
        ratio = values[1] / values[0]
        print(f"{name:34} {values[0]:8.2f} {unit:2} {values[1]:7.2f} {unit:2} {ratio:8.3f}  {goal(key, ratio)}")
    print(f"{'largest relative difference':34} {difference:31.1e}  {goal('difference', difference)}")
    print_hooks(fast["hooks"])
    if fast["device"].startswith("cuda"):
        print(f"{'GPU seconds per prompt':34} {seconds[0]:8.2f} s  {seconds[1]:7.2f} s")  # one GPU, busy all the time
    print(f"\nours: encoding {fast['encoding']:.2f} s, pass {fast['probing']:.2f} s a prompt")
    achieved = fast["flops"] / fast["unhooked"]
    print(
        f"a pass is {fast['flops'] / 1e12:.2f} TFLOP, {achieved / 1e9:.0f} GFLOP/s: "
        f"{100 * achieved / fast['rate']:.0f}% of the machine's matrix rate, {fast['rate'] / 1e9:.0f} GFLOP/s"
    )
    for way, result in (("naive", slow), ("ours", fast)):
        for phase, peak in result["memory"]["phases"].items():
            parts = ", ".join(f"{name} {value:.2f}" for name, value in sorted(peak.items()))
            print(f"peak memory in GB, {way}, {phase}: {parts}")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{model}, {os.cpu_count()} cores"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny-random", help="tiny-random or a local folder")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--prompts", type=int, default=6, help="an even number")
    parser.add_argument("--hooks", type=int, metavar="N", help="the hooks alone, on every N-th of Klein's blocks")
    parser.add_argument("--batch", type=int, default=1, help="with --hooks: prompts in a pass")
    parser.add_argument("--dtype", default="bfloat16", help="with --hooks: float32 where a processor has no bfloat16")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        way, result, values = chosen.worker
        found = WAYS[way](chosen.model, some_prompts(chosen.prompts), chosen.size, Path(values))
        Path(result).write_text(json.dumps(found))
    elif chosen.hooks:
        hooks_alone(chosen.hooks, chosen.size, chosen.batch, chosen.dtype)
    else:
        table(chosen.model, chosen.size, chosen.prompts)
