"""Runs and captures made up by hand, whose figures can be told by eye. Used by the unit tests."""

from dataclasses import replace

import numpy as np
from scipy import stats as reference

from plantain import stats
from plantain.prompts.sets import SHIPPED as PROMPTS
from plantain.prompts.sets import PromptPair, PromptSet, load_prompt_set
from plantain.runs.capture import PairCapture, SumsOfSquares
from plantain.runs.directions import LATER, PARTS, Means, channels_of, parts_of, scopes_of
from plantain.runs.info import PairRecord, RunInfo
from plantain.runs.run import Run
from plantain.runs.scopes import PLAIN_SCOPES, STREAM_SCOPES, recorded_scopes
from plantain.runs.units import Layout
from plantain.stats import draw_halves, draw_signs

# 2 joint blocks of 2 slices and 5 single blocks of 4 (2 attention, 2 MLP): 24 slices, each as wide as a head.
LAYOUT = Layout(n_joint=2, n_single=5, n_heads=2, head_dim=16, mlp_dim=32, text_dim=48)

N_SLICES = 24
BLOCKS = ["joint[0]"] * 2 + ["joint[1]"] * 2 + [f"single[{i}]" for i in range(5) for _ in range(4)]


def rounded(values):
    """Round to 1/1024: such magnitudes have exact squares, so the differences come back bit by bit."""
    return np.round(np.asarray(values) * 1024) / 1024


def made_differences(n_pairs=25, seed=0, effect=1.0):
    """Draw differences of every slice; some slices carry an effect, some go the other way."""
    rng = np.random.default_rng(seed)
    return rounded(rng.normal(size=(n_pairs, N_SLICES)) + effect * np.linspace(-1, 1.5, N_SLICES))


def made_sums(differences, base=16.0, words=None, joint=4):
    """Build sums of squares whose slices have magnitude `base` on the negative side, in every scope alike.

    The first `joint` slices are those of the joint blocks.
    """
    card = np.stack([base + np.asarray(differences), np.full(np.shape(differences), base)])
    squares = 16 * card[:, :, None] ** 2  # one token of 16 channels per scope
    streams = {
        "embedding": np.repeat(squares[..., :3], 3, axis=2),
        "joint_image": squares[..., :joint],
        "joint_text": np.repeat(squares[..., :joint], 3, axis=2),
        "single": np.repeat(squares[..., joint:], 4, axis=2),
    }
    tokens = np.ones((2, card.shape[1], 4), dtype=np.int64)
    if words is not None:  # tokens of the words, (2, n_pairs); the squares grow with them
        tokens[..., 1] = words
        for stream in ("embedding", "joint_text", "single"):
            streams[stream][:, :, 1] *= tokens[..., 1, None]
    return SumsOfSquares(streams, tokens)


def made_info(**changes):
    facts = {
        "model": "some/model", "revision": "0123456789abcdef0123", "weights": "pretrained", "fingerprint": "f" * 64,
        "dtype": "float32", "device": "cpu", "size": 256, "seed": 0, "prompt_set": "kindness", "title": "Kindness",
        "positive": "kind", "negative": "unkind", "prompts_sha256": "0" * 64, "layout": LAYOUT,
        "versions": {"plantain": "0"}, "date": "2020-02-03T04:05:06+00:00", "seconds": 12.4,
    }  # fmt: skip
    return RunInfo(**{**facts, **changes})


def made_run(differences, words=None, base=16.0, n_permutations=200, **changes):
    """Build a run whose slices have exactly these differences in every scope."""
    n, sha256 = len(differences), changes.get("prompts_sha256", "")
    marked = "" if set(sha256) <= {"0"} else f" {sha256[:8]}"  # another set has other pairs
    records = (PromptPair(f"pair-{i}", "c", f"kind {i}{marked}", f"unkind {i}{marked}") for i in range(n))
    pairs = tuple(PairRecord(pair, 3, 1) for pair in records)
    rng = np.random.default_rng(99)
    signs, halves = stats.draw_signs(n_permutations, n, rng), stats.draw_halves(20, n, rng)
    info = made_info(**changes)
    joint = info.layout.n_joint * info.layout.n_heads * info.layout.head_dim // 16
    return Run(info, pairs, made_sums(differences, base, words, joint), signs, halves)


def made_means(run, seed=0, change=None, level="heads") -> Means:
    """Make up mean vectors of a run; `change` is by how much the positive side's are pushed, by part."""
    rng, layout = np.random.default_rng(seed), run.info.layout
    parts = {}
    for part in parts_of(level):
        stream = PARTS[part]
        channels = channels_of(layout, part)
        n = layout.n_blocks(stream) * (channels.stop - channels.start)
        n_scopes = len(scopes_of(level, part, run.sums.token_scopes))
        values = 1 + rng.normal(size=n) + 0.5 * rng.normal(size=(2, len(run.pairs), n_scopes, n))
        values[0] += (change or {}).get(part, 0.0) * np.random.default_rng(5).normal(size=n)
        parts[part] = values.astype(np.float16)
    return Means(parts, run.sums.tokens)


def with_directions(run, seed=0, change=None, level="heads") -> Run:
    """Give a run mean vectors; a change of 1 is one that the pairs agree in."""
    return replace(run, directions=made_means(run, seed, change, level), _directed={})


def with_times(run, times, seed=0) -> Run:
    """Give a run directions, at later times too."""
    rng, layout = np.random.default_rng(seed), run.info.layout
    later = {
        part: rng.normal(size=(len(times) - 1, 2, len(run.pairs), layout.n_blocks(PARTS[part]) * layout.attention_dim))
        for part in LATER
    }
    later = {part: values.astype(np.float16) for part, values in later.items()}
    return replace(run, directions=replace(made_means(run), times=times[1:], later=later), _directed={})


def directed_set(number, seed, change=None, **changes) -> Run:
    """Make a run with directions whose prompt set is told from others by a number."""
    plain = made_run(made_differences(seed=seed, effect=0.4), prompts_sha256=f"{number}" * 64, **changes)
    return with_directions(plain, seed, change)


def with_kinds(run) -> Run:
    """Give the 25 pairs of a run kinds, and two categories in turn."""
    kinds = ["neglect"] * 10 + ["exclusion"] * 5 + ["wrongdoing"] * 10
    pairs = tuple(
        replace(record, pair=replace(record.pair, kind=kind, category="ab"[i % 2]))
        for i, (record, kind) in enumerate(zip(run.pairs, kinds, strict=True))
    )
    return replace(run, pairs=pairs)


def scipy_t(differences):
    return reference.ttest_1samp(differences, 0).statistic


def with_degenerate(differences):
    """Give slices 2 (joint[1]) and 9 (single[1]) the same difference in every pair, and slice 11 none."""
    changed = differences.copy()
    changed[:, 2], changed[:, 9], changed[:, 11] = 0.5, -0.25, 0.0
    return changed


PAIR = PromptPair("visitor", "visitor", "Ana helps.", "Ana hurries.")


def made_capture(difference, words=(1, 1)) -> PairCapture:
    """Build a captured pair with these differences, (n_slices,)."""
    return PairCapture(made_sums(np.asarray(difference)[None], words=np.reshape(words, (2, 1))), 3, 1)


SETS = {path.stem: load_prompt_set(path) for path in sorted(PROMPTS.glob("*.toml"))}
PLANTED = 5


def made(name, effect=0.0, unit=PLANTED, **changes):
    """Make up a run of one of the project's sets, with an effect on one unit."""
    found = SETS[name]
    differences = np.random.default_rng(list(name.encode())).normal(size=(25, N_SLICES))
    differences[:, unit] += effect
    facts = {"prompt_set": found.name, "title": found.title, "positive": found.positive, "negative": found.negative}
    run = made_run(differences, **{**facts, "prompts_sha256": found.sha256, **changes})
    return replace(run, pairs=tuple(PairRecord(pair, 3, 1) for pair in found.pairs))


def made_runs(effects, names=tuple(SETS)):
    return {name: made(name, effects.get(name, effects.get("all", 0.0))) for name in names}


def leaves(value, path=""):
    """Yield every plain value of a nested summary with its place."""
    if not isinstance(value, dict | list):
        yield path, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(inner, f"{path}/{key}")


def small_run(seed: int = 0, n_pairs: int = 4) -> Run:
    rng = np.random.default_rng(seed)
    layout = Layout(n_joint=1, n_single=2, n_heads=2, head_dim=32, mlp_dim=64, text_dim=48)
    streams = {
        stream: rng.uniform(1, 2, (2, n_pairs, len(recorded_scopes(stream, PLAIN_SCOPES)), layout.n_slices(stream)))
        for stream in STREAM_SCOPES
    }
    tokens = np.broadcast_to(np.array([25, 60, 427, 16]), (2, n_pairs, 4)).copy()
    pairs = tuple(
        PairRecord(PromptPair(f"pair-{i}", "any", f"Ünïcode {i} 🍌", f"Plain {i}"), 6 + i, 3) for i in range(n_pairs)
    )
    prompt_set = PromptSet("made-up", "Made up “×”", "yes", "no", tuple(record.pair for record in pairs))
    info = RunInfo(
        model="made-up", revision=None, weights="local", fingerprint="f" * 64, dtype="float32", device="cpu",
        size=64, seed=seed, prompt_set="made-up", title="Made up “×”", positive="yes", negative="no",
        prompts_sha256=prompt_set.sha256, layout=layout, versions={"plantain": "0"}, date="2026-01-01T00:00:00+00:00",
        seconds=1.5,
    )  # fmt: skip
    sums = SumsOfSquares({s: values.astype(np.float32) for s, values in streams.items()}, tokens)
    return Run(info, pairs, sums, draw_signs(20, n_pairs, rng), draw_halves(10, n_pairs, rng))
