"""What a sweep leaves behind: sweep.json, results.csv and a table with the winner on top.

A Hydra callback, so it works with any sweeper and launcher: it reads the folders of the jobs. No torch at import.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from steepest.training.files import now, read_json, write_text

FAILED = 1


class SweepRecord(Callback):
    """Keeps sweep.json and results.csv whole on disk from the first job to the last."""

    def __init__(self) -> None:
        self.started = ""
        self.finished: dict[str, dict[str, Any]] = {}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the manifest before the first job."""
        self.started = now()
        self._write(config, "running")

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Say in the job's folder that it runs, and what it was asked."""
        if _is_sweep(config):
            overrides = list(config.hydra.overrides.task)
            state = {
                "job": config.hydra.job.num,
                "overrides": overrides,
                "status": "running",
                "started": now(),
            }
            write_text(Path(config.hydra.runtime.output_dir) / "job.json", json.dumps(state, indent=2) + "\n")
            self._write(config, "running")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Take the job's result into the tables."""
        if _is_sweep(config):
            self._write(config, "running")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the final tables, print the winner; exit with 1 if a job failed."""
        rows = self._write(config, "finished")
        print_table(rows, str(config.objective), Path(config.hydra.sweep.dir))
        if any(row["status"] != "finished" for row in rows):
            raise SystemExit(FAILED)

    def _write(self, config: DictConfig, status: str) -> list[dict[str, Any]]:
        folder = Path(config.hydra.sweep.dir)
        rows = []
        for job in folder.glob("*/job.json"):
            name = job.parent.name
            row = self.finished.get(name) or read_job(job.parent)
            if row["status"] != "running":
                self.finished[name] = row
            elif status == "finished":  # it ended without a word: its process was killed
                row["status"], row["stop_reason"] = "failed", "the job left no record of its end"
            rows.append(row)
        rows.sort(key=lambda row: row["job"])
        manifest = {
            "status": status,
            "started": self.started,
            "ended": now() if status == "finished" else None,
            "objective": str(config.objective),
            "overrides": list(OmegaConf.to_container(config.hydra.overrides.task) or [])
            if status == "finished"
            else None,
            "jobs": [
                {k: r[k] for k in ("job", "folder", "overrides", "status", "objective", "stop_reason")} for r in rows
            ],
        }
        write_text(folder / "sweep.json", json.dumps(manifest, indent=2) + "\n")
        write_text(folder / "results.csv", results_csv(rows))
        return rows


def read_job(folder: Path) -> dict[str, Any]:
    """One row of the results: what a job was asked and what its record says."""
    job, run, metrics = (read_json(folder / name) for name in ("job.json", "run.json", "metrics.json"))
    row: dict[str, Any] = {
        "job": job["job"],
        "folder": folder.name,
        "overrides": job["overrides"],
        "seed": run.get("seed"),
        "status": run.get("status", "running"),
        "stop_reason": run.get("stop_reason"),
        "objective": (metrics.get("objective") or {}).get("value"),
        "updates": metrics.get("updates"),
        "epochs": metrics.get("epochs"),
        "seconds": metrics.get("seconds"),
    }
    for part in ("train", "val", "test"):
        row |= {f"{part}/{name}": value for name, value in metrics.get(part, {}).items()}
    persistence = metrics.get("baselines", {}).get("persistence", {}).get("test", {})
    return row | {f"persistence/test/{name}": value for name, value in persistence.items()}


def results_csv(rows: list[dict[str, Any]]) -> str:
    """A row per job: what was varied as columns of its own, then status, objective and metrics."""
    flat = []
    for row in rows:
        varied = dict(text.split("=", 1) for text in row["overrides"] if "=" in text)
        flat.append({"job": row["job"]} | varied | {k: v for k, v in row.items() if k not in ("job", "overrides")})
    columns = list(dict.fromkeys(key for row in flat for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def print_table(rows: list[dict[str, Any]], objective: str, folder: Path) -> None:
    """The jobs by objective, the best on top. It ranks by the objective alone; test scores are shown, never used."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    higher = objective.rsplit("/", 1)[-1] in ("directional_accuracy", "skill")
    ranked = sorted(rows, key=lambda r: (r["objective"] is None, (r["objective"] or 0) * (-1 if higher else 1)))
    asked = [dict(text.split("=", 1) for text in row["overrides"] if "=" in text) for row in rows]
    varied = [k for k in dict.fromkeys(key for a in asked for key in a) if len({a.get(k) for a in asked}) > 1]
    table = Table(
        collapse_padding=True,
        title=f"Sweep by {objective}, best first",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading in ("job", *varied, "status", "objective", "train rmse", "test rmse", "test skill"):
        table.add_column(heading, justify="left" if heading in (*varied, "status") else "right", overflow="fold")
    for row in ranked:
        asked_row = dict(text.split("=", 1) for text in row["overrides"] if "=" in text)
        figures = [row["objective"], row.get("train/rmse"), row.get("test/rmse"), row.get("test/skill")]
        cells = ["-" if f is None else f"{f:.5g}" for f in figures]
        style = "bold" if row is ranked[0] and row["status"] == "finished" else ""
        table.add_row(str(row["job"]), *(asked_row.get(k, "") for k in varied), row["status"], *cells, style=style)
    console = Console()
    console.print(table)
    for row in rows:
        if row["status"] != "finished":
            console.print(f"job {row['job']} {row['status']}: {row['stop_reason']}", markup=False)
    if ranked and ranked[0]["status"] == "finished":
        console.print(
            f"The best again: python train.py {' '.join(ranked[0]['overrides'])}",
            markup=False,
            soft_wrap=True,
        )
    console.print(f"Record: {folder}", markup=False, soft_wrap=True)


def _is_sweep(config: DictConfig) -> bool:
    return config.hydra.mode is not None and config.hydra.mode.name == "MULTIRUN"
