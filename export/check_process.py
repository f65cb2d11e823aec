"""Runs a SavedModel in a process that has neither Keras nor this package.

Run by file name, `python -I check_process.py FOLDER INPUTS.npz OUTPUTS.npz`; nothing imports it.
Every array in INPUTS is passed to `serving_default` as `x`, twice; the outputs are written under
`<name of the array>/<run>/<name of the output>`.
"""

import importlib.abc
import sys

BLOCKED = ("keras", "tf_keras", "keras_deep_rnn")


class WithoutBlocked(importlib.abc.MetaPathFinder):
    """A finder of modules to which the blocked packages are not installed."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        """What the finder finds, and None for a blocked package."""
        blocked = name.partition(".")[0] in BLOCKED
        return None if blocked else self.finder.find_spec(name, path, target)


def main(folder, inputs, outputs):
    """Runs the served signature on every input."""
    import numpy as np
    import tensorflow as tf

    serve = tf.saved_model.load(folder).signatures["serving_default"]
    results = {}
    for name, x in np.load(inputs).items():
        for run in range(2):
            for output, value in serve(x=tf.constant(x)).items():
                results[f"{name}/{run}/{output}"] = value.numpy()
    loaded = sorted(set(BLOCKED) & set(sys.modules))
    if loaded:
        raise SystemExit(f"the served model imported {', '.join(loaded)}")
    np.savez(outputs, **results)


if __name__ == "__main__":
    sys.meta_path[:] = [WithoutBlocked(finder) for finder in sys.meta_path]
    main(*sys.argv[1:])
