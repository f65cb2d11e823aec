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
# Titles of the networks; the last two are for music only.
NETWORKS = {
    "rnn": "RNN",
    "dts_rnn": "DT(S)-RNN",
    "dots_rnn": "DOT(S)-RNN",
    "srnn": "sRNN, 2 levels",
    "dots_rnn_lp": "DOT(S)-RNN, Lp, maxout",
    "fast_dropout_rnn": "RNN, fast dropout",
}
MUSIC_ONLY = ("dots_rnn_lp", "fast_dropout_rnn")
SHALLOW = ("rnn", "fast_dropout_rnn")
RECIPES = ("paper", "modern")
# Unit of each metric.
UNITS = {
    "frame_nll": "nats per frame",
    "bits_per_character": "bits per character",
    "perplexity": "perplexity",
}

# Test results in arXiv:1312.6026, Tables 2 and 3; fast dropout: arXiv:1311.0701.
PUBLISHED = {
    "nottingham": {
        "rnn": 3.225, "dts_rnn": 3.206, "dots_rnn": 3.215, "srnn": 3.258, "dots_rnn_lp": 2.95,
        "fast_dropout_rnn": 3.09,
    },
    "jsb_chorales": {
        "rnn": 8.338, "dts_rnn": 8.278, "dots_rnn": 8.437, "srnn": 8.367, "dots_rnn_lp": 7.92,
        "fast_dropout_rnn": 8.01,
    },
    "musedata": {
        "rnn": 6.990, "dts_rnn": 6.988, "dots_rnn": 6.973, "srnn": 6.945, "dots_rnn_lp": 6.59,
        "fast_dropout_rnn": 6.75,
    },
    "ptb_char": {"rnn": 1.414, "dts_rnn": 1.409, "dots_rnn": 1.386, "srnn": 1.412},
    "ptb_word": {"rnn": 122.9, "dts_rnn": 112.0, "dots_rnn": 107.5, "srnn": 110.0},
}  # fmt: skip
# Results of other work in the paper.
OTHERS = {
    "ptb_char": [("earlier work", 1.41), ("LSTM with dynamic evaluation", 1.24)],
    "ptb_word": [("earlier work", 123.0), ("LSTM", 117.0)],
}
# Goal of each task: the best published result.
GOALS = {task: min(numbers.values()) for task, numbers in PUBLISHED.items()}
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


def networks_of(task: str) -> list[str]:
    """Networks with published results for a task.

    Example:

    >>> networks_of("ptb_char")
    ['rnn', 'dts_rnn', 'dots_rnn', 'srnn']
    """
    return [n for n in NETWORKS if n not in MUSIC_ONLY or group_of(task) == "music"]
