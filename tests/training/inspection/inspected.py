"""Models for the tests of `inspect`."""

import keras
import numpy as np

from keras_deep_rnn import DeepTransitionRNN


def x_of(batch=2, steps=7, features=3, seed=0):
    return np.random.default_rng(seed).normal(size=(batch, steps, features)).astype("float32")


def model_of(layer, *after, features=3):
    return keras.Sequential([keras.Input((None, features)), layer, *after])


def linear(a, units=4, **options):
    """h(t) = a h(t-1) + x(t) U, without a bias."""
    return DeepTransitionRNN(
        units,
        activation="linear",
        recurrent_initializer=keras.initializers.Identity(a),
        use_bias=False,
        **options,
    )
