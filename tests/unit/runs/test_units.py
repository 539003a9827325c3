"""Units against their definition: counts, order, names, and magnitudes from raw activations by hand."""

import numpy as np
import pytest

from plantain import PlantainError
from plantain.runs.capture import SumsOfSquares
from plantain.runs.scopes import SCOPES, STREAM_SCOPES, TOKEN_SCOPES, UNITS
from plantain.runs.units import SLICE, Layout, Selection, SelectionError, magnitudes, unit_table

KLEIN_4B = {
    "num_layers": 5,
    "num_single_layers": 20,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "mlp_ratio": 3.0,
    "in_channels": 128,
    "joint_attention_dim": 7680,
}

SMALL = Layout(n_joint=2, n_single=3, n_heads=2, head_dim=32, mlp_dim=96, text_dim=48)


# --- counts, order and names -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("units", "count"), [("card", 16320), ("heads", 600), ("text-heads", 120), ("mlp", 1440), ("embedding", 480)]
)
def test_klein_4b_has_the_units_of_the_design(units, count):
    # The card: 5 x 192 + 20 x 768 = 16,320 (3,221 = 19.7% of it); 25 x 24 heads; 5 x 24; 20 x 9216 / 128.
    assert unit_table(Layout.from_config(KLEIN_4B), Selection(units)).n_units == count


def test_klein_4b_has_192_slices_in_a_joint_and_768_in_a_single_block():
    block = unit_table(Layout.from_config(KLEIN_4B)).block
    assert [np.count_nonzero(block == name) for name in ("joint[0]", "joint[4]", "single[0]", "single[19]")] == [
        192, 192, 768, 768,
    ]  # fmt: skip


def test_the_layout_comes_from_the_config():
    layout = Layout.from_config(KLEIN_4B)
    assert layout == Layout(n_joint=5, n_single=20, n_heads=24, head_dim=128, mlp_dim=9216, text_dim=7680)
    assert (layout.attention_dim, layout.n_channels("joint_text"), layout.n_channels("single")) == (3072, 3072, 12288)
    assert [layout.n_slices(stream) for stream in STREAM_SCOPES] == [480, 960, 960, 15360]


def test_another_size_of_klein_gives_other_counts():
    larger = Layout.from_config({**KLEIN_4B, "num_layers": 8, "num_single_layers": 24, "num_attention_heads": 32})
    # 8 x 32 + 24 x 32 heads; 8 x 256 + 24 x 1024 slices
    assert (unit_table(larger, Selection("heads")).n_units, unit_table(larger, Selection("card")).n_units) == (
        1024,
        26624,
    )


def test_a_layout_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="heads of 24 channels, an MLP of 96"):
        Layout(n_joint=1, n_single=1, n_heads=2, head_dim=24, mlp_dim=96, text_dim=48)
    with pytest.raises(ValueError, match="an MLP of 100"):
        Layout(n_joint=1, n_single=1, n_heads=2, head_dim=32, mlp_dim=100, text_dim=48)
    with pytest.raises(ValueError, match="an embedding of 40"):
        Layout(n_joint=1, n_single=1, n_heads=2, head_dim=32, mlp_dim=96, text_dim=40)


def test_units_come_joint_first_then_single_and_by_channel_within_a_block():
    table = unit_table(SMALL, Selection("card"))
    blocks = ["joint[0]", "joint[1]", "single[0]", "single[1]", "single[2]"]
    assert list(dict.fromkeys(table.block.tolist())) == blocks
    for block in blocks:
        channels = table.channel[table.block == block]
        last = 64 if block.startswith("joint") else 160  # 2 heads of 32, and 96 channels of MLP
        np.testing.assert_array_equal(channels, np.arange(0, last, SLICE))
    assert [np.count_nonzero(np.diff(table.block == b)) for b in blocks[1:-1]] == [2, 2, 2]  # each in one piece


def test_slices_know_their_head_and_kind():
    table = unit_table(SMALL, Selection("card"))
    single = table.block == "single[1]"
    assert table.kind[single].tolist() == ["attention"] * 4 + ["mlp"] * 6
    assert table.head[single].tolist() == [0, 0, 1, 1] + [-1] * 6
    assert table.width == 16


NAMES = {
    "card": (14, "single[0] slice 6"),
    "heads": (9, "single[2] head 1"),
    "text-heads": (2, "joint[1] text head 0"),
    "mlp": (4, "single[1] MLP group 1"),
    "embedding": (2, "embedding slice 2"),
}


@pytest.mark.parametrize("units", UNITS)
def test_names_say_block_kind_and_number(units):
    table = unit_table(SMALL, Selection(units))
    index, name = NAMES[units]
    assert table.names[index] == name
    assert len(set(table.names)) == table.n_units == len(table.names)


def test_a_scope_that_a_stream_lacks_leaves_its_units_out():
    for scope in ("prompt", "words", "padding", "template"):  # no such tokens in the joint image stream
        assert {b[:6] for b in unit_table(SMALL, Selection("heads", scope)).block} == {"single"}
    assert (
        unit_table(SMALL, Selection("heads", "image")).n_units
        == unit_table(SMALL, Selection("heads", "all")).n_units
        == 10
    )


# --- magnitudes from raw activations, by hand --------------------------------------------------------------

N_PAIRS = 3
RAW_STREAMS = {"embedding": ("text",), "joint_image": ("image",), "joint_text": ("text",), "single": ("text", "image")}


def raw_run(rng):
    """Draw activations (tokens, channels) per stream, side, pair and block, and every token's scope."""
    labels, raw = {}, {}
    for side in range(2):
        for pair in range(N_PAIRS):
            words = 3 + pair + side  # sides of unequal length: the worst case
            text = ["template"] * 2 + ["words"] * words + ["template"] + ["padding"] * (11 - words)
            labels[side, pair] = {"text": text, "image": ["image"] * 5 + ["reference"] * 3}
            for stream, parts in RAW_STREAMS.items():
                n_tokens = sum(len(labels[side, pair][part]) for part in parts)
                for block in range(SMALL.n_blocks(stream)):
                    size = (n_tokens, SMALL.n_channels(stream))
                    raw[stream, side, pair, block] = rng.normal(scale=1 + pair, size=size)
    return labels, raw


def token_labels(labels, stream, side, pair):
    return np.array([label for part in RAW_STREAMS[stream] for label in labels[side, pair][part]])


def collect(labels, raw) -> SumsOfSquares:
    """Sum the squares token by token, as the class describes them."""
    streams = {}
    for stream, scopes in STREAM_SCOPES.items():
        total = np.zeros((2, N_PAIRS, len(scopes), SMALL.n_slices(stream)))
        per_block = SMALL.n_channels(stream) // SLICE
        for (name, side, pair, block), x in raw.items():
            if name != stream:
                continue
            for token, label in enumerate(token_labels(labels, stream, side, pair)):
                for s in range(per_block):
                    values = x[token, s * SLICE : (s + 1) * SLICE]
                    total[side, pair, scopes.index(label), block * per_block + s] += (values**2).sum()
        streams[stream] = total
    tokens = np.zeros((2, N_PAIRS, 5), dtype=int)
    for (side, pair), parts in labels.items():
        for label in parts["text"] + parts["image"]:
            tokens[side, pair, TOKEN_SCOPES.index(label)] += 1
    return SumsOfSquares(streams, tokens)


# units -> (stream, first channel, last channel, width), written out for SMALL
BY_HAND = {
    "card": [("joint_image", 0, 64, 16), ("single", 0, 160, 16)],
    "heads": [("joint_image", 0, 64, 32), ("single", 0, 64, 32)],
    "text-heads": [("joint_text", 0, 64, 32)],
    "mlp": [("single", 64, 160, 32)],
    "embedding": [("embedding", 0, 48, 16)],
}
LABELS_OF = {
    "all": {"template", "words", "padding", "image", "reference"},
    "image": {"image"},
    "prompt": {"template", "words"},
    "words": {"words"},
    "padding": {"padding"},
    "template": {"template"},
    "reference": {"reference"},
}


def by_hand(labels, raw, units, scope):
    """RMS over tokens and channels, straight from the raw activations (None: the stream lacks the scope)."""
    columns = []
    for stream, first, last, width in BY_HAND[units]:
        for block in range(SMALL.n_blocks(stream)):
            for start in range(first, last, width):
                column = np.empty((2, N_PAIRS))
                for side, pair in np.ndindex(2, N_PAIRS):
                    inside = np.isin(token_labels(labels, stream, side, pair), list(LABELS_OF[scope]))
                    x = raw[stream, side, pair, block][inside, start : start + width]
                    column[side, pair] = np.sqrt(np.mean(x**2)) if x.size else np.nan
                if not np.isnan(column).any():
                    columns.append(column)
    return np.stack(columns, axis=-1) if columns else None


@pytest.fixture(scope="module")
def recorded():
    labels, raw = raw_run(np.random.default_rng(5))
    return labels, raw, collect(labels, raw)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("units", UNITS)
def test_magnitudes_are_the_rms_over_the_scopes_tokens_and_the_units_channels(recorded, units, scope):
    labels, raw, sums = recorded
    expected = by_hand(labels, raw, units, scope)
    if expected is None:  # the text has no image tokens
        assert units in ("text-heads", "embedding") and scope in ("image", "reference")
        return
    got = magnitudes(sums, SMALL, Selection(units, scope))
    assert got.shape == (2, N_PAIRS, unit_table(SMALL, Selection(units, scope)).n_units)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_the_scopes_named_here_are_the_modules():
    assert set(SCOPES) == set(LABELS_OF)
    assert set(UNITS) == set(BY_HAND)


def test_squares_add_up_over_scopes_and_slices_but_rms_values_do_not(recorded):
    *_, sums = recorded
    counts = {scope: sums.tokens[..., i, None] for i, scope in enumerate(TOKEN_SCOPES)}
    by_scope = {scope: magnitudes(sums, SMALL, Selection("mlp", scope)) for scope in TOKEN_SCOPES}
    whole = magnitudes(sums, SMALL, Selection("mlp", "all"))
    total = sum(by_scope[s] ** 2 * counts[s] for s in TOKEN_SCOPES)
    np.testing.assert_allclose(whole**2 * sum(counts.values()), total, rtol=1e-12)
    slices = magnitudes(sums, SMALL, Selection("card", "all"))[..., 8 + 4 : 8 + 10]  # the MLP of single[0]
    np.testing.assert_allclose(whole[..., :3] ** 2, (slices**2).reshape(2, N_PAIRS, 3, 2).mean(axis=3), rtol=1e-12)
    assert not np.allclose(whole, np.mean([by_scope[s] for s in TOKEN_SCOPES], axis=0), rtol=1e-3)


def test_float32_sums_are_pooled_in_double_precision(recorded):
    *_, sums = recorded
    single = SumsOfSquares({k: v.astype(np.float32) for k, v in sums.streams.items()}, sums.tokens)
    got = magnitudes(single, SMALL, Selection("card"))
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, magnitudes(sums, SMALL, Selection("card")), rtol=1e-7)


def test_units_or_scopes_that_do_not_exist_are_refused(recorded):
    *_, sums = recorded
    for refuse in (
        lambda *words: unit_table(SMALL, Selection(*words)),
        lambda *words: magnitudes(sums, SMALL, Selection(*words)),
    ):
        with pytest.raises(SelectionError, match="unknown units 'neurons'; choose one of card, heads, text-heads, mlp"):
            refuse("neurons")
        with pytest.raises(SelectionError, match="unknown scope 'tail'; choose one of all, image, prompt"):
            refuse("card", "tail")
        with pytest.raises(SelectionError, match="'text-heads' have no tokens of scope 'image'; choose another"):
            refuse("text-heads", "image")
    assert issubclass(SelectionError, PlantainError)


def test_a_prompt_without_a_token_in_the_scope_is_a_clear_error(recorded):
    *_, sums = recorded
    tokens = sums.tokens.copy()
    tokens[1, 2, TOKEN_SCOPES.index("padding")] = 0  # one prompt fills the whole text
    full = SumsOfSquares(sums.streams, tokens)
    with pytest.raises(SelectionError, match="no recorded token in scope 'padding'"):
        magnitudes(full, SMALL, Selection("heads", "padding"))
    assert np.isfinite(magnitudes(full, SMALL, Selection("heads", "all"))).all()


def test_pairs_are_joined_in_order(recorded):
    *_, sums = recorded
    one_by_one = [
        SumsOfSquares({k: v[:, i : i + 1] for k, v in sums.streams.items()}, sums.tokens[:, i : i + 1])
        for i in range(N_PAIRS)
    ]
    joined = SumsOfSquares.concatenate(one_by_one)
    assert joined.n_pairs == N_PAIRS
    np.testing.assert_array_equal(joined.tokens, sums.tokens)
    for stream in STREAM_SCOPES:
        np.testing.assert_array_equal(joined.streams[stream], sums.streams[stream])


def test_arrays_of_a_wrong_shape_are_refused_with_the_shape(recorded):
    *_, sums = recorded
    with pytest.raises(ValueError, match=r"token counts must be \(2, n_pairs, 4 or 5\), not \(2, 3, 3\)"):
        SumsOfSquares(sums.streams, sums.tokens[..., :3])
    with pytest.raises(ValueError, match=r"token counts .* not \(1, 3, 5\)"):
        SumsOfSquares(sums.streams, sums.tokens[:1])
    for stream in STREAM_SCOPES:
        short = {**sums.streams, stream: sums.streams[stream][:, :2]}
        with pytest.raises(ValueError, match=rf"{stream}: sums of squares must be \(2, 3, \d\)"):
            SumsOfSquares(short, sums.tokens)
