"""The launchers that Hydra finds here. Every Hydra app in the environment imports this: nothing heavy."""

from hydra_plugins.steepest_launchers.batched import BatchedLauncher
from hydra_plugins.steepest_launchers.processes import ProcessesLauncher

__all__ = ["BatchedLauncher", "ProcessesLauncher"]
