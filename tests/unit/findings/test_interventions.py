"""Folds, chosen heads, redraws and figures, against loops that share no code with them."""

import dataclasses
import hashlib

import numpy as np
import pytest
from made import directed_set, small_run, with_directions

from plantain import UsageError, stats
from plantain.findings.interventions import (
    Question,
    Sets,
    assemble,
    cause,
    folds_of,
    n_weights,
    plan,
    seconds_a_row,
    usual_redraws,
)
from plantain.prompts.sets import PromptPair
from plantain.runs.attached.interventions import InterventionInfo, Interventions
from plantain.runs.info import NotComparableError
from plantain.runs.units import Layout, Selection, SelectionError, unit_table

LAYOUT = Layout(n_joint=2, n_single=5, n_heads=8, head_dim=16, mlp_dim=32, text_dim=48)  # 56 heads
IMAGE = Selection("heads", "image")
KLEIN = Layout(n_joint=5, n_single=20, n_heads=24, head_dim=128, mlp_dim=9216, text_dim=7680)


def categorised(run, names="abcde"):
    """Put the pairs of a run into categories in turn."""
    pairs = tuple(
        dataclasses.replace(record, pair=dataclasses.replace(record.pair, category=names[i % len(names)]))
        for i, record in enumerate(run.pairs)
    )
    return dataclasses.replace(run, pairs=pairs)


@pytest.fixture(scope="module")
def wide():
    """A run of 25 pairs in five categories, of 56 heads with directions."""
    return categorised(made_wide(1))


def made_wide(number, seed=0, change=None):
    narrow = directed_set(number, seed, change)
    rng = np.random.default_rng(seed)
    sums = narrow.sums
    streams = {
        stream: rng.uniform(1, 2, (*sums.streams[stream].shape[:3], LAYOUT.n_slices(stream))).astype(np.float32)
        for stream in sums.streams
    }
    info = dataclasses.replace(narrow.info, layout=LAYOUT)
    plain = dataclasses.replace(
        narrow, info=info, sums=dataclasses.replace(sums, streams=streams), directions=None, _analyses={}, _directed={}
    )
    return with_directions(plain, seed, change)


def norms_of(run, seed=5):
    return np.random.default_rng(seed).uniform(1, 2, (len(run.pairs), unit_table(run.info.layout, IMAGE).n_units))


# --- folds -------------------------------------------------------------------------------------------------


def test_a_fold_is_a_category_and_below_three_the_ids_are_dealt_by_their_hash():
    pairs = [PromptPair(f"p{i}", "abc"[i % 3], "x", "y") for i in range(9)]
    assert folds_of(pairs) == [pair.category for pair in pairs]
    two = [PromptPair(f"p{i}", "ab"[i % 2], "x", "y") for i in range(23)]
    folds = folds_of(two)
    by_hash = sorted(two, key=lambda pair: hashlib.sha256(pair.id.encode()).hexdigest())
    for place, pair in enumerate(by_hash):
        assert folds[two.index(pair)] == f"fold {place % 5 + 1}"
    assert folds_of(two[::-1]) == folds[::-1], "the order of the pairs must not matter"


@pytest.mark.parametrize("categories", ["aaaa", "abca"])
def test_fewer_pairs_than_the_folds_need_are_refused(categories):
    with pytest.raises(NotComparableError, match="--heads-from"):
        folds_of([PromptPair(f"p{i}", category, "x", "y") for i, category in enumerate(categories)])


# --- what is asked -----------------------------------------------------------------------------------------


def test_sizes_go_up_to_a_quarter_of_the_heads(wide):
    assert plan(wide, Question()).asked.ks == (1, 10)  # of 56
    assert plan(wide, Question(heads="top:7")).asked.ks == (7,)
    assert plan(wide, Question(heads="single[0].1,joint[1] head 0")).asked.ks == (2,)
    assert plan(with_directions(categorised(small_run(n_pairs=8))), Question()).asked.ks == (1,)  # of 6


def test_heads_are_chosen_on_the_other_folds_by_agreement(wide):
    asked = plan(wide, Question()).asked
    table, vectors = unit_table(LAYOUT, IMAGE), wide.vectors(IMAGE).astype(np.float64)
    for f, fold in enumerate("abcde"):
        training = [i for i, category in enumerate(wide.categories) if category != fold]
        z = []
        for head in range(table.n_units):
            own = vectors[:, training, head]
            mean = own.mean(axis=(0, 1))
            units = []
            for i in range(len(training)):
                difference = own[0, i] - own[1, i]
                across = difference - (difference @ mean) / (mean @ mean) * mean
                units.append(across / np.linalg.norm(across))
            cosines = [units[i] @ units[j] for i in range(len(units)) for j in range(i)]
            z.append(np.sum(cosines) / np.sqrt(np.sum(np.square(cosines))))
        order = sorted(range(table.n_units), key=lambda head: -z[head])
        assert asked.chosen[1][f] == tuple(table.names[head] for head in order[:10])
        assert asked.chosen[0][f] == asked.chosen[1][f][:1]
    assert asked.chosen_by == "directions"


def test_without_directions_heads_are_chosen_by_magnitude(wide):
    plain = dataclasses.replace(wide, directions=None)
    asked = plan(plain, Question(redraws="within")).asked
    differences = np.subtract(*plain.magnitudes("heads", "image"))
    training = [i for i, category in enumerate(plain.categories) if category != "b"]
    own = differences[training]
    t = np.abs(own.mean(axis=0) / own.std(axis=0, ddof=1))
    assert asked.chosen_by == "magnitudes"
    assert asked.chosen[0][1] == (unit_table(LAYOUT, IMAGE).names[int(np.argmax(t))],)


def test_another_run_chooses_once_for_all_pairs(wide):
    other = made_wide(2, seed=3)
    asked = plan(wide, Question(), ("again", other)).asked
    assert asked.name == "patch-from-again" and set(asked.folds) == {""} and len(asked.chosen[1]) == 1
    z = other.direction_analysis(IMAGE).agreement.z
    names = unit_table(LAYOUT, IMAGE).names
    assert asked.chosen[1][0] == tuple(names[head] for head in np.argsort(-z, kind="stable")[:10])


@pytest.mark.parametrize(
    ("change", "question", "said"),
    [
        ({"directions": None}, Question(), "--redraws within"),
        ({"directions": None}, Question("steer"), "run --directions heads"),
        ({"directions": None}, Question("ablate", redraws="within"), "run --directions heads"),
        ({}, Question("steer", redraws="within"), "omit --redraws"),
        ({}, Question(heads="top:57"), "1 to 56"),
        ({}, Question(heads="top:0"), "1 to 56"),
        ({}, Question(heads="single[9].1"), "single[4].7"),
        ({}, Question(heads="single[0].1,single[0] head 1"), "twice"),
        ({}, Question(pairs=("nobody",)), "pair-0"),
        ({}, Question(n_redraws=10_000), "1 to 9,999"),
    ],
)
def test_what_cannot_be_asked_is_refused(wide, change, question, said):
    with pytest.raises((NotComparableError, UsageError, SelectionError)) as refused:
        plan(dataclasses.replace(wide, **change), question)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_run_of_several_steps_is_refused(wide):
    several = dataclasses.replace(wide.info, steps=2)
    run = dataclasses.replace(wide, repeats=(wide.sums, wide.sums), info=several)
    with pytest.raises(NotComparableError, match="one step"):
        plan(run, Question())


@pytest.mark.parametrize("beside", ["source", "control"])
def test_runs_beside_have_to_fit(wide, beside):
    def ask(other, question=None):
        named = {"source": ("it", other)} if beside == "source" else {"controls": {"it": other}}
        return plan(wide, question or Question(), **named)

    stranger = made_wide(2, seed=3)
    with pytest.raises(NotComparableError, match="it: is of another model"):
        ask(dataclasses.replace(stranger, info=dataclasses.replace(stranger.info, fingerprint="0" * 64)))
    with pytest.raises(NotComparableError, match="it: shares 25 pairs"):
        ask(wide)
    with pytest.raises(NotComparableError, match="it: keeps no directions"):
        ask(dataclasses.replace(stranger, directions=None))
    if beside == "control":
        for question in (Question("steer"), Question(pairs=("pair-1",))):
            with pytest.raises(UsageError, match="--control-runs"):
                ask(categorised(stranger), question)
    else:
        with pytest.raises(UsageError, match="one of the two"):
            ask(stranger, Question(heads="single[0].1"))


def test_fewer_redraws_where_a_pass_takes_long():
    assert n_weights(KLEIN) == pytest.approx(3.68e9, rel=0.01)  # of the blocks; 3.88e9 in all
    assert [usual_redraws(layout, on) for layout in (LAYOUT, KLEIN) for on in (False, True)] == [199, 199, 19, 199]


def test_seconds_of_a_row_leave_the_encoding_out(wide):
    n_tokens = 512 + (256 // 16) ** 2
    assert seconds_a_row(wide) == pytest.approx(wide.info.seconds / 25 / 2 * n_tokens / (n_tokens + 477), rel=0.02)


# --- the sets ----------------------------------------------------------------------------------------------


def kinds_of(planned):
    """Name the sets of one of the run's own pairs in order, by a loop of its own."""
    asked, found = planned.asked, []
    for k in asked.ks:
        found.append((k, "chosen", 0))
        found += [(k, kind, r) for kind in asked.redraws for r in range(asked.n_redraws)]
    for j, _ in enumerate(asked.controls):
        found.append((f"control {j}", "chosen", 0))
        found += [(f"control {j}", kind, r) for kind in asked.redraws for r in range(asked.n_redraws)]
    return [*found, *((block, "block", 0) for block in asked.blocks), ("all", "heads", 0), ("all", "mlp", 0)]


def all_changes(planned, sets, index):
    """Give every set of a pair its change."""
    changes = sets.changes(index)
    numbers = np.arange(len(changes), dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    return [changes[int(number)] for number in sets.spread(index, numbers)[:, 0, 0]]


def test_redraws_permute_labels_once_for_all_folds(wide):
    planned = plan(wide, Question(n_redraws=30))
    norms, table = norms_of(wide), unit_table(LAYOUT, IMAGE)
    sets = Sets(planned, norms)
    names, blocks = kinds_of(planned), table.block
    written = np.mean([norms[np.array(wide.categories) != fold].mean(axis=0) for fold in "abcde"], axis=0)
    place = {int(head): rank for rank, head in enumerate(np.argsort(-written))}
    became: dict[tuple, dict[str, frozenset]] = {}
    for index in range(25):
        fold = "abcde".index(wide.categories[index])
        changes = all_changes(planned, sets, index)
        assert len(changes) == len(names)
        for (k, kind, r), change in zip(names, changes, strict=True):
            heads = change.places.tolist()
            assert change.vectors is None and heads == sorted(set(heads))
            if kind == "chosen":
                assert {table.names[h] for h in heads} == set(planned.asked.chosen[planned.asked.ks.index(k)][fold])
            elif kind in ("within", "matched"):
                (own,) = [c for n, c in zip(names, changes, strict=True) if n[:2] == (k, "chosen")]
                strata = {"within": lambda h: blocks[h], "matched": lambda h: place[h] // 14}[kind]  # 56 in 4
                assert sorted(map(strata, heads)) == sorted(map(strata, own.places.tolist()))
                if k == 1:
                    became.setdefault((kind, r), {})[int(own.places[0])] = frozenset(heads)
            elif kind == "block":
                assert {blocks[h] for h in heads} == {k} and len(heads) == LAYOUT.n_heads
            else:
                assert len(heads) == (56 if kind == "heads" else 10) and change.units == kind
    assert all(len(set(into.values())) == len(into) for into in became.values()), "one permutation for all folds"
    first = {kind: [next(iter(became[kind, r].items())) for r in range(30)] for kind in ("within", "matched")}
    assert all(len(set(drawn)) > 3 for drawn in first.values())


def test_equal_sets_of_a_pair_are_changed_once(wide):
    planned = plan(wide, Question(n_redraws=199))
    sets = Sets(planned, norms_of(wide))
    for index in (0, 7):
        keys = [(change.units, *change.places.tolist()) for change in sets.changes(index)]
        assert len(keys) == len(set(keys))
        one_head = [key for key in keys if len(key) == 2]
        assert len(one_head) <= 8 + 14  # a block, and a stratum
    rows = sum(2 + 2 * len(sets.changes(i)) for i in range(25))
    assert rows < planned.most_rows() == 25 * (2 + 2 * (2 * 399 + 7 + 2))


def test_steering_takes_nothing_of_a_pair_that_it_tests(wide):
    planned = plan(wide, Question("steer", n_redraws=4))
    vectors = wide.vectors(IMAGE)
    sets = Sets(planned)
    table, names = unit_table(LAYOUT, IMAGE), kinds_of(planned)[:-1]  # no MLP is kept
    for index in (3, 4):
        fold = wide.categories[index]
        training = [i for i, category in enumerate(wide.categories) if category != fold]
        mean = np.zeros((56, 16))
        for i in training:
            mean += (vectors[0, i].astype(float) - vectors[1, i]) / len(training)
        changes = all_changes(planned, sets, index)
        assert len(changes) == len(names)
        for (_, kind, _), change in zip(names, changes, strict=True):
            if kind == "flips":
                assert not np.allclose(change.vectors, mean[change.places], atol=1e-3)
            else:
                np.testing.assert_allclose(change.vectors, mean[change.places], atol=1e-5)
        assert changes[0].places.tolist() == [table.names.index(planned.asked.chosen[0]["abcde".index(fold)][0])]


def test_named_heads_are_steered_by_other_folds(wide):
    planned = plan(wide, Question("steer", heads="single[0].1", n_redraws=2))
    sets = Sets(planned)
    one, two = (sets.changes(i)[0] for i in (0, 1))
    assert one.places.tolist() == two.places.tolist() == [17]
    assert not np.array_equal(one.vectors, two.vectors)


def test_flips_are_the_same_for_all_folds_and_repeat_the_choice(wide):
    """A redraw is what a run would give whose pairs had their sides exchanged."""
    planned = plan(wide, Question("steer", n_redraws=2))
    drawn = (2 * np.random.default_rng((wide.info.seed, 11, 2)).integers(0, 2, size=(2, 25)) - 1).astype(int)
    parts = {name: values.copy() for name, values in wide.directions.parts.items()}
    for values in parts.values():
        values[:, drawn[1] < 0] = values[::-1, drawn[1] < 0]
    flipped = dataclasses.replace(wide, directions=dataclasses.replace(wide.directions, parts=parts), _directed={})
    there = Sets(plan(flipped, Question("steer", n_redraws=2)))
    for index in range(5):
        redraw = all_changes(planned, Sets(planned), index)[2]
        chosen = there.changes(index)[0]
        assert redraw.places.tolist() == chosen.places.tolist()
        # The tested pair is exchanged too: to steer it so is to steer it as it is the other way.
        np.testing.assert_allclose(drawn[1][index] * redraw.vectors, chosen.vectors, atol=1e-4)


def test_ablation_puts_the_mean_of_all_prompts_there(wide):
    planned = plan(wide, Question("ablate", n_redraws=2, redraws="within"))
    vectors = wide.vectors(IMAGE)
    mean = sum(vectors[side, i].astype(float) for side in (0, 1) for i in range(25)) / 50
    for change in Sets(planned, norms_of(wide)).changes(2):
        np.testing.assert_allclose(change.vectors, mean[change.places], atol=1e-5)


def test_a_control_s_pairs_get_both_sets_by_the_same_permutations(wide):
    control = categorised(made_wide(2, seed=3))
    planned = plan(wide, Question(n_redraws=3), controls={"size": control})
    sets = Sets(planned, norms_of(wide))
    alone = plan(control, Question(heads="top:10"), None)
    names = unit_table(LAYOUT, IMAGE).names
    own = all_changes(planned, sets, 0)
    at = [i for i, (of, *_) in enumerate(kinds_of(planned)) if of == "control 0"]
    theirs = [frozenset(own[i].places.tolist()) for i in at]
    z = control.direction_analysis(IMAGE).agreement.z
    assert theirs[0] == frozenset(np.argsort(-z)[:10].tolist())
    there = all_changes(planned, sets, 25 + 2)  # the control's third pair, of its fold c
    assert len(there) == 2 * 7
    assert {names[h] for h in there[7].places} == set(alone.asked.chosen[0][2])
    everything = wide.direction_analysis(IMAGE).agreement.z
    assert set(there[0].places.tolist()) == set(np.argsort(-everything)[:10].tolist())
    for r in range(1, 7):  # a head of both sets becomes one and the same
        both = set(there[0].places.tolist()) & theirs[0]
        assert len(set(there[r].places.tolist()) & theirs[r]) == len(both)


# --- what comes out ----------------------------------------------------------------------------------------


def made_interventions(planned, seed=0, chosen=None):
    """Make figures up for a plan."""
    rng, asked = np.random.default_rng(seed), planned.asked
    arrays = {name: rng.uniform(0, 0.5, shape).astype(np.float32) for name, shape in asked.shapes().items()}
    arrays["effect"] += 1
    if chosen is not None:
        arrays["chosen"][..., 0] = chosen
    info = planned.run.info
    known = {key: getattr(info, key) for key in ("model", "revision", "weights", "fingerprint", "dtype", "device")}
    told = {"title": info.title, "versions": {}, "date": "2026-01-01", "seconds": 1.0, "n_rows": 5}
    return Interventions(InterventionInfo(asked=asked, **known, **told), arrays)


def test_figures_are_means_over_pairs_and_ranks(wide):
    planned = plan(wide, Question(n_redraws=39), controls={"size": categorised(made_wide(2, seed=3))})
    found = made_interventions(planned)
    found.arrays["effect"][4] = 0  # a pair whose sides are one: it counts nowhere
    for name, values in found.arrays.items():
        if values.ndim > 1 and not name.endswith(("own_heads", "their_heads")) and not name.startswith("written."):
            values[4] = np.nan
    arrays, shown = found.arrays, cause(found)
    assert (shown.n_pairs, shown.n_equal, shown.floor, shown.headline_k) == (25, 1, 1 / 40, 10)
    counted = [i for i in range(25) if i != 4]

    def mean(values):
        total = 0.0
        for i in counted:
            total += (float(values[i, 0, 0]) + float(values[i, 1, 0])) / 2
        return total / len(counted)

    for j, size in enumerate(shown.sizes):
        chosen = mean(arrays["chosen"][:, j])
        assert size.share == pytest.approx(chosen, abs=1e-7)
        assert size.share == pytest.approx(sum(size.ways) / 2)
        assert size.off == pytest.approx(arrays["chosen"][counted, j, :, 1].mean(), abs=1e-6)
        for against in size.redraws:
            redraws = [mean(arrays[f"redraws.{against.kind}"][:, j, r]) for r in range(39)]
            assert against.n_reaching == sum(value >= chosen for value in redraws)
            assert against.p == (1 + against.n_reaching) / 40
            assert against.median == pytest.approx(sorted(redraws)[19], abs=1e-7)
            assert min(redraws) <= against.low < against.median < against.high <= max(redraws)
    assert shown.heads == pytest.approx(mean(arrays["heads"]), abs=1e-7)
    assert shown.mlp == pytest.approx(mean(arrays["mlp"]), abs=1e-7)
    assert shown.blocks["single[1]"] == pytest.approx(mean(arrays["blocks"][:, 3]), abs=1e-7)

    (between,) = shown.controls
    cells = {}
    for r in range(79):
        own = arrays["chosen"][:, 1] if r == 0 else None
        if own is None:
            kind, k = ("within", r - 1) if r <= 39 else ("matched", r - 40)
            own = arrays[f"redraws.{kind}"][:, 1, k]
        theirs = [arrays[f"control.0.{name}"][:, r, :, 0].mean(dtype=float) for name in ("own_heads", "their_heads")]
        cells[r] = (mean(own) - mean(arrays["control.0.own_pairs"][:, r])) - (theirs[0] - theirs[1])
    assert between.value == pytest.approx(cells[0], abs=1e-6)
    assert between.value == pytest.approx(
        (between.own - between.own_by_theirs) - (between.theirs_by_own - between.theirs)
    )
    for against, start in zip(between.redraws, (1, 40), strict=True):
        assert against.p == (1 + sum(cells[r] >= cells[0] for r in range(start, start + 39))) / 40


def test_ablation_counts_what_is_lost(wide):
    found = made_interventions(plan(wide, Question("ablate", n_redraws=5)))
    shown = cause(found)
    assert shown.headline.ways is None and shown.mlp is None
    assert shown.headline.share == pytest.approx(found.arrays["chosen"][:, 1, 0, 0].mean(), abs=1e-6)
    assert shown.headline.off == pytest.approx(found.arrays["chosen"][:, 1, 0, 1].mean(), abs=1e-6)


def test_a_part_of_the_pairs_has_no_p(wide):
    found = made_interventions(plan(wide, Question(pairs=("pair-3", "pair-1"), n_redraws=5)))
    assert found.info.asked.pairs == ("pair-1", "pair-3") and found.info.asked.name == "patch-part"
    shown = cause(found)
    assert shown.is_part and not shown.is_registered
    assert all(against.p is None for size in shown.sizes for against in size.redraws)


def test_a_part_chooses_the_heads_that_the_whole_chooses(wide):
    whole, part = (plan(wide, Question(n_redraws=9, pairs=pairs)) for pairs in ((), ("pair-3",)))
    ours, theirs = Sets(whole, norms_of(wide)).changes(3), Sets(part, norms_of(wide)).changes(0)
    assert [change.places.tolist() for change in ours] == [change.places.tolist() for change in theirs]


@pytest.mark.parametrize(
    ("question", "registered"),
    [(Question(n_redraws=199), True), (Question(n_redraws=198), False), (Question(n_redraws=200), False),
     (Question(n_redraws=199, redraws="matched"), False), (Question("ablate", n_redraws=199), False),
     (Question(heads="top:10", n_redraws=199), True), (Question(heads="top:9", n_redraws=199), False)],
)  # fmt: skip
def test_what_is_registered(wide, question, registered):
    assert cause(made_interventions(plan(wide, question))).is_registered is registered


def test_a_redraw_within_blocks_keeps_what_it_must_on_average(wide):
    """Counted over drawn permutations: of a fold's heads, those that a redraw has too."""
    found = made_interventions(plan(wide, Question(n_redraws=5)))
    asked, rng = found.info.asked, np.random.default_rng(0)
    table, folds = unit_table(asked.layout, IMAGE), list(dict.fromkeys(asked.folds))
    blocks = np.array([table.blocks.index(block) for block in table.block])
    drawn = stats.draw_permutations(blocks, 4000, rng)
    for size, shown in enumerate(cause(found).sizes):
        counts = []
        for fold in asked.folds:
            heads = [table.names.index(name) for name in asked.chosen[size][folds.index(fold)]]
            counts.append(np.isin(drawn[:, heads], heads).sum(axis=1).mean())
        assert shown.kept == pytest.approx(np.mean(counts), abs=0.1)


def test_five_folds_by_hash_are_not_registered(wide):
    assert not cause(made_interventions(plan(categorised(wide, "a"), Question(n_redraws=199)))).is_registered


def test_pairs_whose_sides_are_equal_say_nothing(wide):
    found = made_interventions(plan(wide, Question(n_redraws=5)))
    found.arrays["effect"][:] = 0
    with pytest.raises(NotComparableError, match="nothing to restore"):
        cause(found)


def test_how_much_sets_write_is_counted_head_by_head(wide):
    planned, norms = plan(wide, Question(n_redraws=4)), norms_of(wide)
    sets = Sets(planned, norms)
    one = np.zeros((len(planned.jobs), 2, 2))
    found = assemble(planned, sets, [(1.0, np.resize(one, (len(sets.changes(i)), 2, 2))) for i in range(25)])
    length = np.mean([norms[np.array(wide.categories) != fold].mean(axis=0) for fold in "abcde"], axis=0)
    flat = [dict(zip(kinds_of(planned), all_changes(planned, sets, i), strict=True)) for i in range(25)]
    for j, k in enumerate(planned.asked.ks):
        for kind, r in (("chosen", 0), ("within", 3), ("matched", 2)):
            wanted = np.mean([length[of[k, kind, r].places].sum() for of in flat])
            told = found[f"written.{kind}"][j] if kind == "chosen" else found[f"written.{kind}"][j, r]
            assert told == pytest.approx(wanted, rel=1e-6)
    result = made_interventions(planned)
    result.arrays["written.chosen"][:] = 6
    result.arrays["written.within"][:] = [4, 1, 9, 3]  # the median is 3.5
    within = cause(result).headline.redraws[0]
    assert within.written == pytest.approx(6 / 3.5) and within.n_writing == 1
    result.arrays["written.within"][:] = 0
    assert cause(result).headline.redraws[0].written is None
    assert not plan(wide, Question("steer")).asked.written  # redraws are not matched there


def test_every_figure_lands_in_its_place(wide):
    """A change that is known by its heads gives a figure that says which heads it was."""
    control = categorised(made_wide(2, seed=3))
    planned = plan(wide, Question(n_redraws=4), controls={"size": control})
    sets = Sets(planned, norms_of(wide))

    def figure(change):
        return sum(2.0 ** -(int(h) % 23) * (1 if change.units == "heads" else 3) for h in change.places)

    outcomes = [
        (1.0 + i, np.array([np.full((2, 2), figure(change)) for change in sets.changes(i)], np.float32))
        for i in range(len(planned.jobs))
    ]
    found = assemble(planned, sets, outcomes)
    assert not any(np.isnan(values).any() for values in found.values())
    for i in range(25):
        flat = dict(zip(kinds_of(planned), all_changes(planned, sets, i), strict=True))
        assert found["effect"][i] == 1 + i
        for j, k in enumerate(planned.asked.ks):
            assert found["chosen"][i, j, 0, 0] == np.float32(figure(flat[k, "chosen", 0]))
            for kind in ("within", "matched"):
                for r in range(4):
                    assert found[f"redraws.{kind}"][i, j, r, 1, 1] == np.float32(figure(flat[k, kind, r]))
        assert found["heads"][i, 0, 1] == np.float32(figure(flat["all", "heads", 0]))
        assert found["mlp"][i, 0, 1] == np.float32(figure(flat["all", "mlp", 0]))
        assert found["blocks"][i, 6, 0, 0] == np.float32(figure(flat["single[4]", "block", 0]))
        assert found["control.0.own_pairs"][i, 8, 0, 0] == np.float32(figure(flat["control 0", "matched", 3]))
    there = all_changes(planned, sets, 25)
    assert found["control.0.effect"].tolist() == [26.0 + i for i in range(25)]
    assert found["control.0.own_heads"][0, :, 0, 0].tolist() == [np.float32(figure(c)) for c in there[:9]]
    assert found["control.0.their_heads"][0, :, 0, 0].tolist() == [np.float32(figure(c)) for c in there[9:]]
