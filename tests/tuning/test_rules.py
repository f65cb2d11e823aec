"""The rules of a search, with trials whose outcomes the tests choose."""

import dataclasses
import functools
import json

import pytest

from keras_deep_rnn.tuning import Hyperparameter, SearchSpace
from keras_deep_rnn.tuning.job.job import Job
from keras_deep_rnn.tuning.search.project import Project
from keras_deep_rnn.tuning.search.trial import COMPLETED, FAILED, RUNNING, WAITING, best_of
from keras_deep_rnn.utils.errors import UserError
from keras_deep_rnn.utils.executor import WorkerLost

pytest.importorskip("keras_tuner")
from keras_deep_rnn.tuning.search.search import Search

SPACE = SearchSpace([
    Hyperparameter("network", "fixed", value="rnn"),
    Hyperparameter("units", "int", low=1, high=1000),
    Hyperparameter("learning_rate", "float", low=1e-4, high=1e-2, log=True),
])  # fmt: skip
CRASH = {"error": "RuntimeError: broken", "traceback": "Traceback\nRuntimeError: broken\n"}
NAN = {"error": "The loss is nan in epoch 1."}


class Networks:
    """What a search needs of a `HyperDeepRNN`."""

    space, trial = SPACE, None

    def settings_of(self, values):
        return dict(values)

    def seed_of(self, values):
        return len(f"{values}{self.trial}") + 1000 * (self.trial is not None)

    def parameters(self, values):
        return values["units"]


class Interrupted(BaseException):
    """The end of the process that leads a search."""


def done(trial):
    score = 8 + trial["values"]["units"] / 1000
    return {"score": score, "metrics": {"frame_nll": score}, "epochs": 9, "seconds": 2.0}


class Played:
    """An executor whose tasks end as they are told to, in the order in which they were submitted.

    Args:
        searched: The `Searched`.
        outcomes: What comes of the next tasks: a dict, None for success, or an error. After
            the last one all succeed.
        slots: Number of slots.
    """

    def __init__(self, searched, outcomes, slots):
        self.searched, self.outcomes, self._slots = searched, list(outcomes), slots
        self.running = {}

    def slots(self):
        return self._slots

    def submit(self, function, config, trial, folder):
        # What is known of the trial is on the disk before a worker hears of it.
        (saved,) = [t for t in Project(folder).trials() if t.id == trial["id"]]
        assert saved.status == RUNNING
        assert Job.from_config(config) == self.searched.job
        self.searched.submitted.append(trial)
        self.running[len(self.searched.submitted)] = trial
        return len(self.searched.submitted)

    def ended(self, timeout):
        self.searched.now += timeout
        if not self.running:
            return {}
        key = min(self.running)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Interrupted):
            raise outcome
        if outcome == "still running":
            return {}
        trial = self.running.pop(key)
        number = self.searched.project.make_attempt(trial["id"])
        folder = str(self.searched.project.attempt_folder(trial["id"], number))
        return {key: functools.partial(self.result, trial, number, folder, outcome)}

    def result(self, trial, number, folder, outcome):
        if isinstance(outcome, Exception):
            raise outcome
        return {**(outcome or done(trial)), "attempt": number, "folder": folder}


class Searched:
    """A search in a folder, with a clock of its own; `submitted` are the trials of all tasks."""

    def __init__(self, folder, **changes):
        given = {"trials": 3, "objective": "frame_nll", "epochs": 9, **changes}
        self.job = Job("search", "jsb_chorales", str(folder), SPACE, **given)
        self.project, self.now, self.said, self.submitted = Project(folder), 0.0, [], []
        with self.project.lead():
            self.project.begin(self.job)
        self.start()

    def start(self):
        """A search that goes on from what is saved."""
        self.search = Search(
            self.job, Networks(), self.project, log=self.said.append, clock=lambda: self.now
        )

    def run(self, *outcomes, slots=1):
        self.search.run(Played(self, outcomes, slots))
        return self.search

    @property
    def statuses(self):
        return [trial.status for trial in self.search.trials.values()]


@pytest.fixture
def searched(tmp_path):
    return Searched(tmp_path / "search")


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_every_trial_once(searched, slots):
    search = searched.run(slots=slots)
    assert [trial["id"] for trial in searched.submitted] == ["0000", "0001", "0002"]
    assert (search.over, search.failed) == ("finished", False)
    assert searched.statuses == [COMPLETED] * 3
    best = best_of(search.trials.values())
    assert json.loads((searched.project / "best.json").read_text())["id"] == best.id
    assert [line[:2] for line in searched.said] == ["1/", "2/", "3/"]


def test_a_trial_has_the_data_of_the_job(tmp_path):
    searched = Searched(tmp_path / "search", manual_dir="/manual", sustain_pedal=True)
    searched.run()
    names = ("data", "manual_dir", "data_dir", "skip_unreadable", "sustain_pedal")
    settings = searched.submitted[0]["settings"]
    assert {name: settings[name] for name in names if name in settings} == {
        "data": "jsb_chorales",
        "manual_dir": "/manual",
        "sustain_pedal": True,
    }


def test_the_same_seed_gives_the_same_trials(tmp_path):
    values = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        searched = Searched(tmp_path / name, seed=seed)
        searched.run()
        values.append([trial["values"] for trial in searched.submitted])
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("tuner", ["random", "bayesian"])
@pytest.mark.parametrize("after", range(5))
def test_a_search_that_was_killed_goes_on(tmp_path, tuner, after):
    """Wherever it was killed, its trials have the ids, values, seeds and scores of a whole one."""
    whole = Searched(tmp_path / "whole", trials=5, tuner=tuner)
    whole.run()
    searched = Searched(tmp_path / "search", trials=5, tuner=tuner)
    with pytest.raises(Interrupted):
        searched.run(*[None] * after, Interrupted())
    assert searched.statuses == [COMPLETED] * after + [RUNNING]
    searched.start()
    assert searched.statuses == [COMPLETED] * after + [WAITING]
    searched.run()
    assert [
        (trial.id, trial.values, trial.settings, trial.score) for trial in searched.project.trials()
    ] == [(trial.id, trial.values, trial.settings, trial.score) for trial in whole.project.trials()]
    assert len(searched.submitted) == 6


def test_a_lost_worker_costs_one_attempt(searched):
    searched.run(None, WorkerLost("was killed by signal 9"))
    trial = searched.search.trials["0001"]
    assert (trial.status, trial.losses, trial.attempt) == (COMPLETED, 1, 1)
    assert searched.submitted[1]["settings"] == searched.submitted[2]["settings"]
    line = "the worker of trial 0001 was killed by signal 9; the trial runs again"
    assert line in searched.said


def test_a_trial_that_kills_its_workers_fails(searched):
    searched.run(*[WorkerLost("was killed by signal 9")] * 3)
    assert searched.statuses == [FAILED, COMPLETED, COMPLETED]
    failed = searched.search.trials["0000"]
    assert failed.error == "3 workers were lost in it, the last one was killed by signal 9"


def test_the_last_attempt_of_such_a_trial_is_kept(searched):
    searched.run(*[WorkerLost("was killed by signal 9")] * 3)
    searched.search.tidy()
    assert [path.name for path in searched.project.attempts("0000")] == ["2"]


def test_workers_that_were_lost_before_they_made_a_folder(searched, monkeypatch):
    searched.run(*[WorkerLost("was killed by signal 9")] * 3)
    monkeypatch.setattr(searched.project, "attempts", lambda trial_id: [])
    searched.search.tidy()


def full(*_):
    raise UserError("Cannot write 'state.json': No space left on device.")


def test_a_state_that_cannot_be_saved_ends_the_search(searched, monkeypatch):
    def save(state, original=searched.project.save):
        if len(searched.submitted) == 2:
            full()
        original(state)

    with monkeypatch.context() as patch:
        patch.setattr(searched.project, "save", save)
        with pytest.raises(UserError, match="No space left"):
            searched.run()
    assert [t.status for t in searched.project.trials()] == [COMPLETED, RUNNING]
    searched.start()
    searched.run()
    assert searched.statuses == [COMPLETED] * 3


def test_a_worker_that_cannot_write_ends_the_search(searched):
    with pytest.raises(UserError, match="Cannot write 'new'"):
        searched.run(None, UserError("Cannot write 'new'."))
    assert [t.status for t in searched.project.trials()] == [COMPLETED, RUNNING]


def test_failures_in_a_row_end_the_search(tmp_path):
    searched = Searched(tmp_path / "search", trials=20)
    search = searched.run(CRASH, CRASH, None, CRASH, CRASH, CRASH)
    assert (search.over, search.failed) == ("3 trials in a row have failed", True)
    assert len(search.trials) == 6
    # Whoever has mended the cause can go on.
    searched.start()
    assert searched.search.over is None
    assert searched.run().over == "finished"


def test_a_loss_that_diverges_is_a_result(tmp_path):
    searched = Searched(tmp_path / "search", trials=5)
    search = searched.run(NAN, NAN, NAN, NAN)
    assert (search.over, search.failed) == ("finished", False)
    assert searched.statuses == [FAILED] * 4 + [COMPLETED]
    assert search.trials["0003"].error == NAN["error"]


def test_nothing_came_out(searched):
    search = searched.run(NAN, NAN, NAN)
    assert (search.over, search.failed) == ("finished", True)
    assert not (searched.project / "best.json").exists()


def test_a_failed_trial_is_tried_again_with_another_seed(tmp_path):
    searched = Searched(tmp_path / "search", retries=1)
    search = searched.run(NAN, None, CRASH, CRASH)
    first, again, second, *_ = searched.submitted
    assert (again["id"], again["values"]) == (first["id"], first["values"])
    assert again["settings"]["seed"] != first["settings"]["seed"]
    assert second["settings"]["seed"] < 1000  # the next one is not a retry
    assert search.trials["0000"].error is None
    assert searched.statuses == [COMPLETED, FAILED, COMPLETED]


def test_the_time_is_over(tmp_path):
    searched = Searched(tmp_path / "search", max_minutes=2)
    search = searched.run(*["still running"] * 200)
    assert search.over == "stopped after 2 minutes"
    assert 120 < searched.now <= 122
    searched.start()
    searched.run()
    assert searched.submitted[1]["id"] == searched.submitted[0]["id"]
    assert searched.statuses == [COMPLETED] * 3


def test_more_trials_on_resume(searched):
    searched.run()
    searched.job = dataclasses.replace(searched.job, trials=4)
    searched.start()
    assert searched.search.over is None
    searched.run()
    assert searched.submitted[-1]["id"] == "0003"


@pytest.mark.parametrize("slots", [1, 4])
def test_hyperband_goes_on_with_the_run_of_the_best(tmp_path, slots):
    searched = Searched(tmp_path / "search", tuner="hyperband", trials=None, epochs=9)
    search = searched.run(slots=slots)
    trials = search.trials.values()
    assert len(trials) == len(searched.submitted) == searched.job.size()
    continued = [trial for trial in trials if trial.continues]
    assert continued
    for trial in continued:
        before = next(t for t in trials if t.folder == trial.continues)
        assert before.until < trial.until
        assert before.settings == trial.settings


def test_hyperband_goes_on_with_the_seed_of_a_retry(tmp_path):
    searched = Searched(tmp_path / "search", tuner="hyperband", trials=None, epochs=9, retries=1)
    trials = searched.run(*[NAN, None] * 4).trials.values()
    continued = [trial for trial in trials if trial.continues and trial.retries]
    assert continued
    for trial in continued:
        before = next(t for t in trials if t.folder == trial.continues)
        assert (before.settings, before.retries) == (trial.settings, trial.retries)


def test_a_space_with_nothing_left(tmp_path, monkeypatch):
    space = SearchSpace([SPACE["network"], Hyperparameter("units", "int", low=1, high=2)])
    monkeypatch.setattr(Networks, "space", space)
    searched = Searched(tmp_path / "search", trials=10)
    assert searched.run().over == "finished"
    assert len(searched.submitted) == 2


@pytest.mark.parametrize("slots", [1, 3])
def test_a_search_with_nothing_left_stays_finished(tmp_path, monkeypatch, slots):
    """Whatever a sampler would find when it is asked again."""
    units = Hyperparameter("units", "int", low=1, high=20)
    monkeypatch.setattr(Networks, "space", SearchSpace([SPACE["network"], units]))
    searched = Searched(tmp_path / "search", trials=100)
    assert searched.run(slots=slots).over == "finished"
    done = len(searched.submitted)
    assert done <= 20
    for _ in range(3):
        searched.start()
        assert searched.search.over == "finished"
    assert len(searched.submitted) == done


@pytest.mark.parametrize("part", ["trials", "sampler"])
def test_a_state_of_another_version_is_one_line(searched, part):
    searched.run()
    state, _ = searched.project.load()
    changed = {"trials": [{"colour": 1}], "sampler": {}}
    searched.project.save({**state, part: changed[part]})
    with pytest.raises(UserError, match=r"state.json' was written by another version\."):
        searched.start()


def test_a_cluster_without_machines_is_waited_for(searched):
    class Late(Played):
        def slots(self):
            return int(searched.now > 5)

    searched.search.run(Late(searched, [], 1))
    assert searched.statuses == [COMPLETED] * 3
    assert searched.now > 5
