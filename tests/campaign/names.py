"""Lists dangerous class names, and combines each with each place of a config in which it could be called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from omegaconf import OmegaConf

import steepest
from steepest.runs.approved import CLASSES, approved
from steepest.runs.config import GROUPS, check_plain
from steepest.runs.trust import check_hydra

# Names that start programs, run code, read pickles, or write or remove files.
DANGEROUS = """
os.system os.popen os.execv os.spawnl os.remove os.unlink os.rmdir os.rename os.replace os.symlink os.makedirs os.chmod
os.kill os.abort os._exit os.fork os.putenv os.environ.update posix.system nt.system pty.spawn
subprocess.Popen subprocess.run subprocess.call subprocess.check_output subprocess.getoutput
builtins.eval builtins.exec builtins.compile builtins.open builtins.__import__ builtins.getattr builtins.type
io.open codecs.open importlib.import_module importlib.reload runpy.run_path runpy.run_module code.interact pdb.run
pickle.load pickle.loads _pickle.loads marshal.loads shelve.open dill.loads cloudpickle.loads joblib.load
shutil.rmtree shutil.copy shutil.move shutil.copytree shutil.unpack_archive pathlib.Path.touch pathlib.Path.unlink
pathlib.Path.write_text tempfile.NamedTemporaryFile zipfile.ZipFile tarfile.open
functools.partial functools.reduce operator.methodcaller operator.attrgetter types.FunctionType types.CodeType
threading.Thread multiprocessing.Process multiprocessing.Pool concurrent.futures.ProcessPoolExecutor asyncio.run
socket.socket urllib.request.urlopen urllib.request.urlretrieve http.client.HTTPConnection http.server.HTTPServer
smtplib.SMTP ftplib.FTP webbrowser.open ctypes.CDLL ctypes.cdll.LoadLibrary signal.signal sys.exit sys.settrace
logging.FileHandler logging.handlers.RotatingFileHandler logging.config.dictConfig logging.config.fileConfig
atexit.register gc.collect timeit.timeit profile.run cProfile.run trace.Trace doctest.testmod unittest.main
xml.etree.ElementTree.parse sqlite3.connect csv.writer json.load
pandas.eval pandas.read_pickle pandas.read_csv pandas.read_sql pandas.read_html pandas.DataFrame.to_csv pandas.HDFStore
numpy.load numpy.save numpy.savetxt numpy.fromfile numpy.memmap numpy.vectorize numpy.f2py.compile
torch.load torch.save torch.hub.load torch.hub.download_url_to_file torch.jit.load torch.compile torch.package.PackageImporter
torch.utils.cpp_extension.load torch.utils.cpp_extension.load_inline torch.multiprocessing.spawn torch.utils.data.DataLoader
torch.serialization.load torch.ops.load_library torch.utils.tensorboard.SummaryWriter torch.distributed.init_process_group
torch.optim.lr_scheduler.LambdaLR torch.optim.lr_scheduler.MultiplicativeLR torch.optim.lr_scheduler.SequentialLR
torch.optim.Optimizer torch.optim.sgd.SGD torch.optim.lr_scheduler.LRScheduler
lightning.pytorch.callbacks.ModelCheckpoint lightning.pytorch.callbacks.OnExceptionCheckpoint
lightning.pytorch.callbacks.LambdaCallback lightning.pytorch.callbacks.BatchSizeFinder
lightning.pytorch.callbacks.LearningRateFinder lightning.pytorch.callbacks.BasePredictionWriter
lightning.pytorch.callbacks.BackboneFinetuning lightning.pytorch.callbacks.Callback lightning.pytorch.callbacks.ModelPruning
lightning.pytorch.loggers.CSVLogger lightning.pytorch.loggers.TensorBoardLogger lightning.pytorch.loggers.WandbLogger
lightning.pytorch.loggers.MLFlowLogger lightning.pytorch.loggers.CometLogger lightning.pytorch.loggers.NeptuneLogger
lightning.pytorch.profilers.AdvancedProfiler lightning.pytorch.profilers.PyTorchProfiler lightning.pytorch.cli.LightningCLI
lightning.pytorch.strategies.DDPStrategy lightning.pytorch.strategies.DeepSpeedStrategy
lightning.pytorch.plugins.io.TorchCheckpointIO lightning.fabric.utilities.cloud_io._load
hydra.utils.call hydra.utils.instantiate hydra.utils.get_class hydra.utils.get_method hydra.utils.get_object
hydra._internal.utils._locate hydra.core.utils.run_job hydra.core.utils.configure_log
hydra.experimental.callbacks.PickleJobInfoCallback hydra.core.plugins.Plugins hydra.main hydra.compose
omegaconf.OmegaConf.load omegaconf.OmegaConf.save omegaconf.OmegaConf.register_new_resolver
optuna.samplers.CmaEsSampler._restore_optimizer optuna.samplers.BaseSampler optuna.samplers.PartialFixedSampler
optuna.storages.RDBStorage optuna.create_study optuna.pruners.BasePruner optuna.pruners._nop.os.system
yaml.load yaml.unsafe_load yaml.full_load jinja2.Template jinja2.Environment matplotlib.pyplot.savefig
matplotlib.animation.FFMpegWriter PIL.Image.open numba.njit numba.jit plotly.io.write_html tensorboard.main.run_main
typer.run click.edit click.launch rich.console.Console filelock.FileLock pydantic.create_model
steepest steepest. steepest.. .steepest steepest..data steepestevil.thing steepest.nothing.here __main__.train
planted.thing planted hydra_plugins.planted.thing hydra_plugins torch torch.optim lightning optuna.samplers
steepest.data.files.pd.eval steepest.data.raw.gzip.open steepest.runs.revision.subprocess.run steepest.cli.sys.exit
steepest.runs.record.json.load steepest.data.sources.PriceFile.__init__ steepest.data.sources.PriceFile.__class__
steepest.data.sources.read_prices.__globals__ steepest.observe.eventfile.EventFile.begin
""".split()  # noqa: SIM905
# The other keys of a place's node, because the checker could report them first.
NESTED = ("model.hidden", "data.split", "optimizer.betas", "callbacks.x.y", "trainer.strategy", "trainer.callbacks")
PLACES = (*(g if g != "callbacks" else "callbacks.x" for g in GROUPS), *NESTED, "hydra.callbacks.x",
          "hydra.callbacks.x.y", "hydra.launcher", "hydra.sweeper", "hydra.sweeper.sampler",
          "hydra.sweeper.pruner")  # fmt: skip


@cache
def names() -> list[str]:
    """Return the dangerous names, this package's classes and functions, and all approved names."""
    own = []
    home = Path(steepest.__file__).parent
    for file in sorted(home.rglob("*.py")):
        module = ".".join(("steepest", *file.relative_to(home).with_suffix("").parts)).removesuffix(".__init__")
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                own.append(f"{module}.{node.name}")
    listed = [name for place in CLASSES for name in sorted(approved(place))]
    return list(dict.fromkeys([*DANGEROUS, *own, *listed]))


def combinations() -> Iterator[tuple[str, str]]:
    """Yield each name with each place in which it is not approved."""
    for place in PLACES:
        allowed = approved({"callbacks.x": "callbacks", "hydra.callbacks.x": "hydra.callbacks"}.get(place, place))
        yield from ((name, place) for name in names() if name not in allowed)


def refused(name: str, place: str) -> bool:
    """Return whether the checker refuses a name as the target of a node in a place."""
    node: object = {"_target_": name}
    for key in reversed(place.split(".")):
        node = {key: node}
    try:
        if place.startswith("hydra."):
            check_hydra(OmegaConf.create({"trust": [], **node}))  # type: ignore[dict-item]
        else:
            check_plain(_with(node))
    except ValueError as error:
        return (f"'{name}'" in str(error) and "not approved" in str(error)) or f"unknown key '{place}'" in str(error)
    return False


def _with(node: object) -> dict[str, object]:
    base: dict[str, object] = {"seed": 0, "threads": 1, "objective": "val/loss", "resume": None, "trust": []}
    assert isinstance(node, dict)
    for group, value in node.items():
        if isinstance(value, dict) and "_target_" not in value and group != "callbacks":
            value = {**TARGETS[group], **value}
        base[group] = value
    return base


TARGETS = {
    "model": {"_target_": "steepest.lightning.predictors.MLPPredictor"},
    "data": {"_target_": "steepest.data.sources.RandomWalk"},
    "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True},
    "trainer": {"_target_": "lightning.pytorch.trainer.trainer.Trainer"},
}
