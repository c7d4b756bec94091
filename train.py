"""Train a predictor: `python train.py [overrides]`, sweep: `python train.py -m [overrides]`; see `--help`."""

import hydra
from omegaconf import DictConfig

from steepest.entry import command, job


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def train(config: DictConfig) -> float:
    return job(config)


if __name__ == "__main__":
    command(train)
