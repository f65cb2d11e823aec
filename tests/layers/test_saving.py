"""Saved in one process, loaded in a fresh one with only `import keras_deep_rnn`."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from descriptors import EVERY, D, H, randomize, sequences

import keras_deep_rnn as kdr

LOADER = """
import sys
import keras
import numpy as np
import keras_deep_rnn
for path in sys.argv[1:]:
    model = keras.models.load_model(path)
    x = np.load(path + ".x.npy")
    np.save(path + ".y.npy", keras.ops.convert_to_numpy(model(x)))
"""


def models():
    """Every layer and cell, bare, in `RNN` and in `Bidirectional`, and every kind of option."""
    for network in EVERY:
        yield f"{network}_layer", network.make_layer(return_sequences=True)
        yield f"{network}_cell", keras.layers.RNN(network.make_cell())
        yield f"{network}_both", keras.layers.Bidirectional(network.make_layer())
        cell_both = keras.layers.Bidirectional(keras.layers.RNN(network.make_cell()))
        yield f"{network}_cell_both", cell_both
    options = {
        "activation": kdr.LpUnit(pieces=2),
        "output_activation": kdr.Maxout(pieces=3),
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.3, seed=4),
        "recurrent_initializer": kdr.SparseInitializer(nonzeros=2, singular_value=0.9),
        "shortcut_initializer": keras.initializers.Orthogonal(gain=0.5),
        "bias_initializer": keras.initializers.Constant(0.1),
        "kernel_regularizer": keras.regularizers.L1L2(l1=0.01, l2=0.02),
        "recurrent_constraint": keras.constraints.MaxNorm(3.0, axis=1),
        "dropout": 0.1,
        "recurrent_dropout": 0.2,
        "output_dropout": 0.3,
        "seed": 11,
        "zero_output_for_mask": True,
        "go_backwards": True,
    }
    dots = {"transition_units": (4,), "output_units": (7,), "shortcut": True, "input_to": "all"}
    yield "options", kdr.DeepOutputTransitionRNN(H, **dots, **options)
    yield "leaky", kdr.DeepTransitionRNN(H, activation=keras.layers.LeakyReLU(0.2))
    yield "stateful", kdr.StackedRNN(units=(H, 4), stateful=True)
    yield "operators", kdr.DeepRNN(kdr.Plus(H, transition_units=(4,)), kdr.Predict((7,)), seed=5)
    yield "keras_levels", kdr.StackedRNN([keras.layers.LSTMCell(4), kdr.DeepTransitionRNNCell(H)])
    yield "noisy", kdr.WeightNoise(kdr.DeepTransitionRNN(H), 0.05)


@pytest.mark.process
def test_every_layer_in_a_fresh_process(tmp_path):
    expected = {}
    x = sequences()
    for name, layer in models():
        inputs = keras.Input((None, D), batch_size=3)
        model = keras.Model(inputs, layer(inputs))
        randomize(model, scale=0.4)
        path = str(tmp_path / f"{name}.keras")
        model.save(path)
        np.save(f"{path}.x.npy", x)
        expected[path] = keras.ops.convert_to_numpy(model(x))
    command = [sys.executable, "-W", "ignore", "-c", LOADER, *expected]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    for path, y in expected.items():
        np.testing.assert_array_equal(np.load(f"{path}.y.npy"), y, err_msg=path)


@pytest.mark.slow
@pytest.mark.parametrize("name_and_layer", list(models()), ids=lambda pair: pair[0])
def test_config_round_trip(name_and_layer):
    layer = name_and_layer[1]
    config = layer.get_config()
    through_json = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    copy = keras.saving.deserialize_keras_object(through_json)

    def without_names(value):
        if isinstance(value, dict):
            names = value.keys() - {"name", "build_config"}
            return {name: without_names(value[name]) for name in names}
        if isinstance(value, (list, tuple)):
            return [without_names(v) for v in value]
        return value

    assert without_names(copy.get_config()) == without_names(config)


@pytest.mark.slow
@pytest.mark.parametrize("network", EVERY, ids=str)
def test_seed_survives(network):
    layer = network.make_layer(seed=9, dropout=0.5)
    copy = type(layer).from_config(layer.get_config())
    x = sequences()
    layer.build(x.shape)
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    one, other = (keras.ops.convert_to_numpy(f(x, training=True)) for f in (layer, copy))
    np.testing.assert_array_equal(one, other)
