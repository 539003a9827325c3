"""Directions: mean vectors of units, and their file beside the run, which is complete without it."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import safetensors.numpy
from made import with_directions
from safetensors import safe_open

from plantain.runs.directions import Means, channels_of, directions_size, parts_of
from plantain.runs.io import DIRECTIONS, LARGEST, RunError, list_runs, load_run, save_run
from plantain.runs.scopes import PLAIN_SCOPES
from plantain.runs.units import Layout, Selection, SelectionError

KLEIN_4B = Layout(n_joint=5, n_single=20, n_heads=24, head_dim=128, mlp_dim=9216, text_dim=7680)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same(one, other):
    return one.parts.keys() == other.parts.keys() and all(
        values.dtype == other.parts[part].dtype and np.array_equal(values, other.parts[part])
        for part, values in one.parts.items()
    )


@pytest.fixture
def run(made_run):
    return with_directions(made_run())


@pytest.fixture
def saved(run, tmp_path):
    return save_run(run, tmp_path / "run")


def edited(folder, **changes):
    """Change run.json as somebody does who means it: without its hash of itself."""
    path = folder / "run.json"
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    content.pop("sha256", None)
    path.write_text(json.dumps(content), encoding="utf-8")


def told(folder, content):
    """Put another file of directions into a run, with run.json told of it."""
    (folder / DIRECTIONS).write_bytes(content)
    edited(folder, directions_sha256=hashlib.sha256(content).hexdigest())


# --- the file ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["heads", "all", "image"])
def test_directions_come_back_to_the_bit(made_run, tmp_path, level):
    run = with_directions(made_run(), level=level)
    folder = save_run(run, tmp_path / "run")
    again = load_run(folder)
    assert same(again.directions, run.directions) and again.directions.level == level
    assert np.array_equal(again.directions.tokens, run.sums.tokens)
    found = hashlib.sha256((folder / DIRECTIONS).read_bytes()).hexdigest()
    content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert content["directions_sha256"] == found == again.directions_sha256
    assert contents(save_run(again, tmp_path / "again")) == contents(folder)


def test_the_axes_stand_in_the_file(saved):
    with safe_open(saved / DIRECTIONS, "np") as file:
        axes = json.loads(file.metadata()["axes"])
        assert set(axes) == set(file.keys()) == {f"means.{part}" for part in parts_of("heads")}
    assert axes["means.single"] == ["side", "pair", list(PLAIN_SCOPES), "channel"]
    assert axes["means.joint_image"] == ["side", "pair", ["image"], "channel"]


def test_a_run_without_directions_is_the_files_that_it_was(made_run, saved, tmp_path):
    folder = save_run(made_run(), tmp_path / "magnitudes")
    assert set(contents(saved)) - set(contents(folder)) == {DIRECTIONS}
    assert "directions" not in (folder / "run.json").read_text(encoding="utf-8")
    assert load_run(folder).directions is None and load_run(folder).directions_sha256 is None
    one, other = (contents(where) for where in (folder, saved))
    assert {name for name in one if one[name] != other[name]} == {"run.json", "units.csv"}
    told, more = (json.loads(where["run.json"]) for where in (one, other))
    assert set(more) - set(told) == {"directions_sha256"}
    assert {key for key in told if told[key] != more[key]} == {"sha256"}


def test_a_run_whose_file_is_gone_is_one_of_magnitudes(run, saved, tmp_path):
    (saved / DIRECTIONS).unlink()
    again = load_run(saved)
    assert again.directions is None and again.capture_sha256 == run.capture_sha256
    with pytest.raises(SelectionError, match="keeps magnitudes only; run --directions heads"):
        again.vectors()
    assert "directions_sha256" not in (save_run(again, tmp_path / "again") / "run.json").read_text(encoding="utf-8")


def test_a_file_that_run_json_does_not_name_is_nobodys_word(made_run, saved, tmp_path):
    folder = save_run(made_run(), tmp_path / "magnitudes")
    (folder / DIRECTIONS).write_bytes((saved / DIRECTIONS).read_bytes())
    assert load_run(folder).directions is None


def test_a_run_says_whether_it_keeps_directions(made_run):
    assert "keeps        magnitudes only" in repr(made_run())
    assert "directions of heads over image tokens:" in repr(with_directions(made_run(), level="image"))
    for level, mlp in (("heads", False), ("all", True)):
        said = repr(with_directions(made_run(), level=level))
        assert "magnitudes, and directions of heads, text-heads" in said and ("mlp, embedding" in said) == mlp


# --- a stranger's file -------------------------------------------------------------------------------------


def arrays_of(folder):
    return safetensors.numpy.load((folder / DIRECTIONS).read_bytes())


def with_arrays(change):
    def attack(folder):
        arrays = arrays_of(folder)
        change(arrays)
        told(folder, safetensors.numpy.save(arrays))

    return attack


def put(part, change):
    return with_arrays(lambda arrays: arrays.update({f"means.{part}": change(arrays[f"means.{part}"])}))


def cut(folder):
    path = folder / DIRECTIONS
    path.write_bytes(path.read_bytes()[:-3])


def flip(folder):
    content = bytearray((folder / DIRECTIONS).read_bytes())
    content[-5] ^= 1
    (folder / DIRECTIONS).write_bytes(content)


def doubled(folder):
    content = (folder / DIRECTIONS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip()
    entry = json.dumps({"means.single": json.loads(header)["means.single"]})[1:-1].encode()
    header = header[:-1] + b"," + entry + b"}"
    told(folder, len(header).to_bytes(8, "little") + header + content[8 + length :])


ATTACKS = {
    "cut": (cut, "directions.safetensors does not match run.json"),
    "a bit": (flip, "directions.safetensors does not match run.json"),
    "empty": (lambda folder: (folder / DIRECTIONS).write_bytes(b""), "does not match run.json"),
    "a hash of another kind": (lambda folder: edited(folder, directions_sha256=7), "does not match run.json"),
    "no hash": (lambda folder: edited(folder, directions_sha256=None), "does not match run.json"),
    "nothing, told": (lambda folder: told(folder, b""), "is damaged"),
    "a pickle, told": (lambda folder: told(folder, b"\x80\x04N."), "is damaged"),
    "an absurd head, told": (lambda folder: told(folder, (1 << 60).to_bytes(8, "little") + b"{}"), "is damaged"),
    "an array twice": (doubled, "duplicate|twice"),
    "an array too few": (with_arrays(lambda arrays: arrays.pop("means.joint_text")), "'means.joint_text' is missing"),
    "an array too many": (with_arrays(lambda a: a.update(more=np.zeros(1))), "'more' is unknown"),
    "the MLP alone": (with_arrays(lambda a: a.update({"means.single_mlp": a.pop("means.single")})), "is missing"),
    "other numbers": (put("single", lambda a: a.astype(np.float32)), "means.single is float32, not float16"),
    "infinite": (put("single", lambda a: a * np.float16(np.inf)), "single: mean vectors must be finite"),
    "not a number": (put("embedding", lambda a: a * np.float16(np.nan)), "embedding: mean vectors must be finite"),
    "other channels": (put("joint_text", lambda a: a[..., :-16].copy()), "joint_text: .* channels, but the layout has"),
    "other pairs": (put("single", lambda a: a[:, :-1].copy()), "single: mean vectors must be"),
    "other scopes": (put("single", lambda a: a[:, :, :3].copy()), "single: mean vectors must be"),
    "flat": (put("single", lambda a: a.ravel()), "single: mean vectors must be"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_directions_that_do_not_fit_are_named(saved, attack):
    harm, words = ATTACKS[attack]
    harm(saved)
    with pytest.raises(RunError, match=words) as caught:
        load_run(saved)
    assert str(caught.value).count("\n") == 0


def test_a_file_that_is_too_large_or_no_file_is_refused(saved, monkeypatch):
    monkeypatch.setitem(LARGEST, DIRECTIONS, 100)
    with pytest.raises(RunError, match="directions.safetensors is larger than 100 bytes"):
        load_run(saved)
    (saved / DIRECTIONS).unlink()
    (saved / DIRECTIONS).mkdir()
    with pytest.raises(RunError, match="directions.safetensors is no file"):
        load_run(saved)


def test_a_link_that_leads_out_is_not_followed(saved, tmp_path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_bytes((saved / DIRECTIONS).read_bytes())
    (saved / DIRECTIONS).unlink()
    (saved / DIRECTIONS).symlink_to(outside)
    runs, problems = list_runs(saved.parent)
    assert runs == {} and "directions.safetensors is a link that leads out" in problems["run"]


def test_directions_of_other_pairs_or_tokens_are_no_part_of_a_run(run):
    means = run.directions
    other = means.tokens.copy()
    other[0, 0, 1] += 1
    with pytest.raises(ValueError, match="other token counts than the capture"):
        dataclasses.replace(run, directions=Means(means.parts, other))
    few = {part: values for part, values in means.parts.items() if part != "joint_text"}
    with pytest.raises(ValueError, match="they are of no level"):
        dataclasses.replace(run, directions=Means(few, means.tokens))


# --- sizes -------------------------------------------------------------------------------------------------


def test_the_size_of_the_file_is_told_before(made_run, tmp_path):
    for level in ("heads", "all"):
        run = with_directions(made_run(), level=level)
        folder = save_run(run, tmp_path / level)
        told = directions_size(run.info.layout, len(run.pairs), level)
        assert told == sum(values.nbytes for values in run.directions.parts.values())
        assert told < (folder / DIRECTIONS).stat().st_size < told + 2000
    assert directions_size(KLEIN_4B, 25, "off") == 0
    # By hand: 2 bytes, 2 sides, 25 pairs; 3,072 channels in 5 blocks (1 and 3 scopes) and 20 blocks (4); 7,680 (3).
    heads = 2 * 2 * 25 * (3072 * (5 * 1 + 5 * 3 + 20 * 4) + 7680 * 3)
    assert directions_size(KLEIN_4B, 25, "heads") == heads == 33_024_000
    assert directions_size(KLEIN_4B, 25, "all") == heads + 2 * 2 * 25 * 9216 * 20 * 4
    assert directions_size(KLEIN_4B, 25, "image") == 2 * 2 * 25 * 3072 * 25 == 7_680_000
    assert directions_size(KLEIN_4B, 200, "heads") < LARGEST[DIRECTIONS]


# --- vectors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("units", "scope"), [("heads", "all"), ("heads", "image"), ("heads", "prompt"),
                         ("text-heads", "all"), ("mlp", "words"), ("embedding", "prompt")])  # fmt: skip
def test_a_units_vector_is_the_mean_over_its_scopes_tokens(made_run, units, scope):
    """Token by token: every token of a scope stands for the scope's mean."""
    run = with_directions(made_run(), level="all")
    got, layout, means = run.vectors(Selection(units, scope)), run.info.layout, run.directions
    np.testing.assert_array_equal(run.vectors(units, scope=scope), got)
    wanted = {"all": PLAIN_SCOPES, "prompt": ("template", "words")}.get(scope, (scope,))
    parts = {"heads": ("joint_image", "single"), "text-heads": ("joint_text",), "mlp": ("single_mlp",),
             "embedding": ("embedding",)}[units]  # fmt: skip
    expected = [[[] for _ in run.pairs] for _ in range(2)]
    for part in parts:
        own = channels_of(layout, part)
        width = own.stop - own.start
        for side in range(2):
            for pair in range(len(run.pairs)):
                total, n = 0.0, 0
                for row, name in enumerate(means.scopes(part)):
                    if name in wanted:
                        for _ in range(means.tokens[side, pair, PLAIN_SCOPES.index(name)]):
                            total, n = total + means.parts[part][side, pair, row].astype(np.float64), n + 1
                if n:
                    of_blocks = (total / n).reshape(-1, width)
                    expected[side][pair] += [block[c : c + got.shape[3]] for block in of_blocks
                                             for c in range(0, width, got.shape[3])]  # fmt: skip
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_repeated_measures_are_averaged_before_they_are_rounded():
    tokens = np.full((2, 1, 4), 3)
    shape = {"joint_image": 1, "joint_text": 3, "single": 4, "embedding": 3}
    rng = np.random.default_rng(0)
    measures = [
        {part: rng.normal(size=(2, 1, n, 16)).astype(np.float32) for part, n in shape.items()} for _ in range(3)
    ]
    got = Means.average(measures, tokens)
    for part, values in got.parts.items():
        exact = sum(m[part].astype(np.float64) for m in measures) / 3
        assert values.dtype == np.float16 and np.array_equal(values, exact.astype(np.float16))
    assert any(
        not np.array_equal(values, np.mean([m[part].astype(np.float16) for m in measures], axis=0, dtype=np.float16))
        for part, values in got.parts.items()
    )


def test_a_scope_that_is_left_out_has_no_tokens_and_no_vector(run):
    left = run.directions.without("padding")
    assert not left.tokens[..., PLAIN_SCOPES.index("padding")].any() and run.directions.tokens.all()
    for part, values in left.parts.items():
        for row, scope in enumerate(left.scopes(part)):
            kept = run.directions.parts[part][:, :, row]
            assert np.array_equal(values[:, :, row], kept * (scope != "padding")) and kept.any()


@pytest.mark.parametrize(("units", "advice"), [("mlp", "run --directions all"), ("card", "only heads, text-heads")])
def test_units_without_mean_vectors_are_refused_with_advice(made_run, units, advice):
    with pytest.raises(SelectionError, match=f"no directions of the units '{units}': {advice}"):
        with_directions(made_run(), level="heads").vectors(units)


def test_of_image_tokens_alone_nothing_else_is_told(made_run):
    """Nor is the mean over image tokens taken for one over all."""
    run = with_directions(made_run(), level="image")
    assert run.directions.parts["single"].shape[2] == 1
    np.testing.assert_array_equal(
        run.vectors("heads", scope="image")[:, :, -1],
        run.directions.parts["single"][:, :, 0, -run.info.layout.head_dim :],
    )
    for units, scope in (("heads", "all"), ("heads", "words"), ("text-heads", "all"), ("embedding", "prompt")):
        with pytest.raises(SelectionError, match="directions of heads over image tokens alone"):
            run.vectors(units, scope=scope)


def test_means_name_what_is_kept(made_run):
    run = with_directions(made_run(), level="heads")
    assert repr(run.directions) == f"Means(level='heads', n_pairs={len(run.pairs)}, times=(1,))"
    assert run.passes_words == run.info.settings_words
