"""Which folders are installed under which package name, and the readme with absolute links.

Everything else is in pyproject.toml.
"""

import re
import tomllib
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
# Folders beside keras_deep_rnn/ that are installed inside it.
MAPPED = {
    "keras_deep_rnn.export": "export",
    "keras_deep_rnn.results": "results",
    "keras_deep_rnn.tuning": "tuning",
}


def packages():
    """Every package by its installed name."""
    names = find_packages(include=["keras_deep_rnn", "keras_deep_rnn.*"])
    for name, folder in MAPPED.items():
        names += [name, *(f"{name}.{inner}" for inner in find_packages(folder))]
    return names


def readme():
    """README.md for an index of packages: links to files of the repository are absolute."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    source = project["urls"]["Source"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"(!\[[^]]*\]\()(?!https?:)", rf"\1{source}/raw/HEAD/", text)
    return re.sub(r"(\]\()(?!https?:|#)", rf"\1{source}/blob/HEAD/", text)


DATA = {
    # For type checkers and editors.
    "": ["py.typed", "*.pyi"],
    # The experiments are files that the package reads.
    "keras_deep_rnn.experiments": ["*/*.toml"],
    # The files that an export writes for a server.
    "keras_deep_rnn.export.formats": ["templates/*"],
    # The trained networks.
    "keras_deep_rnn.results": ["*/*.npz"],
    # The page that plays a piece.
    "keras_deep_rnn.training.music": ["templates/*"],
}

setup(
    packages=packages(),
    package_dir=MAPPED,
    package_data=DATA,
    # Else, with git, whatever lies in a package.
    include_package_data=False,
    long_description=readme(),
    long_description_content_type="text/markdown",
)
