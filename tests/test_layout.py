"""The folders of the package stand on one another in one order, and no modules in a circle."""

import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = "keras_deep_rnn"
FOLDERS = {
    PACKAGE: PACKAGE,
    f"{PACKAGE}.tuning": "tuning",
    f"{PACKAGE}.export": "export",
}
# Each may import from those before it, and from none after it. What is directly in the package is
# the public names and the version.
ORDER = (
    "utils", "recurrence", "layers", "data", "training",
    "tuning.space", "tuning.input_layers", "tuning.targets", "tuning.problem",
    "tuning.keras_tuner", "tuning.job", "tuning.search", "tuning.report", "tuning.run_search",
    "export.model", "export.client", "export.checks", "export.formats", "export.testing_server",
    "experiments", "cli", "__main__",
)  # fmt: skip


def modules():
    """{name of a module: its file}."""
    found = {}
    for package, folder in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = file
    return found


MODULES = modules()


def imports(module, *, late=True, source=None):
    """The modules of the package that a module imports; without `late`, only as it is imported."""
    file = MODULES.get(module)
    base = module if file is not None and file.stem == "__init__" else module.rpartition(".")[0]
    tree = ast.parse(file.read_text(encoding="utf-8") if source is None else source)
    found = set()
    for node in ast.walk(tree) if late else tree.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        name = node.module or ""
        if node.level:
            above = base.split(".")[: len(base.split(".")) - node.level + 1]
            name = ".".join([*above, *([name] if name else [])])
        if name.split(".")[0] == PACKAGE:
            for alias in node.names:
                inner = f"{name}.{alias.name}"
                found.add(inner if inner in MODULES else name)
    return found


def room(module):
    """The place of a module in `ORDER`; None for the package itself, tuning and export."""
    parts = module.split(".")[1:]
    inner = parts[:1] in (["tuning"], ["export"])
    return ".".join(parts[: 2 if inner else 1]) if len(parts) > inner else None


def upward(module, imported):
    """Where an import runs up, in words; None where it runs down or stays."""
    here, there = room(module), room(imported)
    if here is None or there is None or ORDER.index(here) >= ORDER.index(there):
        return None
    return f"{module} imports {imported}: {there} stands on {here}"


def test_imports_run_down():
    arrows = [(module, imported) for module in MODULES for imported in imports(module)]
    assert len(arrows) > 400
    assert [wrong for arrow in arrows if (wrong := upward(*arrow))] == []


@pytest.mark.parametrize(
    ("module", "line", "wrong"),
    [
        ("layers.paper", "from ..data import load", "data stands on layers"),
        ("utils.files", "def f():\n    from ..layers import Plus", "layers stands on utils"),
        ("tuning.space.budget", "from ..job.job import Job", "tuning.job stands on tuning.space"),
        ("training.train", "from ..export.client.client import Client", "export.client stands on"),
    ],
)
def test_an_import_that_runs_up_is_found(module, line, wrong):
    module = f"{PACKAGE}.{module}"
    (imported,) = imports(module, source=line)
    assert wrong in upward(module, imported)


def test_no_modules_import_one_another():
    """In a circle it depends on who comes first whether an import finds what it asks for."""
    graph = {module: imports(module, late=False) - {module} for module in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(MODULES)


def test_every_folder_is_documented():
    packages = [name for name, file in MODULES.items() if file.stem == "__init__"]
    for name in packages:
        assert ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8"))), name
