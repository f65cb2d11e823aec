"""Which folders are installed under which package name; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

# Folders beside keras_deep_rnn/ that are installed inside it.
MAPPED = {"keras_deep_rnn.export": "export", "keras_deep_rnn.tuning": "tuning"}


def packages():
    """Every package by its installed name."""
    names = find_packages(include=["keras_deep_rnn", "keras_deep_rnn.*"])
    for name, folder in MAPPED.items():
        names += [name, *(f"{name}.{inner}" for inner in find_packages(folder))]
    return names


DATA = {
    # For type checkers and editors.
    "": ["py.typed", "*.pyi"],
    # The experiments are files that the package reads.
    "keras_deep_rnn.experiments": ["*/*.toml"],
    # The files that an export writes for a server.
    "keras_deep_rnn.export.formats": ["templates/*"],
}

setup(packages=packages(), package_dir=MAPPED, package_data=DATA)
