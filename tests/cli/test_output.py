"""What the commands print where the console, the disk or a name makes it hard."""

import contextlib
import io
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from keras_deep_rnn.cli import main as cli
from keras_deep_rnn.training import train as training

TEXT = "hi 😀 é ♫ [b]x[/b]\n"
NAME = "songs [b]♫ $x^$"


def called(*arguments, stdout=None, encoding="latin-1"):
    """Calls a command on a console: exit code, the error line, and its output as bytes."""
    binary = io.BytesIO()
    output = io.TextIOWrapper(binary, encoding=encoding) if stdout is None else stdout
    errors = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
    errors.flush()
    if stdout is None:
        output.flush()
    return end.value.code, errors.buffer.getvalue().decode("latin-1"), binary.getvalue()


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    """A run on a text with characters that few encodings have, in a folder of such a name."""
    folder = tmp_path_factory.mktemp("work") / NAME
    folder.mkdir()
    (folder / f"{NAME}.txt").write_text(TEXT * 20, encoding="utf-8")
    run = folder / "run [x]"
    arguments = ["--network", "rnn", "--units", 3, "--epochs", 1, "--batch-size", 2]
    code, errors, output = called(
        "train", "--data", folder / f"{NAME}.txt", "--out", run, "--tensorboard", *arguments
    )
    assert (code, errors) == (0, "")
    assert b"songs [b]\\u266b $x^$.txt, test split" in output
    return run


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8"])
def test_any_console_can_show_a_text(encoding, text_run, tmp_path):
    arguments = ("generate", text_run, "--out", tmp_path / "♫.txt")
    code, errors, output = called(*arguments, encoding=encoding)
    assert (code, errors) == (0, "")
    written = (tmp_path / "♫.txt").read_text(encoding="utf-8")
    assert set(written) <= set(TEXT)
    assert "😀" in written
    assert output.startswith(written.encode(encoding, "backslashreplace"))
    assert "♫.txt".encode(encoding, "backslashreplace") in output


def test_any_console_can_show_a_table_and_an_error(text_run, tmp_path):
    code, _, output = called("evaluate", text_run)
    assert (code, b"[b]\\u266b $x^$.txt, test split" in output) == (0, True)
    code, errors, _ = called("evaluate", tmp_path / "♫ [b]")
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.endswith("\\u266b [b]'.\n")


def test_a_name_that_is_no_unicode(text_run, tmp_path):
    run = os.path.join(os.fsencode(tmp_path), b"r\xff[b]")
    shutil.copytree(os.fsencode(text_run), run)
    code, errors, output = called("generate", os.fsdecode(run), "--length", 2)
    assert (code, errors) == (0, "")
    assert b"r\\udcff[b]/text.txt" in output


@pytest.mark.slow
def test_the_picture_of_data_with_any_name(tmp_path):
    random = np.random.default_rng(0)
    rolls = {
        f"{split}_{i}": (random.random((4, 88)) < 0.1).astype("uint8")
        for split in ("train", "valid", "test")
        for i in range(2)
    }
    np.savez(tmp_path / "a $x^$.npz", **rolls)
    run = tmp_path / "run"
    arguments = ["--network", "rnn", "--units", 2, "--epochs", 1, "--out", run]
    assert called("train", "--data", tmp_path / "a $x^$.npz", *arguments)[0] == 0
    assert called("generate", run, "--length", 4)[:2] == (0, "")
    assert (run / "music.png").read_bytes().startswith(b"\x89PNG")


def test_a_full_disk_behind_stdout(text_run):
    before = (text_run / "metrics.json").read_text()
    with open("/dev/full", "w") as full:
        code, errors, _ = called("evaluate", text_run, "--split", "validation", stdout=full)
    assert (code, errors) == (2, "Error: No space left on device.\n")
    assert (text_run / "metrics.json").read_text() == before  # the same numbers


def test_an_error_of_the_system_is_one_line(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        open(tmp_path / "none" / "♫")

    monkeypatch.setattr(training, "evaluate_run", fail)
    code, errors, _ = called("evaluate", tmp_path)
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith(f"Error: '{tmp_path}/none/")
    assert errors.endswith("': No such file or directory.\n")


def test_a_reader_that_has_enough():
    """`deep-rnn data list | head -1`, whose reader has gone."""
    process = subprocess.Popen(
        [sys.executable, "-m", "keras_deep_rnn", "data", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1
