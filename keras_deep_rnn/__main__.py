"""The command `deep-rnn`, also `python -m keras_deep_rnn`."""

import sys

from .utils.errors import missing_extra


def main() -> None:
    """Runs the command line, or says how to install what it is made with."""
    try:
        from .cli.main import main as run
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        print(missing_extra("typer", "cli"), file=sys.stderr)
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
