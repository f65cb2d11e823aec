"""The networks that have a name, the sizes that each takes, and those of the paper's Table 1.

Needs neither Keras nor a backend; `models.py` builds the networks.
"""

from collections.abc import Mapping
from typing import Any

from ..utils.errors import ArgumentError, UserError, nearest
from ..utils.validation import CHECKS, one_of, optional, positive_integer

# Those of arXiv:1312.6026, which a search goes over unless other networks are asked for.
PAPER_NETWORKS = (
    "rnn", "deep_input_rnn", "dt_rnn", "dts_rnn", "do_rnn", "dot_rnn", "dots_rnn", "srnn",
)  # fmt: skip
GATED_NETWORKS = ("rhn", "dt_gru", "dt_lstm", "gru", "lstm")
NETWORKS = (*PAPER_NETWORKS, "fast_dropout_rnn", *GATED_NETWORKS)
# Those whose number of parameters has a closed form, which a search with a budget needs.
SEARCHED_NETWORKS = (*PAPER_NETWORKS, *GATED_NETWORKS)
# The sizes that a network has beside `units`.
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
# Sizes that it has only where they are given.
OPTIONAL_SIZES = {"dot_rnn": ("input_units",), "dots_rnn": ("input_units",)}
ALL_SIZES = ("input_units", "transition_units", "output_units", "levels", "depth")
# Those whose input feeds the first layer of the transition or all of them.
WITH_INPUT_TO = ("dt_rnn", "dts_rnn", "dot_rnn", "dots_rnn", "rhn")
# Gated steps of a deep transition, and levels of a stack, by default.
DEFAULT_DEPTH = 2

_MUSIC = {
    "dts_rnn": {"units": 400, "transition_units": (400,)},
    "dots_rnn": {"units": 400, "transition_units": (400,), "output_units": (400,)},
}
# Sizes of the paper's Table 1, for each task and network.
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
# Whose sizes stand in for data that Table 1 does not have.
STAND_INS = {"piano_roll": "jsb_chorales", "characters": "ptb_char", "words": "ptb_word"}
# The width of networks that it does not have.
UNITS = 400


def preset(task: str, network: str) -> dict[str, Any]:
    """The sizes of a network in the paper's Table 1.

    Args:
        task: `"nottingham"`, `"jsb_chorales"`, `"musedata"`, `"ptb_char"` or `"ptb_word"`.
        network: `"rnn"`, `"dts_rnn"`, `"dots_rnn"` or `"srnn"`.

    Returns:
        The arguments of `build_network` that give these sizes. The input feeds every layer of a
        deep transition: only so do the paper's numbers of parameters come out.

    Raises:
        UserError: The table has no such row.

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
    """The sizes of a network for a data set where none are given: Table 1's, else one width.

    Args:
        data: Name of the data set.
        kind: Its kind.
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
    """Every size that a network has beside `units`, with a default where none is given.

    Args:
        network: One of `NETWORKS`.
        units: Width of h, which layers without a width of their own take.
        given: {name: value or None}, of `ALL_SIZES` and `input_to`.

    Raises:
        UserError: A size is given that the network does not have, or is not one.

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
