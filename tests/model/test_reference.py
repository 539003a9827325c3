"""Reference images: the pass equals the pipeline's own call with ``image=``, scopes are right, files are checked."""

import dataclasses
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from plantain.cli.report import probe_pair
from plantain.models.load import PhasedPipeline, identify
from plantain.probe.passes import Passes, layout_of
from plantain.probe.reference import encode_images, find_images
from plantain.probe.runner import ProbeConfig, run_probe
from plantain.probe.tokens import ProbeError
from plantain.prompts.sets import PromptPair
from plantain.runs.info import Conditions, NotComparableError
from plantain.runs.io import RunError, load_run, save_run
from plantain.runs.scopes import PLAIN_SCOPES, TOKEN_SCOPES
from plantain.runs.units import Selection, SelectionError, magnitudes

SIZE, SEED = 64, 3


def write_picture(path, size=(64, 64), seed=0, **options):
    """Write noise as a picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture(scope="module")
def halves():
    halves = PhasedPipeline("tiny-random")
    halves.load_both()
    return halves


def encoded(halves, files):
    with halves.with_vae() as pipe:
        return encode_images(pipe, files)


@pytest.fixture(scope="module")
def two(halves, small_set, tmp_path_factory):
    """Reference images of the small set: its first two pairs have one picture, the others another of another size."""
    folder = tmp_path_factory.mktemp("images")
    one, other = write_picture(folder / "one.png"), write_picture(folder / "other.png", (100, 70), seed=1)
    ids = [pair.id for pair in small_set.pairs]
    return encoded(halves, dict(zip(ids, (one, one, other, other), strict=True)))


# --- the pass ----------------------------------------------------------------------------------------------


def tapped_call(whole, prompt, image):
    """Run the pipeline's own call with hooks placed by hand; return the raw inputs and what the transformer got."""
    raw, seen, modules = {}, [], {"embedding": whole.transformer.context_embedder}
    modules |= {f"joint_image {i}": b.attn.to_out[0] for i, b in enumerate(whole.transformer.transformer_blocks)}
    modules |= {f"joint_text {i}": b.attn.to_add_out for i, b in enumerate(whole.transformer.transformer_blocks)}
    modules |= {f"single {i}": b.attn.to_out for i, b in enumerate(whole.transformer.single_transformer_blocks)}
    handles = [
        module.register_forward_pre_hook(lambda _, args, name=name: raw.__setitem__(name, args[0][0].double().numpy()))
        for name, module in modules.items()
    ]
    handles.append(
        whole.transformer.register_forward_pre_hook(
            lambda _m, _a, kwargs: seen.append(kwargs["hidden_states"]), with_kwargs=True
        )
    )
    whole(
        prompt=prompt, image=image, height=SIZE, width=SIZE, num_inference_steps=1, guidance_scale=1.0,
        generator=torch.Generator("cpu").manual_seed(SEED), output_type="latent",
    )  # fmt: skip
    for handle in handles:
        handle.remove()
    return raw, seen[0]


def heads_by_hand(raw, prompt, n_reference, scope):
    """RMS of the 20 + 80 heads of 32 channels, from the raw inputs, with the tokens counted by hand."""
    words = 6 + len(prompt.encode())
    text = {"template": [*range(6), *range(words, words + 19)], "words": [*range(6, words)]}
    text["padding"] = [*range(words + 19, 512)]
    pictures = {"image": [*range(16)], "reference": [*range(16, 16 + n_reference)]}
    found = []
    for name, tensor in raw.items():
        if name.startswith("joint_image"):
            rows = [*pictures["image"], *pictures["reference"]] if scope == "all" else pictures.get(scope, [])
        elif name.startswith("single"):
            parts = {**text, **{s: [512 + i for i in rows] for s, rows in pictures.items()}}
            rows = [i for part in parts.values() for i in part] if scope == "all" else parts[scope]
        else:
            continue
        if rows:
            found += [np.sqrt(np.mean(tensor[rows, c : c + 32] ** 2)) for c in range(0, 128, 32)]
    return found


@pytest.mark.parametrize(
    "size",
    [
        pytest.param((64, 64), id="square"),
        pytest.param((100, 70), id="odd"),
        pytest.param((1400, 800), id="over a megapixel"),
    ],
)
def test_a_pass_equals_the_pipelines_own_call_in_every_scope(halves, whole, small_set, tmp_path, size):
    path, pair = write_picture(tmp_path / "a.png", size), small_set.pairs[0]
    references = encoded(halves, {pair.id: path})
    passes = Passes(halves.pipe, Conditions(SIZE, (SEED,)), references=references)
    (capture,) = passes.capture([pair])
    n_reference = int(capture.sums.tokens[0, 0, TOKEN_SCOPES.index("reference")])
    assert n_reference == {64: 16, 100: 24, 1400: 84 * 48}[size[0]]
    for side, prompt in enumerate((pair.positive, pair.negative)):
        raw, given = tapped_call(whole, prompt, Image.open(path).convert("RGB"))
        assert given.shape[1] == 16 + n_reference
        assert torch.equal(given[:, 16:], references.by_pair[pair.id].latents)
        for scope in ("all", *TOKEN_SCOPES):
            got = magnitudes(capture.sums, layout_of(halves.pipe), Selection("heads", scope))[side, 0]
            np.testing.assert_allclose(got, heads_by_hand(raw, prompt, n_reference, scope), rtol=1e-6)


def test_both_sides_of_a_pair_see_the_same_picture_and_other_pairs_another(halves, small_set, two):
    seen = []
    hook = halves.pipe.transformer.register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(kwargs["hidden_states"][:, 16:]), with_kwargs=True
    )
    Passes(halves.pipe, Conditions(SIZE), references=two).capture(small_set.pairs)
    hook.remove()
    assert len(seen) == 8
    for positive, negative in zip(seen[::2], seen[1::2], strict=True):
        assert torch.equal(positive, negative)
    assert torch.equal(seen[0], seen[2]) and seen[0].shape != seen[4].shape  # the second pair has the first one's


def test_another_picture_changes_what_the_text_does(halves, small_set, two, tmp_path):
    pair = small_set.pairs[0]
    other = encoded(halves, {pair.id: write_picture(tmp_path / "b.png", seed=9)})
    one, two_ = (Passes(halves.pipe, Conditions(SIZE), references=r).capture([pair])[0] for r in (two, other))
    assert np.array_equal(one.sums.streams["embedding"], two_.sums.streams["embedding"])
    assert not np.array_equal(one.sums.streams["joint_text"], two_.sums.streams["joint_text"])


def test_without_a_picture_nothing_of_it_is_recorded(moral_run):
    assert moral_run.sums.token_scopes == PLAIN_SCOPES and "reference" not in moral_run.scopes("heads")
    with pytest.raises(SelectionError, match="no recorded token in scope 'reference'"):
        moral_run.magnitudes("heads", "reference")


# --- runs --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(halves, small_set, two):
    return run_probe(halves.pipe, small_set, ProbeConfig(size=SIZE), references=two)


def test_a_run_says_by_hash_which_pictures_it_saw_and_comes_back_to_the_bit(run, two, tmp_path):
    again = load_run(save_run(run, tmp_path / "run"))
    assert again.info == run.info and again.info.references == two.hashes and again.info.vae == two.vae
    assert len(set(two.hashes.values())) == 2 and again.info.referenced == "2 reference images"
    assert again.capture_sha256 == run.capture_sha256
    assert "reference" in again.scopes("heads") and "reference" not in again.scopes("text-heads")
    np.testing.assert_array_equal(again.magnitudes("mlp", "reference"), run.magnitudes("mlp", "reference"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"references": {}}, "do not belong together"),
        ({"references": {"x": "0" * 64}}, "not those of the pairs"),
        ({"references": {"x": "no"}}, "should match pattern"),
        ({"vae": "../x"}, "should match pattern"),
    ],
)
def test_a_forged_provenance_of_pictures_is_refused(run, tmp_path, change, match):
    path = save_run(run, tmp_path / "run") / "run.json"
    content = json.loads(path.read_text())
    del content["sha256"]  # nobody has to send it
    path.write_text(json.dumps(content | {"info": content["info"] | change}))
    with pytest.raises(RunError, match=match):
        load_run(path.parent)


def test_a_new_pair_needs_a_picture_and_where_there_is_one_the_same(halves, run, small_set, two, tmp_path):
    texts = ("Ana helps him up.", "Ana waits for him.")
    with pytest.raises(NotComparableError, match="made with 2 reference images, so a new pair needs one too"):
        probe_pair(identify(halves.pipe), run, *texts)
    own = encoded(halves, {"": write_picture(tmp_path / "c.png", seed=4)}).by_pair[""]
    assert 0 < probe_pair(identify(halves.pipe), run, *texts, reference=own).p <= 1
    single = dataclasses.replace(
        run.info, references=dict.fromkeys(two.hashes, two.by_pair[small_set.pairs[0].id].sha256)
    )
    with pytest.raises(NotComparableError, match="another reference image"):
        probe_pair(identify(halves.pipe), dataclasses.replace(run, info=single), *texts, reference=own)


def test_a_pair_with_a_picture_is_refused_where_the_run_had_none(halves, moral_run, tmp_path):
    own = encoded(halves, {"": write_picture(tmp_path / "c.png")}).by_pair[""]
    with pytest.raises(NotComparableError, match="without a reference image"):
        probe_pair(identify(halves.pipe), moral_run, "Ana helps.", "Ana waits.", reference=own)


# --- files -------------------------------------------------------------------------------------------------

PAIR = PromptPair("scene-1", "c", "Ana helps.", "Ana waits.")


def test_a_folder_has_one_picture_a_pair(tmp_path):
    with pytest.raises(ProbeError, match="no image for the pair 'scene-1'. Put scene-1.png there"):
        find_images([PAIR], None, tmp_path)
    write_picture(tmp_path / "scene-1.png")
    assert find_images([PAIR], None, tmp_path) == {"scene-1": tmp_path / "scene-1.png"}
    write_picture(tmp_path / "scene-1.webp")
    with pytest.raises(ProbeError, match=r"two images for the pair 'scene-1' \(scene-1.png, scene-1.webp\)"):
        find_images([PAIR], None, tmp_path)


@pytest.mark.parametrize("pair_id", ["../../etc/passwd", "a/b", ".hidden", "x\0y", "a" * 200])
def test_an_id_that_leads_elsewhere_is_no_file(pair_id, tmp_path):
    with pytest.raises(ProbeError, match="cannot be an image's name"):
        find_images([dataclasses.replace(PAIR, id=pair_id)], None, tmp_path)


def damaged(path):
    write_picture(path)
    path.write_bytes(path.read_bytes()[:-40])


def bomb(path):
    Image.new("1", (20_000, 20_000)).save(path)


BAD = [
    (lambda path: None, "cannot be read .No such file"),
    (lambda path: path.write_bytes(b"GIF89a" + bytes(40)), "is no PNG, JPEG or WebP"),
    (lambda path: path.write_text("<svg/>"), "is no PNG, JPEG or WebP"),
    (damaged, "is a damaged picture"),
    (bomb, "absurdly large|more than 64,000,000 pixels"),
    (lambda path: write_picture(path, (40, 64)), "Image too small"),
    (lambda path: write_picture(path, (64, 640)), "aspect ratio|ratio"),
]


@pytest.mark.parametrize(("make", "match"), BAD, ids=range(len(BAD)))
def test_a_file_that_is_no_usable_picture_is_an_error_that_names_it(halves, tmp_path, make, match):
    path = tmp_path / "picture.png"
    make(path)
    with pytest.raises(ProbeError, match=match) as caught:
        encoded(halves, {"a": path})
    assert str(path) in str(caught.value)
    assert halves.pipe.vae is None


def test_a_picture_is_encoded_as_its_viewer_sees_it(halves, tmp_path):
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (64, 96), "red").save(out, format="PNG", exif=exif)
    (tmp_path / "turned.png").write_bytes(out.getvalue())
    assert encoded(halves, {"a": tmp_path / "turned.png"}).by_pair["a"].ids[0, :, 2].max() == 5  # 6 columns, 4 rows


# --- the command line --------------------------------------------------------------------------------------


def test_the_command_line_takes_a_picture(cli, tmp_path, moral_file):
    few = tmp_path / "few.toml"
    head, *pairs = moral_file.read_text().split("[[pair]]")
    few.write_text("[[pair]]".join([head, *pairs[:4]]))
    picture, out = write_picture(tmp_path / "p.png"), tmp_path / "run"
    args = ["run", "--model", "tiny-random", "--prompts", few, "--size", SIZE, "--out", out]
    code, said, error = cli(*args, "--reference", picture)
    assert code == 0 and "one reference image" in said
    assert all("part early" in line for line in error.splitlines() if "plantain:" in line)  # of four pairs' wording
    assert cli("report", out, "--scope", "reference", "--units", "heads")[0] == 0
    texts = ["--positive", "Ana helps.", "--negative", "Ana waits."]
    code, _, error = cli("pair", out, *texts)
    assert code == 2 and "--reference IMAGE" in error
    code, said, _ = cli("pair", out, *texts, "--reference", picture)
    assert code == 0
    code, _, error = cli(*args, "--overwrite", "--reference-set", tmp_path / "nowhere")
    assert code == 2 and "nowhere: has no image for the pair" in error
    assert load_run(out).info.referenced == "one reference image"  # what was there stays
