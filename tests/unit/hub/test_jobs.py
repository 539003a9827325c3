"""The line with which the docs rent a GPU, held against the hub client's own dry run and our own parser."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from browser import ROOT


def test_the_docs_line_for_a_rented_gpu_is_what_client_and_command_take(cli, tmp_path):
    lines = re.findall(r"^hf jobs run .*$", (ROOT / "docs" / "running.md").read_text(encoding="utf-8"), re.M)
    assert len(lines) == 1
    words = shlex.split(lines[0])
    hf = Path(sys.executable).with_name("hf")
    done = subprocess.run([hf, "jobs", "run", "--dry-run", *words[3:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "Job not submitted" in done.stdout + done.stderr, done.stderr
    assert "h200" in done.stdout and "hf://buckets/OWNER/plantain:/study" in done.stdout
    ours = shlex.split(words[-1].split("python -m plantain ")[1])
    study = [str(tmp_path) if word == "/study" else word for word in ours]
    code, said, _ = cli(*study, "--dry-run")
    assert code == 0 and "Each stage goes to OWNER/NAME as soon as it is done" in said
