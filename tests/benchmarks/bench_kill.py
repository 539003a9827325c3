"""A run that is killed at random moments, again and again, and started anew; run by hand.

    python tests/benchmarks/bench_kill.py [KILLS] [SEED]

Starts the command line's run of 8 pairs, kills it with SIGKILL after a random time, and starts it again; where a run
ends before it is killed, the next one begins: from nothing, or over an older run of another seed (--overwrite). After
every kill the folder holds nothing, the older run whole, or the new one whole; after every end all its files are those
of a run that nothing disturbed (but for date and seconds), and nothing else stands beside it. Prints a line a kill, and
at the end how many kills fell into which part of a run.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from plantain._files import settle
from plantain.runs.io import load_run

ROOT = Path(__file__).parents[2]


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    moments, found = random.Random(seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        prompts = _prompts(Path(folder) / "few.toml")
        old, undisturbed = Path(folder) / "old", Path(folder) / "undisturbed"
        start = time.monotonic()
        _start(prompts, undisturbed).wait()
        whole = time.monotonic() - start
        print(f"undisturbed: {whole:.1f} s")
        _start(prompts, old, "--seed", "7").wait()
        contents = {name: _content(path) for name, path in (("the old run", old), ("the new run", undisturbed))}
        done = ends = 0
        while done < kills:
            out = Path(folder) / "runs" / f"run-{ends}"
            if ends % 2 and not out.exists():
                shutil.copytree(old, out)
            again = ["--overwrite"] if out.exists() else []
            process, patience = _start(prompts, out, *again), moments.uniform(0.1, 1.1) * whole
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                done += 1
                kept, standing = _where(out, contents)
                where = f"{kept} of 8 pairs kept, {standing} stands"
                found[f"{standing} stands"] += 1
                ends += standing == "the new run"
                print(
                    f"kill {done:>3} after {patience:5.2f} s{' of an overwriting run' if again else ''}: {where}",
                    flush=True,
                )
            else:
                assert process.returncode == 0, process.returncode
                _check_end(out, contents["the new run"])
                ends += 1
        last = _start(prompts, out, "--overwrite")
        assert last.wait() == 0
        _check_end(out, contents["the new run"])
    print(f"{done} kills, {ends + 1} ends, all with the same bytes and no scraps: {dict(found)}")


def _prompts(path: Path) -> Path:
    head, *pairs = (ROOT / "prompts" / "moral_valence.toml").read_text(encoding="utf-8").split("[[pair]]")
    path.write_text("[[pair]]".join([head, *pairs[:8]]), encoding="utf-8")
    return path


def _start(prompts: Path, out: Path, *more: str) -> subprocess.Popen:
    words = ["run", "--model", "tiny-random", "--prompts", str(prompts), "--size", "64", "--out", str(out), *more]
    return subprocess.Popen(
        [sys.executable, "-m", "plantain", *words],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _content(folder: Path) -> dict[str, object]:
    """Return all files of a run; of run.json what does not tell the time, nor its hash, which does."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    about = json.loads(files["run.json"])
    for name in ("date", "seconds"):
        del about["info"][name]
    del about["sha256"]  # that it is right was checked when the run was read
    return files | {"run.json": about}


def _where(out: Path, contents: dict[str, dict]) -> tuple[int, str]:
    """Say how many pairs a killed run had kept, and what stands in its place: whole, or not at all."""
    standing = "nothing"
    if settle(out):  # a kill may fall between the two renames
        load_run(out)
        standing = next(name for name, content in contents.items() if content == _content(out))
    return len(list(out.with_name(f"{out.name}.unfinished").glob("pair-*.safetensors"))), standing


def _check_end(out: Path, content: dict) -> None:
    load_run(out)
    assert _content(out) == content, f"{out} differs"
    scraps = [path.name for path in out.parent.iterdir() if out.name in path.name and path != out]
    assert not scraps, scraps


if __name__ == "__main__":
    main()
