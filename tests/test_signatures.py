"""What editors and type checkers know of the public names, in the package as it is installed."""

import json
import subprocess
import sys

import jedi
import pytest

# What a user looks for among the arguments of a public name.
ARGUMENTS = {
    "keras_deep_rnn.InverseDecay": "initial_learning_rate start beta",
    "keras_deep_rnn.LpUnit": "pieces order name",
    "keras_deep_rnn.Maxout": "pieces name",
    "keras_deep_rnn.SparseInitializer": "nonzeros singular_value seed",
    "keras_deep_rnn.build_network": "network kind features units batch_size stateful seed",
    "keras_deep_rnn.preset": "task network",
}
# A call that is right, and an argument that is misspelled.
CALLS = {
    "keras_deep_rnn.InverseDecay": ("0.1, 1000, beta=50.0", "betas"),
    "keras_deep_rnn.SparseInitializer": ("nonzeros=15, seed=1", "nonzero"),
    "keras_deep_rnn.preset": ("'jsb_chorales', network='rnn'", "networks"),
}


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """A folder in which the package is installed, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--target", folder, wheel], check=True)
    return folder


@pytest.fixture(scope="module")
def problems(site, tmp_path_factory):
    """What the type checker says of a file of Python: {number of the line: message}."""
    folder = tmp_path_factory.mktemp("checked")
    settings = {"extraPaths": [str(site)], "typeCheckingMode": "standard"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))

    def check(*lines):
        (folder / "user.py").write_text("\n".join([*lines, ""]))
        result = subprocess.run(
            [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        found = json.loads(result.stdout)
        assert found["summary"]["filesAnalyzed"] == 1
        messages = [m for m in found["generalDiagnostics"] if m["severity"] == "error"]
        return {m["range"]["start"]["line"] + 1: m["message"] for m in messages}

    return check


def parts(name):
    module, _, attribute = name.rpartition(".")
    return f"from {module} import {attribute}", attribute


@pytest.mark.parametrize("name", ARGUMENTS)
def test_editor_shows_the_arguments(name, site):
    line, attribute = parts(name)
    project = jedi.Project(site, sys_path=[str(site), *sys.path])
    script = jedi.Script(f"{line}\n{attribute}(", project=project)
    shown = {p.name for signature in script.get_signatures() for p in signature.params}
    assert set(ARGUMENTS[name].split()) <= shown
    (found,) = script.goto(1, len(line), follow_imports=True)
    assert found.module_path.is_relative_to(site)


def test_editor_finds_the_names_in_the_package(site):
    project = jedi.Project(site, sys_path=[str(site), *sys.path])
    script = jedi.Script("import keras_deep_rnn as k\nk.", project=project)
    names = {completion.name for completion in script.complete()}
    assert {"DeepTransitionRNN", "StackedRNNCell", "Plus", "export", "tuning"} <= names


def test_type_checker_finds_misspelled_arguments(problems):
    lines, expected = [], {}
    for name, (call, misspelled) in CALLS.items():
        line, attribute = parts(name)
        lines += [line, f"{attribute}({call})", f"{attribute}({call}, {misspelled}=1)"]
        expected[len(lines)] = f'No parameter named "{misspelled}"'
    assert problems(*lines) == expected


def test_type_checker_knows_the_names(problems):
    found = problems(
        "import keras_deep_rnn as k",
        "k.DeepTransitionRNN, k.Predict, k.export, k.tuning, k.__version__.upper()",
        "k.DeepTransitionRnn",
    )
    assert list(found) == [3]
    assert '"DeepTransitionRnn" is not a known attribute of module' in found[3]
