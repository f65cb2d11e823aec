"""The options that many constructors share, and how a constructor's arguments become a config.

Each option belongs to the part that uses it: of the weights to ⊕, of dropout to the cell, of the
sequence to the layer. A constructor passes on the options of the parts that it makes.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, Self, TypedDict

import keras

from ..utils.errors import UserError, nearest

# How Keras describes an initializer, an activation, ...: a name, a config, a function, an object.
Described = str | dict | Callable | None


class KerasOptions(TypedDict, total=False):
    """Arguments of every Keras layer."""

    name: str | None
    dtype: Any
    trainable: bool


class WeightOptions(TypedDict, total=False):
    """Options of the affine maps of ⊕; see `Operator`."""

    activation: Described
    use_bias: bool
    num_tokens: int | None
    normalization: Any
    input_initializer: Described
    kernel_initializer: Described
    recurrent_initializer: Described
    shortcut_initializer: Described
    bias_initializer: Described
    kernel_regularizer: Described
    recurrent_regularizer: Described
    bias_regularizer: Described
    kernel_constraint: Described
    recurrent_constraint: Described
    bias_constraint: Described


class OperatorOptions(WeightOptions, KerasOptions, total=False):
    """Options of ⊕ as a Keras layer."""


class DropoutOptions(KerasOptions, total=False):
    """Options of a cell; see `DeepRNNCell`."""

    dropout: float
    recurrent_dropout: float
    output_dropout: float
    zoneout: float
    learn_initial_state: bool
    seed: int | None


class LoopOptions(TypedDict, total=False):
    """Sequence options of a recurrent layer; see `DeepRNN`."""

    return_sequences: bool
    return_state: bool
    return_state_sequences: bool
    go_backwards: bool
    stateful: bool
    unroll: bool
    zero_output_for_mask: bool
    jit_compile: bool | None
    batch_parts: int | None
    remat: int | None
    persistent: bool


class CellOptions(WeightOptions, DropoutOptions, total=False):
    """Options of a cell that makes its own ⊕."""


class LayerOptions(WeightOptions, DropoutOptions, LoopOptions, total=False):
    """Options of a recurrent layer that makes its own ⊕."""

    activity_regularizer: Described


def weights_of(
    *,
    activation: Described = "tanh",
    use_bias: bool = True,
    num_tokens: int | None = None,
    normalization: Any = None,
    input_initializer: Described = None,
    kernel_initializer: Described = "glorot_uniform",
    recurrent_initializer: Described = "orthogonal",
    shortcut_initializer: Described = None,
    bias_initializer: Described = "zeros",
    kernel_regularizer: Described = None,
    recurrent_regularizer: Described = None,
    bias_regularizer: Described = None,
    kernel_constraint: Described = None,
    recurrent_constraint: Described = None,
    bias_constraint: Described = None,
    **others: Any,
) -> OperatorOptions:
    """The options of ⊕ among those of a cell or a layer, with their defaults.

    Editors read them from this signature.
    """
    return {
        "activation": activation,
        "use_bias": use_bias,
        "num_tokens": num_tokens,
        "normalization": normalization,
        "input_initializer": input_initializer,
        "kernel_initializer": kernel_initializer,
        "recurrent_initializer": recurrent_initializer,
        "shortcut_initializer": shortcut_initializer,
        "bias_initializer": bias_initializer,
        "kernel_regularizer": kernel_regularizer,
        "recurrent_regularizer": recurrent_regularizer,
        "bias_regularizer": bias_regularizer,
        "kernel_constraint": kernel_constraint,
        "recurrent_constraint": recurrent_constraint,
        "bias_constraint": bias_constraint,
        "dtype": others.get("dtype"),
        "name": "plus",  # a path that is the same in every process
    }


def keras_options(
    *, name: str | None = None, dtype: Any = None, trainable: bool = True, **others: Any
) -> KerasOptions:
    """Keras's own options among those of an operator, a cell or a layer."""
    return {"name": name, "dtype": dtype, "trainable": trainable}


def cell_options(**options: Any) -> Any:
    """The options of a cell among those of a layer, which names it "cell"."""
    # Passed on to `weights_of`, in whose signature editors find the names.
    names = {*weights_of(**options), *typing.get_type_hints(DropoutOptions)}
    own = {name: value for name, value in options.items() if name in names}
    return {**own, "name": "cell"}  # a path that is the same in every process


class Configured(keras.layers.Layer):
    """A Keras layer whose configuration is the arguments of its constructor.

    Each argument is an attribute of the same name, of the layer or of one of its `parts`.
    """

    # Attributes that hold the parts to which a constructor passes its arguments on.
    parts: tuple[str, ...] = ()

    @classmethod
    @functools.cache
    def arguments(cls) -> tuple[str, ...]:
        """Names of the constructor's arguments, without `name`, `dtype` and `trainable`."""
        names: dict[str, None] = {}
        for parent in cls.__mro__:
            if parent is Configured:
                break
            if "__init__" not in vars(parent):
                continue
            *explicit, last = inspect.signature(parent.__init__).parameters.values()
            names |= dict.fromkeys(p.name for p in [*explicit, last][1:] if p.kind != p.VAR_KEYWORD)
            if last.kind != last.VAR_KEYWORD:
                break
            if typing.get_origin(last.annotation) is typing.Unpack:
                # Options named `_` are passed on to other parts.
                options = () if last.name == "_" else typing.get_args(last.annotation)
                names |= {name: None for kind in options for name in typing.get_type_hints(kind)}
                break
        return tuple(name for name in names if name not in typing.get_type_hints(KerasOptions))

    def _has_argument(self, name: str) -> bool:
        return name in self.arguments() or any(p._has_argument(name) for p in self._own_parts())

    def _own_parts(self) -> "list[Configured]":
        parts = [getattr(self, part, None) for part in type(self).parts]
        return [part for part in parts if isinstance(part, Configured)]

    def __getattr__(self, name: str) -> Any:
        if name not in type(self).parts and not name.startswith("_"):
            for part in self._own_parts():
                if part._has_argument(name):
                    return getattr(part, name)
        parent: Any = getattr(super(), "__getattr__", None)  # that of torch.nn.Module
        if parent is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return parent(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name.startswith("_") or name in self.__dict__ or hasattr(type(self), name)):
            for part in self._own_parts():
                if part._has_argument(name):
                    return setattr(part, name, value)
        super().__setattr__(name, value)

    def refuse_unknown(self, options: typing.Iterable[str]) -> None:
        """Raises a `UserError` for the first name that is no argument of the constructor."""
        known = {*self.arguments(), *typing.get_type_hints(KerasOptions), "activity_regularizer"}
        for name in options:
            if name not in known:
                hint = nearest(name, known)
                raise UserError(f"`{name}` is no argument of {type(self).__name__}{hint or '.'}")

    def get_config(self) -> dict[str, Any]:
        config = keras.layers.Layer.get_config(self)
        for name in self.arguments():
            value = getattr(self, name)
            value = list(value) if isinstance(value, tuple) else value
            config[name] = keras.saving.serialize_keras_object(value)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        with keras.saving.custom_object_scope(custom_objects or {}):
            return keras.layers.Layer.from_config.__func__(cls, config)


def set_untracked(layer: keras.layers.Layer, name: str, value: Any) -> None:
    """Sets an attribute that Keras and PyTorch do not track.

    An activation with weights is a template: each map that uses it has a copy, which is tracked.
    """
    object.__setattr__(layer, name, value)
