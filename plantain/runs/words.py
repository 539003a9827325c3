"""Whether a prompt set is written in a model's words; asked before the model loads."""

from __future__ import annotations

from plantain.models.sources import prompts_model
from plantain.models.stand_in import STAND_IN
from plantain.prompts.sets import PromptError, PromptSet, is_shipped, known_sets, shipped_file, shipped_sets

_CALLED = {"": "plain sentences"}  # the words of a model are called by its name


def words_of(model: str) -> str:
    """Return in whose words a model takes prompts, as `PromptSet.model`: empty for plain sentences.

    Parameters
    ----------
    model : str
        As for `models.load.load_pipeline`. The stand-in, which cuts every text into bytes, takes plain sentences too.
    """
    return "" if model == STAND_IN else prompts_model(model)


def check_words(prompt_set: PromptSet, model: str, where: str = "") -> None:
    """Refuse a set that is not written in a model's words. The stand-in takes every set.

    Parameters
    ----------
    prompt_set : PromptSet
    model : str
        As for `models.load.load_pipeline`.
    where : str
        What the error calls the set; its name unless given.

    Raises
    ------
    PromptError
        With the sets that fit.
    """
    if model == STAND_IN:
        return
    words = words_of(model)
    if prompt_set.model == words:
        return
    here, there = (_CALLED.get(which, f"the words of {which}") for which in (prompt_set.model, words))
    fitting = ", ".join(shipped_file(sha256, "") for sha256 in shipped_sets(words))
    own = f' A set of your own in {there} says so: model = "{words}".'
    raise PromptError(
        f"{where or prompt_set.name}: is in {here}, and {model} takes {there}. Sets that fit: {fitting}."
        + (own if words and not is_shipped(prompt_set.sha256) else "")
    )


def check_pair_words(prompts_sha256: str, model: str) -> None:
    """Refuse a model that does not take the words of one of the project's sets, whose run a pair is to stand beside."""
    if known := known_sets().get(prompts_sha256):
        check_words(known[1], model, f"the run's prompt set, {shipped_file(prompts_sha256, '')}")
