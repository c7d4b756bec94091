"""TensorBoard on a folder of runs, with every point kept: by default TensorBoard shows a random thousand per curve."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote

from tensorboard import default
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from tensorboard.program import TensorBoard, TensorBoardPortInUseError

KEPT = "scalars=1000000,images=1000,histograms=1000"


def serve(
    folder: Path, host: str, port: int, say: Callable[[str], None], shown: str | None = None, names: str | None = None
) -> None:
    """Serve TensorBoard until the process is interrupted or terminated.

    This function replaces the signal handlers and does not restore them, so call it last.

    Args:
        folder: the folder to show, with all folders below it.
        host: the address to listen on.
        port: the port to listen on, or 0 for any free port.
        say: a function that prints a message. It is called with the address, and again at the end.
        shown: what the address shows.
        names: a regular expression of the names of the runs that are ticked at first, or None for all runs.

    Raises:
        ValueError: if the port is in use.
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it logs a line per request
    # The projector plugin would show every file on the disk that a file in the folder names.
    program = TensorBoard([plugin for plugin in default.get_plugins() if plugin is not ProjectorPlugin])
    program.configure(
        argv=[
            "steepest board", f"--logdir={folder}", f"--host={host}", f"--port={port}",
            f"--samples_per_plugin={KEPT}", "--reload_interval=5",
        ]
    )  # fmt: skip
    try:
        address = program.launch()
    except TensorBoardPortInUseError as error:
        raise ValueError(f"port {port} is in use: choose another with --port, or 0 for any free port") from error
    if not _is_local(host):
        say(f"Everyone who can reach {host} can read all of {folder}: TensorBoard has no password.")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    say(f"{address}{_filter(names)} shows {shown or f'the runs of {folder}'}. Press Ctrl-C to stop.")
    if names is not None:
        say(f"To see all runs of {folder}, clear the filter of runs on the left.")
    ended.wait()
    say("Stopped.")


def _filter(names: str | None) -> str:
    """The part of the address that opens the charts and fills in TensorBoard's filter of runs.

    The tabs Time Series and Scalars read the filter from the query, all others from the fragment.
    """
    if names is None:
        return "#custom_scalars"
    quoted = quote(names, safe="")
    return f"?runFilter={quoted}#custom_scalars&regexInput={quoted}"


def _is_local(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
