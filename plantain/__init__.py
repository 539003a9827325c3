"""Probe FLUX.2 Klein for an axis of ethical valence in its attention output projections.

Errors whose message is meant for the user derive from `PlantainError`:

- `prompts.PromptError`      a prompt set that cannot be used
- `prompts.PromptError`         a prompt that the model cannot take
- `units.UnitsError`            units or a scope that do not exist
- `models.ModelError`           a model that cannot be loaded
- `capture.CaptureError`        a pass that cannot be recorded
- `results.RunError`            a run that cannot be read or written
- `pairs.WrongModelError`       a pair and a run of different models
- `experiment.ConfigError`      a setting out of range
- `figures.NoFigureError`       a figure that a choice does not have
- `engine.EngineError`          the page's model cannot be used now
- `engine.PassError`            a pass failed on the page's device
- `ui.probe.SeedError`          a seed that the page cannot take
- `hub.PublishError`            a run that must not, or under this name cannot, be published
- `hub.HubError`                what the Hub refuses; `hub.HubTroubleError` where waiting may help
- `ui.store.NoRunError`         a run that the page does not have (any more)
"""

__version__ = "0.1.0"


class PlantainError(Exception):
    """Base of all errors that say what to do; `exit_code` is the command line's."""

    exit_code = 2
