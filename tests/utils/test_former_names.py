"""Former names of arguments."""

import pytest

from keras_deep_rnn import data
from keras_deep_rnn.training.train import evaluate_run
from keras_deep_rnn.utils.errors import UserError
from keras_deep_rnn.utils.former_names import former_names


def test_a_former_name_warns_and_is_taken():
    @former_names(data_path="manual_dir")
    def load(name, *, manual_dir=None):
        return name, manual_dir

    with pytest.warns(DeprecationWarning, match="`data_path` is now `manual_dir`"):
        assert load("jsb", data_path="here") == ("jsb", "here")
    assert load("jsb", manual_dir="there") == ("jsb", "there")


@pytest.mark.parametrize("function", [data.load, evaluate_run])
def test_functions_take_the_former_name_of_manual_dir(function, tmp_path):
    with pytest.warns(DeprecationWarning, match="`data_path` is now"), pytest.raises(UserError):
        function(str(tmp_path / "nowhere"), *["test"][: function is not data.load], data_path=".")
