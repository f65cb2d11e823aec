"""The chief of a search, with workers that the tests play themselves."""

import dataclasses
import json

import pytest

from keras_deep_rnn.tuning import Hyperparameter, SearchSpace
from keras_deep_rnn.tuning.job.job import Job
from keras_deep_rnn.tuning.search.project import Project
from keras_deep_rnn.tuning.search.trial import COMPLETED, FAILED, RUNNING, WAITING, best_of
from keras_deep_rnn.utils.errors import UserError

pytest.importorskip("keras_tuner")
from keras_deep_rnn.tuning.search.chief import Chief

SPACE = SearchSpace([
    Hyperparameter("network", "fixed", value="rnn"),
    Hyperparameter("units", "int", low=1, high=1000),
    Hyperparameter("learning_rate", "float", low=1e-4, high=1e-2, log=True),
])  # fmt: skip
CRASH = {"error": "RuntimeError: broken", "traceback": "Traceback\nRuntimeError: broken\n"}


class Networks:
    """What the chief needs of a `HyperDeepRNN`."""

    space, trial = SPACE, None

    def settings_of(self, values):
        return dict(values)

    def seed_of(self, values):
        return len(f"{values}{self.trial}") + 1000 * (self.trial is not None)

    def parameters(self, values):
        return values["units"]


class Search:
    """A search in a folder, with a clock that only the test moves."""

    def __init__(self, folder, **changes):
        given = {"trials": 3, "objective": "frame_nll", "epochs": 9, **changes}
        self.job = Job("search", "jsb_chorales", str(folder), SPACE, **given)
        self.project, self.now, self.said = Project(folder), 0.0, []
        with self.project.lead():
            self.project.begin(self.job)
        self.chief = self.start()

    def start(self, **more):
        """A chief; a second call is a chief that comes after the first was killed."""
        self.chief = Chief(
            self.job, Networks(), self.project, log=self.said.append, clock=lambda: self.now, **more
        )
        return self.chief

    def join(self, worker="a", session="1"):
        nonce = f"{worker}{session}"
        self.project.show_shared(worker, nonce)
        return self.chief.join(worker, session, nonce)

    def ask(self, worker="a", session="1"):
        return self.chief.ask(worker, session)["trial"]

    def tell(self, trial, worker="a", session="1", **outcome):
        outcome = outcome or done(trial)
        told = self.chief.tell(worker, session, trial["id"], trial["attempt"], outcome)
        return told["accepted"]

    def heartbeat(self, trial, worker="a", session="1"):
        return self.chief.heartbeat(worker, session, trial["id"], trial["attempt"])

    def wait(self, seconds):
        self.now += seconds
        self.chief.poll()

    @property
    def statuses(self):
        return [trial.status for trial in self.chief.trials.values()]


def done(trial):
    score = 8 + trial["values"]["units"] / 1000
    return {"score": score, "metrics": {"frame_nll": score}, "epochs": 9, "seconds": 2.0}


@pytest.fixture
def search(tmp_path):
    found = Search(tmp_path / "search")
    found.join()
    return found


def test_every_trial_once(search):
    trials = []
    for _ in range(3):
        trials.append(search.ask())
        assert search.tell(trials[-1])
    assert [trial["id"] for trial in trials] == ["0000", "0001", "0002"]
    assert search.chief.ask("a", "1") == {"end": "finished"}
    assert search.chief.gone()
    assert not search.chief.failed
    assert search.statuses == [COMPLETED] * 3
    best = best_of(search.chief.trials.values())
    assert json.loads((search.project / "best.json").read_text())["id"] == best.id
    assert [line[:2] for line in search.said] == ["1/", "2/", "3/"]


def test_a_trial_has_the_data_of_the_job(tmp_path):
    search = Search(tmp_path / "search", manual_dir="/manual", sustain_pedal=True)
    search.join()
    settings = search.ask()["settings"]
    names = ("data", "manual_dir", "data_dir", "skip_unreadable", "sustain_pedal")
    assert {name: settings[name] for name in names if name in settings} == {
        "data": "jsb_chorales",
        "manual_dir": "/manual",
        "sustain_pedal": True,
    }


def test_the_same_seed_gives_the_same_trials(tmp_path):
    values = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        search = Search(tmp_path / name, seed=seed)
        search.join()
        values.append([search.ask()["values"], search.tell(search.ask()), search.ask()["values"]])
    assert values[0] == values[1] != values[2]


def test_a_chief_that_was_killed_goes_on(search):
    first = search.ask()
    search.tell(first)
    second = search.ask()
    expected = dataclasses.asdict(search.chief.trials["0000"])
    search.start()
    assert search.statuses == [COMPLETED, RUNNING]
    assert dataclasses.asdict(search.chief.trials["0000"]) == expected
    # The worker never stopped: its trial is still its own, and the third is not the second.
    assert search.heartbeat(second) == {"continue": True}
    assert search.tell(second)
    assert search.ask()["values"] not in (first["values"], second["values"])


def test_a_worker_of_a_chief_that_was_killed_does_not_come_back(search):
    trial = search.ask()
    search.start()
    search.wait(31)
    assert search.statuses == [WAITING]
    search.join("b")
    again = search.ask("b")
    assert (again["id"], again["settings"]) == (trial["id"], trial["settings"])


def test_local_workers_die_with_their_chief(search):
    search.ask()
    search.start(keep_running=False)
    assert search.statuses == [WAITING]


def test_a_silent_worker_loses_its_trial(search):
    trial = search.ask()
    search.wait(29)
    search.heartbeat(trial)
    search.wait(29)
    assert search.statuses == [RUNNING]
    search.wait(2)
    assert search.statuses == [WAITING]
    search.join("b")
    again = search.ask("b")
    assert again["id"] == trial["id"]
    assert again["folder"] != trial["folder"]
    # The first one was only slow: its messages are ignored.
    assert search.heartbeat(trial) == {"continue": False}
    assert not search.tell(trial, score=0.0)
    assert search.tell(again, "b")
    assert search.chief.trials["0000"].score == done(again)["score"]
    assert search.chief.trials["0000"].folder == again["folder"]


def test_a_worker_comes_back_under_its_id(search):
    trial = search.ask()
    search.join(session="2")
    again = search.ask(session="2")
    assert again["id"] == trial["id"]
    with pytest.raises(UserError, match="`id` must be unique: another worker has the id 'a'"):
        search.heartbeat(trial)


def test_an_answer_that_was_lost_is_given_again(search):
    trial = search.ask()
    again = search.ask()
    assert again["id"] == trial["id"]
    assert search.tell(again)
    assert not search.tell(again)


def test_a_trial_that_kills_its_workers_fails(search):
    for number in range(3):
        search.join("b", str(number))
        trial = search.ask("b", str(number))
        assert trial["id"] == "0000"
        search.chief.lost("b", "was killed by signal 9")
    assert search.statuses == [FAILED]
    failed = search.chief.trials["0000"]
    assert failed.error == "3 workers were lost in it, the last one was killed by signal 9"
    search.join("c")
    assert search.ask("c")["id"] == "0001"


def test_a_worker_that_leaves_is_not_blamed(search):
    for _ in range(4):
        search.join()
        search.ask()
        search.chief.leave("a", "1")
    assert search.statuses == [WAITING]
    assert search.chief.trials["0000"].losses == 0


def full(*_):
    raise UserError("Cannot write 'state.json': No space left on device.")


def test_a_state_that_cannot_be_saved_ends_the_search(search, monkeypatch):
    search.tell(search.ask())
    trial = search.ask()
    saved = search.project.trials()
    with monkeypatch.context() as patch:
        patch.setattr(search.project, "save", full)
        assert not search.tell(trial)
        assert str(search.chief.error) == search.chief.over
        assert search.chief.ask("a", "1") == {"end": search.chief.over}
    assert not search.tell(trial)  # nothing more is written from what was not saved
    assert search.project.trials() == saved
    search.start()
    assert search.tell(trial)
    with monkeypatch.context() as patch:
        patch.setattr(search.project, "save", full)
        assert search.chief.ask("a", "1") == {
            "end": "Cannot write 'state.json': No space left on device."
        }
    search.start()
    assert search.ask()["id"] == "0002"


def test_an_error_of_the_chief_ends_the_search(search, monkeypatch):
    monkeypatch.setattr(Networks, "parameters", lambda self, values: 1 / 0)
    assert search.chief.ask("a", "1") == {"end": "division by zero"}
    assert isinstance(search.chief.error, ZeroDivisionError)


def test_a_worker_that_cannot_write_ends_the_search(search):
    trial = search.ask()
    search.join("b")
    search.chief.lost("a", "was killed")
    again = search.ask("b")
    search.chief.give_up("a", "1", trial["id"], trial["attempt"], "Cannot write 'old'.")
    assert search.chief.over is None  # of an obsolete attempt
    search.chief.give_up("b", "1", again["id"], again["attempt"], "Cannot write 'new'.")
    assert search.chief.over == str(search.chief.error) == "Cannot write 'new'."


def test_failures_in_a_row_end_the_search(tmp_path):
    search = Search(tmp_path / "search", trials=20)
    search.join()
    for _ in range(2):
        search.tell(search.ask(), **CRASH)
    search.tell(search.ask())
    for _ in range(3):
        assert search.chief.over is None
        search.tell(search.ask(), **CRASH)
    assert search.chief.over == "3 trials in a row have failed"
    assert search.chief.failed
    assert search.chief.ask("a", "1") == {"end": search.chief.over}
    # Whoever has mended the cause can go on.
    search.start()
    assert search.chief.over is None


def test_a_loss_that_diverges_is_a_result(tmp_path):
    search = Search(tmp_path / "search", trials=5)
    search.join()
    for _ in range(4):
        search.tell(search.ask(), error="The loss is nan in epoch 1.")
    assert search.chief.over is None
    search.tell(search.ask())
    assert search.chief.over == "finished"
    assert search.statuses == [FAILED] * 4 + [COMPLETED]
    assert search.chief.trials["0003"].error == "The loss is nan in epoch 1."
    assert not search.chief.failed


def test_nothing_came_out(search):
    for _ in range(3):
        search.tell(search.ask(), error="The loss is nan in epoch 1.")
    assert (search.chief.over, search.chief.failed) == ("finished", True)
    assert not (search.project / "best.json").exists()


def test_a_failed_trial_is_tried_again_with_another_seed(tmp_path):
    search = Search(tmp_path / "search", retries=1)
    search.join()
    trial = search.ask()
    search.tell(trial, error="The loss is nan in epoch 1.")
    assert search.statuses == [WAITING]
    again = search.ask()
    assert (again["id"], again["values"]) == (trial["id"], trial["values"])
    assert again["settings"]["seed"] != trial["settings"]["seed"]
    search.tell(again)
    assert search.statuses == [COMPLETED]
    assert search.chief.trials["0000"].error is None
    trial = search.ask()
    assert trial["settings"]["seed"] < 1000  # the next one is not a retry
    for _ in range(2):
        search.tell(search.ask(), **CRASH)
    assert search.statuses == [COMPLETED, FAILED]


def test_the_time_is_over(tmp_path):
    search = Search(tmp_path / "search", max_minutes=2)
    search.join()
    trial = search.ask()
    for _ in range(5):
        search.wait(20)
        assert search.heartbeat(trial) == {"continue": True}
    search.wait(21)
    assert search.chief.over == "stopped after 2 minutes"
    assert search.heartbeat(trial) == {"end": search.chief.over}
    assert search.chief.gone()
    search.now = 0.0
    search.start(keep_running=False)
    assert search.ask()["id"] == trial["id"]


def test_more_trials_on_resume(search):
    for _ in range(3):
        search.tell(search.ask())
    search.job = dataclasses.replace(search.job, trials=4)
    search.start()
    assert search.chief.over is None
    assert search.ask()["id"] == "0003"


def test_hyperband_goes_on_with_the_run_of_the_best(tmp_path):
    search = Search(tmp_path / "search", tuner="hyperband", trials=None, epochs=3)
    search.join()
    every = {}
    while search.chief.over is None:
        trial = search.ask()
        every[trial["id"]] = trial
        search.tell(trial)
    assert len(every) == search.job.size()
    continued = [trial for trial in every.values() if trial["continues"]]
    assert continued
    for trial in continued:
        before = next(t for t in every.values() if t["folder"] == trial["continues"])
        assert before["until"] < trial["until"]
        assert before["settings"] == trial["settings"]


def test_a_folder_that_is_not_shared(search):
    search.project.show_shared("b", "of another folder")
    search.project.sees = lambda worker, nonce: False
    with pytest.raises(UserError, match="must be shared by the chief and its workers"):
        search.chief.join("b", "1", "nonce")


def test_a_space_with_nothing_left(tmp_path, monkeypatch):
    space = SearchSpace([SPACE["network"], Hyperparameter("units", "int", low=1, high=2)])
    monkeypatch.setattr(Networks, "space", space)
    search = Search(tmp_path / "search", trials=10)
    search.join()
    for _ in range(2):
        search.tell(search.ask())
    assert search.chief.ask("a", "1") == {"end": "finished"}
    assert len(search.chief.trials) == 2
