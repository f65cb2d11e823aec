"""Names of the networks, the sizes that each has, and the sizes of the paper's Table 1.

`models.py` builds the networks; this needs neither Keras nor a backend.
"""

from collections.abc import Mapping
from typing import Any

from ..utils.errors import ArgumentError, UserError, nearest
from ..utils.validation import CHECKS, one_of, optional, positive_integer

# Networks of arXiv:1312.6026, the default choices of a search.
PAPER_NETWORKS = (
    "rnn", "deep_input_rnn", "dt_rnn", "dts_rnn", "do_rnn", "dot_rnn", "dots_rnn", "srnn",
)  # fmt: skip
GATED_NETWORKS = ("rhn", "dt_gru", "dt_lstm", "gru", "lstm")
NETWORKS = (*PAPER_NETWORKS, "fast_dropout_rnn", *GATED_NETWORKS)
# Networks whose number of parameters has a closed form, as a search with a budget needs.
SEARCHED_NETWORKS = (*PAPER_NETWORKS, *GATED_NETWORKS)
# Sizes of each network beside `units`.
SIZES: dict[str, tuple[str, ...]] = {
    "deep_input_rnn": ("input_units",),
    "dt_rnn": ("transition_units",),
    "dts_rnn": ("transition_units",),
    "do_rnn": ("output_units",),
    "dot_rnn": ("transition_units", "output_units"),
    "dots_rnn": ("transition_units", "output_units"),
    "srnn": ("levels",),
    "rhn": ("depth",),
    "dt_gru": ("depth",),
    "dt_lstm": ("depth",),
}
# Optional sizes, without a default.
OPTIONAL_SIZES = {"dot_rnn": ("input_units",), "dots_rnn": ("input_units",)}
ALL_SIZES = ("input_units", "transition_units", "output_units", "levels", "depth")
# Networks with `input_to`: their input feeds the first layer of the transition or all.
WITH_INPUT_TO = ("dt_rnn", "dts_rnn", "dot_rnn", "dots_rnn", "rhn")
# Default number of gated layers in a transition, and of levels in a stack.
DEFAULT_DEPTH = 2
# Default number of hidden units of a joint output.
NADE_UNITS = 128

_MUSIC = {
    "dts_rnn": {"units": 400, "transition_units": (400,)},
    "dots_rnn": {"units": 400, "transition_units": (400,), "output_units": (400,)},
}
# Sizes of the paper's Table 1: {(task, network): arguments}.
TABLE_1 = {
    ("nottingham", "rnn"): {"units": 600},
    ("nottingham", "dts_rnn"): _MUSIC["dts_rnn"],
    ("nottingham", "dots_rnn"): _MUSIC["dots_rnn"],
    ("nottingham", "srnn"): {"units": 400, "levels": 2},
    ("jsb_chorales", "rnn"): {"units": 200},
    ("jsb_chorales", "dts_rnn"): _MUSIC["dts_rnn"],
    ("jsb_chorales", "dots_rnn"): _MUSIC["dots_rnn"],
    ("jsb_chorales", "srnn"): {"units": 400, "levels": 2},
    ("musedata", "rnn"): {"units": 600},
    ("musedata", "dts_rnn"): _MUSIC["dts_rnn"],
    ("musedata", "dots_rnn"): _MUSIC["dots_rnn"],
    ("musedata", "srnn"): {"units": 600, "levels": 2},
    ("ptb_char", "rnn"): {"units": 600},
    ("ptb_char", "dts_rnn"): {"units": 400, "transition_units": (400,)},
    ("ptb_char", "dots_rnn"): {"units": 400, "transition_units": (400,), "output_units": (600,)},
    ("ptb_char", "srnn"): {"units": 400, "levels": 2},
    ("ptb_word", "rnn"): {"units": 200},
    ("ptb_word", "dts_rnn"): {"units": 200, "transition_units": (200,)},
    ("ptb_word", "dots_rnn"): {"units": 200, "transition_units": (200,), "output_units": (200,)},
    ("ptb_word", "srnn"): {"units": 400, "levels": 2},
}
# Task whose sizes are the default for other data of its kind.
STAND_INS = {"piano_roll": "jsb_chorales", "characters": "ptb_char", "words": "ptb_word"}
# Default width of other networks.
UNITS = 400


def preset(task: str, network: str) -> dict[str, Any]:
    """Sizes of a network in the paper's Table 1.

    Args:
        task: `"nottingham"`, `"jsb_chorales"`, `"musedata"`, `"ptb_char"` or `"ptb_word"`.
        network: `"rnn"`, `"dts_rnn"`, `"dots_rnn"` or `"srnn"`.

    Returns:
        Arguments of `build_network`. The input feeds every layer of a deep transition, as the
        paper's numbers of parameters require.

    Raises:
        UserError: The table does not have the task and network.

    Example:

    >>> preset("ptb_char", "rnn")
    {'units': 600}
    """
    if (task, network) not in TABLE_1:
        rows = [" ".join(row) for row in TABLE_1]
        hint = nearest(f"{task} {network}", rows)
        raise UserError(f"Table 1 has no network {network!r} for the task {task!r}{hint or '.'}")
    sizes = TABLE_1[task, network]
    return {**sizes, "input_to": "all"} if "transition_units" in sizes else sizes


def default_sizes(data: str, kind: str, network: str) -> dict[str, Any]:
    """Default sizes of a network for a data set: those of Table 1, else one width.

    Args:
        data: Name of the data set.
        kind: Kind of the data: "piano_roll", "characters" or "words".
        network: One of `NETWORKS`.

    Example:

    >>> default_sizes("my tunes", "piano_roll", "dts_rnn")
    {'units': 400, 'transition_units': (400,), 'input_to': 'all'}
    >>> default_sizes("ptb_char", "characters", "lstm")
    {'units': 400}
    """
    task = data if data in {task for task, _ in TABLE_1} else STAND_INS[kind]
    return preset(task, network) if (task, network) in TABLE_1 else {"units": UNITS}


def sizes_of(network: str, units: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Checks the sizes of a network beside `units`, and completes them with defaults.

    Args:
        network: One of `NETWORKS`.
        units: Width of h, the default width of the other layers.
        given: {name: value or None}, with names of `ALL_SIZES` and `input_to`.

    Raises:
        UserError: The network does not have one of the sizes, or its value is not valid.

    Example:

    >>> sizes_of("dots_rnn", 8, {"output_units": (9, 9)})
    {'transition_units': (8,), 'output_units': (9, 9), 'input_to': 'first'}
    >>> sizes_of("srnn", 8, {})
    {'levels': 2}
    """
    one_of(NETWORKS)("network", network)
    takes = SIZES.get(network, ())
    found: dict[str, Any] = {}
    for name in ALL_SIZES:
        is_width = name.endswith("_units")
        check = CHECKS[name] if is_width else optional(positive_integer)
        value = check(name, given.get(name))
        if name in takes:
            found[name] = value or ((units,) if is_width else DEFAULT_DEPTH)
        elif value is not None:
            if name not in OPTIONAL_SIZES.get(network, ()):
                raise ArgumentError(name, f"left out for {network!r}, which has none", value)
            found[name] = value
    input_to = given.get("input_to")
    if network in WITH_INPUT_TO:
        found["input_to"] = one_of(("first", "all"))("input_to", input_to or "first")
    elif input_to is not None:
        raise ArgumentError("input_to", f"left out for {network!r}", input_to)
    return found
