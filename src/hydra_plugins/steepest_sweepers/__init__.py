"""The sweepers that Hydra finds here. Every Hydra app in the environment imports this: nothing heavy."""

from hydra_plugins.steepest_sweepers.tune import TuneSweeper

__all__ = ["TuneSweeper"]
