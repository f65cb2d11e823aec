"""What the commands share: the start of Keras, progress bars, tables."""

import logging
import os
import re
import tempfile
from collections.abc import Iterable, Sequence

from ..utils.errors import UserError, first_line

# Columns of text where there is no terminal that says how many it has.
WIDTH = 160


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


def progress(steps: Iterable[int]) -> Iterable[int]:
    """A bar for long work, on a terminal only."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    quiet = not console.is_terminal
    return track(steps, "measuring", console=console, transient=True, disable=quiet)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table; its first row says which columns hold numbers."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left")
    for i, column in enumerate(columns):
        number = rows and re.fullmatch(r"[\d.,]+", str(rows[0][i]))
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)
