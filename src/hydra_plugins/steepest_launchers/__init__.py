"""The launchers that Hydra finds here. Every Hydra app in the environment imports this: nothing heavy."""

from hydra_plugins.steepest_launchers.processes import ProcessesLauncher
from hydra_plugins.steepest_launchers.threads import ThreadsLauncher

__all__ = ["ProcessesLauncher", "ThreadsLauncher"]
