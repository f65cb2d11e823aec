"""Every example in the documentation of the package runs."""

import doctest
import importlib
import pkgutil

import pytest

import keras_deep_rnn
import keras_deep_rnn.export
import keras_deep_rnn.tuning

# Triton and TensorFlow in one process end it; the kernels have no examples.
MODULES = sorted(
    {
        module.name
        for package in (keras_deep_rnn, keras_deep_rnn.export, keras_deep_rnn.tuning)
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    }
    - {"keras_deep_rnn.recurrence.kernels"}
)


def test_modules_are_found():
    assert {"keras_deep_rnn.utils.errors", "keras_deep_rnn.export.checks.check"} <= set(MODULES)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_examples(name, quick_checks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.testmod(module, optionflags=options)
    assert results.failed == 0, f"{results.failed} examples of {name} fail, see the output above"
