"""Results: a run survives the disk to the bit, is whole or absent to a reader, and damage is named."""

import csv
import dataclasses
import errno
import hashlib
import json
import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from browser import ROOT
from made import leaves, small_run, with_directions

from plantain._files import plain, replace_folder
from plantain.findings.published import load_published
from plantain.prompts.sets import FORMER, load_prompt_set
from plantain.report.run import report_text
from plantain.runs.capture import SumsOfSquares
from plantain.runs.io import RunError, check_target, list_runs, load_run, save_run
from plantain.runs.scopes import UNITS
from plantain.runs.units import Selection

FILES = {"run.json", "capture.safetensors", "units.csv"}


def same(one, other) -> bool:
    """Compare two runs to the bit."""
    arrays = [(one.sums.streams[s], other.sums.streams[s]) for s in one.sums.streams]
    arrays += [(one.sums.tokens, other.sums.tokens), (one.signs, other.signs), (one.halves, other.halves)]
    return (
        one.info == other.info
        and one.pairs == other.pairs
        and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in arrays)
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit_json(path: Path, **changes) -> None:
    """Change run.json, and leave away the hash of itself, as somebody would who means it."""
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    content.pop("sha256", None)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def saved(made_run, tmp_path) -> Path:
    return save_run(made_run(), tmp_path / "a run")


# --- saving ------------------------------------------------------------------------------------------------


def test_a_made_up_run_comes_back_to_the_bit(made_run, saved):
    assert same(load_run(saved), made_run())
    assert not same(load_run(saved), made_run(1))


def test_kinds_are_kept_readings_are_not_and_a_run_without_kinds_says_nothing_of_them(made_run, tmp_path):
    run = made_run()
    first = dataclasses.replace(run.pairs[0].pair, kind="neglect", nearer="positive")
    pairs = (dataclasses.replace(run.pairs[0], pair=first), *run.pairs[1:])
    folder = save_run(dataclasses.replace(run, pairs=pairs), tmp_path / "run")
    rows = json.loads((folder / "run.json").read_text(encoding="utf-8"))["pairs"]
    assert rows[0]["kind"] == "neglect" and not any({"kind", "nearer"} & set(row) for row in rows[1:])
    assert load_run(folder).kinds == ["neglect", "", "", ""] and load_run(folder).pairs[0].pair.nearer == ""
    edit_json(folder / "run.json", pairs=[{**rows[0], "kind": "harm"}, *rows[1:]])
    with pytest.raises(RunError, match="kind"):
        load_run(folder)


@pytest.mark.parametrize(("name", "n", "seeds"), [("schema-1", 25, (0,)), ("schema-2", 6, (2,))])
def test_runs_of_the_former_text_are_read_reported_and_saved_as_they_were(name, n, seeds, tmp_path):
    """A run of each schema, saved before pairs had kinds: no key of theirs is lost, no figure changes."""
    folder = ROOT / "tests" / "data" / "runs" / name
    run, content = load_run(folder), json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert content["schema"] == int(name[-1]) and not any("kind" in row for row in content["pairs"])
    former = load_prompt_set(FORMER / "moral_valence.toml")
    assert [record.pair for record in run.pairs] == list(former.pairs[:n]) and run.info.seeds == seeds
    assert (run.info.prompts_sha256 == former.sha256) == (n == 25)
    for kept in content["summaries"]:
        ours = dict(leaves(plain(run.summary(Selection(kept["units"], kept["scope"])))))
        for place, value in leaves(kept):
            assert ours[place] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), place
    text = report_text(run, load_published())
    assert "## By category" in text and "## By kind" not in text
    again = load_run(save_run(run, tmp_path / name))
    assert same(again, run) and again.capture_sha256 == content["capture_sha256"]


def test_a_real_run_comes_back_to_the_bit(moral_run, tmp_path):
    loaded = load_run(save_run(moral_run, tmp_path / "run"))
    assert same(loaded, moral_run)
    assert np.array_equal(loaded.analysis().t, moral_run.analysis().t)


def test_a_run_is_three_files_and_nothing_else_is_left(saved):
    assert {path.name for path in saved.iterdir()} == FILES | {"statistics"}
    assert [path.name for path in saved.parent.iterdir()] == ["a run"]


def test_run_json_tells_where_the_numbers_come_from(moral_run, moral_set, tmp_path):
    folder = save_run(moral_run, tmp_path / "run")
    text = (folder / "run.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    info = content["info"]
    expected = {
        "model": "tiny-random",
        "revision": None,
        "weights": "stand-in",
        "dtype": "float32",
        "size": 256,
        "seed": 0,
    }
    assert {key: info[key] for key in expected} == expected
    assert info["prompts_sha256"] == moral_set.sha256 and len(info["fingerprint"]) == 64
    assert info["versions"].keys() >= {"plantain", "python", "torch", "diffusers", "transformers", "numpy"}
    assert info["device"] and info["seconds"] > 0 and info["date"].endswith("+00:00")
    assert [summary["units"] for summary in content["summaries"]] == list(UNITS)
    assert len(content["pairs"]) == 25 and content["pairs"][0]["positive"] == moral_set.pairs[0].positive
    capture = (folder / "capture.safetensors").read_bytes()
    assert content["capture_sha256"] == hashlib.sha256(capture).hexdigest()


def test_no_path_of_the_machine_is_written(moral_run, tmp_path):
    folder = save_run(moral_run, tmp_path / "run")
    for content in contents(folder).values():
        assert str(tmp_path).encode() not in content and str(Path.home()).encode() + b"/" not in content


def test_the_same_run_written_twice_is_the_same_bytes(made_run, tmp_path):
    one, other = (save_run(made_run(), tmp_path / name) for name in ("one", "other"))
    assert contents(one) == contents(other)


def test_units_csv_has_one_row_per_unit_of_every_kind(moral_run, tmp_path):
    folder = save_run(moral_run, tmp_path / "run")
    with open(folder / "units.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for units in UNITS:
        mine, analysis = [row for row in rows if row["units"] == units], moral_run.analysis(Selection(units))
        assert [row["unit"] for row in mine] == analysis.table.names
        np.testing.assert_allclose([float(row["t"]) for row in mine], analysis.t, rtol=1e-8)
    assert len(rows) == sum(moral_run.analysis(Selection(units)).table.n_units for units in UNITS)


def test_units_csv_has_columns_of_directions_where_the_run_keeps_them(tmp_path):
    plain = small_run()
    run = with_directions(plain)
    texts = [(save_run(r, tmp_path / name) / "units.csv").read_text() for name, r in (("a", plain), ("b", run))]
    before, rows = (list(csv.DictReader(text.splitlines())) for text in texts)
    columns = ["k_direction", "agreement", "p_direction_fwer"]
    assert list(rows[0])[-5:] == ["rms_percent", *columns, "weights"] and not set(columns) & set(before[0])
    assert [{k: v for k, v in row.items() if k not in columns} for row in rows] == before
    for units in UNITS:
        mine = [[row[c] for c in columns] for row in rows if row["units"] == units]
        if units in ("card", "mlp"):
            assert {cell for row in mine for cell in row} == {""}
            continue
        a = run.direction_analysis(Selection(units)).agreement
        assert [int(row[0]) for row in mine] == a.told.tolist()
        np.testing.assert_allclose([[float(x) for x in row[1:]] for row in mine], np.c_[a.mean, a.p_fwer], rtol=1e-3)


# --- overwriting -------------------------------------------------------------------------------------------


def test_a_run_is_not_overwritten_unless_asked(made_run, saved):
    with pytest.raises(RunError, match="exists already. Choose another folder"):
        save_run(made_run(1), saved)
    assert same(load_run(saved), made_run())
    save_run(made_run(1), saved, overwrite=True)
    assert same(load_run(saved), made_run(1))
    assert [path.name for path in saved.parent.iterdir()] == ["a run"]


def test_what_is_no_run_is_never_overwritten(made_run, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for name in ("thesis", "file"):
        with pytest.raises(RunError, match=f"{name}: holds something other than a run"):
            save_run(made_run(), tmp_path / name, overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "a file"


def test_a_folder_without_a_name_of_its_own_is_refused_before_anything(made_run, saved, monkeypatch):
    monkeypatch.chdir(saved)
    for name in (".", "..", "/"):
        with pytest.raises(RunError, match="is no name for a run"):
            check_target(name, overwrite=True)
        with pytest.raises(RunError, match="is no name for a run"):
            save_run(made_run(1), name, overwrite=True)
    assert same(load_run(saved), made_run())


def test_an_empty_folder_may_become_a_run(made_run, tmp_path):
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty", overwrite=True)
    assert same(load_run(save_run(made_run(), tmp_path / "empty", overwrite=True)), made_run())


@pytest.mark.parametrize("full_after", [0, 1])
def test_a_full_disk_leaves_the_old_run_and_no_scraps(made_run, saved, monkeypatch, full_after):
    write, calls = Path.write_bytes, []

    def fill_up(path, data):
        calls.append(path)
        if len(calls) > full_after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    monkeypatch.setattr(Path, "write_text", lambda path, text, **_: fill_up(path, text.encode()))
    with pytest.raises(RunError, match="a run: cannot be written .No space left on device"):
        save_run(made_run(1), saved, overwrite=True)
    assert same(load_run(saved), made_run())
    assert [path.name for path in saved.parent.iterdir()] == ["a run"]


def test_a_failing_swap_puts_the_old_run_back(made_run, saved, monkeypatch):
    rename = Path.rename

    def fail_for_the_new(path, target):
        if (
            Path(target) == saved
            and (path / "run.json").exists()
            and json.loads((path / "run.json").read_text())["info"]["seed"]
        ):
            raise OSError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new)
    with pytest.raises(RunError, match="cannot be written .Permission denied"):
        save_run(made_run(1), saved, overwrite=True)
    assert same(load_run(saved), made_run())
    assert [path.name for path in saved.parent.iterdir()] == ["a run"]


@pytest.mark.robust
def test_a_reader_sees_a_whole_run_at_all_times_while_it_is_replaced_200_times(made_run, saved):
    """The old run steps aside before the new one takes its name; whoever reads just then reads once more."""
    runs, odd, seen, done = [made_run(seed) for seed in range(2)], [], set(), threading.Event()

    def read():
        while not done.is_set():
            try:
                run = load_run(saved)
            except RunError as error:
                odd.append(str(error))
            else:
                seen.add(run.info.seed)
                if not same(run, runs[run.info.seed]):
                    odd.append("a mixture")

    copies = [save_run(run, saved.with_name(f"copy {i}")) for i, run in enumerate(runs)]
    reader = threading.Thread(target=read)
    reader.start()
    for i in range(200):  # without the statistics, which would take most of the time
        with replace_folder(saved, lambda: None) as new:
            shutil.copytree(copies[i % 2], new, dirs_exist_ok=True)
    done.set()
    reader.join()
    assert odd == []
    assert seen == {0, 1}


def test_a_run_whose_writer_was_killed_between_its_two_renames_is_found_again(made_run, saved):
    aside = saved.with_name(".a run.plantain-old")
    saved.rename(aside)
    assert same(load_run(saved), made_run()) and not aside.exists()
    saved.rename(aside)
    assert list(list_runs(saved.parent)[0]) == ["a run"] and not aside.exists()
    saved.rename(aside)
    with pytest.raises(RunError, match="exists already"):
        check_target(saved, overwrite=False)  # before hours of computing
    assert saved.exists() and not aside.exists()
    saved.rename(aside)
    with pytest.raises(RunError, match="exists already"):
        save_run(made_run(1), saved)
    assert same(load_run(saved), made_run())


# --- damage ------------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def drop(key: str):
    def damage(path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        (content if key in content else content["info"]).pop(key)
        content.pop("sha256")
        path.write_text(json.dumps(content), encoding="utf-8")

    return damage


def wrong_layout(path: Path) -> None:
    info = json.loads(path.read_text(encoding="utf-8"))["info"]
    edit_json(path, info=info | {"layout": info["layout"] | {"n_single": 3}})


def fewer_pairs(path: Path) -> None:
    edit_json(path, pairs=json.loads(path.read_text(encoding="utf-8"))["pairs"][1:])


DAMAGE = [
    ("capture.safetensors", truncate, "does not match run.json"),
    ("capture.safetensors", flip_a_byte, "does not match run.json"),
    ("capture.safetensors", Path.unlink, "is no run .capture.safetensors: No such file"),
    ("run.json", truncate, "run.json is damaged"),
    ("run.json", lambda path: path.write_bytes(b"\xff\xfe{}"), "run.json is damaged"),
    ("run.json", lambda path: path.write_text("[1, 2]"), "run.json is damaged .no schema.. Make the run again"),
    (
        "run.json",
        lambda path: edit_json(path, schema=99),
        "has schema 99, this version reads 2 and older. Update plantain",
    ),
    ("run.json", Path.unlink, "is no run .run.json: No such file"),
    ("run.json", drop("info"), "is damaged .KeyError: 'info'"),
    ("run.json", drop("capture_sha256"), "is damaged .KeyError: 'capture_sha256'"),
    ("run.json", drop("fingerprint"), "is damaged .ValueError: info.fingerprint: field required"),
    ("run.json", lambda path: edit_json(path, info=None), "is damaged"),
    ("run.json", lambda path: edit_json(path, pairs=[1]), "is damaged"),
    ("run.json", wrong_layout, "is damaged .*slices, but the layout has"),
    ("run.json", fewer_pairs, "is damaged .*3 pairs, but the capture have 4"),
]


@pytest.mark.parametrize(("file", "damage", "match"), DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_run_is_refused_by_name(saved, file, damage, match):
    damage(saved / file)
    with pytest.raises(RunError, match=match) as caught:
        load_run(saved)
    assert str(caught.value).startswith(f"{saved}: ")


def test_a_key_of_a_pair_that_this_version_does_not_know_is_left_out(made_run, saved):
    pairs = json.loads((saved / "run.json").read_text(encoding="utf-8"))["pairs"]
    edit_json(saved / "run.json", pairs=[pair | {"mood": "minimal"} for pair in pairs])
    assert same(load_run(saved), made_run())


def test_numbers_that_cannot_be_are_refused(made_run):
    run = made_run()
    run.sums.streams["single"][0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="single: sums of squares must be finite"):
        dataclasses.replace(run)


def test_fewer_pairs_than_the_statistics_need_are_refused(made_run):
    with pytest.raises(ValueError, match="every half needs 2 pairs"):
        made_run(n_pairs=3)
    run = made_run()
    few = SumsOfSquares({s: v[:, :3] for s, v in run.sums.streams.items()}, run.sums.tokens[:, :3])
    halves = np.array([[True, True, False]])  # one pair is no half
    with pytest.raises(ValueError, match="every half needs 2 pairs"):
        dataclasses.replace(run, pairs=run.pairs[:3], sums=few, signs=run.signs[:, :3], halves=halves)


def test_a_pickle_is_refused_and_not_executed(saved, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    bomb = pickle.dumps(Bomb())
    (saved / "capture.safetensors").write_bytes(bomb)
    edit_json(saved / "run.json", capture_sha256=hashlib.sha256(bomb).hexdigest())
    with pytest.raises(RunError, match="a run: is damaged .SafetensorError"):
        load_run(saved)
    assert not (tmp_path / "executed").exists()
    pickle.loads(bomb)
    assert (tmp_path / "executed").exists(), "the bomb has to work, or this test shows nothing"


def test_a_list_has_the_good_runs_and_names_the_bad(made_run, tmp_path):
    for seed, name in enumerate(("b", "a", "broken", ".hidden")):
        save_run(made_run(seed), tmp_path / name)
    truncate(tmp_path / "broken" / "run.json")
    (tmp_path / "not a run").mkdir()
    (tmp_path / "published.json").write_text("{}")
    runs, problems = list_runs(tmp_path)
    assert list(runs) == ["a", "b"] and runs["b"].info.seed == 0
    assert list(problems) == ["broken"] and "run.json is damaged" in problems["broken"]
    assert list_runs(tmp_path / "nowhere") == ({}, {})


def test_the_published_figures_are_the_cards():
    published = load_published()
    assert published.n_units == 16_320 and published.thresholds[3].count == 3_221
    assert published.max_abs_t == 10.05 and published.split_half.median == 0.573
