"""Run app.py with passes that go wrong, or wait, and with fewer pairs, where a test asks for it (misbehave.py)."""

import misbehave

import app

misbehave.install()
load_prompt_set = app.load_prompt_set
app.load_prompt_set = lambda path: misbehave.few_pairs(load_prompt_set(path))
app.main()
