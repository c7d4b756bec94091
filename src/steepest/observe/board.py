"""TensorBoard on a folder of runs, keeping every point: by itself it shows a random thousand of a curve's."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tensorboard.program import TensorBoard, TensorBoardPortInUseError

KEPT = "scalars=1000000,images=1000,histograms=1000"


def serve(folder: Path, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until interrupted or terminated.

    Args:
        folder: what to show, with all folders beneath it.
        host, port: where; port 0 takes any free one.
        say: is told the address, and that it ended.

    Raises:
        ValueError: where the port is taken.
    """
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request
    program = TensorBoard()
    program.configure(
        argv=[
            "steepest board", f"--logdir={folder}", f"--host={host}", f"--port={port}",
            f"--samples_per_plugin={KEPT}", "--reload_interval=5",
        ]
    )  # fmt: skip
    try:
        address = program.launch()
    except TensorBoardPortInUseError as error:
        raise ValueError(f"port {port} is taken: give another with --port, or 0 for any free one") from error
    say(f"{address}#custom_scalars shows the runs of {folder}. Ctrl-C ends it.")
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ended.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    say("Ended.")
