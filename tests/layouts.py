"""The page's HTML as one column shows it: every figure is in it once for each layout."""

import re


def on_phone(page):
    """Leave of every figure the layout of a narrow column."""
    return re.sub(r'<svg class="pl-svg(?: pl-(?:middle|wide))+" .*?</svg>', "", page, flags=re.DOTALL)


def unopened(page):
    """Leave what is seen before anything is opened."""
    while "<details" in page:
        page = re.sub(r"<details(?:(?!<details).)*?</details>", "", page, flags=re.DOTALL)
    return page


def prose(page):
    """List the words that are read before anything is opened; a figure's own and a table's count for themselves."""
    return re.sub("<svg.*?</svg>|<table.*?</table>|<[^>]*>", " ", unopened(page), flags=re.DOTALL).split()
