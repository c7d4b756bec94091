"""The sweepers that Hydra discovers. Every Hydra app in the environment imports this module, so it stays light."""

from hydra_plugins.steepest_sweepers.tune import TuneSweeper

__all__ = ["TuneSweeper"]
