"""What editors and type checkers know of the public names, in the package as it is installed."""

import json
import subprocess
import sys

import jedi
import pytest

pytestmark = pytest.mark.process

# What a user looks for among the arguments of a public name.
ARGUMENTS = {
    "keras_deep_rnn.HoldCosineDecay": "initial_learning_rate steps hold warmup_steps",
    "keras_deep_rnn.ClippedMomentum": "learning_rate momentum velocity_clipnorm use_ema name",
    "keras_deep_rnn.InverseDecay": "initial_learning_rate start beta",
    "keras_deep_rnn.LpUnit": "pieces order name",
    "keras_deep_rnn.Maxout": "pieces name",
    "keras_deep_rnn.SparseInitializer": "nonzeros singular_value seed",
    "keras_deep_rnn.build_network": "network kind features units batch_size stateful seed",
    "keras_deep_rnn.preset": "task network",
}
# A call that is right, and an argument that is misspelled.
CALLS = {
    "keras_deep_rnn.ClippedMomentum": ("1.0, momentum=0.9", "moment"),
    "keras_deep_rnn.InverseDecay": ("0.1, 1000, beta=50.0", "betas"),
    "keras_deep_rnn.SparseInitializer": ("nonzeros=15, seed=1", "nonzero"),
    "keras_deep_rnn.preset": ("'jsb_chorales', network='rnn'", "networks"),
}


_OPTIONS = (
    " activation use_bias kernel_initializer recurrent_initializer bias_initializer"
    " kernel_regularizer recurrent_regularizer dropout recurrent_dropout zoneout seed"
    " normalization name dtype"
)
_LOOP = " return_sequences return_state stateful go_backwards return_state_sequences jit_compile"
_TRANSITION = (
    "units transition_units shortcut input_to intermediate_activation shortcut_initializer"
)
_BOTH = {  # layer and cell
    "DeepTransitionRNN": _TRANSITION,
    "DeepInputRNN": "units input_units input_activation",
    "DeepOutputRNN": "units output_units output_activation output_dropout",
    "DeepOutputTransitionRNN": f"{_TRANSITION} output_units input_units output_dropout",
    "RecurrentHighway": "units depth coupled_gates input_to gate_bias recurrent_activation",
    "DeepTransitionGRU": "units depth reset_after recurrent_activation",
    "DeepTransitionLSTM": "units depth unit_forget_bias recurrent_activation",
}
ARGUMENTS |= {f"keras_deep_rnn.{n}": a + _OPTIONS + _LOOP for n, a in _BOTH.items()}
ARGUMENTS |= {f"keras_deep_rnn.{n}Cell": a + _OPTIONS for n, a in _BOTH.items()}
ARGUMENTS |= {
    "keras_deep_rnn.FastDropoutRNN": "units dropout recurrent_dropout seed" + _LOOP,
    "keras_deep_rnn.FastDropoutRNNCell": "units" + _OPTIONS,
    "keras_deep_rnn.DeepRNN": "plus predict state_size dropout output_dropout seed" + _LOOP,
    "keras_deep_rnn.DeepRNNCell": "plus predict state_size dropout output_dropout seed",
    "keras_deep_rnn.StackedRNN": "cells units skip transition_units shortcut dropout" + _LOOP,
    "keras_deep_rnn.StackedRNNCell": "cells units skip transition_units shortcut",
    "keras_deep_rnn.FastDropoutDense": "units rate kernel_initializer bias_initializer name dtype",
    "keras_deep_rnn.NADE": "units hidden_units kernel_initializer bias_initializer name dtype",
    "keras_deep_rnn.Plus": "units transition_units shortcut input_to num_tokens activation",
    "keras_deep_rnn.Predict": "output_units output_activation use_bias",
    "keras_deep_rnn.TiedEmbedding": "num_tokens units scale dropout seed name dtype",
    "keras_deep_rnn.WeightNoise": "layer stddev seed",
    "keras_deep_rnn.export.Client": "address model transport version timeout",
    "keras_deep_rnn.export.export_saved_model": "model path version name signatures",
    "keras_deep_rnn.tuning.HyperDeepRNN": "data space budget seed settings",
}
CALLS |= {
    "keras_deep_rnn.DeepTransitionRNN": (
        "4, transition_units=(8,), shortcut=True, return_sequences=True, dropout=0.1",
        "transition_unit",
    ),
    "keras_deep_rnn.DeepTransitionRNNCell": (
        "4, transition_units=(8,), activation='tanh', name='a'",
        "transition_unit",
    ),
    "keras_deep_rnn.DeepInputRNN": ("4, input_units=(8,), stateful=True", "input_unit"),
    "keras_deep_rnn.DeepOutputRNN": ("4, output_units=(8,), output_dropout=0.5", "output_unit"),
    "keras_deep_rnn.DeepOutputTransitionRNN": (
        "4, transition_units=(8,), output_units=(6,)",
        "transition_unit",
    ),
    "keras_deep_rnn.StackedRNN": ("units=(4, 4), skip='residual', return_sequences=True", "skips"),
    "keras_deep_rnn.FastDropoutRNN": ("4, dropout=0.2", "dropouts"),
    "keras_deep_rnn.FastDropoutDense": ("4, rate=0.5", "rates"),
    "keras_deep_rnn.RecurrentHighway": ("4, depth=3, return_sequences=True", "depths"),
    "keras_deep_rnn.DeepTransitionGRU": ("4, depth=3, name='gru'", "reset_afer"),
    "keras_deep_rnn.DeepTransitionLSTMCell": ("4, depth=3, zoneout=0.1", "zone_out"),
    "keras_deep_rnn.Maxout": ("2, name='m'", "piece"),
    "keras_deep_rnn.NADE": ("88, hidden_units=16", "hidden_unit"),
    "keras_deep_rnn.Plus": ("4, transition_units=(8,)", "transition_unit"),
    "keras_deep_rnn.Predict": ("(4,), output_activation='relu'", "activation"),
    "keras_deep_rnn.export.Client": ("'localhost:8500', 'text', timeout=2.0", "time_out"),
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
