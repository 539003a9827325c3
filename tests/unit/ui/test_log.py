"""Standard error keeps where something failed, and loses what was said of it."""

import io
import logging
import sys
import traceback

import pytest

from plantain.ui.log import WithoutWords


def fail(words):
    try:
        raise KeyError(words)
    except KeyError as error:
        raise ValueError(f"needs 3 inputs\n  got: {words}\n{words}") from error


def by_traceback(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream)
    traceback.print_exc()


def by_logging(stream, _monkeypatch):
    logger = logging.Logger("one piece")
    logger.addHandler(logging.StreamHandler(stream))
    logger.exception("it failed")


@pytest.mark.parametrize("report", [by_traceback, by_logging])
def test_a_traceback_keeps_its_places_and_loses_its_messages(report, monkeypatch):
    seen = io.StringIO()
    try:
        fail("".join(["my ", "secret"]))
    except ValueError:
        report(WithoutWords(seen), monkeypatch)
    text = seen.getvalue()
    assert "my secret" not in text and "3 inputs\n" not in text
    assert "KeyError\n" in text and "ValueError\n" in text and text.count("in fail") == 2


def test_what_is_no_traceback_goes_through():
    seen = io.StringIO()
    stream = WithoutWords(seen)
    print("Running on: here", file=stream)
    stream.flush()
    assert seen.getvalue() == "Running on: here\n"
