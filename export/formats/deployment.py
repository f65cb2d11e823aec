"""Files beside the versions with which the stock image of TF Serving serves them.

    models.config      which model lies where, for --model_config_file
    batching.config    how requests are put together, for --batching_parameters_file
    compose.yaml       docker compose: the image with both, on this machine's loopback
    kubernetes.yaml    Deployment, Service and the claim of a volume that holds the folder

A file that is there already stays as it is: it may have been edited.
"""

import os
import re
from pathlib import Path

from ...utils.files import replacing

MODELS, BATCHING = "models.config", "batching.config"
COMPOSE, KUBERNETES = "compose.yaml", "kubernetes.yaml"
IMAGE_VERSION = "2.21.0"

_MODELS = """\
model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    # Two versions: clients may ask for the one before while a new one comes in.
    model_version_policy {{ latest {{ num_versions: 2 }} }}
  }}
}}
"""

_BATCHING = """\
# Requests of different lengths go into one batch, padded; `lengths` takes the padding out again.
# One request with a bad input fails with those that share its batch.
max_batch_size { value: 64 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 1000 }
num_batch_threads { value: 4 }
pad_variable_length_inputs: true
"""

_COMPOSE = """\
# docker compose up; then gRPC at 127.0.0.1:8500, REST at http://127.0.0.1:8501/v1/models/{name}
services:
  {service}:
    image: tensorflow/serving:${{TF_SERVING_VERSION:-{version}}}
    command:
      - --model_config_file=/models/{name}/models.config
      - --enable_batching=true
      - --batching_parameters_file=/models/{name}/batching.config
    volumes:
      - .:/models/{name}:ro
    ports:
      - 127.0.0.1:8500:8500
      - 127.0.0.1:8501:8501
    restart: unless-stopped
"""

_KUBERNETES = """\
# Copy this folder to the volume of the claim {service}-versions, then
# kubectl apply -f kubernetes.yaml
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {service}-versions
spec:
  accessModes: [ReadOnlyMany]
  resources:
    requests:
      storage: 1Gi
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {service}
spec:
  replicas: 2
  selector:
    matchLabels: {{app: {service}}}
  template:
    metadata:
      labels: {{app: {service}}}
    spec:
      containers:
        - name: serving
          image: tensorflow/serving:{version}
          args:
            - --model_config_file=/models/{name}/models.config
            - --enable_batching=true
            - --batching_parameters_file=/models/{name}/batching.config
          ports:
            - {{name: grpc, containerPort: 8500}}
            - {{name: rest, containerPort: 8501}}
          readinessProbe:
            httpGet: {{path: /v1/models/{name}, port: rest}}
            periodSeconds: 5
          livenessProbe:
            tcpSocket: {{port: grpc}}
            initialDelaySeconds: 30
          resources:
            requests: {{cpu: "1", memory: 1Gi}}
            limits: {{memory: 2Gi}}
          securityContext:
            allowPrivilegeEscalation: false
          volumeMounts:
            - {{name: versions, mountPath: /models/{name}, readOnly: true}}
      volumes:
        - name: versions
          persistentVolumeClaim: {{claimName: {service}-versions, readOnly: true}}
---
apiVersion: v1
kind: Service
metadata:
  name: {service}
spec:
  # A gRPC client keeps one connection: without a cluster IP it sees every replica's address.
  clusterIP: None
  selector: {{app: {service}}}
  ports:
    - {{name: grpc, port: 8500, targetPort: grpc}}
    - {{name: rest, port: 8501, targetPort: rest}}
"""


def write_deployment(path: str | os.PathLike[str], name: str) -> list[str]:
    """Writes those of the files that are not there yet.

    Args:
        path: Folder that holds the versions.
        name: Name of the model.

    Returns:
        Names of the files that were written.
    """
    names = {"name": name, "service": service_name(name), "version": IMAGE_VERSION}
    contents = {
        MODELS: _MODELS.format(**names),
        BATCHING: _BATCHING,
        COMPOSE: _COMPOSE.format(**names),
        KUBERNETES: _KUBERNETES.format(**names),
    }
    written = [file for file in contents if not Path(path, file).exists()]
    for file in written:
        with replacing(Path(path, file)) as partial:
            partial.write_text(contents[file], encoding="utf-8")
    return written


def service_name(model: str) -> str:
    """A model's name as one of a service: small letters, digits and hyphens, at most 40.

    Example:

    >>> service_name("Bach_2 (best)")
    'bach-2-best'
    """
    return re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")[:40].strip("-") or "model"
