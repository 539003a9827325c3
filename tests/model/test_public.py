"""The public face: light to import, complete, and its examples run."""

import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import plantain

pytestmark = pytest.mark.smoke

ROOT = Path(__file__).parents[2]
HEAVY = {"numpy", "torch", "diffusers", "transformers", "safetensors", "gradio"}

# Where a public name's example stands: in its docstring.
EXAMPLES = {
    "plantain": None,
    "plantain.models.load": ["load_pipeline"],
    "plantain.prompts.sets": ["load_prompt_set"],
    "plantain.runs.io": ["load_run", "save_run"],
    "plantain.runs.run": ["Run.magnitudes"],
    "plantain.probe.runner": ["run_probe", "ProbeConfig"],
    "plantain.probe.hooks": ["recording", "sites"],
    "plantain.probe.tokens": ["tokenize"],
    "plantain.stats.paired": ["paired_t", "cohens_dz"],
    "plantain.stats.randomization.sign_flips": ["sign_flip_null", "exact_sign_flip_p", "max_t_p"],
    "plantain.stats.reliability": ["split_half"],
}


@pytest.mark.parametrize("module", EXAMPLES)
def test_every_public_name_has_an_example_that_runs(module, monkeypatch):
    monkeypatch.chdir(ROOT)
    imported = importlib.import_module(module)
    tests = {test.name: test for test in doctest.DocTestFinder().find(imported, module) if test.examples}
    names = [module] if EXAMPLES[module] is None else [f"{module}.{name}" for name in EXAMPLES[module]]
    assert set(names) <= tests.keys(), "an example is missing"
    said = []
    for test in tests.values():
        failed = doctest.DocTestRunner(verbose=False).run(test, out=said.append).failed
        assert not failed, "".join(said)


def test_importing_the_package_imports_nothing_heavy():
    code = (
        f"import sys, plantain; dir(plantain); print(sorted({HEAVY} & set(sys.modules)), 'load_run' in dir(plantain))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert out.stdout.strip() == "[] True", out.stderr


def test_runs_are_read_and_statistics_computed_without_torch():
    code = (
        "import sys, plantain; run = plantain.load_run('precomputed/tiny-random'); plantain.probe; "
        "plantain.stats.paired_t(run.magnitudes()[0]); print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert out.stdout.strip() == "False", out.stderr


def test_every_public_name_is_there_and_no_other():
    assert all(getattr(plantain, name) for name in plantain.__all__)
    assert all(getattr(plantain.probe, name) for name in plantain.probe.__all__)
    for package in (plantain, plantain.probe):
        assert set(package.__all__) <= set(dir(package))
        with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
            package.nonsense  # noqa: B018
