"""Which models can be exported, and how one is called."""

import keras

from ..errors import UserError


def exportable(model):
    """Raises a `UserError` that says why `model` cannot be exported, if it cannot."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise UserError(
            f"export needs KERAS_BACKEND=tensorflow, got {backend!r}: save the model, then export "
            "it in a process that uses TensorFlow."
        )
    if not isinstance(model, keras.Model):
        raise UserError(f"`model` must be a Keras model, got {model!r}.")
    if not getattr(model, "inputs", None):
        raise UserError(
            "`model` must be a functional or Sequential model that starts with a keras.Input, "
            f"got {model.name!r}, whose inputs are not known."
        )
    config = model.get_config()
    if True in _values_of(config, "stateful"):
        raise UserError(
            f"`model` must not be stateful, got {model.name!r}: build it with stateful=False and "
            "copy the weights."
        )
    if True in _values_of(config, "unroll"):
        raise UserError(
            f"`model` must not be unrolled, which fixes its length, got {model.name!r}."
        )
    for name, tensors in (("input", model.inputs), ("output", model.outputs)):
        if len(tensors) != 1:
            raise UserError(f"`model` must have one {name}, got {len(tensors)}.")
    shape = model.inputs[0].shape
    if len(shape) not in (2, 3) or shape[0] is not None or shape[1] is not None:
        raise UserError(
            "`model` must take inputs of shape (None, None) or (None, None, features), open in "
            f"batch and length, got {tuple(shape)}."
        )


def _values_of(config, key):
    """Every value that `key` has in a config and in those that it contains."""
    if isinstance(config, dict):
        if key in config:
            yield config[key]
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for part in config:
            yield from _values_of(part, key)


def half_precision(model):
    """Whether a layer of `model`, at any depth, computes in float16 or bfloat16.

    A functional model's own `compute_dtype` is that of the global policy, whatever its layers do.
    """
    return any(
        keras.dtype_policies.get(policy).compute_dtype in ("float16", "bfloat16")
        for policy in _values_of(model.get_config(), "dtype")
        if policy is not None
    )


def logits_of(model, x):
    """The one output of `model` for its one input, in inference."""
    if not isinstance(model, keras.Sequential):
        # A functional model is called with the structure that it was made with.
        x = keras.tree.map_structure(lambda _: x, model.input)
    (logits,) = keras.tree.flatten(model(x, training=False))
    return logits
