"""Trains neuralforecast's NLinear and MLP on the 20 shipped stocks, and prints the seconds of the training alone.

`test_single_runs.py` runs this file with the interpreter of a separate environment, because neuralforecast pins other
versions:

    python forecasters.py STOCKS.csv.gz MODEL STEPS WINDOWS LOOK_BACK HIDDEN
"""

import logging
import sys
import time

import pandas as pd
import torch
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MSE
from neuralforecast.models import MLP, NLinear
from pytorch_lightning import Callback

torch.set_num_threads(1)
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class Clock(Callback):
    """Measures the time from the first update to the last."""

    seconds = 0.0

    def on_train_start(self, *_):
        self.began = time.perf_counter()

    def on_train_end(self, *_):
        Clock.seconds = time.perf_counter() - self.began


file, name, steps, windows, look_back, hidden = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
wide = pd.read_csv(file, parse_dates=[0]).rename(columns=lambda c: str(c))
prices = wide.melt(id_vars=wide.columns[0], var_name="unique_id", value_name="y").rename(
    columns={wide.columns[0]: "ds"}
)
shared = {
    "h": 1, "input_size": look_back, "max_steps": steps, "windows_batch_size": windows, "batch_size": 20,
    "loss": MSE(), "scaler_type": "identity", "val_check_steps": steps, "callbacks": [Clock()],
    "logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
    "accelerator": "cpu",
}  # fmt: skip
model = NLinear(**shared) if name == "NLinear" else MLP(num_layers=2, hidden_size=hidden, **shared)
NeuralForecast([model], freq="B").fit(prices.dropna())
print(Clock.seconds)
