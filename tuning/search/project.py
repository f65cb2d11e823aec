"""The folder of a search: what lies in it, who may write there, and how it is read again.

    job.json              the job that began it
    state.json            what is known of every trial, and the state of the sampler
    state.backup.json     the state before
    token                 a secret: who can read it may take part in the search
    lock                  held by the process that leads the search
    workers/              how each worker showed that it sees this folder
    logs/                 what the workers printed
    trials/ID/ATTEMPT/    run folders, as `deep-rnn train` writes them
    report/               tables and charts
    best.json             the best trial so far

Only the process that leads writes job.json, the states and the token; anyone may read them at any
time. Each appears whole or not at all and is on the disk when its function returns.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.errors import ArgumentError, UserError, Words, missing_extra
from ...utils.files import PARTIAL, remove, write_errors
from . import state as saved
from .state import BACKUP, STATE, unreadable, write_to_disk
from .trial import Trial

if TYPE_CHECKING:
    from ..job.job import Job

JOB, TOKEN, LOCK = "job.json", "token", "lock"
WORKERS, LOGS, TRIALS, REPORT, BEST = "workers", "logs", "trials", "report", "best.json"
# What --overwrite deletes, in this order: killed at any moment, no state lacks its trials.
_REPLACED = (BACKUP, STATE, BEST, REPORT, TRIALS, WORKERS, LOGS)
# What a process that was killed before it wrote job.json may leave.
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
        self.path = Path(path).expanduser().absolute()  # workers may stand elsewhere

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:
        return self.path / name

    def exists(self) -> bool:
        """Whether a search was begun here."""
        try:
            self._begun()
        except UserError:
            return False
        return True

    def check(self, *, resume: bool = False, overwrite: bool = False) -> None:
        """Refuses a folder in which a search cannot begin, or go on, and writes nothing.

        Args:
            resume: Whether to go on with the search that is there.
            overwrite: Whether to replace it.

        Raises:
            UserError: The folder holds a search and neither is asked for, none and it shall be
                resumed, or something else.
        """
        where = repr(str(self.path))
        if resume and overwrite:
            raise UserError("--resume and --overwrite cannot be combined.")
        self._check_place()
        if resume and not self.exists():
            raise ArgumentError("project", "a search to go on with", Words(where), verb="hold")
        if self.exists() and not resume and not overwrite:
            mend = "pass --resume to go on with it or --overwrite to replace it."
            hint = f"; {where} holds a search: {mend}"
            raise ArgumentError("project", "a new folder", hint=hint)

    def _check_place(self) -> None:
        """Refuses a folder that holds something else than a search."""
        where = repr(str(self.path))
        with write_errors(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise ArgumentError("project", "a folder", Words(f"the file {where}"))
            found = set(os.listdir(self.path)) if self.path.exists() else set()
        if JOB in found:
            self._begun()
        elif found - _BEFORE_JOB:
            raise ArgumentError(
                "project",
                "a new folder or a search's",
                Words(where),
                ", which holds something else.",
            )

    @contextlib.contextmanager
    def lead(self) -> Iterator[None]:
        """Keeps every other process from leading the search in this folder.

        The lock is the system's (`flock`): it ends with the process, however that ends.

        Raises:
            UserError: Another process leads, the folder holds something else, or it cannot be
                written.
        """
        try:
            import filelock
        except ImportError:
            raise missing_extra("filelock", "tuning") from None
        self._check_place()
        with write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self / LOCK, thread_local=False)
        try:
            with write_errors(self / LOCK):
                lock.acquire(timeout=0)
        except filelock.Timeout:
            line = f"Another process leads the search in {str(self.path)!r}."
            raise UserError(line) from None
        try:
            yield
        finally:
            lock.release()

    def begin(self, job: Job, *, resume: bool = False, overwrite: bool = False) -> None:
        """Prepares the folder for a search; only within `lead`.

        Args:
            job: The complete `Job`; resumed with more trials, it is the one that is kept.
            resume: Whether to go on with the search that is there.
            overwrite: Whether to replace it. What no search has written stays.

        Raises:
            UserError: As `check`; the search that shall be resumed is another job's; the folder
                cannot be written.
        """
        from ...training.run_folder import versions  # Keras, whose import takes seconds

        self.check(resume=resume, overwrite=overwrite)
        difference = self.job().difference(job) if resume else None
        if difference:
            expected = f"the one that began the search in {str(self.path)!r}"
            raise ArgumentError("job", expected, hint=f": {difference}.")
        with write_errors(self.path):
            for name in (PARTIAL,) if resume else (*_REPLACED, PARTIAL):
                remove(self / name)
            content = {"job": job.get_config(), "versions": versions()}
            write_to_disk(self / JOB, json.dumps(content, indent=2, allow_nan=False) + "\n")
            if not (resume and self._has_token()):
                write_to_disk(self / TOKEN, secrets.token_hex(32) + "\n", mode=0o600)
            for name in (WORKERS, LOGS, TRIALS):
                (self / name).mkdir(exist_ok=True)

    def _begun(self) -> dict[str, Any]:
        """The configuration of the job that began the search."""
        line = f"`job` must be a job file or the folder of a search, got {str(self.path)!r}"
        try:
            content = json.loads((self / JOB).read_text(encoding="utf-8"))
            config, _ = dict(content["job"]), content["versions"]["keras_deep_rnn"]
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{line}.") from None
        except OSError as error:
            raise unreadable(self / JOB, error) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            line += f", whose {JOB} is damaged or another program's."
            raise UserError(line) from None
        return config

    def job(self) -> Job:
        """The `Job` of the search.

        Raises:
            UserError: No search was begun here, or job.json is damaged.
        """
        from ..job.job import Job

        return Job.from_config(self._begun())

    def token(self) -> str:
        """The secret of those who take part in the search.

        Raises:
            UserError: It is not there, damaged, or the system does not let this user read it.
        """
        try:
            text = (self / TOKEN).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise unreadable(self / TOKEN, error) from None
        except ValueError:
            text = ""
        if not re.fullmatch("[0-9a-f]{64}", text):
            raise UserError(f"{str(self / TOKEN)!r} is damaged: --resume makes a new one.")
        return text

    def _has_token(self) -> bool:
        try:
            return bool(self.token())
        except UserError:
            return False

    def save(self, state: dict[str, Any]) -> None:
        """See `state.save`; `trials` is a list of `Trial` as dicts. Only within `lead`."""
        saved.save(self.path, state)

    def load(self) -> tuple[dict[str, Any] | None, str | None]:
        """See `state.load`."""
        return saved.load(self.path)

    def trials(self) -> list[Trial]:
        """Every `Trial` of the search, as the state knows it; also while another process leads."""
        state, _ = self.load()
        if state is None:
            return []
        try:
            return [Trial(**trial) for trial in state["trials"]]
        except (KeyError, TypeError):
            raise UserError(f"{str(self / STATE)!r} was written by another version.") from None

    def attempt_folder(self, trial_id: str, attempt: int) -> Path:
        """The run folder of an attempt, relative to this folder.

        Example:

        >>> Project("searches/none").attempt_folder("0007", 1).as_posix()
        'trials/0007/1'
        """
        return Path(TRIALS, _checked("trial_id", trial_id), f"{attempt:d}")

    def attempts(self, trial_id: str) -> list[Path]:
        """The run folders of all attempts at a trial that were begun, in their order."""
        folder = self / TRIALS / _checked("trial_id", trial_id)
        found = [path for path in folder.glob("*") if path.name.isdecimal()]
        return sorted(found, key=lambda path: int(path.name))

    def next_attempt(self, trial_id: str) -> int:
        """A number that no attempt at the trial has had: one more than the highest, from 0."""
        return max((int(path.name) for path in self.attempts(trial_id)), default=-1) + 1

    def show_shared(self, worker_id: str, nonce: str) -> None:
        """Writes what a worker and the process that leads agreed on, for `sees`.

        Args:
            worker_id: The worker.
            nonce: Text that cannot be guessed.

        Raises:
            UserError: The id is none, or the folder cannot be written.
        """
        path = self._shown(worker_id)
        with write_errors(path.parent):
            path.parent.mkdir(exist_ok=True)
        write_to_disk(path, json.dumps({"nonce": nonce}) + "\n")

    def sees(self, worker_id: str, nonce: str, patience: float = 10.0) -> bool:
        """Whether the worker wrote the nonce into this folder, so that both have one and the same.

        Args:
            worker_id: The worker.
            nonce: The text that was agreed on.
            patience: Seconds to try for; another machine's files may come late.
        """
        path = self._shown(worker_id)
        end = time.monotonic() + patience
        while True:
            with contextlib.suppress(OSError, ValueError, RecursionError):
                os.listdir(path.parent)  # NFS asks its server again, and forgets what it knew
                if json.loads(path.read_text(encoding="utf-8")) == {"nonce": nonce}:
                    return True
            if time.monotonic() >= end:
                return False
            time.sleep(0.2)

    def _shown(self, worker_id: str) -> Path:
        return self / WORKERS / f"{check_worker_id(worker_id)}.json"


def check_worker_id(id: str) -> str:
    """The id of a worker, which names its files.

    Raises:
        UserError: It is none.

    Example:

    >>> check_worker_id("../gpu")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    keras_deep_rnn.utils.errors.ArgumentError: `id` must be 1 to 64 letters, digits, ...
    """
    return _checked("id", id)


def _checked(argument: str, name: str) -> str:
    """A name that stays in its folder."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        got = repr(name if not isinstance(name, str) else name[:80])
        raise ArgumentError(
            argument, "1 to 64 letters, digits, '-', '_' or '.', not beginning with '.'", Words(got)
        )
    return name
