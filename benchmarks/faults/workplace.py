"""What the faults are done to: made-up data, runs, an export and job files, in a scratch folder."""

import functools
import time
from pathlib import Path

import numpy as np

from .forked import Command, deep_rnn

TRAIN = (
    "train", "--network", "dots_rnn", "--units", 8, "--transition-units", 8, "--output-units", 8,
    "--batch-size", 2,
)  # fmt: skip
EPOCHS = 6
JOB = """\
data = "{data}"
trials = 2
epochs = 2
workers = 1
[space]
network = ["rnn"]
units = [8, 12]
"""
REPRODUCE = (
    *("reproduce", "music", "--task", "jsb_chorales", "--network", "rnn", "--recipe", "modern"),
    *("--seed", 1),
)
# The variables of a file of piano-rolls for MATLAB.
VARIABLES = {"train": "traindata", "valid": "validdata", "test": "testdata"}


class Workplace:
    """The scratch folder; what is in it is made when it is first asked for.

    Args:
        folder: The folder to make.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()

    def new(self, name):
        """Makes a folder for a case."""
        folder = self.folder / "cases" / name
        folder.mkdir(parents=True)
        return folder

    def prepare_for_all(self, *names):
        """Makes some of its things now, before the processes that share them."""
        for name in names:
            getattr(self, name)

    def make(self, *words, **options):
        """Runs a command that must go well."""
        ended = deep_rnn(*words, folder=self.folder, **options)
        if ended.code:
            raise RuntimeError(f"{words} ended with {ended.code}: {ended.errors}")

    @functools.cached_property
    def pieces(self):
        """Piano-rolls in a .npz file."""
        path = self.folder / "pieces.npz"
        np.savez(path, **{f"{split}_{i}": roll for split, i, roll in rolls()})
        return path

    @functools.cached_property
    def manual_dir(self):
        """Folder with a JSB_Chorales.mat of other pieces than the published ones."""
        import scipy.io

        folder = self.folder / "manual"
        folder.mkdir()
        pieces = {name: np.empty(4, object) for name in VARIABLES.values()}
        for split, i, roll in rolls():
            pieces[VARIABLES[split]][i] = roll
        scipy.io.savemat(folder / "JSB_Chorales.mat", pieces)
        return folder

    @functools.cached_property
    def data_dir(self):
        """Folder of prepared data, with jsb_chorales made from `manual_dir`."""
        path = self.folder / "prepared"
        self.make(*self.prepare(path), before=any_file)
        return path

    def prepare(self, data_dir):
        """The command that prepares jsb_chorales; needs `any_file`."""
        words = "data", "prepare", "jsb_chorales", "--manual-dir", self.manual_dir
        return (*words, "--data-dir", data_dir)

    def train(self, out, epochs=EPOCHS):
        """The command that trains a run."""
        return (*TRAIN, "--data", self.pieces, "--epochs", epochs, "--out", out)

    def reproduce(self, folder):
        """The command that reproduces an experiment, with its run and its record in `folder`."""
        places = "--runs", folder / "runs", "--results", folder / "results"
        return (*REPRODUCE, "--data-dir", self.data_dir, *places)

    @functools.cached_property
    def run(self):
        """A finished run."""
        path = self.folder / "run"
        self.make(*self.train(path))
        return path

    @functools.cached_property
    def unfinished(self):
        """A run of many epochs that was killed after the first."""
        path = self.folder / "unfinished"
        command = Command(*self.train(path, epochs=12), folder=self.folder)
        while command.runs and not (path / "backup.npz").is_file():
            time.sleep(0.01)
        command.kill()
        command.wait()
        if (path / "metrics.json").exists() or not (path / "backup.npz").is_file():
            raise RuntimeError(f"{path} should be an unfinished run")
        return path

    @functools.cached_property
    def export(self):
        """Folder of an export of `run`, which has been checked."""
        path = self.folder / "served" / "music"
        self.make("export", self.run, "--out", path)
        return path

    @functools.cached_property
    def search(self):
        """Project folder of a finished search."""
        self.make("tune", "run", self.job(self.folder))
        return self.folder / "job"

    def job(self, folder):
        """Writes a job file into a folder; the project is the folder `job` beside it."""
        path = Path(folder, "job.toml")
        path.write_text(JOB.format(data=self.pieces), encoding="utf-8")
        return path


def rolls():
    """Made-up pieces: (split, number, uint8 array (24, 88))."""
    random = np.random.default_rng(0)
    for split in VARIABLES:
        for i in range(4):
            yield split, i, (random.random((24, 88)) < 0.05).astype("uint8")


def any_file():
    """Lets a file pass for a published one, in this process."""
    from keras_deep_rnn.data import files

    files.verify = files.verify_frames = lambda *arguments: None
