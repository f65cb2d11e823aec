"""`Project`: the folder of a search.

    job.json              the job
    state.json            all trials, and the state of the sampler
    state.backup.json     the previous state
    lock                  while a process leads the search
    logs/                 output of the worker processes
    trials/ID/ATTEMPT/    run folders of `deep-rnn train`
    report/               tables and charts
    best.json             the best trial so far

Only the leading process writes job.json and the states; others may read them at any time. These
files are written atomically and synced to the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...data.dataset import IDENTITY
from ...utils.errors import ArgumentError, UserError, Words
from ...utils.files import PARTIAL, remove, user_path, write_errors
from ...utils.lock import locked
from . import state as saved
from .state import BACKUP, STATE, unreadable, write_to_disk
from .trial import RUNNING, Trial

if TYPE_CHECKING:
    from ...data import Dataset
    from ..job.job import Job

JOB, LOCK = "job.json", "lock"
LOGS, TRIALS, REPORT, BEST = "logs", "trials", "report", "best.json"
# Deleted by --overwrite, in this order: the states go before the trials that they refer to.
_REPLACED = (BACKUP, STATE, BEST, REPORT, TRIALS, LOGS)
# Files of a process that was killed before it wrote job.json.
_BEFORE_JOB = {LOCK, PARTIAL}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


class Project:
    """The folder of a search.

    Args:
        path: The folder.

    Example:

    >>> Project("searches/none").exists()
    False
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = user_path(path).absolute()  # workers may have another working directory

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:
        return self.path / name

    def exists(self) -> bool:
        """Whether the folder holds a search."""
        try:
            self._job_content()
        except UserError:
            return False
        return True

    def check(self, *, resume: bool = False, overwrite: bool = False) -> None:
        """Checks that a search can be started, resumed or overwritten here, without writing.

        Args:
            resume: Whether to resume the search in the folder, if there is one.
            overwrite: Whether to replace it.

        Raises:
            UserError: The folder holds a search and neither is set, or other files.
        """
        where = repr(str(self.path))
        if resume and overwrite:
            raise UserError("--resume and --overwrite cannot be combined.")
        self._check_place()
        if self.exists() and not resume and not overwrite:
            mend = "pass --resume to resume it or --overwrite to replace it."
            hint = f"; {where} holds a search: {mend}"
            raise ArgumentError("project", "a new folder", hint=hint)

    def _check_place(self) -> None:
        """Checks that the folder is new, empty or a search's."""
        where = repr(str(self.path))
        with write_errors(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise ArgumentError("project", "a folder", Words(f"the file {where}"))
            found = set(os.listdir(self.path)) if self.path.exists() else set()
        if JOB in found:
            self._job_content()
        elif found - _BEFORE_JOB:
            raise ArgumentError(
                "project",
                "a new folder or a search's",
                Words(where),
                ", which holds other files.",
            )

    @contextlib.contextmanager
    def lead(self) -> Iterator[None]:
        """Locks the folder against other leading processes.

        Raises:
            UserError: Another process leads the search; see `locked`. Or the folder holds other
                files or cannot be written.
        """
        self._check_place()
        with contextlib.ExitStack() as lock:
            with write_errors(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                lock.enter_context(locked(self / LOCK, repr(str(self.path))))
            yield

    def begin(
        self,
        job: Job,
        dataset: Dataset | None = None,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Prepares the folder for a search; only within `lead`.

        Args:
            job: The complete `Job`, which replaces the job of a resumed search.
            dataset: Its data set; None: it is not compared with that of a resumed search.
            resume: Whether to resume the search in the folder.
            overwrite: Whether to replace it. Other files are kept.

        Raises:
            UserError: See `check`; or the search to resume is another job's, or has other data or
                another backend; or the folder cannot be written.
        """
        from ...training.run_folder import versions  # Keras, whose import takes seconds

        self.check(resume=resume, overwrite=overwrite)
        resume = resume and self.exists()
        content: dict[str, Any] = {"job": job.get_config(), "versions": versions()}
        if dataset is not None:
            content["data"] = {key: getattr(dataset, key) for key in IDENTITY}
        difference = self.job().difference(job) or self._difference(content) if resume else None
        if difference:
            expected = f"the one that began the search in {str(self.path)!r}"
            raise ArgumentError("job", expected, hint=f": {difference}.")
        with write_errors(self.path):
            for name in (PARTIAL,) if resume else (*_REPLACED, PARTIAL):
                remove(self / name)
            write_to_disk(self / JOB, json.dumps(content, indent=2, allow_nan=False) + "\n")
            for name in (LOGS, TRIALS):
                (self / name).mkdir(exist_ok=True)

    def _difference(self, content: dict[str, Any]) -> str | None:
        """The first difference in backend or data to job.json; None if there is none."""
        before, now = _backend_and_data(self._job_content()), _backend_and_data(content)
        for name, value in now.items():
            if None not in (before[name], value) and before[name] != value:
                return f"the {name} was {before[name]}, is {value}"
        return None

    def _job_content(self) -> dict[str, Any]:
        """The content of job.json."""
        line = f"`job` must be a job file or the folder of a search, got {str(self.path)!r}"
        try:
            content = json.loads((self / JOB).read_text(encoding="utf-8"))
            _, _ = dict(content["job"]), content["versions"]["keras_deep_rnn"]
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{line}.") from None
        except OSError as error:
            raise unreadable(self / JOB, error) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            line += f", whose {JOB} is damaged or of another program."
            raise UserError(line) from None
        return content

    def job(self) -> Job:
        """The `Job` of the search.

        Raises:
            UserError: The folder holds no search, or job.json is damaged.
        """
        from ..job.job import Job

        return Job.from_config(self._job_content()["job"])

    def save(self, state: dict[str, Any]) -> None:
        """See `state.save`; `trials` is a list of dicts of `Trial`. Only within `lead`."""
        saved.save(self.path, state)

    def load(self) -> tuple[dict[str, Any] | None, str | None]:
        """See `state.load`."""
        return saved.load(self.path)

    def trials(self) -> list[Trial]:
        """All trials of the search in the saved state; also while another process leads it."""
        state, _ = self.load()
        if state is None:
            return []
        with self.version_errors():
            trials = [Trial(**trial) for trial in state["trials"]]
        for trial in trials:
            if trial.status == RUNNING:  # its worker tells its folder at the end
                trial.folder = next(map(self._relative, self.attempts(trial.id)[-1:]), trial.folder)
        return trials

    @contextlib.contextmanager
    def version_errors(self) -> Iterator[None]:
        """Raises errors about the content of a state as a one-line `UserError`."""
        try:
            yield
        except (KeyError, TypeError):
            raise UserError(f"{str(self / STATE)!r} was written by another version.") from None

    def _relative(self, folder: Path) -> str:
        return str(folder.relative_to(self.path))

    def attempt_folder(self, trial_id: str, attempt: int) -> Path:
        """The run folder of an attempt, relative to this folder.

        Example:

        >>> Project("searches/none").attempt_folder("0007", 1).as_posix()
        'trials/0007/1'
        """
        return Path(TRIALS, _checked("trial_id", trial_id), f"{attempt:d}")

    def attempts(self, trial_id: str) -> list[Path]:
        """The run folders of all attempts of a trial, in order."""
        folder = self / TRIALS / _checked("trial_id", trial_id)
        found = [path for path in folder.glob("*") if path.name.isdecimal()]
        return sorted(found, key=lambda path: int(path.name))

    def make_attempt(self, trial_id: str) -> int:
        """Makes the folder of the next attempt of a trial, and returns the attempt's number.

        Raises:
            UserError: The folder cannot be made.
        """
        while True:
            last = max((int(path.name) for path in self.attempts(trial_id)), default=-1)
            folder = self / self.attempt_folder(trial_id, last + 1)
            # Made by one process alone, so that a lost worker that goes on has another folder.
            with write_errors(folder):
                folder.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    folder.mkdir()
                    return last + 1


def _backend_and_data(content: dict[str, Any]) -> dict[str, str | None]:
    """What a search keeps, from the content of job.json; None where it does not say so."""
    data = content.get("data", {})
    return {
        "backend": content["versions"].get("backend"),
        **{f"{key} of the data": data.get(key) for key in IDENTITY},
    }


def _checked(argument: str, name: str) -> str:
    """Checks a file name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        got = repr(name if not isinstance(name, str) else name[:80])
        raise ArgumentError(
            argument, "1 to 64 letters, digits, '-', '_' or '.', not beginning with '.'", Words(got)
        )
    return name
