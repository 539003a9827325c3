"""Several axes side by side: on planted truth, by other means, and what cannot stand in one atlas."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made import N_SLICES, PLANTED, SETS, made, made_differences, made_run, made_runs
from scipy import stats as reference

from plantain._files import plain
from plantain.findings.across_runs import atlas as atlas_module
from plantain.findings.across_runs.atlas import atlas_seconds, cached_atlas, gather, make_atlas, read_axes
from plantain.findings.held_out import fitting
from plantain.prompts.sets import FORMER, SHIPPED, PromptPair, PromptSet, load_prompt_set, shipped_sets
from plantain.report.across_runs.atlas import atlas_parts, atlas_text, finding, size_caution
from plantain.report.figures.catalogue import ManyAxes, figure
from plantain.report.numbers import interval
from plantain.report.statements import Kind
from plantain.runs.info import NotComparableError, PairRecord
from plantain.runs.io import load_run
from plantain.runs.units import Selection
from plantain.stats import TrueCorrelation


def planted_runs():
    """Plant an effect on one unit of the two moral sets alone, and on another unit of one control."""
    runs = made_runs({"moral_valence": 1.5, "moral_valence_replication": 1.5})
    return {**runs, "contact": made("contact", 1.5, unit=PLANTED + 6)}


@pytest.fixture(scope="module")
def planted():
    return make_atlas(read_axes(planted_runs()))


@pytest.fixture(scope="module")
def everywhere():
    return make_atlas(read_axes(made_runs({"all": 1.5})))


def of_unit(rows):
    (row,) = [row for row in rows if row.unit == made("tempo").analysis(Selection("card")).table.names[PLANTED]]
    return row


def test_what_is_planted_on_the_moral_sets_alone_is_selective_and_what_is_everywhere_is_not(planted, everywhere):
    alone, common = (of_unit(found.selectivity.units) for found in (planted, everywhere))
    assert min(alone.against) == alone.selectivity > 1 and alone.p <= 0.001
    assert max(map(abs, common.against)) < 0.8 and common.p > 0.1
    assert planted.selectivity.controls == ("attention", "contact", "nearness", "nonmoral_valence", "posture", "tempo")


def test_the_unique_share_is_that_of_the_runs_differences(planted):
    found = planted.unique
    diffs = {name: run.analysis(Selection("card")).differences for name, run in planted_runs().items()}
    rivals = [name for name in SETS if SETS[name].role in ("sibling", "control")]
    assert sorted(rival.name for rival in found.rivals) == sorted(rivals)
    taking_part = {"moral_valence", "moral_valence_replication", *rivals}
    pooled = sum(((d - d.mean(axis=0)) ** 2).sum(axis=0) for n, d in diffs.items() if n in taking_part) / (12 * 24)
    means = {name: d.mean(axis=0) / np.sqrt(pooled) for name, d in diffs.items()}
    assert found.own == pytest.approx(np.mean(means["moral_valence"] * means["moral_valence_replication"]))
    mapped = [rival.name for rival in found.rivals if rival.has_map]
    assert "contact" in mapped and found.own_p <= 0.001 and found.z > 3
    assert 0.5 < found.interval[0] < found.share == pytest.approx(1 - found.explained / found.own)
    between = {b.second: b for b in planted.between if b.first == "moral_valence"}
    for rival in found.rivals:
        row = between[rival.name]
        assert (rival.true_r, rival.interval, rival.uncentred) == (row.true_r, row.interval, row.uncentred)
    sizes = [abs(rival.true_r or 0) for rival in found.rivals if rival.has_map or rival.is_weak]
    assert sizes == sorted(sizes, reverse=True) and found.rivals[0].has_map


def test_chosen_units_are_measured_on_new_pairs(planted):
    found = planted.replication
    first, again = (
        made(name, 1.5).analysis(Selection("card")) for name in ("moral_valence", "moral_valence_replication")
    )
    chosen = np.argsort(-np.abs(first.t), kind="stable")[:20]
    assert [row.t for row in found.units] == first.t[chosen].tolist()
    assert [row.t_again for row in found.units] == again.t[chosen].tolist()
    signs = np.sign(first.t[chosen])
    assert found.n_same_sign == int((signs * again.t[chosen] > 0).sum())
    scores = (signs * again.differences[:, chosen] / again.differences[:, chosen].std(axis=0, ddof=1)).mean(axis=1)
    assert found.score == pytest.approx(scores.mean())
    low, high = reference.t.interval(0.95, 24, scores.mean(), reference.sem(scores))
    assert found.interval == pytest.approx((low, high))
    assert of_unit(found.units).d_z > 1


def test_the_rank_and_the_counts_are_those_of_the_runs(planted):
    found = planted.competition
    counts = {name: int((np.abs(run.analysis(Selection("card")).t) > 3).sum()) for name, run in planted_runs().items()}
    rivals = [name for name, s in SETS.items() if s.role in ("sibling", "control")]
    assert {row.name: row.counts for row in found.against} == {
        name: (counts["moral_valence"], counts[name]) for name in rivals
    }
    assert (found.rank, found.of) == (1 + sum(counts[r] >= counts["moral_valence"] for r in rivals), 11)
    assert found.p_exceeds_all == max(row.p for row in found.against)


def test_every_two_axes_are_compared_once(planted):
    names = [axis.name for axis in planted.axes]
    assert names[0] == "moral_valence" and names[1] and names[-1] == "paraphrase"
    assert len({frozenset((b.first, b.second)) for b in planted.between}) == 120 == len(planted.between)


def test_the_size_says_nothing_of_direction():
    plain, turned = (made("moral_valence"), made("moral_valence"))
    turned.sums.streams["single"][:] = turned.sums.streams["single"][::-1]
    turned.sums.streams["joint_image"][:] = turned.sums.streams["joint_image"][::-1]
    sizes = [atlas_module._axis_facts(atlas_module.Axis("a", run, "axis"), Selection()).size for run in (plain, turned)]
    assert sizes[0] == pytest.approx(sizes[1])
    a = plain.analysis(Selection("card"))
    shares = 100 * np.sqrt((a.differences**2).mean(axis=0)) / a.magnitudes.mean(axis=(0, 1))
    assert sizes[0] == pytest.approx(np.median(shares))


def test_the_words_hold_the_numbers_and_their_limits(planted):
    text = atlas_text(planted)
    assert text.startswith(f"# Atlas of 16 axes: {N_SLICES} slices") and "Weights: some/model (pretrained)" in text
    assert f"it has rank {planted.competition.rank} of" in text and "it could not fall below 1/11" in text
    assert "tests the equality of two distributions" in text and "about 43%" in text
    assert f"{planted.replication.n_same_sign} of 20 keep their sign" in text
    stand_in = make_atlas(read_axes({n: made(n, weights="stand-in") for n in ("moral_valence", "tempo")}))
    assert "The weights are random" in atlas_text(stand_in)
    assert stand_in.replication is stand_in.unique is stand_in.selectivity is None
    assert "On new pairs" not in atlas_text(stand_in) and "Unique share" not in atlas_text(stand_in)


def test_an_atlas_is_called_exploratory_with_its_first_table(planted):
    said = "Exploratory: PREREGISTRATION.md fixes no figure of an atlas."
    assert said in atlas_parts(planted)[0].before and said in atlas_text(planted)


def test_an_atlas_is_computed_once_and_comes_back_to_the_bit(tmp_path, monkeypatch):
    axes = read_axes(made_runs({}, ("moral_valence", "tempo", "contact")))
    steps = []
    first = cached_atlas(axes, Selection("card", "all"), tmp_path, lambda *step: steps.append(step))
    assert steps[-1] == (6, 6) and [s[0] for s in steps] == list(range(1, 7))
    monkeypatch.setattr(atlas_module, "make_atlas", lambda *_: pytest.fail("computed again"))
    assert cached_atlas(axes, Selection("card", "all"), tmp_path) == first
    monkeypatch.undo()
    (kept,) = tmp_path.iterdir()
    for damaged in ("{", "{}", kept.read_text().replace('"n_units": 24', '"n_units": "24"')):
        kept.write_text(damaged)
        assert cached_atlas(axes, Selection("card", "all"), tmp_path) == first
        assert json.loads(kept.read_text()) == plain(first)
    assert cached_atlas(axes, Selection("heads", "all"), tmp_path) != first and len(list(tmp_path.iterdir())) == 2
    assert cached_atlas(axes, Selection("card", "all"), tmp_path / "missing") == first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda runs: {"moral_valence": runs["moral_valence"]}, "at least two runs"),
        (lambda runs: {"tempo": runs["tempo"], "contact": runs["contact"]}, "exactly one run with the role"),
        (lambda runs: {**runs, "again": runs["tempo"]}, "tempo and again are of one prompt set"),
        (
            lambda runs: {**runs, "posture": made("posture", size=512)},
            r"posture and moral_valence differ in settings .*512 px",
        ),
        (lambda runs: {**runs, "posture": made("posture", fingerprint="e" * 64)}, "differ in model"),
        (lambda runs: {**runs, "few": made_run(np.ones((5, N_SLICES)))}, "few has 5 pairs; an atlas needs 6"),
    ],
)
def test_runs_that_cannot_stand_in_one_atlas(change, words):
    runs = made_runs({}, ("moral_valence", "tempo", "contact"))
    with pytest.raises(NotComparableError, match=words):
        read_axes(change(runs))


def test_a_set_of_ones_own_is_shown_and_does_not_compete():
    runs = made_runs({}, ("moral_valence", "tempo")) | {
        "mine": made_run(np.ones((25, N_SLICES)) * [1e-3] + 1, title="M")
    }
    differences = np.random.default_rng(1).normal(size=(25, N_SLICES))
    runs["mine"] = made_run(differences, prompts_sha256="e" * 64)
    axes = read_axes(runs)
    assert [axis.role for axis in axes] == ["axis", "control", "other"]
    assert [row.name for row in make_atlas(axes).competition.against] == ["tempo"]


# --- sets of one's own -----------------------------------------------------------------------------------


OWN = [PromptPair(f"p{i}", "c", f"Ola dares step {i}.", f"Ola dreads step {i}.") for i in range(25)]


def own(name, role=None, pairs=OWN, **changes):
    """Make up a run of somebody's own set, which says its role or none."""
    facts = {"prompt_set": name, "title": name, "positive": "brave", "negative": "timid", "role": role, **changes}
    sha256 = PromptSet(name, name, facts["positive"], facts["negative"], tuple(pairs)).sha256
    run = made_run(np.random.default_rng(list(name.encode())).normal(size=(len(pairs), N_SLICES)), **facts)
    return replace(
        run,
        info=replace(run.info, prompts_sha256=sha256),
        pairs=tuple(PairRecord(pair, 3, 1) for pair in pairs),
    )


def told(word, start=0, mirror=False):
    pairs = [PromptPair(f"{word}{i}", "c", f"Ola {word}s {i}.", f"Ola naps {i}.") for i in range(start, start + 25)]
    return [replace(p, positive=p.negative, negative=p.positive) for p in pairs] if mirror else pairs


def family():
    return {
        "control": own("pace", "control", told("runs"), positive="fast"),
        "courage": own("courage", "axis"),
        "again": own("again", "replication", told("dare")),
    }


def test_an_own_axis_with_its_own_control_and_replication_makes_a_whole_atlas():
    axes = read_axes(family())
    assert [(axis.name, axis.role) for axis in axes] == [
        ("courage", "axis"), ("again", "replication"), ("control", "control")
    ]  # fmt: skip
    found = make_atlas(axes)
    assert found.replication.name == "again" and found.unique.replication == "again"
    assert [rival.name for rival in found.competition.against] == ["control"] == list(found.selectivity.controls)
    shipped = [axis.role for axis in read_axes(family() | {"tempo": made("tempo")})]
    assert shipped == ["axis", "replication", "control", "control"]


def test_a_set_that_says_no_role_is_the_axis_where_no_other_can_be():
    runs = {"mine": own("mine"), "tempo": made("tempo")}
    assert [(axis.name, axis.role) for axis in read_axes(runs)] == [("mine", "axis"), ("tempo", "control")]
    with pytest.raises(NotComparableError, match=r'here are .*mine \(other\).* Write role = "axis" into'):
        read_axes(runs | {"more": own("more", pairs=told("more"))})


def test_roles_of_files_count_before_what_the_runs_say_and_after_the_projects_own():
    runs = {"mine": own("mine", "control"), "tempo": made("tempo")}
    given = {runs["mine"].info.prompts_sha256: "axis", SETS["tempo"].sha256: "noise floor"}
    assert [axis.role for axis in read_axes(runs, given)] == ["axis", "control"]


MIXED = {
    "two axes": ({"moral_valence": made("moral_valence")}, "role “axis”; courage and moral_valence have it"),
    "two replications": (
        {"third": own("third", "replication", told("try"))}, "the role “replication”; again and third have it. Leave"
    ),
    "a replication of another axis": (
        {"again": made("moral_valence_replication")},
        r"again \(helping / ignoring\) replicates another axis than courage \(brave / timid\): .* Leave it out",
    ),
    "old pairs": (
        {"again": own("again", "replication", [*OWN[:2], *told("dare")[2:]])}, "have 2 pairs in common: a repl"
    ),
    "all sides exchanged": (
        {"turned": own("turned", "sibling", told("runs", mirror=True))},
        "turned is control with all sides exchanged: the same question with the opposite sign",
    ),
    "the same under another name": (
        {"twin": own("twin", "sibling", told("runs"))}, "twin and control hold the same pairs: a set stands once"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), MIXED.values(), ids=MIXED)
def test_sets_that_do_not_go_together_are_told_with_what_to_do(change, words):
    with pytest.raises(NotComparableError, match=words):
        read_axes(family() | change)


def test_one_message_has_all_that_keeps_runs_from_an_atlas():
    runs = family() | {"few": own("few", "control", told("few")[:5]), "moral": made("moral_valence", size=512)}
    with pytest.raises(NotComparableError, match=r"^3 faults: \(1\) few has 5 pairs.*\(2\) moral and .* differ.*\(3\)"):
        read_axes(runs)


def test_together_with_a_run_are_those_of_its_own_axis():
    runs = family() | {name: made(name) for name in ("moral_valence", "moral_valence_replication", "tempo")}
    runs["turned"] = own("turned", "sibling", told("runs", mirror=True), date="2019-01-01T00:00:00+00:00")
    found = gather(runs, "courage")
    assert set(found.runs) == {"courage", "again", "control", "tempo"}
    assert set(found.left_out) == {
        "moral_valence has the same role as courage, which is chosen above.",
        "moral_valence_replication replicates another axis than courage.",
        "turned has the sides exchanged of the prompt set of control, which is newer.",
    }
    other = gather(runs, "moral_valence_replication")
    assert set(other.runs) == {"moral_valence", "moral_valence_replication", "control", "tempo"}
    assert read_axes(other.runs)[0].name == "moral_valence"


def test_a_newer_axis_of_somebody_else_does_not_take_the_place_of_the_projects_beside_its_controls():
    newer = {"date": "2030-01-01T00:00:00+00:00"}
    runs = {name: made(name) for name in ("moral_valence", "tempo")}
    runs |= {"courage": own("courage", "axis", **newer), "pace": own("pace", "control", told("runs"), positive="fast")}
    found = gather(runs, "tempo")
    assert "moral_valence" in found.runs and "courage has the same role as moral_valence, which goes with tempo." in (
        found.left_out
    )
    assert "courage" in gather(runs, "pace").runs and "moral_valence" not in gather(runs, "pace").runs


BOOK = {f"book-{path.stem}": found for path, found in shipped_sets("picture-book").values()}


def of_book(name, effect=0.0):
    """Make up a run of one of the picture book's sets on the model of `made`'s runs, as the stand-in may have both."""
    found = BOOK[name]
    differences = np.random.default_rng(list(name.encode())).normal(size=(25, N_SLICES))
    differences[:, PLANTED] += effect
    facts = {key: getattr(found, key) for key in ("title", "positive", "negative")}
    run = made_run(differences, prompt_set=found.name, prompts_sha256=found.sha256, role=found.role or None, **facts)
    return replace(run, pairs=tuple(PairRecord(pair, 3, 1) for pair in found.pairs))


def test_the_picture_books_sets_make_an_atlas_of_their_own_and_never_stand_beside_kleins():
    kleins = {name: made(name) for name in ("moral_valence", "moral_valence_replication", "nearness", "tempo")}
    books = {name: of_book(name, 1.5 if name in ("book-moral", "book-replication") else 0.0) for name in BOOK}
    found = gather(kleins | books, "book-moral")
    assert found.runs.keys() == BOOK.keys()
    assert found.left_out == tuple(
        f"{name} and book-moral are of prompt sets that are written for two models." for name in kleins
    )
    assert gather(kleins | books, "tempo").runs.keys() == kleins.keys()
    axes = read_axes(found.runs)
    assert [axis.role for axis in axes] == ["axis", "replication", *["control"] * 4, "other", "noise floor"]
    atlas = make_atlas(axes)
    names = {"book-nearness", "book-attention", "book-size", "book-place"}
    assert {rival.name for rival in atlas.unique.rivals} == names == set(atlas.selectivity.controls)
    assert {rival.name for rival in atlas.competition.against} == names
    with pytest.raises(NotComparableError, match="tempo and book-moral are of prompt sets that are written for two"):
        read_axes({"book-moral": books["book-moral"], "tempo": kleins["tempo"]})
    beside = fitting(books["book-moral"], kleins | books)
    assert beside.replication[0] == "book-replication" and set(beside.controls) == names
    assert fitting(kleins["moral_valence"], kleins | books).controls.keys() == {"nearness", "tempo"}


def test_the_crossed_set_of_the_picture_book_is_the_axis_where_the_moral_one_is_not():
    names = ("book-moral_crossed", "book-replication", "book-nearness", "book-attention")
    axes = read_axes({name: of_book(name, 1.5) for name in names})
    assert [(axis.name, axis.role) for axis in axes[:2]] == [(names[0], "axis"), (names[1], "replication")]


# --- which runs belong together ----------------------------------------------------------------------------


def test_of_two_runs_of_one_set_the_chosen_one_is_taken_else_the_newest():
    runs = made_runs({}, ("moral_valence", "tempo")) | {
        "old": made("moral_valence", date="2019-01-01T00:00:00+00:00"),
        "new": made("moral_valence", date="2021-01-01T00:00:00+00:00"),
    }
    assert list(gather(runs, "tempo").runs) == ["tempo", "new"]
    assert gather(runs, "tempo").left_out == (
        "moral_valence is of the same prompt set as new, which is newer.",
        "old is of the same prompt set as new, which is newer.",
    )
    found = gather(runs, "old")
    assert list(found.runs) == ["tempo", "old"]
    assert "new is of the same prompt set as old, which is chosen above." in found.left_out


def test_runs_of_a_former_text_keep_their_role_and_stand_aside_for_the_present_one():
    former = load_prompt_set(FORMER / "moral_valence.toml")
    old = made("moral_valence", prompts_sha256=former.sha256, date="2019-01-01T00:00:00+00:00")
    old = replace(old, pairs=tuple(PairRecord(pair, 3, 1) for pair in former.pairs))
    runs = made_runs({}, ("moral_valence", "tempo")) | {"old": old}
    found = gather(runs, "tempo")
    assert set(found.runs) == {"moral_valence", "tempo"}
    assert found.left_out == ("old is of another text of the prompt set of moral_valence, which is newer.",)
    assert set(gather(runs, "old").runs) == {"old", "tempo"}
    assert [axis.role for axis in read_axes({"tempo": runs["tempo"], "old": old})] == ["axis", "control"]


@pytest.mark.parametrize("name", ["tiny-random", "untrained-klein-4b"])
def test_the_shipped_runs_have_the_role_of_the_text_that_they_were_made_of(name):
    run = load_run(SHIPPED.parent / "precomputed" / name)
    info = replace(run.info, prompts_sha256=SETS["tempo"].sha256)
    other = replace(run, info=info, pairs=made("tempo").pairs)
    axes = read_axes({"tempo": other, "shipped": run})
    assert [(axis.name, axis.role) for axis in axes] == [("shipped", "axis"), ("tempo", "control")]


@pytest.mark.parametrize(
    "change", [{"size": 512}, {"seed": 7}, {"dtype": "bfloat16"}], ids=["size", "seed", "precision"]
)
def test_runs_of_another_setting_are_left_out_and_named(change):
    runs = made_runs({}, ("moral_valence", "tempo")) | {"other": made("posture", **change)}
    found = gather(runs, "tempo")
    assert list(found.runs) == ["moral_valence", "tempo"]
    (line,) = found.left_out
    assert line.startswith("other differs from tempo in settings (") and str(next(iter(change.values()))) in line
    assert list(gather(runs, "other").runs) == ["other"]


def test_another_model_is_not_spoken_of_and_small_sets_are_left_out():
    runs = made_runs({}, ("moral_valence", "tempo"))
    runs |= {"theirs": made("posture", fingerprint="e" * 64), "few": made_run(np.ones((5, N_SLICES)))}
    found = gather(runs, "moral_valence")
    assert list(found.runs) == ["moral_valence", "tempo"] and found.left_out == ("few has 5 pairs; 6 are needed.",)
    assert len(read_axes(found.runs)) == 2


# --- what it comes to --------------------------------------------------------------------------------------


def texts(atlas, weights="pretrained"):
    return [statement.text for statement in finding(atlas, weights)]


def test_the_finding_says_what_was_shown_and_what_was_not(planted, everywhere):
    said, rank, again, own = texts(planted)
    assert said == (
        "“helping / ignoring” shows two of the three signs of an axis of its own. More units than its rivals: not "
        "shown. The same units on new pairs: yes. Its own, and not its rivals': yes."
    )  # one unit of 24 is not more than its rivals have
    assert rank.startswith("More units than its rivals? Not shown") and "of 11." in rank
    assert again.startswith("The same units on new pairs? Yes") and own.startswith(
        "Its own, and not its rivals'? Yes: "
    )
    share, (low, high) = planted.unique.share, planted.unique.interval
    assert f"share, {100 * share:.0f}% [{100 * low:.0f}, {100 * high:.0f}] is not what " in own
    assert "Selective against each control by itself (family-wise p ≤ 0.05): 1 of the 20 units" in own
    common = texts(everywhere)[3]
    low, high = everywhere.unique.interval
    assert low <= 0 and high >= 1 and everywhere.unique.share is None
    assert "Not shown: " in common and f"{100 * low:,.0f}% to {100 * high:,.0f}%, holds all that a share" in common
    assert "p ≤ 0.05): 0 of" in common


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"interval": (0.51, 1.1)}, "? Yes: of what"),
        (
            {"interval": (0.2, 1.1)},
            "? Not shown: of what the axis and its replication share, 60% [20, 110] is not what",
        ),
        ({"interval": (0.2, 1.1)}, "some of it is its own, but not surely most of it."),
        ({"interval": (-0.2, 1.1)}, "the interval is not above 0"),
        ({"interval": (None, None)}, "60% [–, –] is not what contact shares too; its interval does not exist."),
        ({"interval": (0.6, 1.1), "z": 1.2}, "is not surely above zero (z = 1.2)"),
        (
            {"own_p": 0.06},
            "? Not shown: what the axis and its replication share is not above zero (sign-flip p = 0.06)",
        ),
        ({"own": -0.1, "share": None}, "? Not shown: what the axis and its replication share is not above zero"),
        ({"share": None, "interval": (None, None)}, "? Not asked: no sibling or control has a map of its own"),
    ],
)
def test_what_is_said_of_a_share(planted, change, words):
    contact = next(rival for rival in planted.unique.rivals if rival.name == "contact")
    unique = replace(planted.unique, share=0.6, interval=(0.6, 1.1), rivals=(contact,))
    assert words in texts(replace(planted, unique=replace(unique, **change)))[3]


def test_sets_of_other_numbers_of_pairs_are_told_from_counts_that_compare():
    told_of = family() | {"few": own("few", "control", told("swim")[:8])}
    for runs, words in ((told_of, "The sets have 8 to 25 pairs, and counts over |t| grow"), (family(), "")):
        atlas = make_atlas(read_axes(runs), Selection("heads"))
        assert ("The sets have" in size_caution(atlas)) == bool(words) and words in size_caution(atlas)
        (rank,) = (s.text for s in finding(atlas, "pretrained") if s.kind is Kind.RIVALS)
        assert words in rank


def test_an_axis_above_all_its_rivals_is_told_from_one_that_is_only_first(planted):
    first = replace(planted.competition, rank=1, p_exceeds_all=0.01)
    assert texts(replace(planted, competition=first))[1].startswith("More units than its rivals? Yes")
    assert "shows all three signs" in texts(replace(planted, competition=first))[0]
    unsure = replace(planted, competition=replace(first, p_exceeds_all=0.2))
    assert "? Not shown" in texts(unsure)[1]


def test_what_could_not_be_asked_is_not_counted_and_random_weights_come_first():
    found = make_atlas(read_axes({n: made(n, weights="untrained") for n in ("moral_valence", "tempo")}))
    said, _, again, own = texts(found, "untrained")
    assert said.startswith("The weights are random: the numbers say nothing about FLUX.2 Klein.")
    assert said.endswith("new pairs: not asked. Its own, and not its rivals': not asked.")
    assert "Not asked" in again and "Not asked" in own


def test_an_estimate_grows_with_what_there_is_to_do():
    measured = tuple(name for name, found in SETS.items() if found.role != "positive contrast")
    few, all_sets = (read_axes(made_runs({}, names)) for names in (("moral_valence", "tempo"), measured))
    assert 15 < atlas_seconds(all_sets, 680) < 30  # measured: 22 s
    assert atlas_seconds(few, 680) < atlas_seconds(all_sets, 680) < atlas_seconds(all_sets, 16_320)


def test_a_rival_that_is_too_weak_to_be_taken_out_is_named(planted):
    contact, tempo = (next(r for r in planted.unique.rivals if r.name == name) for name in ("contact", "tempo"))
    rivals = replace(contact, is_weak=False), replace(tempo, has_map=False, is_weak=True)
    unique = replace(planted.unique, share=0.9, interval=(0.6, 1.1), rivals=rivals)
    said = texts(replace(planted, unique=unique))[3]
    assert "? Not shown: " in said and "is not what contact shares too, but tempo may share more: " in said


# --- what cannot be estimated ------------------------------------------------------------------------------

FEW = ("moral_valence", "moral_valence_replication", "tempo", "contact")


@pytest.fixture(scope="module")
def noise():
    """Four sets with next to no effect, so that the correlations of their maps are ratios of noise."""
    return make_atlas(read_axes(made_runs({"all": 0.3}, FEW)))


def test_a_correlation_whose_interval_leaves_all_open_is_not_estimable(noise):
    assert any(row.true_r is None and None not in row.interval for row in noise.between)
    for row in noise.between:
        if row.true_r is not None:
            low, high = row.interval
            assert low <= row.true_r <= high and not low <= -1 < 1 <= high and abs(row.true_r) <= 1.5
        assert row.uncentred is None or abs(row.uncentred) <= 1.5
    part = next(part for part in atlas_parts(noise) if part.heading == "Between axes")
    place = part.head.index("without noise")
    for row, cells in zip(noise.between, part.rows, strict=True):
        shown = ("not estimable", "–") if row.true_r is None else (f"{row.true_r:.3f}", interval(row.interval))
        assert tuple(cells[place : place + 2]) == shown
        assert cells[place + 2] == ("not estimable" if row.uncentred is None else f"{row.uncentred:.3f}")
    drawn = figure("correlations", ManyAxes(noise, read_axes(made_runs({"all": 0.3}, FEW)))).svg
    assert "nan" not in drawn


@pytest.mark.parametrize(
    ("value", "ends", "told"),
    [
        (1.04, (-5.81, 7.89), False),  # as a report printed it
        (1.04, (0.9, 1.18), True),  # it may exceed 1 by chance
        (0.2, (-0.7, 1.1), True),
        (3.0, (2.5, 3.5), False),
        (-0.3, (-1.4, 0.8), True),
        (0.1, (-1.0, 1.0), False),
        (np.nan, (np.nan, np.nan), False),
        (0.5, (np.nan, np.nan), True),
    ],
)
def test_what_no_interval_bounds_is_no_estimate(monkeypatch, noise, value, ends, told):
    found = TrueCorrelation(value, ends, 0.1, 0.2)
    monkeypatch.setattr(atlas_module.stats, "true_correlation", lambda *_args, **_kwargs: found)
    axes = read_axes(made_runs({}, FEW))
    row = atlas_module._between(axes[0], axes[1], Selection(), {axis.name: None for axis in axes})
    assert row.true_r == (value if told else None)


def test_a_share_whose_interval_leaves_all_open_is_said_to_be_not_estimable(planted):
    unique = replace(planted.unique, share=None, interval=(-4.2, 6.1))
    shown = replace(planted, unique=unique)
    text = atlas_text(shown)
    assert "Unique share: not estimable." in text
    own = [said for said in finding(shown, "pretrained") if said.kind is Kind.UNIQUE]
    assert "Not shown" in own[0].text
    assert "is not estimable: its 95% interval, -420% to 610%, holds all that a share can be" in own[0].text


def test_above_30_pairs_the_score_on_new_pairs_has_a_drawn_p_with_its_error():
    axes = read_axes(made_runs({"all": 0.4}, FEW[:2]))
    long = replace(axes[1], run=made_run(made_differences(40), prompts_sha256=axes[1].run.info.prompts_sha256))
    found = atlas_module._replication([axes[0], long], Selection())
    assert found.n_pairs == 40 and 0 < found.p <= 1 and found.p_error > 0
    exact = atlas_module._replication(axes, Selection())
    assert exact.p_error == 0
