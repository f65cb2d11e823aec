"""Each check of an export finds what it is for, and its message names it."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from descriptors import D, randomize
from served_models import music, text

from keras_deep_rnn.utils.errors import UserError

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are made with TensorFlow", allow_module_level=True)

import tensorflow as tf

from keras_deep_rnn.export import check_export, export_saved_model
from keras_deep_rnn.export.checks import check
from keras_deep_rnn.export.checks.check_suite import Failed, Rejected, Suite, decoded, reason
from keras_deep_rnn.export.model.record import encoded, read_record, write_record
from keras_deep_rnn.export.model.signatures import Options, ServingSignatures
from keras_deep_rnn.export.model.warmup import WARMUP, read_warmup


@pytest.fixture
def folder(tmp_path, quick_checks):
    """A version that has not been checked, to be spoilt."""
    return exported(music(), tmp_path, probabilities="sigmoid")


def exported(model, path, **options):
    return export_saved_model(model, path / "music", check=False, **options)


@pytest.mark.process
def test_what_a_check_tells(tmp_path):
    """In new processes, as a user's."""
    checked = check_export(exported(music(), tmp_path, probabilities="sigmoid"))
    assert checked.difference == 0.0
    assert checked.found["files"].endswith("with their sha256")
    assert checked.found["warm-up"] == "9 requests"
    assert checked.found["C API, bad inputs"] == checked.found["without Keras, bad inputs"]
    assert "tensorflow_model_server" in checked.found


@pytest.mark.slow
@pytest.mark.parametrize("model", [music, text])
def test_compiled_by_xla(model, quick_checks, tmp_path):
    """Within 1e-5 of Keras, and what XLA would leave out is still checked."""
    probabilities = {music: "sigmoid", text: "softmax"}[model]
    folder = exported(model(), tmp_path, probabilities=probabilities, jit_compile=True)
    checked = check_export(folder)
    assert checked.difference < 1e-5
    assert checked.found["C API, bad inputs"] == checked.found["without Keras, bad inputs"]


@pytest.mark.slow
def test_other_files(folder):
    (folder / "more").write_text("")
    with pytest.raises(UserError, match="check 'files' failed: more is not the file"):
        check_export(folder)
    (folder / "more").unlink()
    (folder / "variables" / "variables.index").unlink()
    with pytest.raises(UserError, match="check 'files' failed: variables/variables.index is miss"):
        check_export(folder)


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, "{", "[]", '{"signatures": 1, "files": {}}'])
def test_no_record(content, folder):
    (folder / "export.json").unlink()
    if content is not None:
        (folder / "export.json").write_text(content)
    with pytest.raises(UserError, match="export.json"):
        check_export(folder)


def spoilt(folder, **changes):
    """The same version with changes in its record, which then fits the files again."""
    write_record(folder, {**read_record(folder), **changes})
    return folder


def with_golden(folder, change):
    """The same version with the first golden output changed."""
    record = read_record(folder)
    case = record["golden"][0]
    array = decoded(case["outputs"])["y"]
    case["outputs"]["y"] = encoded(change(array))
    return spoilt(folder, golden=record["golden"])


@pytest.mark.slow
def test_other_numbers(folder):
    with_golden(folder, lambda y: y + np.float32(0.001))
    with pytest.raises(UserError, match=r"'without Keras, golden' failed: y of serving_default d"):
        check_export(folder)


@pytest.mark.slow
def test_numbers_that_are_not_finite(folder):
    with_golden(folder, lambda y: y * np.float32("nan"))
    with pytest.raises(UserError, match="y of serving_default differs by nan"):
        check_export(folder)


@pytest.mark.slow
def test_other_signatures(folder):
    signatures = read_record(folder)["signatures"]
    signatures["step"]["inputs"]["state"]["shape"] = [None, 7]
    spoilt(folder, signatures=signatures)
    with pytest.raises(UserError, match="check 'signatures' failed: step is"):
        check_export(folder)
    del signatures["step"]
    spoilt(folder, signatures=signatures)
    with pytest.raises(UserError, match="check 'signatures' failed: there are"):
        check_export(folder)


@pytest.mark.slow
def test_warm_up(folder):
    (folder / WARMUP).write_bytes(b"no record" * 9)
    with pytest.raises(UserError, match="check 'warm-up' failed: .* cannot be read"):
        check_export(spoilt(folder))
    (folder / WARMUP).write_bytes(b"")
    with pytest.raises(
        UserError, match="check 'warm-up' failed: .* does not hold the golden inputs"
    ):
        check_export(spoilt(folder))


@pytest.mark.slow
def test_the_warm_up_requests_are_those_of_the_record(folder):
    record, requests = read_record(folder), read_warmup(folder)
    assert [name for _, name, _ in requests] == [case["signature"] for case in record["golden"]]
    assert {model for model, _, _ in requests} == {"music"}


def replaced(folder, functions, kept=()):
    """The same version with other functions for its signatures."""
    module = tf.Module()
    module.kept = list(kept)
    record = read_record(folder)
    tf.saved_model.save(module, str(folder), signatures=functions)
    write_record(folder, record)
    return folder


def with_step(folder, model, change, kept=()):
    """The same version with a `step` whose outputs `change` makes of the true ones."""
    served = ServingSignatures(model, Options(probabilities="sigmoid"))
    functions = served.functions()
    step = functions["step"]
    specs = step.input_signature

    def other(*inputs):
        return change(step(*inputs))

    functions["step"] = tf.function(other, input_signature=specs, autograph=False)
    return replaced(folder, functions, [*(v.value for v in model.variables), *kept])


@pytest.mark.slow
def test_a_step_that_is_not_that_of_the_whole_sequence(quick_checks, tmp_path):
    model = music()
    folder = exported(model, tmp_path, probabilities="sigmoid")
    with_step(folder, model, lambda y: {**y, "next_state": 0.999 * y["next_state"]})
    with pytest.raises(UserError, match="'without Keras, golden' failed: next_state of step"):
        check_export(folder)


@pytest.mark.slow
def test_a_state_that_is_kept(quick_checks, tmp_path):
    model, calls = music(), tf.Variable(0.0)
    folder = exported(model, tmp_path, probabilities="sigmoid")

    def counting(outputs):
        return {**outputs, "y_t": outputs["y_t"] + calls.assign_add(1e-7)}

    with_step(folder, model, counting, kept=[calls])
    with pytest.raises(UserError, match="AssignAddVariableOp"):
        check_export(folder)


@pytest.mark.slow
def test_a_layer_that_looks_ahead(quick_checks, tmp_path):
    """The whole sequence and its steps disagree, and the message says why that can be."""
    model = keras.Sequential(
        [
            keras.Input((None, D)),
            keras.layers.Conv1D(3, 3, padding="same"),
            keras.layers.GRU(4, return_sequences=True),
        ]
    )
    randomize(model)
    with pytest.raises(UserError, match="(padding|step by step)"):
        export_saved_model(model, tmp_path / "music")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_causal_convolution_has_no_state(quick_checks, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((None, D)),
            keras.layers.Conv1D(3, 3, padding="causal"),
            keras.layers.GRU(4, return_sequences=True),
        ]
    )
    randomize(model)
    with pytest.raises(UserError, match="step by step' failed: a layer looks at more than one"):
        export_saved_model(model, tmp_path / "music")
    export_saved_model(model, tmp_path / "music", signatures=("serving_default",))


@keras.saving.register_keras_serializable(package="test_export")
class ThroughPython(keras.layers.Layer):
    """Computes in Python, which a server does not have."""

    def call(self, inputs):
        outputs = tf.py_function(lambda x: 2 * x, [inputs], tf.float32)
        outputs.set_shape(inputs.shape)
        return outputs


@keras.saving.register_keras_serializable(package="test_export")
class FromFile(keras.layers.Layer):
    """Reads a file each time."""

    def __init__(self, file, **kwargs):
        super().__init__(**kwargs)
        self.file = file

    def call(self, inputs):
        return inputs + tf.strings.to_number(tf.io.read_file(self.file))


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["EagerPyFunc", "ReadFile"])
def test_operations_out_of_reach(operation, quick_checks, tmp_path):
    (tmp_path / "number").write_text("1.5")
    layer = ThroughPython() if operation == "EagerPyFunc" else FromFile(str(tmp_path / "number"))
    model = keras.Sequential([keras.Input((None, D)), layer, keras.layers.GRU(2)])
    with pytest.raises(UserError, match=f"check 'operations' failed: the graph has .*{operation}"):
        export_saved_model(model, tmp_path / "served" / "music")
    assert list((tmp_path / "served").iterdir()) == []


@pytest.mark.slow
def test_saving_operations_serve_the_saver_alone(quick_checks, tmp_path):
    """A signature that restores a file is refused, though every SavedModel has such operations."""
    model = music()
    folder = exported(model, tmp_path, probabilities="sigmoid")

    def restoring(outputs):
        (read,) = tf.raw_ops.RestoreV2(
            prefix="/etc/passwd", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
        )
        return {**outputs, "y_t": outputs["y_t"] + tf.reshape(read, ())}

    with_step(folder, model, restoring)
    with pytest.raises(UserError, match="check 'operations' failed: the graph has RestoreV2"):
        check_export(folder)


@pytest.mark.process
def test_the_checking_process_cannot_import_keras():
    script = pathlib.Path(check.__file__).with_name("check_process.py")
    code = (
        "import runpy, sys\n"
        f"process = runpy.run_path({str(script)!r})\n"
        "process['block']()\n"
        "import tensorflow\n"
        "for name in ('keras', 'keras.layers', 'keras_deep_rnn', 'keras_deep_rnn.layers'):\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except ModuleNotFoundError:\n"
        "        print('no', name)\n"
    )
    output = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert output.stdout.split() == [
        "no", "keras", "no", "keras.layers", "no", "keras_deep_rnn", "no", "keras_deep_rnn.layers",
    ]  # fmt: skip


class Spoilt:
    """Runs a version in this process and lets a function change what it takes or gives."""

    def __init__(self, folder, change):
        self.signatures = tf.saved_model.load(str(folder)).signatures
        self.change = change

    def __call__(self, name, inputs):
        try:
            given = {n: tf.constant(value) for n, value in inputs.items()}
            outputs = {n: value.numpy() for n, value in self.signatures[name](**given).items()}
        except tf.errors.InvalidArgumentError as error:
            if self.change == "answers":
                return {}
            raise (ValueError if self.change == "fails" else Rejected)(str(error)) from None
        return self.change(name, inputs, outputs) if callable(self.change) else outputs


def beyond(name, inputs, outputs):
    """Puts something beyond the lengths."""
    return {n: value + (n == "y") for n, value in outputs.items()}


def from_padding(name, inputs, outputs):
    """Lets the last element of x, padding or not, into every output."""
    if name != "padded":
        return outputs
    return {**outputs, "y": outputs["y"] * (1 + inputs["x"][:, -1:, :1])}


def by_place(name, inputs, outputs):
    """Lets the place of a row in its batch change what is drawn for it."""
    if name != "generate":
        return outputs
    samples = outputs["samples"].copy()
    samples[1:, :1] = 1 - samples[1:, :1]
    return {**outputs, "samples": samples}


def without_state(name, inputs, outputs):
    """Forgets the state that a prefill is given."""
    if name != "prefill" or not inputs["state"].any():
        return outputs
    return {**outputs, "next_state": outputs["next_state"] * 0.9}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        (beyond, "padding", "outputs beyond a row's length are not 0"),
        (from_padding, "padding", "what stands beyond a row's length changes the outputs"),
        (by_place, "generate", "row 1 gives other samples beside others than alone"),
        (without_state, "prefill_in_pieces", "prefill in pieces: next_state differs"),
        ("answers", "bad_inputs", "was answered"),
        ("fails", "bad_inputs", "ended in ValueError"),
    ],
)
def test_what_each_check_finds(change, name, message, folder):
    suite = Suite(Spoilt(folder, change), read_record(folder))
    with pytest.raises(Failed, match=message):
        getattr(suite, name)()
    suite = Suite(Spoilt(folder, None), read_record(folder))
    getattr(suite, name)()


def test_reasons_are_one_line():
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        tf.function(lambda x: tf.debugging.check_numerics(x, "`x` must be finite"))(np.nan)
    assert reason(error.value).startswith("`x` must be finite")


@pytest.mark.slow
def test_a_version_of_text(quick_checks, tmp_path):
    folder = exported(text(), tmp_path, probabilities="softmax")
    found = check_export(folder).found
    assert found["without Keras, generate"] == "each row alone as beside others"
    record = json.loads((folder / "export.json").read_text())
    assert record["tokens"] == 5
