"""What `fit` reads batches from."""

import keras
import numpy as np
import pytest

from keras_deep_rnn.data.batching import PieceBatches
from keras_deep_rnn.training.setup import stream


@pytest.mark.parametrize(("lengths", "steps"), [((3, 5, 4), None), ((4, 4, 4), 4)])
def test_a_stream_has_the_batches_of_the_epoch(lengths, steps):
    pieces = [np.full((length, 88), i % 2, "uint8") for i, length in enumerate(lengths)]
    batches = PieceBatches(pieces, 1, kind="piano_roll", shuffle=True)
    streamed = stream(batches)
    assert len(streamed) == 3
    assert streamed.element_spec[0]["x"].shape.as_list() == [1, steps, 88]
    assert not streamed.options().autotune.enabled
    for batches.epoch in (0, 1):
        found = [keras.tree.map_structure(np.asarray, batch) for batch in streamed]
        assert len(found) == 3
        for batch, expected in zip(found, (batches[i] for i in range(3))):
            keras.tree.map_structure(np.testing.assert_array_equal, batch, expected)
