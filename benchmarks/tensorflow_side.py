"""The contestants that run on TensorFlow."""

import keras
import numpy as np
import tensorflow as tf

from . import epochs
from .network import LAYERS, RATE, build, ours, products

CALLS = 200  # single steps are too short to be timed one by one


def facts():
    """What is known about the framework."""
    return {
        "tensorflow": tf.__version__,
        "devices": [device.name for device in tf.config.list_logical_devices()],
    }


def make(name, case):
    """A function that runs a contestant once and gives the loss, and the calls that are in it."""
    if case.mode == "fit":
        return epochs.make(name, case), 1
    if case.mode == "step":
        return STEPS[name](case)
    if name == "matmul":
        return products(name, _full, tf.matmul)
    return _loss(name, case), 1


def _loss(name, case):
    layer, x, y, mask = build(name, case)
    x, y = tf.constant(x), tf.constant(y)
    options = {} if mask is None else {"mask": tf.constant(mask)}
    train = case.mode == "train"
    variables = layer.trainable_variables
    optimizer = keras.optimizers.SGD(RATE)
    optimizer.build(variables)

    def loss(x, y, options):
        return tf.reduce_mean(tf.square(layer(x, training=train, **options) - y))

    def step(x, y, options):
        if not train:
            return loss(x, y, options)
        with tf.GradientTape() as tape:
            value = loss(x, y, options)
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables))
        return value

    step = tf.function(step, jit_compile=LAYERS[name].xla)
    return lambda: float(step(x, y, options))


def _full(shape, number, dtype):
    return tf.fill(shape, tf.constant(number, dtype))


def _first_step(case):
    """The layer, x(1) and h(0), and a function to the loss from a function to h(1)."""
    layer, x, _, _ = build("ours", case)
    h = np.random.default_rng(case.seed).normal(size=(case.B, case.H)).astype("float32")
    return layer, x[:, 0], h


def _online(call, calls):
    """`calls` calls one after the other, each waiting for its result as online inference does."""

    def run():
        for _ in range(calls):
            h = np.asarray(call())
        return float(np.mean(np.square(h)))

    return run, calls


def _layer_step(case):
    layer, x, h = _first_step(case)
    x, h = tf.constant(x), tf.constant(h)
    return _online(lambda: layer.step(x, [h])[0], CALLS)


def _stepper(case):
    layer, x, h = _first_step(case)
    step = layer.stepper()
    return _online(lambda: step(x, [h])[0], CALLS)


def _by_hand(case):
    _, x, h = _first_step(case)
    U, *weights = (tf.constant(weight) for weight in case.weights())
    x, h = tf.constant(x), tf.constant(h)

    @tf.function
    def step(x, h):
        W, b, *rest = weights
        a = tf.tanh(x @ U + h @ W + b)
        while rest:
            W, S, b, *rest = rest
            a = tf.tanh(a @ W + h @ S + b)
        return a

    return _online(lambda: step(x, h), CALLS)


def _predict(case):
    _, x, h = _first_step(case)
    inputs = [keras.Input((1, case.D)), keras.Input((case.H,))]
    layer = ours(case)
    model = keras.Model(inputs, layer(inputs[0], initial_state=inputs[1])[:, -1])
    layer.set_weights(case.weights())
    return _online(lambda: model.predict([x[:, None], h], verbose=0), 3)


STEPS = {
    "layer.step": _layer_step,
    "layer.stepper": _stepper,
    "tf.function": _by_hand,
    "model.predict": _predict,
}
