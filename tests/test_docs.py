"""The site is built without warnings and without the network, and shown without it."""

import doctest
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import keras_deep_rnn
from keras_deep_rnn import data, export, tuning

for package in ("sphinx", "myst_parser", "pydata_sphinx_theme"):
    pytest.importorskip(package, reason="make docs installs it")

pytestmark = [pytest.mark.process, pytest.mark.slow]

ROOT = pathlib.Path(__file__).parent.parent
OFFLINE = """
import socket, sys
def refuse(*_):
    raise OSError("the network is not to be used")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from sphinx.cmd.build import main
sys.exit(main(["-W", "--keep-going", "-q", *sys.argv[1:]]))
"""


def build(docs, site):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OFFLINE, "-d", site / "doctrees", docs, site],
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    result = build(ROOT / "docs", folder)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_pages_fetch_nothing(site):
    fetched = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')
    pages = list(site.rglob("*.html"))
    assert {"index.html", "data-cards.html", "layers.html"} <= {page.name for page in pages}
    for page in pages:
        assert not fetched.findall(page.read_text()), page
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", sheet.read_text()), sheet


def test_every_public_name_has_its_place(site):
    from sphinx.util.inventory import InventoryFile

    names = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    found = {name for kind, named in names.items() if kind.startswith("py:") for name in named}
    for module in (keras_deep_rnn, data, export, tuning):
        assert {f"{module.__name__}.{name}" for name in module.__all__} <= found


def test_every_data_set_has_a_card(site):
    page = (site / "data-cards.html").read_text()
    for name in data.names():
        card = page.split(f">{name}<a")[1].partition("</section>")[0]
        assert data.describe(name)["licence"] in card
    assert "bach_chorales.png" in page


def test_links_of_the_readme_lead_to_pages(site):
    home = (site / "index.html").read_text()
    assert 'href="data.html"' in home
    assert "/blob/HEAD/CONTRIBUTING.md" in home


def test_broken_links_and_undocumented_names_end_the_build(tmp_path):
    for name in ("README.md", "CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    docs = shutil.copytree(ROOT / "docs", tmp_path / "docs")
    with (docs / "platforms.md").open("a") as page:
        page.write("\n[gone](gone.md) and [moved](data.md#moved)\n")
    names = docs / "api" / "data.rst"
    names.write_text(names.read_text().replace(".. autofunction:: load\n", ""))
    result = build(docs, tmp_path / "site")
    assert result.returncode == 1
    for told in ("gone.md", "moved", "keras_deep_rnn.data.load is not documented"):
        assert told in result.stderr


def test_examples_of_the_configuration():
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs" / "conf.py")
    configuration = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(configuration)
    assert doctest.testmod(configuration) == (0, 5)


def test_results_of_the_readme_are_those_of_the_page():
    section = (
        (ROOT / "README.md").read_text("utf-8").split("## Measured")[1].split("`make bench`")[0]
    )
    numbers = re.findall(r"\d+\.\d{3}", section)
    assert len(numbers) > 10
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    assert [number for number in numbers if number not in page] == []
