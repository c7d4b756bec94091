"""Exports a trained run to ONNX: prices in, predicted prices out, scaler included. Needs the extra ``onnx``.

Shapes: N samples, R rows of a sample, F inputs per row, D inputs of the network, H horizon.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from steepest.nets.functional import in_words
from steepest.runs.files import unfinished
from steepest.runs.trained import Run

TOLERANCE = 1e-6  # maximum relative difference between the file's predictions and the run's
CHECKED = 4096  # maximum number of samples that are compared
INPUTS, OUTPUT = ("rows", "series"), "prediction"


class PriceModel(nn.Module):
    """The exported computation: a network with its scaler.

    Attributes:
        rows: R, the number of rows that a prediction needs: the window, plus 1 for returns.
    """

    input_mean_SF: Tensor
    input_scale_SF: Tensor
    mean_S: Tensor
    scale_S: Tensor

    def __init__(self, network: nn.Module, settings: Mapping[str, Any], scaler: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        self.rows = settings["window"] + (settings["transform"] != "level")
        for name in ("input_mean_SF", "input_scale_SF", "mean_S", "scale_S"):
            self.register_buffer(name, scaler[name].double())

    def forward(self, rows_NRF: Tensor, series_N: Tensor) -> Tensor:
        """Predict.

        Args:
            rows_NRF: the last rows in the data's units, float64, oldest first; the price is the first input.
            series_N: the index of each sample's series among the run's series.

        Returns:
            Prices (N, H), float64, or for directions the probabilities of a rise (N, H), float32.
        """
        transform, relative = self.settings["transform"], self.settings["relative"]
        last_N1 = rows_NRF[:, -1, :1]  # the last price; unused for plain rows
        x_NLF = rows_NRF
        if transform != "level":
            ratio_NL1 = rows_NRF[:, 1:, :1] / rows_NRF[:, :-1, :1]
            change_NL1 = ratio_NL1.log() if transform == "log_return" else ratio_NL1 - 1
            x_NLF = torch.cat([change_NL1, rows_NRF[:, 1:, 1:]], -1)
        mean_NF, scale_NF = self.input_mean_SF[series_N], self.input_scale_SF[series_N]
        x_NLF = (x_NLF - mean_NF.unsqueeze(1)) / scale_NF.unsqueeze(1)
        x_NLF = x_NLF.to(next(self.network.parameters()).dtype)
        now_N1 = x_NLF[:, -1, :1]
        if relative:
            x_NLF = torch.cat([x_NLF[:, :, :1] - now_N1.unsqueeze(1), x_NLF[:, :, 1:]], -1)
        outputs_NO = self.network(x_NLF.flatten(1))
        if self.settings["classes"]:
            return outputs_NO.unflatten(-1, (-1, 2)).softmax(-1)[..., 1]
        scale_N1, mean_N1 = self.scale_S[series_N].unsqueeze(-1), self.mean_S[series_N].unsqueeze(-1)
        center_N1 = mean_N1
        if relative:
            center_N1 = last_N1 if transform == "level" else now_N1.double() * scale_N1 + mean_N1
        value_NH = outputs_NO[:, : self.settings["horizon"]].double() * scale_N1 + center_N1
        if transform == "level":
            return value_NH
        growth_NH = value_NH if transform == "log_return" else (1 + value_NH).log()
        return last_N1 * growth_NH.cumsum(-1).exp()


def export_onnx(run: Run, path: Path, data: str | None = None) -> tuple[int, float]:
    """Export a run to an ONNX file, after checking that its predictions match the run's.

    The file's inputs are ``rows`` (N, R, F) and ``series`` (N,). Its output is ``prediction`` (N, H); see `PriceModel`.

    Args:
        run: the run.
        path: the file to write.
        data: prices for the comparison; None: the last part of the run's data that has samples.

    Returns:
        The number of compared samples, at most `CHECKED`, and the largest relative difference.

    Raises:
        ValueError: if the extra is missing, the data cannot be read, or the predictions differ.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  # torch needs it
    except ImportError as error:
        raise ValueError(f"steepest export needs the extra onnx ({error}): pip install 'steepest[onnx]'") from None
    model = PriceModel(run.network, run.settings, run.scaler).eval()
    rows_NRF, series_N, expected_NH = _samples(run, model.rows, data)
    batch = torch.export.Dim("samples", min=1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # its warnings name packages that are not needed
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # torch prints its progress
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (torch.from_numpy(rows_NRF[:2]), torch.from_numpy(series_N[:2])),
            dynamo=True,
            verbose=False,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_shapes={"rows_NRF": {0: batch}, "series_N": {0: batch}},
        )
    assert program is not None
    proto = program.model_proto
    proto.doc_string = f"steepest: {in_words(run.network)}; series: {', '.join(run.settings['names'])}"
    content = proto.SerializeToString()
    onnx.checker.check_model(proto)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found_NH,) = session.run([OUTPUT], dict(zip(INPUTS, (rows_NRF, series_N), strict=True)))
    worst = float((np.abs(found_NH - expected_NH) / np.maximum(np.abs(expected_NH), 1e-12)).max())
    if not worst <= TOLERANCE:
        raise ValueError(f"the ONNX file's predictions differ: relative difference {worst:.2g}, limit {TOLERANCE:g}")
    part = unfinished(path)
    part.write_bytes(content)
    part.replace(path)
    return len(rows_NRF), worst


def _samples(run: Run, rows: int, data: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples of the last part: their rows (N, R, F) in the data's units, series (N,) and predictions (N, H)."""
    evaluation = run.evaluate(data)
    frames, rows_left = list[pd.DataFrame](), CHECKED * run.settings["horizon"]
    for frame in evaluation.frames(list(evaluation.forecasts)[-1]):
        frames.append(frame)
        if (rows_left := rows_left - len(frame)) <= 0:
            break
    known = pd.concat(frames)
    first = known[known["horizon"] == 1] if "horizon" in known else known
    names = run.settings["names"]
    frame = run.frame(data)
    if run.settings["ordered"]:
        of_frame = list(zip(first["series"], first["origin"], strict=True))
        series_N = first["series"].map({name: n for n, name in enumerate(names)}).fillna(0).to_numpy(np.int64)
    else:
        of_frame, series_N = list(first["row"]), np.zeros(len(first), np.int64)
        frame = frame.iloc[:, :-1]  # the last column is the target
    place_N = frame.index.get_indexer(of_frame)
    values = frame.to_numpy(float)
    rows_NRF = np.stack([values[place_N - ago] for ago in range(rows - 1, -1, -1)], 1)
    expected_NH = known.iloc[:, -2].to_numpy().reshape(len(first), -1)
    keep = slice(None, CHECKED)
    return rows_NRF[keep], series_N[keep], expected_NH[keep]
