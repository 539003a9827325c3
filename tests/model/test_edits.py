"""Edits: what is written is changed where, when and as asked for, against hooks made by hand; and all hooks go away."""

from contextlib import ExitStack, contextmanager
from functools import cache

import numpy as np
import pytest
import torch
from diffusers import Flux2Transformer2DModel

from plantain.probe.denoising import encode, start, velocity
from plantain.probe.edits import ablate, editing, keeping, patch, scale, steer
from plantain.probe.hooks import recording
from plantain.probe.passes import layout_of
from plantain.probe.tokens import ProbeError, Segment, tokenize
from plantain.runs.units import Selection, SelectionError, unit_table

SIZE, SEED = 64, 3
ONE, OTHER = "Ana helps Tom.", "Ana passes by, and Tom is left alone."
RNG = np.random.default_rng(7)


def drawn(*shape) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


@cache
def embedded(pipe, prompt: str) -> torch.Tensor:
    return encode(pipe, [prompt])


def look(pipe, *prompts) -> torch.Tensor:
    """One pass at sigma 1 of one row or more."""
    embeds = torch.cat([embedded(pipe, prompt) for prompt in prompts])
    return velocity(pipe, embeds, start(pipe, embeds, SIZE, SEED), 1000.0)


def texts(pipe, *prompts):
    return [tokenize(pipe.tokenizer, prompt).segments for prompt in prompts]


def module(pipe, place):
    stream, block = place
    t = pipe.transformer
    if stream == "embedding":
        return t.context_embedder
    if stream == "single":
        return t.single_transformer_blocks[block].attn.to_out
    attention = t.transformer_blocks[block].attn
    return attention.to_out[0] if stream == "joint_image" else attention.to_add_out


@contextmanager
def by_hand(pipe, *changes):
    """Change a projection's input by `change(x)`, which gets a copy, at each place."""
    with ExitStack() as stack:
        for place, change in changes:

            def hook(_module, args, change=change):
                x = args[0].clone()
                change(x)
                return (x,)

            stack.callback(module(pipe, place).register_forward_pre_hook(hook).remove)
        yield


def setting(where, value):
    def change(x):
        x[where] = value(x[where]) if callable(value) else value

    return change


def hooks_left(pipe) -> int:
    return sum(len(m._forward_pre_hooks) for m in pipe.transformer.modules())


@pytest.fixture(autouse=True)
def nothing_stays(pipe):
    yield
    assert hooks_left(pipe) == 0


@pytest.fixture(scope="module")
def plain(pipe):
    return {prompt: look(pipe, prompt) for prompt in (ONE, OTHER)}


@pytest.fixture(scope="module")
def kept(pipe):
    with keeping(pipe.transformer) as inputs:
        look(pipe, OTHER)
    return inputs


# --- what is changed -----------------------------------------------------------------------------------------

PLACES = [  # kind, name, in the tables' words, where its channels are: heads of 32, 4 of them, an MLP of 384
    ("heads", "joint[2].3", "joint[2] head 3", ("joint_image", 2), slice(96, 128)),
    ("heads", "single[19].1", "single[19] head 1", ("single", 19), slice(32, 64)),
    ("text-heads", "joint[4].0", "joint[4] text head 0", ("joint_text", 4), slice(0, 32)),
    ("mlp", "single[3].2", "single[3] MLP group 2", ("single", 3), slice(192, 224)),
    ("card", "single[3].9", "single[3] slice 9", ("single", 3), slice(144, 160)),
    ("card", "joint[0].7", "joint[0] slice 7", ("joint_image", 0), slice(112, 128)),
    ("embedding", "embedding.5", "embedding slice 5", ("embedding", 0), slice(80, 96)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "short", "name", "place", "channels"), PLACES, ids=[p[1] for p in PLACES])
def test_every_kind_of_units_is_changed_as_by_a_hook_made_by_hand(
    pipe, plain, kept, kind, short, name, place, channels
):
    vector = drawn(1, channels.stop - channels.start)
    row, here = torch.from_numpy(vector[0]), np.s_[..., channels]
    cases = [
        (scale(short, 0.3, kind=kind), lambda x: x * 0.3),
        (scale(name, -2, kind=kind), lambda x: x * -2),
        (ablate(short, "zero", kind=kind), 0.0),
        (ablate(name, "mean", source=vector, kind=kind), row),
        (ablate(name, "resample", source=kept, kind=kind), kept[place][here]),
        (patch(short, kept, kind=kind), kept[place][here]),
        (steer(short, vector, 1.5, kind=kind), lambda x: x + 1.5 * row),
    ]
    for edit, value in cases:
        with editing(pipe.transformer, edit):
            got = look(pipe, ONE)
        with by_hand(pipe, (place, setting(here, value))):
            assert torch.equal(got, look(pipe, ONE)), edit.how
        assert not torch.equal(got, plain[ONE]), edit.how


def test_several_units_and_all_of_them(pipe, kept):
    names = ["single[5].3", "joint[1].0", "single[5].0"]
    vectors = drawn(3, 32)
    wanted = [(("single", 5), slice(96, 128)), (("joint_image", 1), slice(0, 32)), (("single", 5), slice(0, 32))]
    with editing(pipe.transformer, steer(names, vectors)):
        got = look(pipe, ONE)
    by_one = [
        (place, setting(np.s_[..., channels], lambda x, v=v: x + torch.from_numpy(v)))
        for (place, channels), v in zip(wanted, vectors, strict=True)
    ]
    with by_hand(pipe, *by_one):
        assert torch.equal(got, look(pipe, ONE))
    places = np.array([5 * 4 + 5 * 4 + 3, 4, 5 * 4 + 5 * 4])  # four heads in each of five joint blocks go before
    with editing(pipe.transformer, steer(places, vectors)):
        assert torch.equal(got, look(pipe, ONE))
    with editing(pipe.transformer, ablate("all", "zero")):
        got = look(pipe, ONE)
    everywhere = [(("joint_image", i), setting(np.s_[...], 0.0)) for i in range(5)]
    everywhere += [(("single", i), setting(np.s_[..., :128], 0.0)) for i in range(20)]
    with by_hand(pipe, *everywhere):
        assert torch.equal(got, look(pipe, ONE))


def test_patched_from_itself_nothing_changes_by_a_bit(pipe, plain):
    with keeping(pipe.transformer) as own:
        look(pipe, ONE)
    for source in (own, 0):
        edits = [patch("all", source, kind=kind) for kind in ("card", "text-heads", "embedding", "mlp")]
        with editing(pipe.transformer, edits):
            assert torch.equal(look(pipe, ONE), plain[ONE])


def test_with_every_site_or_the_embedding_of_another_prompt_it_is_the_other_prompt(pipe, plain, kept):
    whole = [patch("all", kept, kind=kind) for kind in ("card", "text-heads", "embedding")]
    heads = patch("all", kept, scope="image")  # they are all that tells image tokens of the text
    for edits, given in ((whole, {}), (whole[2:], {}), ([heads], {"texts": texts(pipe, ONE), "n_image": 16})):
        with editing(pipe.transformer, edits, **given):
            got = look(pipe, ONE)
        difference = plain[OTHER] - plain[ONE]
        assert ((got - plain[OTHER]).norm() / difference.norm()) < 1e-4
    with editing(pipe.transformer, patch("all", kept, kind="text-heads")):
        assert (look(pipe, ONE) - plain[OTHER]).norm() > 0.1 * difference.norm()


def test_edits_of_one_unit_happen_one_after_the_other(pipe):
    vector, row = drawn(1, 32), np.s_[..., 32:64]
    place, v = ("single", 7), torch.from_numpy(vector[0])
    name = "single[7].1"
    for edits, value in (
        ([scale(name, 0.5), steer(name, vector)], lambda x: x * 0.5 + v),
        ([steer(name, vector), scale(name, 0.5)], lambda x: (x + v) * 0.5),
        ([steer(name, vector), steer(name, vector)], lambda x: x + v + v),
        ([steer(name, vector, rows=0), steer(name, vector, rows=0)], lambda x: x + v + v),
    ):
        with editing(pipe.transformer, edits):
            got = look(pipe, ONE)
        with by_hand(pipe, (place, setting(row, value))):
            assert torch.equal(got, look(pipe, ONE))


# --- which rows ----------------------------------------------------------------------------------------------


def test_rows_of_a_batch_get_their_own_edits(pipe, kept):
    """Also where several share a site, and where later ones must not go before earlier ones."""
    vectors = drawn(3, 32)
    names = ["single[7].1", "single[7].3", "joint[0].2"]
    edits = [
        steer(names[0], vectors[:1], rows=0), steer(names[1], vectors[1:2], rows=2),
        steer(names[0], vectors[2:], rows=2), scale(names[0], 2.0, rows=[1, 2]), steer(names[0], vectors[:1], rows=1),
        patch(names[2], kept, rows=0), patch(names[2], kept, rows=2), patch(names[1], 2, rows=0),
    ]  # fmt: skip
    first, second, third = torch.from_numpy(vectors)

    def single(x):
        came = x.clone()
        x[0, :, 32:64] += first
        x[2, :, 96:128] += second
        x[2, :, 32:64] = (x[2, :, 32:64] + third) * 2
        x[1, :, 32:64] = x[1, :, 32:64] * 2 + first
        x[0, :, 96:128] = came[2, :, 96:128]

    def joint(x):
        x[[0, 2], :, 64:96] = kept["joint_image", 0][:, :, 64:96]

    with editing(pipe.transformer, edits):
        got = look(pipe, ONE, OTHER, ONE)
    with by_hand(pipe, (("single", 7), single), (("joint_image", 0), joint)):
        assert torch.equal(got, look(pipe, ONE, OTHER, ONE))


def test_a_patch_from_a_row_beside_it_makes_it_that_row(pipe):
    plain = look(pipe, ONE, OTHER)
    with editing(pipe.transformer, [patch("all", 1, kind="embedding", rows=0)]):
        got = look(pipe, ONE, OTHER)
    assert torch.equal(got[1], plain[1])
    assert (got[0] - plain[1]).norm() < 1e-4 * (plain[0] - plain[1]).norm()
    with keeping(pipe.transformer) as both:
        look(pipe, ONE, OTHER)
    with editing(pipe.transformer, patch("all", both, kind="embedding", rows=[2, 0])):  # one prompt for each row
        got = look(pipe, OTHER, OTHER, OTHER)
    plain = look(pipe, OTHER, OTHER, ONE)
    assert (got - plain).norm() < 1e-4 * plain.norm() and not torch.equal(got[1], got[2])


# --- which tokens --------------------------------------------------------------------------------------------


def tokens_by_hand(prompt: str) -> dict[str, slice]:
    """One token a byte; 6 of the template before, 19 after, then padding up to 512, then 16 of the image."""
    words = 6 + len(prompt.encode())
    return {"words": slice(6, words), "padding": slice(words + 19, 512), "image": slice(512, 528)}


@pytest.mark.parametrize(
    ("kind", "name", "place", "scope"),
    [
        ("heads", "single[4].2", ("single", 4), "words"),
        ("heads", "single[4].2", ("single", 4), "padding"),
        ("heads", "single[4].2", ("single", 4), "image"),
        ("heads", "joint[1].2", ("joint_image", 1), "image"),
        ("text-heads", "joint[1].2", ("joint_text", 1), "words"),
        ("text-heads", "joint[1].2", ("joint_text", 1), "padding"),
    ],
)
def test_a_scope_is_kept_to_row_by_row(pipe, kind, name, place, scope):
    vector = drawn(1, 32)

    def change(x):
        for row, prompt in zip(x, (ONE, OTHER), strict=True):
            own = tokens_by_hand(prompt)[scope]
            own = slice(0, 16) if place[0] == "joint_image" else own
            row[own, 64:96] += torch.from_numpy(vector[0])

    for row in (None, 1):
        edit = steer(name, vector, kind=kind, scope=scope, rows=row)
        with editing(pipe.transformer, edit, texts(pipe, ONE, OTHER), 16):
            got = look(pipe, ONE, OTHER)
        with by_hand(pipe, (place, change)):
            wanted = look(pipe, ONE, OTHER)
        plain = look(pipe, ONE, OTHER)
        assert torch.equal(got[1], wanted[1]) and torch.equal(got[0], (wanted if row is None else plain)[0])
        assert not torch.equal(got[1], plain[1])


def test_tokens_that_are_not_meant_stay_as_they_are(pipe, kept):
    with keeping(pipe.transformer) as before:
        look(pipe, ONE)
    edit = patch("single[4].2", kept, scope="words")
    with editing(pipe.transformer, edit, texts(pipe, ONE), 16), keeping(pipe.transformer) as after:
        look(pipe, ONE)
    changed = (before["single", 4] != after["single", 4])[0]
    assert changed[6:20, 64:96].all() and changed.sum() == 14 * 32  # "Ana helps Tom." has 14 bytes
    assert torch.equal(after["single", 4][0, 6:20, 64:96], kept["single", 4][0, 6:20, 64:96])


def test_less_can_be_kept(pipe, kept):
    with keeping(pipe.transformer, ["heads"], 16) as inputs:
        look(pipe, OTHER)
    assert len(inputs) == 25 and {tuple(own.shape) for own in inputs.values()} == {(1, 16, 128)}
    assert torch.equal(inputs["single", 4], kept["single", 4][:, 512:, :128])
    results = []
    for source in (inputs, kept):
        with editing(
            pipe.transformer, patch(["single[4].2", "joint[3].1"], source, scope="image"), texts(pipe, ONE), 16
        ):
            results.append(look(pipe, ONE))  # fmt: skip
    assert torch.equal(*results)
    with (
        pytest.raises(ProbeError, match="single.4.: the source has 16 tokens of the image alone, the pass 528"),
        editing(pipe.transformer, patch("single[4].2", inputs)),
    ):
        look(pipe, ONE)
    mlp = editing(pipe.transformer, patch("all", inputs, kind="mlp"))
    with pytest.raises(ProbeError, match="the source keeps nothing"), mlp:
        pytest.fail("must not run")


# --- with recording ------------------------------------------------------------------------------------------


def test_recording_inside_sees_what_was_changed_and_outside_what_was_written(pipe):
    own, layout = texts(pipe, ONE), layout_of(pipe)
    edit, site = ablate("single[4].2", "zero"), np.s_[:, 4 * 32 + 4 : 4 * 32 + 6]  # 32 slices a block, 2 a head

    def squares(record_first):
        record = recording(pipe.transformer, own, 16)
        change = editing(pipe.transformer, edit)
        with ExitStack() as stack:
            first, second = (record, change) if record_first else (change, record)
            recorder = [stack.enter_context(first), stack.enter_context(second)][0 if record_first else 1]
            look(pipe, ONE)
        return recorder.collect(layout, [ONE])[0].squares["single"]

    with recording(pipe.transformer, own, 16) as recorder:
        look(pipe, ONE)
    plain = recorder.collect(layout, [ONE])[0].squares["single"]
    outside, inside = squares(True), squares(False)
    assert not inside[site].any() and plain[site].all()
    np.testing.assert_array_equal(outside[site], plain[site])  # nothing before it has changed
    np.testing.assert_array_equal(outside[:, 5 * 32 :], inside[:, 5 * 32 :])  # after it, both see what follows
    assert not np.array_equal(plain[:, 5 * 32 :], inside[:, 5 * 32 :])


# --- which branch and step -----------------------------------------------------------------------------------


@pytest.mark.parametrize("branch", ["both", "conditional"])
@pytest.mark.parametrize("steps", ["all", "first"])
def test_with_guidance_edits_reach_the_branch_and_the_step_that_were_asked_for(whole, steps, branch):
    """Two pictures from one noise: prompt and empty prompt are told apart by the embedding that comes in."""
    own, seen = {prompt: encode(whole, [prompt]) for prompt in (ONE, "")}, []

    def see(_module, _args, given):
        (now,) = (p for p, e in own.items() if torch.equal(e, given["encoder_hidden_states"]))
        seen.append([now, round(float(given["timestep"][0]), 4)])

    def silent(_module, args):
        seen[-1].append(bool((args[0][..., 64:96] == 0).all()))

    t = whole.transformer
    with editing(t, ablate("single[4].2", "zero"), steps=steps, branch=branch), ExitStack() as stack:
        stack.callback(t.register_forward_pre_hook(see, with_kwargs=True).remove)
        stack.callback(t.single_transformer_blocks[4].attn.to_out.register_forward_pre_hook(silent).remove)
        for _picture in range(2):
            whole(
                prompt=ONE, height=SIZE, width=SIZE, num_inference_steps=2, guidance_scale=4.0,
                generator=torch.Generator("cpu").manual_seed(SEED), output_type="latent",
            )  # fmt: skip
    assert len(seen) == 8 and len({time for _, time, _ in seen}) == 2 and seen[0][1] == 1
    for prompt, time, was_silent in seen:
        assert was_silent == ((steps == "all" or time == 1) and (branch == "both" or prompt == ONE))
    assert sum(len(m._forward_pre_hooks) for m in t.modules()) == 0


@pytest.mark.parametrize(
    ("given", "wanted"),
    [({"steps": "first"}, [1, 1, 1, 0]), ({"branch": "conditional"}, [1, 0, 1, 1])],
    ids=["first step", "conditional branch"],
)
def test_calls_of_one_time_belong_together_as_long_as_the_latents_are_the_same(pipe, given, wanted):
    """Two branches of one step, the same once more, and a step whose time is rounded to the last one's."""
    embeds, was_silent = embedded(pipe, ONE), []
    noise = start(pipe, embeds, SIZE, SEED)
    with editing(pipe.transformer, ablate("single[4].2", "zero"), **given):
        handle = module(pipe, ("single", 4)).register_forward_pre_hook(
            lambda _m, args: was_silent.append(bool((args[0][..., 64:96] == 0).all()))
        )
        for latents in (noise.latents, noise.latents, noise.latents, 0.9 * noise.latents):
            velocity(pipe, embeds, noise.at(latents), 1000.0)
        handle.remove()
    assert was_silent == wanted


# --- what cannot be done -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [ZeroDivisionError, KeyboardInterrupt])
def test_no_hook_stays_after_an_exception_or_an_interrupt(pipe, plain, stop):
    def fail(n_hooks):
        assert hooks_left(pipe) == n_hooks
        raise stop

    t, edit = pipe.transformer, scale("all", 0)
    for hooked, n_hooks in ((editing(t, edit), 25), (editing(t, edit, steps="first"), 26), (keeping(t), 31)):
        with pytest.raises(stop), hooked:
            fail(n_hooks)
        assert hooks_left(pipe) == 0 and torch.equal(look(pipe, ONE), plain[ONE])


@pytest.mark.parametrize(
    ("make", "given", "error", "match"),
    [
        (lambda: scale("single[20].0", 0), {}, SelectionError, "'single.20..0' is none of the 100 units"),
        (lambda: scale("single[1].0", 0, kind="hands"), {}, SelectionError, "unknown units 'hands'"),
        (lambda: scale("single[1].0", 0, scope="here"), {}, SelectionError, "unknown scope 'here'"),
        (lambda: scale("all", 0, kind="embedding", scope="image"), {}, SelectionError, "no tokens of scope 'image'"),
        (lambda: scale([], 0), {}, SelectionError, "no units are named"),
        (lambda: scale(np.array([], int), 0), {}, SelectionError, "no units are named"),
        (lambda: scale([1.5], 0), {}, SelectionError, "units are named"),
        (lambda: scale(np.array([100]), 0), {}, SelectionError, "there are 100 units"),
        (lambda: scale(np.array([-1]), 0), {}, SelectionError, "there are 100 units"),
        (lambda: scale(["joint[0].1", "joint[0] head 1"], 0), {}, SelectionError, "named twice"),
        (lambda: scale("all", float("nan")), {}, ProbeError, "a gain must be finite"),
        (lambda: scale("all", 0, rows=[]), {}, ProbeError, "name each row once"),
        (lambda: scale("all", 0, rows=-1), {}, ProbeError, "name each row once"),
        (lambda: scale("all", 0, scope="image"), {}, ProbeError, "needs the prompts' texts and n_image"),
        (lambda: scale("all", 0), {"steps": "last"}, ProbeError, "'last': choose one of all, first"),
        (lambda: scale("all", 0), {"branch": "one"}, ProbeError, "'one': choose one of both, conditional"),
        (lambda: steer("single[1].0", np.ones(32)), {}, ProbeError, r"\(1, 32\) \(units, width\), not \(32,\)"),
        (lambda: steer("single[1].0", np.ones((2, 32))), {}, ProbeError, r"not \(2, 32\)"),
        (lambda: steer("single[1].0", np.full((1, 32), np.inf)), {}, ProbeError, "a direction must be finite"),
        (lambda: ablate("all", "mean", source=np.ones((100, 16))), {}, ProbeError, r"\(100, 32\) .*not \(100, 16\)"),
        (lambda: ablate("all", "mean"), {}, ProbeError, "takes an array"),
        (lambda: ablate("all", "zero", source=np.ones(1)), {}, ProbeError, "takes no source"),
        (lambda: ablate("all", "resample"), {}, ProbeError, "takes what `keeping` kept"),
        (lambda: ablate("all", "median"), {}, ProbeError, "choose one of mean, zero, resample"),
        (lambda: patch("all", "a prompt"), {}, ProbeError, "the source of a patch is a row or"),
    ],
)  # fmt: skip
def test_bad_input_is_said_before_anything_is_hooked(pipe, make, given, error, match):
    with pytest.raises(error, match=match), editing(pipe.transformer, [scale("joint[0].0", 1), make()], **given):
        pytest.fail("must not run")
    assert hooks_left(pipe) == 0


def test_what_does_not_fit_the_pass_is_said_there(pipe, kept):
    own = texts(pipe, ONE)
    with keeping(pipe.transformer) as both:
        look(pipe, ONE, OTHER)
    short = encode(pipe, [ONE], 64)
    for edit, given, match in (
        (scale("all", 0, rows=1), (), "row 1 is to be changed, but the batch has 1"),
        (patch("all", 1), (), "row 1 is the source, but the batch has 1"),
        (patch("all", -1), (), "row -1 is the source"),
        (patch("all", both), (), "the source has 2 prompts for 1 rows"),
        (scale("all", 0, scope="image"), (own, 25), r"joint.0.: .*got \(1, 16\) .* where \(1, 25\)"),
        (scale("single[0].0", 0, scope="image"), (own * 2, 16), r"got \(1, 528\) .* where \(2, 528\)"),
    ):
        with pytest.raises(ProbeError, match=match), editing(pipe.transformer, edit, *given):
            look(pipe, ONE)
        assert hooks_left(pipe) == 0
    embedding = editing(pipe.transformer, patch("all", kept, kind="embedding"))
    with pytest.raises(ProbeError, match="the source has 512 tokens, the pass 64"), embedding:
        velocity(pipe, short, start(pipe, short, SIZE, SEED), 1000.0)
    full = texts(pipe, "y" * (512 - 25))
    padding = editing(pipe.transformer, scale("all", 0, scope="padding"), full, 16)
    with pytest.raises(ProbeError, match="no prompt has a token of scope 'padding'"), padding:
        pytest.fail("must not run")


def test_half_precision_rounds_once_as_a_hook_made_by_hand(plain):
    """A gain and a vector are not rounded to 16 bits before they are used."""
    from plantain.models.load import load_pipeline

    pipe, vector = load_pipeline("tiny-random", dtype="bfloat16"), drawn(1, 32)
    here = np.s_[..., 64:96]
    for edit, value in (
        (scale("single[4].2", 0.3), lambda x: x * 0.3),
        (steer("single[4].2", vector), lambda x: (x.float() + torch.from_numpy(vector[0])).bfloat16()),
    ):
        with editing(pipe.transformer, edit):
            got = look(pipe, ONE)
        with by_hand(pipe, (("single", 4), setting(here, value))):
            assert got.dtype == torch.bfloat16 and torch.equal(got, look(pipe, ONE))


def test_unit_tables_agree_with_the_places_of_this_test(pipe):
    for kind, _, name, (_, block), channels in PLACES:
        table = unit_table(layout_of(pipe), Selection(kind))
        i = table.names.index(name)
        assert table.channel[i] == channels.start and table.width == channels.stop - channels.start
        assert kind == "embedding" or table.block[i].endswith(f"[{block}]")


def test_at_kleins_size_heads_at_image_tokens_are_small_and_no_number_is_read():
    """On the meta device nothing has numbers: whoever wants one gets an error."""
    with torch.device("meta"):
        klein = Flux2Transformer2DModel(
            num_layers=5, num_single_layers=20, attention_head_dim=128, num_attention_heads=24, in_channels=128,
            joint_attention_dim=7680, mlp_ratio=3.0, axes_dims_rope=(32, 32, 32, 32), rope_theta=2000,
            guidance_embeds=False,
        ).bfloat16()  # fmt: skip

    def look_at(n_rows):
        with torch.device("meta"), torch.no_grad():
            klein(
                hidden_states=torch.empty(n_rows, 256, 128).bfloat16(), timestep=torch.ones(n_rows), guidance=None,
                encoder_hidden_states=torch.empty(n_rows, 512, 7680).bfloat16(), txt_ids=torch.zeros(n_rows, 512, 4),
                img_ids=torch.zeros(n_rows, 256, 4), return_dict=False,
            )  # fmt: skip

    with keeping(klein, ["heads"], 256) as inputs:
        look_at(1)
    assert sum(own.numel() * own.element_size() for own in inputs.values()) == 25 * 256 * 3072 * 2  # 39 MB
    words = [(Segment("words", 0, 512),)]
    edits = [patch(np.arange(600), inputs, scope="image", rows=row) for row in (0, 1)]
    with editing(klein, [*edits, steer("single[19].23", drawn(1, 128), rows=2)], words, 256):
        look_at(3)
