"""Data-parallel training gives the losses of one device with the whole batch."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import keras
import pytest
from made_up_runs import dataset, settings

from keras_deep_rnn import data
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.run_folder import Run
from keras_deep_rnn.utils.errors import UserError

TESTS = str(pathlib.Path(__file__).parents[1])
TENSORFLOW = keras.backend.backend() == "tensorflow"

SCRIPT = """
import json, sys
import pytest
from made_up_runs import dataset, settings, train_until
from keras_deep_rnn import data
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.run_folder import Run
from keras_deep_rnn.utils.errors import UserError

data.load = lambda name, **options: dataset(name)
quiet = {"log": lambda line: None}
cases = {
    "pieces": settings(batch_size=4, output_dropout=0.4, clipnorm=0.1),
    "carried": settings(batch_size=4, bptt_steps=4, ema=0.9),
    "text": settings("characters", batch_size=4, bptt_steps=9, output_dropout=0.4),
}
found = {}
for name, chosen in cases.items():
    found[name] = []
    for devices in (1, 2):
        out = f"{sys.argv[1]}/{name}-{devices}"
        metrics = training.train(chosen, out, devices=devices, **quiet)
        losses = [row["loss"] for row in Run(out).history()]
        found[name].append([*losses, *metrics["splits"]["test"].values()])
with pytest.MonkeyPatch.context() as patched:
    out = f"{sys.argv[1]}/cut"
    train_until(patched, 1, cases["carried"], out, devices=2)
    metrics = training.resume(out, devices=2, **quiet)
    losses = [row["loss"] for row in Run(out).history()]
    found["resumed"] = [found["carried"][0], [*losses, *metrics["splits"]["test"].values()]]
lines = []
for chosen, devices in ((settings(batch_size=3), 2), (settings(), 3)):
    try:
        training.train(chosen, f"{sys.argv[1]}/none", devices=devices, **quiet)
    except UserError as error:
        lines.append(str(error))
json.dump([found, lines], sys.stdout)
"""


@pytest.mark.slow
@pytest.mark.process
def test_two_devices_train_as_one(tmp_path):
    pytest.importorskip("jax")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join(filter(None, [TESTS, os.environ.get("PYTHONPATH")])),
    }
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    found, lines = json.loads(result.stdout)
    assert set(found) == {"pieces", "carried", "text", "resumed"}
    for one, two in found.values():
        assert two == pytest.approx(one, rel=1e-5)
    assert lines == [
        "`batch_size` must be a multiple of 2, the devices, got 3.",
        "`devices` must be at most 2, those of this machine, got 3.",
    ]


PROCESSES = """
import json, sys
import pytest
from made_up_runs import dataset, settings, train_until
from keras_deep_rnn import data
from keras_deep_rnn.training import train as training
from keras_deep_rnn.training.run_folder import Run

data.load = lambda name, **options: dataset(name)
quiet = {"log": lambda line: None}
chosen = settings(batch_size=4, bptt_steps=4, output_dropout=0.4, clipnorm=0.1, ema=0.9)
found = []
for devices in (2, 1):
    out = f"{sys.argv[1]}-{devices}"
    if devices == 2:
        with pytest.MonkeyPatch.context() as patched:
            train_until(patched, 1, chosen, out, devices=2)
        metrics = training.resume(out, devices=2, **quiet)
    else:
        metrics = training.train(chosen, out, **quiet)
    losses = [row["loss"] for row in Run(out).history()]
    found.append([*losses, *metrics["splits"]["test"].values()])
json.dump(found, sys.stdout)
"""


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.slow
@pytest.mark.process
def test_two_processes_train_as_one(tmp_path):
    """Interrupted after an epoch and resumed, each with a run folder of its own."""
    pytest.importorskip("jax")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(filter(None, [TESTS, os.environ.get("PYTHONPATH")])),
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{free_port()}",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESSES, str(tmp_path / f"run-{k}")],
            env={**environment, "KERAS_DISTRIBUTION_PROCESS_ID": str(k)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(2)
    ]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    for written, _ in outputs:
        both, alone = json.loads(written.splitlines()[-1])  # after a line of the collectives
        assert both == pytest.approx(alone, rel=1e-5)
    first, second = (Run(tmp_path / f"run-{k}-2").metrics["splits"] for k in range(2))
    assert first == second


@pytest.mark.skipif(not TENSORFLOW, reason="is about TensorFlow")
def test_what_would_be_another_training_is_refused(tmp_path, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(data, "load", lambda name, **options: dataset(name))
    out = tmp_path / "run"
    with pytest.raises(UserError, match="`devices` must be 1 with tensorflow, got 2; set KERAS_BA"):
        training.train(settings(), out, devices=2)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope(), pytest.raises(UserError, match=r"Cannot train under tf\.distribute"):
        training.train(settings(), out)
    assert not out.exists()
