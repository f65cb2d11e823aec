"""A network with the joint distribution of a frame's keys is evaluated by its exact likelihood."""

import keras
import numpy as np
import pytest
from made_up_runs import dataset
from scipy.special import expit

from keras_deep_rnn.training.evaluate import StepwiseModel, evaluate
from keras_deep_rnn.training.models import before_joint_output, build_network

JOINT = {"kind": "piano_roll", "features": 88, "units": 6, "output": "nade", "nade_units": 5}


def network(**options):
    """A network whose keys depend much on one another."""
    keras.utils.set_random_seed(0)
    model = build_network("dots_rnn", **JOINT, output_bias=-2.0, **options)
    random, nade = np.random.default_rng(0), before_joint_output(model)[1]
    for weight in (nade.unit_to_hidden, nade.hidden_to_unit):
        weight.assign(random.normal(size=weight.shape))
    return model


def nats_of(model, piece):
    """-log p of each frame: conditional probabilities, key by key."""
    before, nade = before_joint_output(model)
    x = np.concatenate([np.zeros((1, 88)), piece[:-1]])[None].astype("float32")
    parameters = nade.parameters(before.predict({"x": x}, verbose=0)[0])
    parameters, W, V = (
        keras.ops.convert_to_numpy(value).astype("float64")
        for value in (parameters, nade.unit_to_hidden, nade.hidden_to_unit)
    )
    nats = np.zeros(len(piece))
    for t, v in enumerate(piece):
        a = parameters[t, 88:].copy()
        for i in range(88):
            p = expit(parameters[t, i] + V[i] @ expit(a))
            nats[t] -= np.log(p if v[i] else 1 - p)
            a += v[i] * W[i]
    return nats


@pytest.mark.slow
def test_the_metrics_are_of_the_joint_distribution():
    """All four definitions of nats a frame, piece by piece; and one frame at a time."""
    roll, model = dataset("piano_roll"), network()
    nats = [nats_of(model, piece) for piece in roll.splits["test"]]
    later = [piece[1:] for piece in nats]
    found = evaluate(model, roll, "test", batch_size=3)
    assert found == pytest.approx(
        {
            "frame_nll": np.concatenate(later).mean(),
            "sequence_nll": np.mean([piece.mean() for piece in later]),
            "frame_nll_from_1": np.concatenate(nats).mean(),
            "sequence_nll_from_1": np.mean([piece.mean() for piece in nats]),
            "count": sum(map(len, roll.splits["test"])),
        },
        rel=1e-5,
    )
    stateful = network(stateful=True, batch_size=1)
    stateful.set_weights(model.get_weights())
    stepwise = evaluate(StepwiseModel(stateful), roll, "test", batch_size=1)
    assert stepwise == pytest.approx(found, rel=1e-5)


@pytest.mark.slow
def test_the_part_before_the_joint_output():
    """It shares the layers, as often as it is asked for; and the model stays as it is."""
    model = network(weight_noise=0.1)
    x = np.random.default_rng(0).random((2, 3, 88)) < 0.1
    given = {"x": x.astype("float32"), "target": np.roll(x, -1, 1).astype("float32")}
    whole = model.predict(given, verbose=0)
    for _ in range(2):
        before, nade = before_joint_output(model)
        parameters = nade.parameters(before.predict({"x": given["x"]}, verbose=0))
        logits = nade.conditional_logits(parameters, given["target"])
        np.testing.assert_allclose(keras.ops.convert_to_numpy(logits), whole, atol=1e-5)
    np.testing.assert_array_equal(model.predict(given, verbose=0), whole)
    assert (
        before_joint_output(build_network("rnn", kind="piano_roll", features=88, units=3)) is None
    )
