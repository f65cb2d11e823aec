"""`HyperDeepRNN` with the tuners of Keras Tuner, on the package's data and on a user's own."""

import pathlib
import re

import keras
import numpy as np
import pytest

from keras_deep_rnn import data
from keras_deep_rnn.data import Dataset
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.config import Settings
from keras_deep_rnn.training.run_folder import Run
from keras_deep_rnn.tuning import Hyperparameter, SearchSpace, paper_space
from keras_deep_rnn.utils.errors import UserError

keras_tuner = pytest.importorskip("keras_tuner")
from keras_deep_rnn.tuning import HyperDeepRNN, seed_from  # noqa: E402

pytestmark = pytest.mark.slow

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "tuning.md"
X = np.random.default_rng(0).normal(size=(16, 5, 3)).astype("float32")
Y = np.cumsum(X[..., :1], axis=1)
DATA = {"validation_data": (X, Y), "verbose": 0}


def small_space(**more):
    given = {"network": ["rnn", "dt_rnn"], "transition_depth": (1, 2), "units": (4, 8)}
    return paper_space(**{**given, "batch_size": [4, 8], **more})


def own(**more):
    """Sums of a sequence of the user's own."""
    # TensorFlow traces a step a second time if the first time has made the variables of a name.
    metric = keras.metrics.MeanAbsoluteError(name="mae")
    given = {"space": small_space(), "settings": {"epochs": 2}, "metric": metric, **more}
    return HyperDeepRNN(input_shape=(None, 3), output=keras.layers.Dense(1), loss="mse", **given)


def music():
    random = np.random.default_rng(0)
    splits = {
        split: [
            np.repeat(random.random((length, 88)) < 0.05, 3, axis=0).astype("uint8")
            for length in lengths
        ]
        for split, lengths in (("train", (3, 2, 3)), ("validation", (3, 2)), ("test", (2, 3)))
    }
    return Dataset("tunes", "piano_roll", splits, "frame", "1", "abc", "made up")


def text():
    tokens = np.arange(200, dtype="int32") % 7
    splits = {"train": [tokens], "validation": [tokens[:50]], "test": [tokens[:50]]}
    vocabulary = tuple("abcdefg")
    return Dataset("letters", "characters", splits, "letter", "1", "abc", "a", "", vocabulary)


def values_of(hyper, **more):
    """The default values of the space with some others."""
    defaults = {name: hyper.space[name].default for name in hyper.space.names}
    return hyper.space.active({**defaults, **more})


def hyperparameters(hyper, **more):
    hp = keras_tuner.HyperParameters()
    hp.values = values_of(hyper, **more)
    return hp


def trained(hyper, *args, **values):
    hp = hyperparameters(hyper, **values)
    return hyper.fit(hp, hyper.build(hp), *args, **(DATA if args else {"verbose": 0}))


def search(tuner, hyper, folder, data=None, **more):
    tuner = tuner(hyper, objective=hyper.objective, seed=seed_from(3), directory=folder, **more)
    tuner.search(**(data or {"x": X, "y": Y, **DATA}))
    trials = list(tuner.oracle.trials.values())
    assert {trial.status for trial in trials} == {"COMPLETED"}
    return tuner, trials


@pytest.mark.parametrize(
    ("tuner", "more", "count"),
    [
        ("RandomSearch", {"max_trials": 2}, 2),
        ("BayesianOptimization", {"max_trials": 3, "num_initial_points": 2}, 3),
    ],
)
def test_search(tmp_path, tuner, more, count):
    hyper = own(space=small_space(units=None), budget=500)
    tuner, trials = search(getattr(keras_tuner, tuner), hyper, tmp_path, **more)
    assert len(trials) == count
    for trial in trials:
        assert abs(hyper.parameters(trial.hyperparameters.values) / 500 - 1) < 0.05
        assert hyper.space.active(trial.hyperparameters.values) == trial.hyperparameters.values
    best = tuner.oracle.get_best_trials(1)[0]
    loaded = tuner.load_model(best).evaluate(X, Y, verbose=0, return_dict=True)
    assert loaded["mae"] == pytest.approx(best.score, rel=1e-6)
    values = best.hyperparameters.values
    model = hyper.network(values)
    assert model.count_params() == hyper.parameters(values)
    again = hyper.fit(best.hyperparameters, model, X, Y, **DATA)
    assert min(again.history["val_mae"]) == best.score


def test_hyperband_goes_on_as_if_it_had_not_stopped(tmp_path):
    """Three epochs in two parts give the numbers of three epochs at once."""
    space = small_space(network="rnn", learning_rate=(1e-3, 3e-3), dropout=0.1, batch_size=2)
    hyper = HyperDeepRNN(music(), space, settings={"epochs": 3})
    more = {"max_epochs": 3, "factor": 3}
    _, trials = search(keras_tuner.Hyperband, hyper, tmp_path, data={"verbose": 0}, **more)
    continued = [t for t in trials if t.hyperparameters.values["tuner/initial_epoch"] > 0]
    assert continued
    for trial in continued:
        values = hyper.space.active(trial.hyperparameters.values)
        at_once = trained(hyper, **values).history["val_frame_nll"]
        np.testing.assert_allclose(trial.score, min(at_once[1:]), rtol=1e-6)


def test_package_data_is_trained_on_its_batches(monkeypatch):
    asked = {}
    monkeypatch.setattr(data, "load", lambda name, **places: asked.update(places) or music())
    space = small_space(units=None, batch_size=2)
    hyper = HyperDeepRNN("tunes", space, manual_dir="here", budget=20_000, settings={"epochs": 2})
    assert asked == {"manual_dir": "here", "data_dir": None}
    assert (hyper.objective.name, hyper.objective.direction) == ("val_frame_nll", "min")
    values = values_of(hyper, network="dt_rnn", transition_depth=2)
    history = trained(hyper, **values).history
    assert len(history["val_frame_nll"]) == 2
    model = hyper.network(values)
    assert model.count_params() == hyper.parameters(values)
    assert abs(model.count_params() / 20_000 - 1) <= 0.02
    sizes = hyper.settings_of(values)
    assert sizes["transition_units"] == (sizes["units"],) * 2
    with pytest.raises(keras_tuner.errors.FatalValueError, match="`x` must be left out"):
        hyper.fit(hyperparameters(hyper), model, X, Y)


def test_a_training_run_has_the_result_of_the_trial(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "load", lambda name, **places: music())
    hyper = HyperDeepRNN("tunes", small_space(batch_size=2), settings={"epochs": 2})
    values = values_of(hyper, network="dt_rnn", transition_depth=2, recurrent_dropout=0.2)
    trial = trained(hyper, **values).history["val_frame_nll"]
    settings = Settings("tunes", **hyper.settings_of(values), seed=hyper.seed_of(values))
    training.train(settings, tmp_path / "run", log=lambda line: None)
    run = [row["val_frame_nll"] for row in Run(tmp_path / "run").history()]
    np.testing.assert_allclose(run, trial, rtol=1e-6)


def test_a_trial_halves_the_rate_as_a_training_run_does(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "load", lambda name, **places: music())
    fixed = {"epochs": 4, "optimizer": "clipped_momentum", "learning_rate": 20.0, "momentum": 0.9}
    hyper = HyperDeepRNN("tunes", small_space(batch_size=2, learning_rate=None), settings=fixed)
    values = values_of(hyper, network="rnn")
    trial = trained(hyper, **values).history["val_frame_nll"]
    settings = Settings("tunes", **hyper.settings_of(values), seed=hyper.seed_of(values))
    training.train(settings, tmp_path / "run", log=lambda line: None)
    rows = Run(tmp_path / "run").history()
    assert rows[-1]["learning_rate"] < 20
    np.testing.assert_allclose([row["val_frame_nll"] for row in rows], trial, rtol=1e-6)


def test_dropout_before_an_output_layer_of_ones_own():
    space = small_space(output_dropout=0.5)
    for more, rate in (({}, 0.5), ({"logits_dropout": 0.2}, 0.2)):
        hyper = own(space=space, settings={"epochs": 1, **more})
        model = hyper.network(values_of(hyper, network="rnn"))
        (dropout,) = (n for n in model.layers if isinstance(n, keras.layers.Dropout))
        assert dropout.rate == rate


def test_text_carries_its_state():
    hyper = HyperDeepRNN(text(), small_space(), settings={"epochs": 1, "bptt_steps": 10})
    assert hyper.objective.name == "val_bits_per_character"
    assert np.isfinite(trained(hyper).history["val_bits_per_character"]).all()


def test_results_follow_from_seed_and_values():
    values = {"network": "rnn", "dropout": 0.2, "recurrent_dropout": 0.3}
    first, second = own(), own()
    trained(second, X, Y, network="dt_rnn")  # another trial before it changes nothing
    history = trained(first, X, Y, **values).history
    assert history == trained(second, X, Y, **values).history
    assert history != trained(own(seed=2), X, Y, **values).history
    second.trial = "again"
    assert history != trained(second, X, Y, **values).history


def test_early_stopping():
    hyper = own(settings={"epochs": 30, "patience": 1, "learning_rate": 1e-9}, space=SearchSpace(
        [Hyperparameter("network", "fixed", value="rnn"), Hyperparameter("units", "fixed", value=4)]
    ))  # fmt: skip
    random = np.random.default_rng(1)
    noise = random.normal(size=Y.shape).astype("float32")
    hp = hyperparameters(hyper)
    history = hyper.fit(hp, hyper.build(hp), X, noise, validation_data=(X, -noise), verbose=0)
    assert len(history.epoch) < 30


def test_a_loss_that_is_no_number_fails_the_trial_with_its_reason(tmp_path):
    space = small_space(network="rnn", learning_rate=(1e30, 1e35), clipnorm=1e30)
    hyper = own(space=space)
    tuner = keras_tuner.RandomSearch(
        hyper, objective=hyper.objective, max_trials=2, directory=tmp_path, seed=seed_from(1)
    )
    tuner.search(X, Y, **DATA)
    for trial in tuner.oracle.trials.values():
        assert trial.status == "FAILED"
        assert re.search(r"FailedTrialError: The loss is (nan|inf) in epoch \d, with learning rate",
                         trial.message)  # fmt: skip


def test_metric_objects_and_single_outputs():
    hyper = own(
        metric=keras.metrics.BinaryAccuracy(name="hits"), direction="max", return_sequences=False
    )
    assert (hyper.objective.name, hyper.objective.direction) == ("val_hits", "max")
    model = hyper.network(values_of(hyper))
    assert model.output_shape == (None, 1)
    assert own(metric=None).objective.name == "val_loss"
    by_name = own(metric="mae", settings={"epochs": 1})
    assert by_name.objective.name == "val_mae"
    assert trained(by_name, X, Y).history.keys() >= {"mae", "val_mae"}


def configurations(space, seed, count=20):
    hp = keras_tuner.HyperParameters()
    space.sample_keras_tuner(hp)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("val_loss", "min"),
        max_trials=count,
        hyperparameters=hp,
        seed=seed_from(seed),
    )
    drawn = [oracle.populate_space(str(i))["values"] for i in range(count)]
    return [tuple(space.active(values).items()) for values in drawn]


def test_seeds_of_searches():
    """The same seed gives the same configurations, and neighbouring seeds have none in common."""
    space = small_space()
    assert configurations(space, 0) == configurations(space, 0)
    every = [trial for seed in range(21) for trial in configurations(space, seed)]
    assert len(set(every)) == len(every) == 21 * 20


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"space": 3}, "`space` must be a SearchSpace, got 3."),
        ({"settings": {"epoch": 2}},
         "`epoch` must be the name of a setting that a search can vary; did you mean 'epochs'?"),
        ({"settings": {"bptt_steps": 2}},
         "`bptt_steps` must be the name of a setting that a search can vary"),
        ({"settings": {"dropout": 0.1}}, "`dropout` must be either searched or fixed, got both."),
        ({"settings": {"epochs": 0}}, "`epochs` must be a positive integer, got 0."),
        ({"seed": None}, "`seed` must be a non-negative integer, got None."),
        ({"budget": 500}, "`units` must be left out of the space: the budget decides it."),
        ({"budget": 500, "space": small_space(units=None), "settings": {"deep_units": 3}},
         "`deep_units` must be left out of the settings: the budget decides it."),
        ({"return_sequences": 1}, "`return_sequences` must be True or False, got 1."),
        ({"budget": 3, "space": small_space(units=None)}, "`budget` must be within 5% of"),
        ({"direction": "up"}, "`direction` must be one of 'min', 'max', got 'up'."),
        ({"metric": 3}, "`metric` must be a name or a Keras metric, got 3."),
        ({"data": "bach_chorales"}, "Pass either `data`, or `input_shape`"),
    ],
)  # fmt: skip
def test_bad_arguments(arguments, line):
    with pytest.raises(UserError) as error:
        own(**arguments)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_data_set_that_is_not_there():
    with pytest.raises(UserError, match="`data` must be a data set .*did you mean 'bach_chorales'"):
        HyperDeepRNN("bach_chorale")


def test_what_the_space_leaves_out_has_its_default():
    hyper = own(space=SearchSpace([Hyperparameter("dropout", "fixed", value=0.1)]), settings={})
    chosen = hyper.settings_of({"dropout": 0.1})
    assert chosen == {"network": "dots_rnn", "units": 400, "dropout": 0.1}
    assert hyper.parameters({"dropout": 0.1}) == hyper.network({"dropout": 0.1}).count_params()


def test_a_search_without_validation_data_ends_at_once(tmp_path):
    hyper = own()
    tuner = keras_tuner.RandomSearch(
        hyper, objective=hyper.objective, max_trials=2, directory=tmp_path
    )
    with pytest.raises(keras_tuner.errors.FatalValueError, match="`validation_data` must be given"):
        tuner.search(X, Y, verbose=0)


def sparse(count=4, **more):
    """A classification of a user's own; y has class indices."""
    given = {"output": keras.layers.Dense(count), "metric": None, "space": small_space(), **more}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return HyperDeepRNN(
        **{"input_shape": (None, 3), "loss": loss, "settings": {"epochs": 1}, **given}
    )


class Batches(keras.utils.PyDataset):
    """Batches that a user makes."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.x[8 * index : 8 * index + 8], self.y[8 * index : 8 * index + 8]


def batches(kind, x, y):
    """x and y as arguments of `fit` for the training, and as a value of `validation_data`."""
    if kind == "arrays":
        return {"x": x, "y": y}, (x, y)
    if kind == "PyDataset":
        return {"x": Batches(x, y)}, Batches(x, y)
    tensorflow = pytest.importorskip("tensorflow")
    made = tensorflow.data.Dataset.from_tensor_slices((x, y)).batch(8)
    return {"x": made, "shuffle": False}, made  # Keras warns of its own default


CLASSES = (Y[..., 0] > 0).astype("int32")


@pytest.mark.parametrize(
    ("kind", "make", "return_sequences", "y"),
    [
        ("arrays", own, True, Y[:, -1]),
        ("PyDataset", own, True, Y[:, -1]),
        ("tf.data.Dataset", own, True, Y[:, -1]),
        ("arrays", own, True, Y[:, -1, 0]),
        ("arrays", own, False, Y),
        ("arrays", sparse, True, CLASSES[:, -1]),
        ("arrays", sparse, True, CLASSES[:, -1:]),
        ("tf.data.Dataset", sparse, False, CLASSES[..., None]),
    ],
)
def test_a_search_for_targets_of_another_rank_ends_before_its_first_trial(
    tmp_path, kind, make, return_sequences, y
):
    """Keras would broadcast y (B, 1) against an output of (B, T, 1)."""
    hyper = make(return_sequences=return_sequences)
    tuner = keras_tuner.RandomSearch(
        hyper, objective=hyper.objective, max_trials=2, directory=tmp_path
    )
    training, validation = batches(kind, X, y)
    mend = rf"set return_sequences={not return_sequences}\."
    line = f"`y` must have the shape of the model.s output.* {mend}"
    with pytest.raises(keras_tuner.errors.FatalValueError, match=line) as error:
        tuner.search(**training, validation_data=validation, verbose=0)
    assert "\n" not in str(error.value)
    (trial,) = tuner.oracle.trials.values()
    assert not trial.metrics.metrics


@pytest.mark.parametrize(
    ("kind", "make", "return_sequences", "y"),
    [
        ("arrays", own, True, Y),
        ("PyDataset", own, True, Y),
        ("tf.data.Dataset", own, True, Y),
        ("tf.data.Dataset", own, True, Y[..., 0]),
        ("arrays", own, False, Y[:, -1]),
        ("arrays", own, False, Y[:, -1, 0]),
        ("arrays", sparse, True, CLASSES),
        ("arrays", sparse, True, CLASSES[..., None]),
        ("PyDataset", sparse, False, CLASSES[:, -1]),
    ],
)
def test_targets_of_the_ranks_that_keras_takes(kind, make, return_sequences, y):
    hyper = make(return_sequences=return_sequences, settings={"epochs": 1})
    training, validation = batches(kind, X, y)
    hp = hyperparameters(hyper)
    history = hyper.fit(hp, hyper.build(hp), **training, validation_data=validation, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()


def test_a_custom_loss_takes_targets_of_any_rank():
    def last(y_true, y_pred):
        return keras.ops.square(y_true - y_pred[:, -1])

    hyper = HyperDeepRNN(
        input_shape=(None, 3),
        output=keras.layers.Dense(1),
        loss=last,
        space=small_space(),
        settings={"epochs": 1},
    )
    hp, y = hyperparameters(hyper), Y[:, -1]
    history = hyper.fit(hp, hyper.build(hp), X, y, validation_data=(X, y), verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()


def test_examples_of_the_documentation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert len(examples) > 2
    names = {}
    for example in examples:
        exec(compile(example, str(DOCS), "exec"), names)
    assert {trial.status for trial in names["tuner"].oracle.trials.values()} == {"COMPLETED"}
    assert len(names["study"].trials) == 2
