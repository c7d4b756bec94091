"""The config.yaml of a run, which may come from another person: its parts are checked as for a training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from steepest.data.faults import Faults
from steepest.runs.claim import CONFIG_FILE
from steepest.runs.config import Node, checked_node
from steepest.runs.config import Run as Options
from steepest.runs.config_file import resolved_config
from steepest.runs.paths import check_paths
from steepest.runs.values import adapter, checked_value


class Recorded:
    """The config of a run.

    Args:
        folder: the run's folder.
        trust: packages of the user's own whose classes it may name.
    """

    def __init__(self, folder: Path, trust: Sequence[str]) -> None:
        self.folder, self.trust = folder, list(trust)

    @cached_property
    def _config(self) -> dict[str, Any]:
        return resolved_config(self.folder)

    @property
    def _faults(self) -> Faults:
        return Faults(str(self.folder / CONFIG_FILE))

    @cached_property
    def data(self) -> Node:
        """The run's data set."""
        faults = self._faults
        node = checked_node(self._config.get("data"), "data", "data", self.trust, faults)
        check_paths(self._config, [], faults)
        faults.raise_if_any()
        if not isinstance(node, Node):
            faults.fail("'data' names no class")
        return node

    def of_evaluation(self, key: str) -> dict[str, Node]:
        """The user's own ``baselines`` or ``metrics``, by name."""
        faults = self._faults
        node = checked_node(self._config.get("evaluation"), "evaluation", "evaluation", self.trust, faults)
        faults.raise_if_any()
        return dict(node.arguments.get(key, {})) if isinstance(node, Node) else {}

    def option(self, name: str) -> Any:
        """One of the run's own keys."""
        faults = self._faults
        value = checked_value(name, self._config.get(name), adapter(Options, name), faults)
        faults.raise_if_any()
        return value
