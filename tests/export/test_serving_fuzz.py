import importlib.util

import keras
import pytest

if keras.backend.backend() != "tensorflow" or not importlib.util.find_spec("tensorflow_serving"):
    pytest.skip("needs TensorFlow and the extra `serving`", allow_module_level=True)

from benchmarks.serving_fuzz import Fuzz
from keras_deep_rnn.export.testing_server.server import Server

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["text", "music"])
def test_broken_requests(exports, name):
    """Each gets a clear error or a right answer; benchmarks.serving_fuzz sends 10,000 of them."""
    with Server(exports[name]) as server:
        fuzz = Fuzz(exports[name] / "1", name, server.address, server.rest_address, seed=3)
        fuzz.run(200)
    assert not fuzz.failures
    # The changes are neither all harmless nor all fatal.
    assert fuzz.outcomes["grpc", "INVALID_ARGUMENT"] > 20
    assert fuzz.outcomes["rest", "400"] > 20
    assert fuzz.outcomes["grpc", "right answer"] > 2
    assert fuzz.outcomes["good requests between", "right answer"] == 2 * 6 * 4


def test_the_judge_finds_what_is_wrong(exports, monkeypatch):
    """Answers of another network are not right, and a failure of the server is no clear error."""
    with Server(exports["text"], name="fuzzed") as server:
        fuzz = Fuzz(exports["text"] / "1", "fuzzed", server.address, server.rest_address)
        run = server.model.run
        monkeypatch.setattr(
            server.model, "run", lambda *a, **k: {n: y + 1 for n, y in run(*a, **k).items()}
        )
        fuzz.run(1)
        assert any("wrong answer" in line for line in fuzz.failures)
        fuzz.failures.clear()
        monkeypatch.setattr(server.model, "run", None)
        fuzz.run(1)
    assert any("INTERNAL" in line for line in fuzz.failures)
