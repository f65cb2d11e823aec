"""Loads `.keras` files that make no more than they hold."""

import contextlib
import io
import math
from collections.abc import Callable
from typing import Any, cast

import h5py
import keras

from .files import open_zip, parse_json, verify_stored
from .keras_compat import without_variables
from .limits import MAX_JSON_BYTES
from .types import PathLike

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
BYTES = {"float16": 2, "bfloat16": 2, "float64": 8, "int64": 8, "uint64": 8, "int8": 1, "uint8": 1}


def load_model(path: PathLike) -> keras.Model:
    """Loads the model of a `.keras` file, uncompiled.

    A file can hold Python code, which Keras runs only without `safe_mode`.

    Raises:
        ValueError: The file is too small for what it declares: its members, its arrays, or the
            weights of the network in its configuration.
        Exception: Of many kinds, of zip, HDF5, JSON or Keras; the file is corrupt, or needs
            Python code or a class that is not here.
    """
    with open_zip(path, stored=True) as archive:
        if archive.getinfo(CONFIG).file_size > MAX_JSON_BYTES:
            raise ValueError(f"its {CONFIG} has more than {MAX_JSON_BYTES // 10**6} MB, the limit")
        config = parse_json(archive.read(CONFIG))
        if WEIGHTS in archive.namelist():
            with h5py.File(io.BytesIO(archive.read(WEIGHTS))) as file:
                verify_stored("its arrays", _array_bytes(file), path)

    def build() -> keras.Model:
        return keras.saving.deserialize_keras_object(
            {**config, "compile_config": None}, safe_mode=True
        )

    # What cannot be built is left to Keras, which then says why.
    size = 0
    with contextlib.suppress(Exception):
        size = weight_bytes(build)
    verify_stored("the weights of its network", size, path)
    return cast(keras.Model, keras.saving.load_model(path, compile=False, safe_mode=True))


def verify_weights(build: Callable[[], keras.Model], path: PathLike) -> None:
    """Verifies that a `.keras` file can hold the weights of a network, before they are made.

    Raises:
        ValueError: It is too small for them.
    """
    verify_stored("the weights of its network", weight_bytes(build), path)


def weight_bytes(build: Callable[[], keras.Model]) -> int:
    """Bytes of the weights of the network that `build` makes; they are not made.

    Example:

    >>> def build():
    ...     return keras.Sequential([keras.Input((10**6,)), keras.layers.Dense(10**6)])
    >>> weight_bytes(build)
    4000004000000
    """
    with without_variables():
        variables = build().variables
    return sum(math.prod(v.shape) * BYTES.get(v.dtype, 4) for v in variables)


def _array_bytes(file: h5py.File) -> int:
    sizes = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(cast(Any, item).nbytes)

    file.visititems(visit)
    return sum(sizes)
