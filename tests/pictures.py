"""What every picture that is kept as a file has to be. Used by the tests of figures."""

import re
from xml.etree import ElementTree

from plantain.report.figures.catalogue import standalone_svg
from plantain.ui import theme

CSS = "\n".join(path.read_text(encoding="utf-8") for path in theme.STYLES)

SVG = "{http://www.w3.org/2000/svg}"


def stands_alone(svg):
    """Check a picture by itself, and return its title."""
    document = standalone_svg(svg, CSS)
    root = ElementTree.fromstring(document)
    assert root.tag == f"{SVG}svg" and "var(" not in document and "inherit" not in document
    styles, classes = root.find(f"{SVG}style").text, set(re.findall(r'class="([\w-]+)"', document))
    assert classes and all(f".{used} " in styles for used in classes)
    assert "STAND-IN" in root.find(f"{SVG}title").text
    written = " ".join(text.text for text in root.findall(f"{SVG}text"))
    assert written == " ".join(root.find(f"{SVG}title").text.split())  # said under the figure, for those who see it
    assert root.find(f"{SVG}rect").get("fill") == "#ffffff"
    wide, tall = float(root.get("width")), float(root.get("height"))
    assert all(float(text.get("y")) < tall and 6.5 * len(text.text) < wide + 60 for text in root.findall(f"{SVG}text"))
    return written
