"""Makes Hydra search ``conf/`` of the working folder before the shipped configs.

Every Hydra app in the environment imports this module, so it stays light.
"""

from __future__ import annotations

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.plugins.search_path_plugin import SearchPathPlugin

from steepest.data.home import HOME
from steepest.runs.conf import project_conf


class ProjectConf(SearchPathPlugin):
    """Adds the project's configs. Other Hydra apps keep their search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra when it has added the app's own configs."""
        main = [element.path for element in search_path.get_path() if element.provider == "main"]
        shipped = any(Path(path.removeprefix("file://")).resolve() == (HOME / "conf").resolve() for path in main)
        if shipped and (folder := project_conf()):
            search_path.prepend("steepest", f"file://{folder}", anchor=SearchPathQuery(provider="main", path=None))
