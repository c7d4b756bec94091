"""Lists the classes that a config may name in each place. This module does not import torch.

When one of these classes is built, it does not start programs, evaluate text, or write files outside the run's folder.
"""

from __future__ import annotations

from functools import cache

PARTS = "steepest.course.parts"
LESSONS_DATA = {
    f"{PARTS}.anomaly": "Shocks",
    f"{PARTS}.attack": "Signs",
    f"{PARTS}.domain": "Moves",
    f"{PARTS}.explain": "Pictures",
    f"{PARTS}.go": "Captures",
    f"{PARTS}.kinds": "Shapes Voice Vowels",
    f"{PARTS}.market": "BestActions",
    f"{PARTS}.meta": "Waves",
    f"{PARTS}.structured": "Swing",
    f"{PARTS}.two_waves": "TwoWaves",
    f"{PARTS}.why_deep": "Folds",
}
LESSONS_MODELS = {
    f"{PARTS}.anomaly": "Autoencoder",
    f"{PARTS}.attack": "Attacked",
    f"{PARTS}.functions": "Function",
    f"{PARTS}.lifelong": "Lifelong",
    f"{PARTS}.meta": "Adapting",
    f"{PARTS}.reinforcement": "Policy",
    f"{PARTS}.self_supervised": "SelfSupervised",
}
# Place -> module -> names. If several modules have the same name, a config may use any of them.
CLASSES: dict[str, dict[str, str]] = {
    "data": {
        "steepest": "PriceFile RandomWalk ShippedPrices Table YahooPrices Curve Line Rings Sigmoid",
        "steepest.data.sources": "PriceFile RandomWalk ShippedPrices Table YahooPrices",
        "steepest.data.formulas": "Curve Line Rings Sigmoid",
        **LESSONS_DATA,
    },
    "model": {
        "steepest": "LinearPredictor MLPPredictor WindowPredictor ManualPredictor",
        "steepest.lightning.predictors": "LinearPredictor MLPPredictor WindowPredictor",
        "steepest.lightning.manual": "ManualPredictor",
        "steepest.lightning.sequences": "ConvolutionNet Recurrent",
        **LESSONS_MODELS,
    },
    "optimizer": {
        "torch.optim": "ASGD Adadelta Adafactor Adagrad Adam AdamW Adamax LBFGS NAdam RAdam RMSprop Rprop SGD",
    },
    "scheduler": {
        "torch.optim.lr_scheduler": "ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR ExponentialLR "
        "LinearLR MultiStepLR OneCycleLR PolynomialLR ReduceLROnPlateau StepLR",
    },
    "stop": {
        "steepest.runs.stops": "EarlyStop Epochs Stationary Threshold",
        "lightning.pytorch.callbacks": "EarlyStopping Timer",
    },
    "evaluation": {"steepest.evaluate.folds": "Holdout WalkForward"},
    "callbacks": {
        "steepest.observe.audit": "Audit Parity",
        "steepest.observe.curvature": "Curvature Escape",
        "steepest.observe.pictures": "Pictures",
        "steepest.observe.progress": "RunProgress",
        "steepest.observe.recorder": "Recorder",
        "steepest.observe.updates": "GradientNoise StepQuality",
        "steepest.observe.vitals": "Vitals",
        "lightning.pytorch.callbacks": "DeviceStatsMonitor EarlyStopping LearningRateMonitor ModelCheckpoint "
        "ModelSummary RichModelSummary RichProgressBar StochasticWeightAveraging TQDMProgressBar Timer",
    },
    "trainer": {"lightning.pytorch": "Trainer", "lightning.pytorch.trainer.trainer": "Trainer"},
    "logger": {
        "steepest.lightning.events": "EventLogger",
        "lightning.pytorch.loggers": "CSVLogger MLFlowLogger WandbLogger",
        "lightning.pytorch.loggers.csv_logs": "CSVLogger",
        "lightning.pytorch.loggers.mlflow": "MLFlowLogger",
        "lightning.pytorch.loggers.wandb": "WandbLogger",
    },
    "hydra.callbacks": {
        "steepest.runs.claim": "RunFolder",
        "steepest.sweep.record": "SweepRecord",
        "steepest.course.lesson": "Lesson",
        "hydra.experimental.callbacks": "LogJobReturnCallback",
    },
    "hydra.launcher": {
        "hydra._internal.core_plugins.basic_launcher": "BasicLauncher",
        "hydra_plugins.steepest_launchers.threads": "ThreadsLauncher",
        "hydra_plugins.steepest_launchers.processes": "ProcessesLauncher",
        "hydra_plugins.hydra_joblib_launcher.joblib_launcher": "JoblibLauncher",
        "hydra_plugins.hydra_submitit_launcher.submitit_launcher": "LocalLauncher SlurmLauncher",
        "hydra_plugins.hydra_ray_launcher.ray_launcher": "RayLauncher",
    },
    "hydra.sweeper": {
        "hydra._internal.core_plugins.basic_sweeper": "BasicSweeper",
        "hydra_plugins.steepest_sweepers.tune": "TuneSweeper",
    },
    "hydra.sweeper.sampler": {
        "optuna.samplers": "BruteForceSampler CmaEsSampler GPSampler GridSampler NSGAIISampler QMCSampler "
        "RandomSampler TPESampler",
    },
    "hydra.sweeper.pruner": {
        "optuna.pruners": "HyperbandPruner MedianPruner NopPruner PatientPruner PercentilePruner "
        "SuccessiveHalvingPruner ThresholdPruner WilcoxonPruner",
    },
}
EXTRAS = {  # package that a shipped config needs -> the extra that installs it
    "hydra_plugins.hydra_joblib_launcher.": "joblib",
    "hydra_plugins.hydra_submitit_launcher.": "slurm",
    "hydra_plugins.hydra_ray_launcher.": "ray",
    "optuna.": "tune",
}
# Arguments that are paths. They must be relative and must not contain `..`.
PATHS = {"data": ("cache",)}
PATHS_OF_CALLBACKS = ("dirpath", "filename")  # of a `ModelCheckpoint`


@cache
def approved(place: str) -> frozenset[str]:
    """Return the dotted names of the classes that a config may name in a place."""
    return frozenset(f"{module}.{name}" for module, names in CLASSES.get(place, {}).items() for name in names.split())
