"""Data-parallel training: each device has a share of every batch."""

import contextlib
from collections.abc import Iterator

import keras

from ..utils.errors import ArgumentError, UserError
from ..utils.validation import positive_integer


@contextlib.contextmanager
def data_parallel(devices: int) -> Iterator[None]:
    """Trains the networks that are made in the block on several devices of this machine.

    JAX computes what one device computes with the whole batch, clipping and dropout included, and
    splits the rows: `keras.distribution.DataParallel`. Under `tf.distribute` each replica would
    clip the gradient of its own rows and average over its own frames, which is another training.

    Args:
        devices: Number of devices; 1 for the default one.

    Raises:
        ArgumentError: There are fewer devices, or the backend is not JAX.
        UserError: A strategy of `tf.distribute` is in use.

    Example:

    >>> with data_parallel(1):
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.distribute.has_strategy():
            raise UserError(
                "Cannot train under tf.distribute, where each replica clips and averages by "
                "itself: use devices (--devices) with KERAS_BACKEND=jax."
            )
    if positive_integer("devices", devices) == 1:
        yield
        return
    if backend != "jax":
        raise ArgumentError("devices", f"1 with {backend}", devices, "; set KERAS_BACKEND=jax.")
    found = keras.distribution.list_devices()
    if devices > len(found):
        raise ArgumentError("devices", f"at most {len(found)}, those of this machine", devices)
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=found[:devices]))
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def check_rows(batch_size: int, devices: int) -> None:
    """Refuses batches that cannot be shared out evenly."""
    if batch_size % devices:
        raise ArgumentError("batch_size", f"a multiple of {devices}, the devices", batch_size)
