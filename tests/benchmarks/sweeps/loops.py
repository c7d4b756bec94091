"""The same grid by plain PyTorch loops in one process: no folders, no curves; prints the best setting.

python loops.py DATA.npz 0.01,0.1 0,1
"""

import sys

import numpy as np
import torch
from torch import nn


def train(arrays, rate: float, seed: int, epochs: int = 20) -> float:
    """Train one net; the best validation loss."""
    torch.manual_seed(seed)
    x, y, val_x, val_y = (torch.tensor(arrays[name]) for name in ("train_x", "train_y", "val_x", "val_y"))
    network = nn.Sequential(nn.Linear(28, 64), nn.Sigmoid(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(network.parameters(), rate)
    best = float("inf")
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.mse_loss(network(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            best = min(best, nn.functional.mse_loss(network(val_x), val_y).item())
    return best


if __name__ == "__main__":
    torch.set_num_threads(1)
    data = np.load(sys.argv[1])
    rates, seeds = ([float(text) for text in words.split(",")] for words in sys.argv[2:4])
    print(min((train(data, rate, int(seed)), rate, seed) for rate in rates for seed in seeds))
