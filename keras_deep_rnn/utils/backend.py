"""The start of Keras and its backend."""

import logging
import os
import tempfile

from .errors import UserError, first_line


def start_backend() -> None:
    """Imports Keras and its backend, without the lines that TensorFlow prints as it starts."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").setLevel(logging.ERROR)
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
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
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax", "torch"):
        raise UserError(f"KERAS_BACKEND must be tensorflow, jax or torch, got {backend}.")
