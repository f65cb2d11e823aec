"""The line of an epoch, progress within it, and averages of the weights."""

import itertools
import math
import types

import keras
import numpy as np
import pytest

from keras_deep_rnn.training.callbacks import (
    LINE,
    AveragedWeights,
    Backup,
    Halving,
    Progress,
    epoch_line,
)
from keras_deep_rnn.utils.keras_compat import averages


@pytest.mark.parametrize("epochs", [3, 60, 900, 1000])
def test_a_line_has_room_in_80_columns(epochs):
    numbers = (0.1234567, 8.4848, 123.456789, 9999.99, 54321.0, 1e-9, 1234567.0, math.nan, math.inf)
    times = (0.04, 59.96, 1234.5, 90_000.0)
    for loss, result, seconds, left in itertools.product(numbers, numbers, times, times):
        line = epoch_line(epochs, epochs, loss, result, (result, epochs), seconds, left)
        assert len(line) <= LINE
        assert line.endswith(" left") or 1234567.0 in (loss, result)


def test_only_where_there_is_no_room_the_seconds_are_left_out():
    short = epoch_line(1, 9, 1.0, 1.0, (1.0, 1), 12.3, 60)
    assert short == "epoch 1/9  loss 1.0000  val 1.0000  best 1.0000 in 1  12.3 s  0:01:00 left"
    assert epoch_line(100, 900, 0.123456, 0.123456, (0.123456, 99), 1234.5, 900_000) == (
        "epoch 100/900  loss 0.1235  val 0.1235  best 0.1235 in 99  250:00:00 left"
    )


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_every_batch_of_training_and_validation_is_a_step(error):
    """The progress of an epoch is over before its line is shown, and when it is interrupted."""
    shown = []

    def progress(steps, what):
        shown.append(what)
        for step in steps:
            shown.append(step)
            yield step
        shown.append("over")

    stopping = keras.callbacks.EarlyStopping("val_loss", mode="min")
    callback = Progress(stopping, 4 + 2, shown.append, progress)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    def stop(batch, logs):
        if error is not None and batch == 2:
            raise error

    x, y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")
    options = {"batch_size": 2, "epochs": 2, "verbose": 0, "validation_data": (x[:4], y[:4])}
    callbacks = [stopping, callback, keras.callbacks.LambdaCallback(on_train_batch_end=stop)]
    if error is None:
        model.fit(x, y, callbacks=callbacks, **options)
        steps = [*range(6), "over"]
        assert shown[:8] == ["epoch 1/2", *steps]
        assert shown[8].startswith("epoch 1/2  loss ")
        assert shown[9:17] == ["epoch 2/2", *steps]
        assert len(shown) == 18
    else:
        with pytest.raises(error):
            model.fit(x, y, callbacks=callbacks, **options)
        assert shown == ["epoch 1/2", 0, 1, 2, 3]
        callback.close()
        assert shown[-1] == "over"


@pytest.mark.parametrize(
    ("result", "halved"),
    [
        (1.9, False),
        (2.0, False),
        (2.0003, False),
        (2.0005, True),
        (math.inf, True),
        (math.nan, False),
    ],
)
@pytest.mark.parametrize("ema", [False, True])
def test_a_worse_epoch_halves_the_rate_and_brings_back_the_best_weights(result, halved, ema):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.5, use_ema=ema), "mse")
    model.optimizer.build(model.trainable_variables)
    model.set_weights([np.array([[3.0]])])
    stopping = keras.callbacks.EarlyStopping("val_loss", mode="min")
    stopping.best, stopping.best_weights = 2.0, [np.array([[7.0]])]
    callback = Halving(stopping, 1.0002)
    callback.set_model(model)
    callback.on_epoch_end(3, {"val_loss": result})
    found = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    assert (found, model.get_weights()[0].item()) == ((0.25, 7.0) if halved else (0.5, 3.0))
    if ema:
        (average,) = averages(model.optimizer)
        assert (keras.ops.convert_to_numpy(average).item() == 7.0) == bool(halved)


def test_without_an_epoch_there_is_nothing_to_close():
    shown = []
    Progress(types.SimpleNamespace(), 3, shown.append).close()
    assert shown == []


def weight_of_a_slope(path, epochs, begin=0):
    """Fits w x, whose loss falls by the rate of 0.1 with each of four updates an epoch.

    Returns the history and the weight that is left, that of the best validation result.
    """
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.75)
    model.compile(optimizer, loss=lambda y_true, y_pred: y_pred)
    model.optimizer.build(model.trainable_variables)
    stopping = keras.callbacks.EarlyStopping("val_loss", mode="min", restore_best_weights=True)
    callbacks = [AveragedWeights(exchanged=begin > 0), stopping, Backup(path, stopping)]
    ones = np.ones((4, 1), "float32")
    options = {"batch_size": 1, "verbose": 0, "validation_data": (ones, ones)}
    fitted = model.fit(
        ones, ones, initial_epoch=begin, epochs=epochs, callbacks=callbacks, **options
    )
    return fitted.history, model.get_weights()[0].item()


def test_validation_sees_averages_and_training_goes_on_with_the_weights(tmp_path):
    weights = -0.1 * np.arange(1, 13)
    averages = [weights[0]]
    for weight in weights[1:]:
        averages.append(0.75 * averages[-1] + 0.25 * weight)
    history, left = weight_of_a_slope(tmp_path / "whole.npz", 3)
    np.testing.assert_allclose(history["val_loss"], averages[3::4], rtol=1e-5)
    # The loss of a batch is that before its update.
    before = np.concatenate([[0.0], weights[:-1]]).reshape(3, 4)
    np.testing.assert_allclose(history["loss"], before.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(left, averages[-1], rtol=1e-5)


def test_averages_go_on_after_the_end_of_an_epoch(tmp_path):
    whole = weight_of_a_slope(tmp_path / "whole.npz", 3)
    weight_of_a_slope(tmp_path / "cut.npz", 2)
    history, left = weight_of_a_slope(tmp_path / "cut.npz", 3, begin=2)
    assert left == whole[1]
    assert history["val_loss"] == whole[0]["val_loss"][2:]
