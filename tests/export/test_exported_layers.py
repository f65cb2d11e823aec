"""Every public layer, alone with a layer to the classes, passes every check of an export."""

import keras
import pytest
from served_models import HALF, MODELS

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are made with TensorFlow", allow_module_level=True)

from keras_deep_rnn.export import check_export, export_saved_model

pytestmark = pytest.mark.slow

ALL = {**MODELS, **HALF}


@pytest.mark.parametrize("name", ALL)
def test_passes_every_check(name, quick_checks, tmp_path):
    checked = check_export(export_saved_model(ALL[name](), tmp_path / "model", check=False))
    assert checked.difference == 0.0
    for loader in ("without Keras", "C API"):
        for check in ("golden", "padding", "step by step", "prefill in pieces", "bad inputs"):
            assert f"{loader}, {check}" in checked.found
