"""The paper's tables: tasks, networks and published results."""

# Tasks, which are names of data sets, of each command of `deep-rnn reproduce`.
GROUPS = {
    "music": ("nottingham", "jsb_chorales", "musedata"),
    "characters": ("ptb_char",),
    "words": ("ptb_word",),
}
TASKS = {
    "nottingham": "Nottingham",
    "jsb_chorales": "JSB Chorales",
    "musedata": "MuseData",
    "ptb_char": "Penn Treebank, characters",
    "ptb_word": "Penn Treebank, words",
}
# Titles of the networks, by family. Networks that the paper does not have are under the modern
# recipe alone, and have about as many weights as the DOT(S)-RNN, but for the large ones of text.
FAMILIES = {
    "the paper's": {
        "rnn": "RNN",
        "dts_rnn": "DT(S)-RNN",
        "dots_rnn": "DOT(S)-RNN",
        "srnn": "sRNN, 2 levels",
        "dots_rnn_lp": "DOT(S)-RNN, Lp, maxout",
        "fast_dropout_rnn": "RNN, fast dropout",
    },
    "deep gated": {"rhn": "Recurrent highway", "dt_gru": "DT-GRU", "dt_lstm": "DT-LSTM"},
    "LSTM and GRU": {"lstm": "LSTM", "gru": "GRU"},
    "tied embeddings": {"srnn_tied": "sRNN, tied"},
    "gated, at most 10 M weights": {"dt_lstm_large": "DT-LSTM, large", "lstm_large": "LSTM, large"},
    "joint output": {"dots_rnn_nade": "DOT(S)-RNN, NADE"},
}
NETWORKS = {name: title for family in FAMILIES.values() for name, title in family.items()}
# Groups of tasks that alone have a network.
ONLY = {
    "dots_rnn_lp": ("music",),
    "fast_dropout_rnn": ("music",),
    "dots_rnn_nade": ("music",),
    "srnn_tied": ("words",),
    "dt_lstm_large": ("words",),
    "lstm_large": ("characters",),
}
SHALLOW = ("rnn", "fast_dropout_rnn")
RECIPES = ("paper", "modern")
# Unit of each metric.
UNITS = {
    "frame_nll": "nats per frame",
    "bits_per_character": "bits per character",
    "perplexity": "perplexity",
}

# Test results in arXiv:1312.6026, Tables 2 and 3; fast dropout: arXiv:1311.0701; joint output: the
# RNN-NADE of arXiv:1206.6392, Table 1.
PUBLISHED = {
    "nottingham": {
        "rnn": 3.225, "dts_rnn": 3.206, "dots_rnn": 3.215, "srnn": 3.258, "dots_rnn_lp": 2.95,
        "fast_dropout_rnn": 3.09, "dots_rnn_nade": 2.31,
    },
    "jsb_chorales": {
        "rnn": 8.338, "dts_rnn": 8.278, "dots_rnn": 8.437, "srnn": 8.367, "dots_rnn_lp": 7.92,
        "fast_dropout_rnn": 8.01, "dots_rnn_nade": 5.56,
    },
    "musedata": {
        "rnn": 6.990, "dts_rnn": 6.988, "dots_rnn": 6.973, "srnn": 6.945, "dots_rnn_lp": 6.59,
        "fast_dropout_rnn": 6.75, "dots_rnn_nade": 5.60,
    },
    "ptb_char": {"rnn": 1.414, "dts_rnn": 1.409, "dots_rnn": 1.386, "srnn": 1.412},
    "ptb_word": {"rnn": 122.9, "dts_rnn": 112.0, "dots_rnn": 107.5, "srnn": 110.0},
}  # fmt: skip
# Results of other work in the paper.
OTHERS = {
    "ptb_char": [("earlier work", 1.41), ("LSTM with dynamic evaluation", 1.24)],
    "ptb_word": [("earlier work", 123.0), ("LSTM", 117.0)],
}
# Results for which no second source was found beside the paper.
_WITHOUT_SECOND = {"ptb_char": ("rnn", "dts_rnn"), "ptb_word": ("rnn", "dts_rnn")}
ONE_SOURCE = {
    (task, network)
    for task in TASKS
    for network in _WITHOUT_SECOND.get(task, ("rnn", "dts_rnn", "srnn"))
}


def group_of(task: str) -> str:
    """Group of a task.

    Example:

    >>> group_of("musedata")
    'music'
    """
    return next(group for group, tasks in GROUPS.items() if task in tasks)


def networks_of(task: str, family: str | None = None) -> list[str]:
    """Networks of a task, all or those of a family.

    Example:

    >>> networks_of("ptb_char", "the paper's")
    ['rnn', 'dts_rnn', 'dots_rnn', 'srnn']
    """
    networks = NETWORKS if family is None else FAMILIES[family]
    return [n for n in networks if group_of(task) in ONLY.get(n, GROUPS)]


def recipes_of(network: str) -> tuple[str, ...]:
    """Recipes under which a network is trained.

    Example:

    >>> recipes_of("lstm")
    ('modern',)
    """
    return RECIPES if network in FAMILIES["the paper's"] else ("modern",)


def goal_of(task: str, family: str) -> float | None:
    """The best published result of a family, or None.

    Example:

    >>> goal_of("jsb_chorales", "the paper's")
    7.92
    """
    numbers = [PUBLISHED[task].get(network) for network in networks_of(task, family)]
    return min((number for number in numbers if number is not None), default=None)
