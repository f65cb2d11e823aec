"""A sample of every network that `deep-rnn reproduce` has trained: music and its picture, or text.

    python examples/sample.py --runs runs/reproduce --out samples

Of each experiment the run with the best validation result is taken. Its music goes to
<out>/<task>/<network>-<recipe>.mid and .png, its text to .txt.
"""

import argparse
import sys
from pathlib import Path

from keras_deep_rnn.utils.backend import start_backend
from keras_deep_rnn.utils.errors import UserError

# How long a sample is, in frames, characters or words: music of about half a minute.
LENGTH = {"piano_roll": 96, "characters": 600, "words": 150}
# A little below 1: the best networks still give every frame too many wrong notes to be likely.
TEMPERATURE = 0.8


def finished(runs):
    """The best finished run of each experiment: {"<task>/<network>-<recipe>": Run}.

    Args:
        runs: The folder of the run folders of `deep-rnn reproduce`.
    """
    from keras_deep_rnn.training.run_folder import METRICS, Run

    best = {}
    for path in sorted(Path(runs).glob(f"*/*/seed-*/{METRICS}")):
        run = Run(path.parent)
        metrics, name = run.metrics, "/".join(path.parts[-4:-2])
        number = metrics["splits"]["validation"][metrics["primary"]]
        if name not in best or number < best[name][0]:
            best[name] = (number, run)
    return {name: run for name, (_, run) in best.items()}


def sample(runs, out, *, seed=1, temperature=TEMPERATURE, lengths=LENGTH, log=print):
    """Draws from the best run of each experiment and writes what comes.

    Args:
        runs: The folder of the run folders of `deep-rnn reproduce`.
        out: Folder to write to; it is made.
        seed: Seed of the draws.
        temperature: Below 1: more of what is likely.
        lengths: Steps to draw, by the kind of data.
        log: Called with one line at a time.

    Returns:
        List of the paths written.

    Raises:
        UserError: There is no finished run.
    """
    from keras_deep_rnn.training.sample import generate

    found = finished(runs)
    if not found:
        raise UserError(f"`runs` must hold finished runs of deep-rnn reproduce, got {str(runs)!r}.")
    written = []
    for name, run in found.items():
        kind = run.config["data"]["kind"]
        path = Path(out, f"{name}{'.mid' if kind == 'piano_roll' else '.txt'}")
        path.parent.mkdir(parents=True, exist_ok=True)
        drawing = {"length": lengths[kind], "temperature": temperature, "seed": seed}
        written += generate(run.path, path, **drawing, log=lambda text: None)
        log(f"{name}: {path}")
    return written


def main(arguments=None):
    """Reads the command line; a mistake ends as one line and exit code 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", default="runs/reproduce", help="folder of the run folders")
    parser.add_argument("--out", default="samples", help="folder to write to")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--temperature", type=float, default=TEMPERATURE)
    options = parser.parse_args(arguments)
    try:
        start_backend()
        sample(**vars(options))
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
