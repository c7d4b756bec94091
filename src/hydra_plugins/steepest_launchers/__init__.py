"""The launchers that Hydra finds here. Every Hydra app in the environment imports this: nothing heavy."""

from hydra_plugins.steepest_launchers.batched import BatchedLauncher
from hydra_plugins.steepest_launchers.recorded import RecordedLauncher

__all__ = ["BatchedLauncher", "RecordedLauncher"]
