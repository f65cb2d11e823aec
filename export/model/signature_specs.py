"""The signatures of a served model as a plain dict, as in `export.json`."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

# {name: array}
Arrays = dict[str, np.ndarray]
# {signature: {"inputs" or "outputs": {name: {"dtype": ..., "shape": [...]}}}}; an open size is -1,
# and the shape of an unknown rank None.
Specs = dict[str, dict[str, dict[str, dict[str, Any]]]]
# NumPy's names of TensorFlow's types, where they differ.
NUMPY = {"float": "float32", "double": "float64", "half": "float16", "string": "object"}


def specs(signatures: Mapping[str, Any]) -> Specs:
    """Inputs and outputs of each signature.

    Args:
        signatures: A `SignatureDefMap`, or a `MetaGraphDef`, as JSON has it.

    Example:

    >>> info = {"dtype": "DT_INT32", "tensor_shape": {"dim": [{"size": "-1"}]}}
    >>> specs({"signature_def": {"initial_state": {"inputs": {"rows": info}}}})
    {'initial_state': {'inputs': {'rows': {'dtype': 'int32', 'shape': [-1]}}, 'outputs': {}}}
    """
    return {
        name: {
            side: {key: _spec(info) for key, info in signature.get(side, {}).items()}
            for side in ("inputs", "outputs")
        }
        for name, signature in signatures["signature_def"].items()
        if not name.startswith("__")
    }


def _spec(info: Mapping[str, Any]) -> dict[str, Any]:
    dtype = re.sub("^DT_", "", info["dtype"]).lower()
    dtype = NUMPY.get(dtype, dtype)
    shape = info.get("tensor_shape", {})
    if shape.get("unknown_rank"):
        return {"dtype": dtype, "shape": None}
    # protobuf leaves out what is 0.
    return {"dtype": dtype, "shape": [int(dim.get("size", 0)) for dim in shape.get("dim", [])]}
