"""Constructor arguments: checked when they come in, kept under their own name, saved in the config.

Every layer of the package derives from `Configured`, so that no class repeats its arguments in
`get_config`: the signature of the constructor is the configuration.
"""

import inspect
import math
import numbers

import keras

from .errors import UserError, nearest


def positive_integer(name, value):
    """`value` as an int of at least 1, or a `UserError` that names the argument."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise UserError(f"`{name}` must be a positive integer, got {value!r}.")
    return int(value)


def layer_sizes(name, value):
    """`value` as a tuple of positive integers, one for each layer."""
    if not isinstance(value, (list, tuple)) or not value:
        raise UserError(
            f"`{name}` must be a non-empty sequence of positive integers, "
            f"such as (400,), got {value!r}."
        )
    return tuple(positive_integer(f"{name}[{i}]", units) for i, units in enumerate(value))


def rate(name, value):
    """`value` as a float in [0, 1): the share of units that dropout sets to zero."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise UserError(f"`{name}` must be a number of at least 0 and below 1, got {value!r}.")
    return float(value)


def number(name, value, *, above=None, least=None):
    """`value` as a finite float, larger than `above` or at least `least` where one is given."""
    if above is not None:
        range_, low = f"above {above}", above
    else:
        range_, low = (f"of at least {least}", least) if least is not None else ("", -math.inf)
    valid = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not valid or not math.isfinite(value) or value < low or value == above:
        raise UserError(f"`{name}` must be a finite number {range_}".rstrip() + f", got {value!r}.")
    return float(value)


def one_of(choices):
    """A check that the value is among `choices`."""

    def check(name, value):
        if value not in choices:
            listed = ", ".join(repr(choice) for choice in choices)
            hint = nearest(value, [choice for choice in choices if choice is not None])
            raise UserError(f"`{name}` must be one of {listed}, got {value!r}{hint or '.'}")
        return value

    return check


def flag(name, value):
    """`value`, which must be True or False."""
    if not isinstance(value, bool):
        raise UserError(f"`{name}` must be True or False, got {value!r}.")
    return value


def seed(name, value):
    """`value` as an int of 32 bits, or None for a seed drawn at random."""
    if value is None:
        return None
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not 0 <= value < 2**32:
        raise UserError(f"`{name}` must be an integer from 0 to 2**32 - 1, or None, got {value!r}.")
    return int(value)


def from_keras(module):
    """A check that resolves names, configs and objects as `keras.<module>.get` does."""

    def check(name, value):
        if isinstance(value, dict) or value is None:
            return module.get(value)
        if isinstance(value, str):
            try:
                return module.get(value)
            except ValueError:
                names = {n for n in dir(module) if n[0].islower()}
                hint = nearest(value, names - {"get", "serialize", "deserialize"})
                kind = name.rsplit("_", 1)[-1]
                message = f"`{name}` names no {kind} of Keras: {value!r}{hint or '.'}"
                raise UserError(message) from None
        if not callable(value):
            raise UserError(f"`{name}` must be a name or a callable, got {value!r}.")
        return value

    return check


def keras_layer(name, value):
    """`value` as a Keras layer; a config made by `keras.saving` is turned into its layer."""
    if isinstance(value, dict):
        value = keras.saving.deserialize_keras_object(value)
    if not isinstance(value, keras.layers.Layer):
        raise UserError(f"`{name}` must be a Keras layer, got {value!r}.")
    return value


def cell_list(name, value):
    """`value` as a list of recurrent cells: things that have `call` and `state_size`."""
    given = value if isinstance(value, (list, tuple)) else ()
    load = keras.saving.deserialize_keras_object
    cells = [load(cell) if isinstance(cell, dict) else cell for cell in given]
    if not cells or not all(hasattr(c, "call") and hasattr(c, "state_size") for c in cells):
        raise UserError(f"`{name}` must be a non-empty list of recurrent cells, got {value!r}.")
    return cells


def optional(check):
    """The same check, with None let through as it is."""
    return lambda name, value: None if value is None else check(name, value)


_initializer = from_keras(keras.initializers)
_regularizer = from_keras(keras.regularizers)
_constraint = from_keras(keras.constraints)
_activation = from_keras(keras.activations)

CHECKS = {
    "units": positive_integer,
    "state_size": optional(positive_integer),
    "input_units": optional(layer_sizes),
    "transition_units": optional(layer_sizes),
    "output_units": optional(layer_sizes),
    "shortcut": flag,
    "input_to": one_of(("first", "all")),
    "num_tokens": optional(positive_integer),
    "skip": one_of((None, "residual", "all_to_output")),
    "use_bias": flag,
    "activation": _activation,
    "input_activation": optional(_activation),
    "output_activation": optional(_activation),
    "input_initializer": optional(_initializer),
    "kernel_initializer": _initializer,
    "recurrent_initializer": _initializer,
    "shortcut_initializer": optional(_initializer),
    "bias_initializer": _initializer,
    "kernel_regularizer": _regularizer,
    "recurrent_regularizer": _regularizer,
    "bias_regularizer": _regularizer,
    "kernel_constraint": _constraint,
    "recurrent_constraint": _constraint,
    "bias_constraint": _constraint,
    "dropout": rate,
    "recurrent_dropout": rate,
    "output_dropout": rate,
    "seed": seed,
    "return_state_sequences": flag,
    "jit_compile": optional(flag),
    "batch_parts": optional(positive_integer),
    "remat": optional(positive_integer),
    "plus": keras_layer,
    "predict": optional(keras_layer),
}


def own_parameters(function):
    """The named parameters of a constructor, without `self` and the catch-all ones."""
    if function is None:
        return []
    return [
        parameter
        for parameter in list(inspect.signature(function).parameters.values())[1:]
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def signature(parameters):
    """What `help` shows of a constructor: the required parameters, the others, Keras's own."""
    ordered = sorted(parameters.values(), key=lambda p: p.default is not p.empty)
    catch_all = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)
    return inspect.Signature([*ordered, catch_all])


class Configured(keras.layers.Layer):
    """A Keras layer whose configuration is the arguments of its constructor.

    A subclass lists its arguments once, in the signature of `__init__`; those that it passes on
    through `**kwargs` are taken from its parents' signatures, and from the classes in `options_of`
    if it hands them to parts of these classes. Arguments that a parent has and a subclass decides
    by itself are named in `decided`. Each argument is an attribute of the same name, a part of
    `get_config`, and shown by `help`.
    """

    decided = ()
    options_of = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        parameters = {}
        for parent in cls.__mro__:
            if parent is Configured:
                break
            for parameter in own_parameters(vars(parent).get("__init__")):
                parameters.setdefault(parameter.name, parameter)
        for other in cls.options_of:
            parameters = {**other.accepts, **parameters}
        cls.accepts = {n: p for n, p in parameters.items() if n not in cls.decided}
        cls.__signature__ = signature(cls.accepts)

    def keep(self, arguments):
        """Checks the constructor's arguments, given as its `locals()`, and makes them attributes.

        Keras and torch track every layer that is assigned to an attribute. An activation with
        weights is only a description, copied for each layer that uses it, so it is set past that
        tracking.
        """
        for name, value in arguments.items():
            if name in CHECKS:
                set_value = object.__setattr__ if name.endswith("activation") else setattr
                set_value(self, name, CHECKS[name](name, value))

    def get_config(self):
        config = keras.layers.Layer.get_config(self)
        for name in self.accepts:
            value = getattr(self, name)
            if isinstance(value, tuple):
                value = list(value)
            config[name] = keras.saving.serialize_keras_object(value)
        return config

    @classmethod
    def from_config(cls, config):
        return keras.layers.Layer.from_config.__func__(cls, config)


def numbered(initializer, number):
    """The initializer for the weight `number` of those that share it.

    A Keras initializer returns the same values each time it is called, so two weights that
    share one would start equal. The first weight takes it as it is; every later one takes a copy
    whose seed is moved on by `number`.
    """
    if number == 0 or not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] += number
    elif config.get("seed") is not None:
        return initializer  # a seed generator, which moves on by itself
    return type(initializer).from_config(config)
