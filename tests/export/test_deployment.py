"""The files to serve an export say the same to YAML and to Kubernetes whatever the model's name."""

import importlib.util
import re

import pytest

if not importlib.util.find_spec("tensorflow"):
    pytest.skip("formats import TensorFlow", allow_module_level=True)

import yaml

from keras_deep_rnn.export.formats.deployment import (
    check_deployment,
    service_name,
    write_deployment,
)
from keras_deep_rnn.utils.errors import UserError

# What YAML takes for a truth value, a number, a date or nothing, and what is no label of DNS.
NAMES = (
    "bach", "no", "on", "true", "null", "123", "1e3", "1_0", "0x1f", "1.5", "2024-01-01", "A",
    "A.b", "2024-bach", "x" * 128, "x-" * 30, "batching",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_a_text(name, tmp_path):
    write_deployment(tmp_path, name)
    compose = yaml.safe_load((tmp_path / "compose.yaml").read_text())
    ((service, container),) = compose["services"].items()
    assert service == service_name(name)
    assert container["volumes"] == [f".:/models/{name}:ro"]
    assert container["command"][0] == f"--model_config_file=/models/{name}/models.config"
    claim, deployment, kube = yaml.safe_load_all((tmp_path / "kubernetes.yaml").read_text())
    assert claim["metadata"]["name"] == f"{service}-versions"
    pod = deployment["spec"]["template"]
    labels = (deployment["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"])
    assert (*labels, kube["spec"]["selector"]) == 3 * ({"app": service},)
    assert deployment["metadata"]["name"] == kube["metadata"]["name"] == service
    (serving,) = pod["spec"]["containers"]
    assert serving["args"][0] == f"--model_config_file=/models/{name}/models.config"
    assert serving["volumeMounts"][0]["mountPath"] == f"/models/{name}"


@pytest.mark.parametrize("name", [*NAMES, "é", "~", ""])
def test_the_name_of_a_service_is_a_label_of_dns(name):
    """Which a Kubernetes Service must have (RFC 1035)."""
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", service_name(name))


def test_files_that_batch_do_not_go_with_a_model_that_must_not_be_batched(tmp_path):
    check_deployment(tmp_path, batching=False)
    write_deployment(tmp_path, "music")
    check_deployment(tmp_path, batching=True)
    with pytest.raises(UserError, match="`path` must be another folder, got .*batching.config"):
        check_deployment(tmp_path, batching=False)


def test_no_line_is_lost_for_the_name_of_a_model(tmp_path):
    write_deployment(tmp_path, "batching", batching=False)
    compose = yaml.safe_load((tmp_path / "compose.yaml").read_text())
    assert compose["services"]["batching"]["command"] == [
        "--model_config_file=/models/batching/models.config"
    ]
