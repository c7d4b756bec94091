"""What makes Hydra find `hydra/launcher=batched`. Every Hydra app in the environment imports it: nothing heavy."""

from hydra_plugins.steepest_batched.launcher import BatchedLauncher

__all__ = ["BatchedLauncher"]
