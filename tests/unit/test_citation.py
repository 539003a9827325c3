"""CITATION.cff: what the format asks for, and the version that the package has."""

import yaml
from browser import ROOT

from plantain import __version__
from plantain.findings.published import load_published

REQUIRED = {"cff-version", "message", "title", "authors"}  # of the format, 1.2.0

ENTITY = {"name", "alias", "website", "email"}


def test_the_citation_is_a_citation_file_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found = yaml.safe_load(text)
    assert set(found) >= REQUIRED and found["cff-version"] == "1.2.0" and found["type"] == "software"
    assert found["version"] == __version__ and found["license"] == "Apache-2.0"
    (card,) = found["references"]
    assert card["url"] == load_published().source and card["title"] == load_published().name.partition("/")[2]
    for part in (found, card):
        assert part["authors"] and all("name" in who and set(who) <= ENTITY for who in part["authors"])
