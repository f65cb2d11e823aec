"""Data-parallel training: each device has a share of every batch."""

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

import keras

from ..utils.errors import ArgumentError, UserError
from ..utils.validation import positive_integer

# Names a variable of the environment of each process of a training over several processes; the
# others are those of `keras.distribution.initialize` too.
ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"


@contextlib.contextmanager
def data_parallel(devices: int) -> Iterator[None]:
    """Trains the networks that are made in the block on several devices, of all processes.

    Several processes, on one machine or several, run the same training, each with a run folder of
    its own: they compute the same, and each can be resumed. The variables of the environment of
    `keras.distribution.initialize` say that there are several.

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
    _join_processes()
    found = keras.distribution.list_devices()
    if devices > len(found):
        raise ArgumentError("devices", f"at most {len(found)}, those of this machine", devices)
    distribution = keras.distribution.DataParallel(
        devices=found[:devices], auto_shard_dataset=False
    )
    with _distribution(distribution):
        yield


def on_one_device() -> contextlib.AbstractContextManager[None]:
    """Computes in the block what each process computes by itself."""
    return _distribution(None)


@contextlib.contextmanager
def _distribution(distribution: Any) -> Iterator[None]:
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(distribution)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


@functools.cache
def _join_processes() -> tuple[int, int]:
    """The number of this process and of all; the first call joins them."""
    if ADDRESSES not in os.environ:
        return 0, 1
    keras.distribution.initialize()
    import jax

    return jax.process_index(), jax.process_count()


class OfThisProcess(keras.utils.PyDataset):
    """The rows of each batch that belong to this process.

    Args:
        batches: Batches of all processes.
    """

    def __init__(self, batches: Any) -> None:
        super().__init__()
        self.batches = batches
        self.process, self.processes = _join_processes()

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        def rows(array: Any) -> Any:
            size = len(array) // self.processes
            return array[self.process * size : (self.process + 1) * size]

        return keras.tree.map_structure(rows, self.batches[index])

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch."""
        self.batches.on_epoch_end()


def of_this_process(batches: Any) -> Any:
    """The batches of a training: whole, or in one of several processes its rows of each."""
    if keras.distribution.distribution() is None or _join_processes()[1] == 1:
        return batches
    return OfThisProcess(batches)


def check_rows(batch_size: int, devices: int) -> None:
    """Refuses batches that cannot be shared out evenly."""
    if batch_size % devices:
        raise ArgumentError("batch_size", f"a multiple of {devices}, the devices", batch_size)
