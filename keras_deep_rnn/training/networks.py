"""The names of the networks; Keras, whose import takes seconds, is not needed to list them."""

# Those of arXiv:1312.6026, which a search goes over unless it is given others.
PAPER_NETWORKS = (
    "rnn", "deep_input_rnn", "dt_rnn", "dts_rnn", "do_rnn", "dot_rnn", "dots_rnn", "srnn",
)  # fmt: skip
GATED_NETWORKS = ("rhn", "dt_gru", "dt_lstm", "gru", "lstm")
NETWORKS = (*PAPER_NETWORKS, "fast_dropout_rnn", *GATED_NETWORKS)
# Those whose number of parameters has a closed form, which a search may be given.
SEARCHED_NETWORKS = (*PAPER_NETWORKS, *GATED_NETWORKS)
# The default of `depth`, layers of a deep transition of gated steps, and of `levels` of a stack.
DEFAULT_DEPTH = 2
