"""The start of Keras and its backend."""

import contextlib
import functools
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator

from .errors import UserError, first_line
from .imports import around_import

# What TensorFlow's libraries log as they are loaded, before they look at TF_CPP_MIN_LOG_LEVEL, and
# those of LiteRT and Ray, which do not look at it.
_LOG = re.compile(
    r"WARNING: All log messages before absl|To enable the following instructions: "
    r"|INFO: Created TensorFlow Lite "
    r"|\[\d{4}-\d\d-\d\d [\d:,]+ [IWE] \d+ \d+\] "
    r"|[IWE]\d{4} \d\d:\d\d:|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] "
)


def start_backend() -> None:
    """Imports Keras and its backend, without the log of TensorFlow on stderr.

    Keras imports TensorFlow beside JAX and PyTorch too, at some later time. Whoever wants to see
    its log sets TF_CPP_MIN_LOG_LEVEL to 0.

    Raises:
        UserError: KERAS_BACKEND names no backend that can train, or one that is not installed.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0":
        logging.getLogger("absl").setLevel(logging.ERROR)
        _silence_tensorflow()
    try:
        import keras
    except ModuleNotFoundError as error:
        raise UserError(
            f"Keras's backend `{error.name}` is not installed: pip install "
            "'keras-deep-rnn[tensorflow-cpu]', or set KERAS_BACKEND to jax or torch."
        ) from None
    except ValueError as error:
        reason = first_line(error)
        raise UserError(f"KERAS_BACKEND must be tensorflow, jax or torch: {reason}.") from None
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax", "torch"):
        raise UserError(f"KERAS_BACKEND must be tensorflow, jax or torch, got {backend}.")


@functools.cache
def use_threads(count: int) -> None:
    """Imports the backend and lets it use that many threads, however many cores it sees."""
    # Of JAX, which reads it once.
    os.environ["NPROC"] = str(count)
    start_backend()
    import keras

    if keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(count)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_inter_op_parallelism_threads(count)
        tf.config.threading.set_intra_op_parallelism_threads(count)


def accelerator() -> str | None:
    """The name of the accelerator that the backend uses; None on a processor."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return None if jax.default_backend() == "cpu" else jax.devices()[0].device_kind
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    if not found:
        return None
    return tf.config.experimental.get_device_details(found[0]).get("device_name", "GPU")


@functools.cache
def _silence_tensorflow() -> None:
    if "tensorflow" not in sys.modules:
        around_import("tensorflow", without_log)


@contextlib.contextmanager
def without_log() -> Iterator[None]:
    """Takes the lines of TensorFlow's log out of stderr; what else was written follows at the end.

    The libraries write to the file descriptor, so that replacing `sys.stderr` would not do.
    """
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written:
                if not _LOG.match(line.decode(errors="replace")):
                    os.write(2, line)
