"""Published runs beside the shipped ones, when the app starts: the Hub may cost seconds, never the page.

`bring_runs`   pull a repository's runs into the cache, as long as patience lasts
"""

from __future__ import annotations

import re
import threading
from pathlib import Path

from huggingface_hub import constants

from plantain import PlantainError
from plantain.hub.pull import REFUSED, pull_runs
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
    folder = Path(constants.HF_HOME) / "plantain" / re.sub(r"[^A-Za-z0-9-]", "-", repo_id)
    notices: list[str] = []
    finished = threading.Event()

    def pull() -> None:
        try:
            for pulled in pull_runs(Remote(repo_id), folder, overwrite=True):
                if pulled.state == REFUSED:
                    notices.append(f"The run “{pulled.name}”, published in {repo_id}, is not shown: {pulled.reason}")
        except PlantainError as error:
            notices.append(f"Published runs were not brought. {error} {_EARLIER}")
        finally:
            finished.set()

    threading.Thread(target=pull, name="published runs", daemon=True).start()
    if not finished.wait(patience):
        notices.append(f"{repo_id}: the Hub has not answered within {patience:g} s. {_EARLIER}")
    return folder, list(notices)


_EARLIER = "Shown are the runs that an earlier start brought."
