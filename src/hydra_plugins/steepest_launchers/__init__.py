"""The launchers that Hydra discovers. Every Hydra app in the environment imports this module, so it stays light."""

from hydra_plugins.steepest_launchers.processes import ProcessesLauncher
from hydra_plugins.steepest_launchers.threads import ThreadsLauncher

__all__ = ["ProcessesLauncher", "ThreadsLauncher"]
