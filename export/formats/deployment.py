"""Configuration files for the stock image of TF Serving, beside the versions.

    models.config      which model lies where, for --model_config_file
    batching.config    how requests are batched, for --batching_parameters_file
    compose.yaml       docker compose: the image with both, on this machine's loopback
    kubernetes.yaml    Deployment, Service and the claim of a volume that holds the folder

A file that is there already stays as it is: it may have been edited.
"""

import os
import re
import string
from pathlib import Path

from ...utils.errors import ArgumentError, Words
from ...utils.files import replacing

FILES = ("models.config", "batching.config", "compose.yaml", "kubernetes.yaml")
IMAGE_VERSION = "2.21.0"


def write_deployment(
    path: str | os.PathLike[str], name: str, *, batching: bool = True
) -> list[str]:
    """Writes the files that do not exist yet.

    Args:
        path: Folder that holds the versions.
        name: Name of the model.
        batching: Whether the server batches requests, which it pads to one length.

    Returns:
        Names of the files that were written.
    """
    names = {"name": name, "service": service_name(name), "version": IMAGE_VERSION}
    templates = Path(__file__).with_name("templates")
    written = []
    for file in FILES:
        template = (templates / file).read_text(encoding="utf-8")
        if not batching:
            lines = template.splitlines(keepends=True)
            template = "".join(line for line in lines if "batching" not in line)
        content = string.Template(template).substitute(names)
        if Path(path, file).exists() or (not batching and file == "batching.config"):
            continue
        with replacing(Path(path, file)) as partial:
            partial.write_text(content, encoding="utf-8")
        written.append(file)
    return written


def check_deployment(path: str | os.PathLike[str], *, batching: bool) -> None:
    """Refuses a folder whose files let a server batch the requests of a model that it must not.

    Raises:
        UserError: `batching` is False, and there is a batching.config.
    """
    if not batching and Path(path, "batching.config").exists():
        hint = ", whose batching.config would pad the requests of this model: its outputs change."
        raise ArgumentError("path", "another folder", Words(path), hint)


def service_name(model: str) -> str:
    """A model's name as one of a Kubernetes Service, a label of DNS (RFC 1035) of at most 40.

    Example:

    >>> service_name("Bach_2 (best)"), service_name("1e3")
    ('bach-2-best', 'model-1e3')
    """
    name = re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-")
    if not name[:1].isalpha():
        name = f"model-{name}"
    return name[:40].strip("-")
