"""Published runs beside the shipped ones, when the app starts: the Hub may cost seconds, never the page.

`bring_runs`   pull a repository's runs into the cache, as long as patience lasts
"""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path

from huggingface_hub import constants

from plantain import PlantainError
from plantain.hub.pull import REFUSED, pull_runs, put_as_it_is
from plantain.hub.remote import Remote

PATIENCE = 15.0  # seconds; a page that waits longer looks broken


def bring_runs(repo_id: str, patience: float = PATIENCE) -> tuple[Path, list[str]]:
    """Pull the runs of a repository into a folder of the hub library's cache.

    Parameters
    ----------
    repo_id : str
        OWNER/NAME.
    patience : float
        Seconds to wait; what arrives later is there at the next start.

    Returns
    -------
    folder : Path
        With the runs that were brought now and at earlier starts.
    notices : list of str
        What went wrong, in sentences.
    """
    folder = Path(constants.HF_HOME) / "plantain" / re.sub(r"[^A-Za-z0-9._-]", "-", repo_id.replace("/", "--"))
    notices: list[str] = []
    finished = threading.Event()

    def bring() -> None:
        try:
            notices.extend(_brought(repo_id, folder))
        except PlantainError as error:
            notices.append(f"Published runs were not brought. {error} {_EARLIER}")
        except Exception as error:  # the thread must not die without a word
            notices.append(f"Published runs were not brought ({type(error).__name__}). {_EARLIER}")
        finally:
            finished.set()

    threading.Thread(target=bring, name="published runs", daemon=True).start()
    if not finished.wait(patience):
        notices.append(f"Not all runs that are published in {repo_id} came within {patience:g} s. {_EARLIER}")
    return folder, list(notices)


_EARLIER = "Shown are those that are here; the next start of the app tries again."


def _brought(repo_id: str, folder: Path) -> list[str]:
    """Pull, take away what is no longer published, and return what there is to say."""
    found = pull_runs(Remote(repo_id), folder, overwrite=True, put=put_as_it_is)
    offered = {pulled.name: pulled for pulled in found}
    for path in folder.iterdir():
        if not path.name.startswith(".") and path.name not in offered:
            shutil.rmtree(path, ignore_errors=True)
    refused = [pulled for pulled in found if pulled.state == REFUSED]
    where = f"published in {repo_id}, is not shown"
    return [f"The run “{p.name}”, {where}{_instead(folder / p.name)}: {p.reason}" for p in refused]


def _instead(folder: Path) -> str:
    return " as it is now, but as it was" if folder.exists() else ""
