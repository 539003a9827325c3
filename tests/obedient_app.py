"""Run app.py with passes that go wrong, or wait, where a test asks for it (misbehave.py)."""

import misbehave

import app

misbehave.install()
app.main()
