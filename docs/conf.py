"""The site: `make docs`, then build/site/index.html.

Sphinx, because it is maintained (Material for MkDocs ends in 2027, and Zensical, which follows it,
is young), its pages can be searched without a server, and it fetches nothing from the network. A
warning, such as of a broken link, ends the build.
"""

import importlib
import inspect
import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.inspect import signature, stringify_signature

import keras_deep_rnn
from keras_deep_rnn.data import catalogue

DOCS = Path(__file__).parent
ROOT = DOCS.parent
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Source"]

project = "keras-deep-rnn"
author = copyright = "keras-deep-rnn developers"
version = release = keras_deep_rnn.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# Tables of reports, without a page of their own.
exclude_patterns = ["depth/*/*.md"]
myst_heading_anchors = 4
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Call arguments", "params_style")]
autodoc_inherit_docstrings = False  # Keras's are not ours
autodoc_typehints = "none"
autodoc_member_order = "bysource"
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = project
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "icon_links": [{"name": "GitHub", "url": SOURCE, "icon": "fa-brands fa-github"}],
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_end": [],
}

# Files outside of docs/ that a page here includes.
INCLUDED = {"README.md": "index.md", "CHANGELOG.md": "changelog.md"}
# The modules whose `__all__` is public.
PUBLIC = tuple(f"keras_deep_rnn{folder}" for folder in ("", ".data", ".tuning", ".export"))
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")


def setup(app: Sphinx) -> None:
    """Tells Sphinx which functions of this file it shall call."""
    app.connect("source-read", on_page)
    app.connect("include-read", on_include)
    app.connect("autodoc-process-docstring", on_docstring, priority=100)  # before napoleon's 500
    app.connect("autodoc-process-signature", on_signature)
    app.connect("env-check-consistency", on_end)


def on_page(app: Sphinx, name: str, content: list[str]) -> None:
    """Adds the cards of the data sets; links out of docs/ lead to the repository."""
    if name == "data-cards":
        content[0] += "".join(map(card, catalogue.names()))
    content[0] = with_links(content[0], (DOCS / name).parent)


def on_include(app: Sphinx, path: Path, parent: str, content: list[str]) -> None:
    """Links of the README and the changelog are relative to the repository."""
    content[0] = with_links(content[0], ROOT)


def with_links(text: str, folder: Path) -> str:
    """Text whose links lead to the page of a file, else to the file in the repository.

    Example:

    >>> with_links("[data](docs/data.md#licences)", ROOT), with_links("[gone](gone.md)", ROOT)
    ('[data](/data.md#licences)', '[gone](gone.md)')
    >>> with_links("[LICENSE](../LICENSE)", DOCS).replace(SOURCE, "SOURCE")
    '[LICENSE](SOURCE/blob/HEAD/LICENSE)'
    """

    def moved(link: re.Match) -> str:
        target = (folder / link[2]).resolve()
        if not target.exists():
            return link[0]  # MyST warns of it
        name = target.relative_to(ROOT).as_posix()
        if target.is_relative_to(DOCS):
            return f"{link[1]}/{target.relative_to(DOCS).as_posix()}"
        if name in INCLUDED:
            return f"{link[1]}/{INCLUDED[name]}"
        return f"{link[1]}{SOURCE}/blob/HEAD/{name}"

    return LINK.sub(moved, text)


def card(name: str) -> str:
    """What the catalogue says of a data set."""
    found = catalogue.entry(name)
    counted = catalogue.describe(name)["counted"]
    sizes = ", ".join(f"{split} {size:,}" for split, size in zip(catalogue.SPLITS, found.sizes))
    facts = {
        "Content": found.title,
        "Time step": found.step,
        "Splits": f"{sizes} {counted}",
        "Source": ", ".join(f"[{file.name}]({file.url})" for file in found.files)
        or "the corpus that music21 ships; nothing is downloaded",
        "Licence": found.licence,
        "Cite": found.citation,
    }
    rows = "\n".join(f"- **{fact}**: {text}" for fact, text in facts.items())
    picture = f"{name}.png"
    preview = f"\n![A piece of {name}]({picture})\n" if (DOCS / picture).exists() else ""
    return f"\n## {name}\n\n{rows}\n{preview}"


def on_docstring(app: Sphinx, what: str, name: str, found, options, lines: list[str]) -> None:
    """Turns what docstrings take from Markdown, `code` and indented blocks, into Sphinx's own.

    Example:

    >>> lines = ["The loss |x| of `x`:", "", "    |x|", "", "Returns:", "    Either: a or b."]
    >>> on_docstring(None, "function", "loss", None, None, lines)
    >>> print(*lines, sep="\\n")
    The loss \\|x| of ``x``:
    <BLANKLINE>
    ::
    <BLANKLINE>
        |x|
    <BLANKLINE>
    Returns:
        : Either: a or b.
    """
    # A bar begins a substitution, but not in an equation, which is indented.
    bars = (line if line.startswith(" ") else re.sub(r" \|(?=\S)", r" \\|", line) for line in lines)
    text = re.sub(r"`([^`]+)`", r"``\1``", "\n".join(bars))
    text = re.sub(r"^(\S.*\n\n)(?=    )", r"\1::\n\n", text, flags=re.MULTILINE)
    # Types are annotated: what stands before a colon is none.
    text = re.sub(r"^(Returns|Yields):\n +", r"\g<0>: ", text, flags=re.MULTILINE)
    if what in ("attribute", "property"):
        text = f": {text}"
    lines[:] = text.split("\n")


def on_signature(app: Sphinx, what: str, name: str, found, *_) -> tuple[str, None] | None:
    """A layer's own arguments, which `__new__` of Keras's layers would hide."""
    if what not in ("class", "exception") or not inspect.isfunction(found.__init__):
        return None
    own = signature(found.__init__, bound_method=True)
    return stringify_signature(own, show_annotation=False), None


def on_end(app: Sphinx, env: BuildEnvironment) -> None:
    """Warns of public names without a docstring, and of those that the reference lacks."""
    documented = {name for name, *_ in env.get_domain("py").get_objects()}
    for path in PUBLIC:
        module = importlib.import_module(path)
        for name in module.__all__:
            if f"{path}.{name}" not in documented or not getattr(module, name).__doc__:
                logging.getLogger(__name__).warning("%s.%s is not documented", path, name)
