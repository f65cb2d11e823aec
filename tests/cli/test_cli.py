"""The command line as a user meets it: its own process, exit codes, one line for a mistake."""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import typer
from terminal import ESCAPE, Process, screen
from typer.main import get_command
from typer.testing import CliRunner

from keras_deep_rnn.cli import main as cli
from keras_deep_rnn.data.midi_writer import write_midi
from keras_deep_rnn.training import config as settings
from keras_deep_rnn.training import plots
from keras_deep_rnn.training import train as training
from keras_deep_rnn.utils.errors import ArgumentError, DivergedError, UserError, missing_extra
from keras_deep_rnn.utils.fields import fields_of

COMMAND = pathlib.Path(sys.executable).with_name("deep-rnn")
TINY = ["--units", "4", "--transition-units", "3", "--output-units", "3", "--batch-size", "3"]


def deep_rnn(*arguments, **options):
    return subprocess.run(
        [COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options
    )


def called(*arguments):
    """The same in this process, which has Keras already: exit code, output, error line."""
    import contextlib
    import io

    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            return end.code, output.getvalue(), errors.getvalue()
    raise AssertionError("main must end the process")


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Piano-rolls in a file, a user's own data."""
    path = tmp_path_factory.mktemp("data") / "pieces.npz"
    random = np.random.default_rng(0)
    rolls = {
        f"{split}_{i}": (random.random((8, 88)) < 0.05).astype("uint8")
        for split, count in (("train", 6), ("valid", 3), ("test", 3))
        for i in range(count)
    }
    np.savez(path, **rolls)
    return path


@pytest.fixture(scope="module")
def run(pieces, tmp_path_factory):
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    code, output, errors = called("train", "--data", pieces, "--out", out, "--epochs", 2, *TINY)
    assert (code, errors) == (0, "")
    assert "per-key Markov" in output
    assert "dots_rnn" in output
    assert max(len(line) for line in output.splitlines() if line.startswith("epoch")) < 80
    return out


def commands():
    app = get_command(cli.app)
    for name, command in app.commands.items():
        for inner, sub in getattr(command, "commands", {"": command}).items():
            yield [name, inner] if inner else [name], sub


@pytest.mark.process
def test_help_is_quick_and_loads_no_backend():
    code = (
        "import sys; sys.argv = ['deep-rnn', '--help']\n"
        "from keras_deep_rnn.__main__ import main\n"
        "try: main()\n"
        "finally: print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.endswith("[]\n")
    assert "train" in result.stdout
    assert deep_rnn("--help").stdout.split("[]")[0] == result.stdout.removesuffix("[]\n")


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_every_command_has_help_with_an_example(words):
    result = CliRunner().invoke(cli.app, [*words, "--help"])
    assert result.exit_code == 0
    assert f"Example: deep-rnn {' '.join(words)}" in " ".join(result.output.split())


def test_every_setting_is_an_option():
    parameters = get_command(cli.app).commands["train"].params
    shown = {parameter.name for parameter in parameters}
    fields = set(fields_of(settings.Settings))
    assert fields <= shown
    assert shown - fields == {"out", "resume", "overwrite", "devices"}
    assert set(settings.RENAMED.values()) <= fields


@pytest.mark.slow
def test_an_option_under_its_name_of_before(pieces, tmp_path):
    run = tmp_path / "run"
    arguments = ["--data", pieces, "--network", "rnn", "--units", 2, "--epochs", 1, "--out", run]
    code, _, error = called("train", *arguments, "--truncate", 3)
    assert (code, error) == (0, "--truncate is now --bptt-steps.\n")
    code, _, error = called("evaluate", run, f"--data-path={tmp_path}")
    assert (code, error) == (0, "--data-path is now --manual-dir.\n")
    assert json.loads((run / "config.json").read_text())["settings"]["bptt_steps"] == 3


MISTAKES = [
    ("train --units 0", "--units must be a positive integer, got 0."),
    ("train --units many", "'--units': expected an integer, got 'many'."),
    ("train --transition-units ,", "'--transition-units': expected integers separated by commas"),
    ("train --transition-units= --units 3", "expected integers separated by commas, got ''."),
    ("train --units 3 --transition-units 4,-1", "--transition-units must be a positive integer"),
    ("train --dropout 1.5", "--dropout must be a number of at least 0 and below 1, got 1.5."),
    ("train --network dots_rn", "did you mean 'dots_rnn'?"),
    ("train --activation tahn", "did you mean 'tanh'?"),
    ("train --optimizer adam", "did you mean 'adamw'?"),
    ("train --learning-rate 0", "--learning-rate must be a finite number above 0, got 0.0."),
    ("train --units 3 --output-bias nan", "--output-bias must be a finite number, got nan."),
    ("train --unit 3", "No such option: --unit"),
    ("train --data jsb_chorale", "did you mean 'jsb_chorales'?"),
    ("train --data no/such.npz", "--data must be a data set or an existing path"),
    ("train --resume --overwrite", "--resume and --overwrite cannot be combined."),
    ("train --resume --out nowhere", "--out must be a run folder with config.json, got 'nowhere'."),
    ("evaluate nowhere", "RUN must be the folder of a finished run"),
    ("evaluate", "Missing argument RUN: Folder of a finished run, a packed run"),
    ("tune run", "Missing argument JOB: Job file (.toml)."),
    ("tune run job.toml --workers 0", "--workers must be a positive integer, got 0."),
    ("train --resume", "Missing option --out: the folder of the run to resume."),
    ("generate nowhere", "RUN must be a run folder"),
    ("data prepare jsb", "NAME must be a data set"),
    ("trian", "No such command 'trian'."),
]


@pytest.mark.parametrize(("words", "line"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_mistake_is_one_line_and_exit_code_2(words, line, pieces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = words.split()
    if arguments[0] == "train" and "--data" not in arguments and "--resume" not in arguments:
        arguments += ["--data", pieces]
    code, _, errors = called(*arguments)
    assert code == 2
    assert line in errors
    assert errors.startswith("Error: ")
    assert errors.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.process
def test_mistake_in_a_process_of_its_own(tmp_path):
    result = deep_rnn("train", "--data", "bach_choral", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: --data must be a data set")
    assert result.stderr.count("\n") == 1


@pytest.mark.process
@pytest.mark.parametrize("backend", ["tensorfow", "numpy"])
def test_backend_that_cannot_train_is_one_line(backend, pieces, tmp_path):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    result = deep_rnn("train", "--data", pieces, cwd=tmp_path, env=environment)
    assert result.returncode == 2
    assert result.stderr.startswith("Error: KERAS_BACKEND must be tensorflow, jax or torch")
    assert backend in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (missing_extra("music21", "music"), 2, "`music21` is not installed"),
        (UserError("`jsb-chorales` is not prepared."), 2, "`jsb-chorales` is not prepared."),
        (UserError("`jsb_chorales` is not prepared."), 2, "`jsb_chorales` is not prepared."),
        (
            ArgumentError("input_units[1]", "positive", 0),
            2,
            "--input-units must be positive, got 0.",
        ),
        (DivergedError("The loss is nan."), 1, "The loss is nan."),
    ],
)
def test_only_parameters_of_the_command_are_spelled_as_options(
    error, code, line, pieces, tmp_path, monkeypatch
):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(training, "train", fail)
    found = called("train", "--data", pieces, "--out", tmp_path / "run")
    assert found[0] == code
    assert found[2].startswith(f"Error: {line}")


def test_only_ctrl_c_is_an_interrupt(pieces, tmp_path, monkeypatch):
    errors = iter([KeyboardInterrupt, EOFError])

    def fail(*arguments, **options):
        raise next(errors)

    monkeypatch.setattr(training, "train", fail)
    arguments = ["train", "--data", pieces, "--out", tmp_path / "run"]
    code, _, line = called(*arguments)
    assert (code, line.startswith("Error: interrupted; ")) == (130, True)
    with pytest.raises(typer.Abort):
        called(*arguments)


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_help_fits_80_columns_and_has_one_convention_for_defaults(words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    output = CliRunner().invoke(cli.app, [*words, "--help"]).output
    assert all(len(line) <= 80 for line in output.splitlines())
    assert "; else " not in " ".join(re.sub("[│─]", " ", output).split())


def test_required_options_are_marked():
    output = CliRunner().invoke(cli.app, ["tune", "run", "--help"]).output
    assert output.count("[required]") == 1
    assert "required unless --resume" in " ".join(
        CliRunner().invoke(cli.app, ["train", "--help"], env={"COLUMNS": "200"}).output.split()
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("data prepare jsb", ["jsb_chorales"]),
        ("train --data ptb", ["ptb_char", "ptb_word"]),
        ("reproduce music --network dots", ["dots_rnn", "dots_rnn_lp", "dots_rnn_nade"]),
        ("evaluate ru", ["runs/bach"]),
        ("generate r", ["r2", "runs/bach"]),
    ],
)
def test_names_and_run_folders_are_completed(words, found, tmp_path):
    for folder in ("runs/bach", "r2", "runs/empty"):
        (tmp_path / folder).mkdir(parents=True)
        if folder != "runs/empty":
            (tmp_path / folder / "config.json").touch()
    asked = {
        "_DEEP_RNN_COMPLETE": "complete_bash",
        "COMP_WORDS": f"deep-rnn {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    result = deep_rnn(cwd=tmp_path, env={**os.environ, **asked})
    assert (result.stdout.split(), result.stderr) == (found, "")


@pytest.mark.process
@pytest.mark.parametrize("name", ["networks", "rows", "data_sets"])
def test_what_is_completed_is_known_without_a_backend(name):
    module = "reproduce" if name == "rows" else "options"
    code = (
        f"import sys; from keras_deep_rnn.cli.{module} import {name}; assert len({name}('')) > 5\n"
        "print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


def trained(monkeypatch, fail=None):
    """Lets `train` note the run folders that it is given, and write a file or fail."""
    folders = []

    def train(settings, out, **options):
        folders.append(str(out))
        if fail is not None:
            raise fail
        pathlib.Path(out, "config.json").touch()
        return {}

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr("keras_deep_rnn.cli.train.show_results", lambda *_: None)
    return folders


def test_the_default_run_folder_is_never_another_runs(pieces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = trained(monkeypatch)
    for more in ([], [], ["--network", "rnn"], ["--overwrite"], []):
        assert called("train", "--data", pieces, *more)[0] == 0
    assert folders == [
        "runs/pieces-dots_rnn",
        "runs/pieces-dots_rnn-2",
        "runs/pieces-rnn",
        "runs/pieces-dots_rnn",  # as --overwrite says
        "runs/pieces-dots_rnn-3",
    ]
    monkeypatch.chdir(pieces.parent)
    assert called("train", "--data", ".", "--overwrite", "--network", "gru")[0] == 0
    assert folders[-1] == f"runs/{pieces.parent.name}-gru"


def test_no_default_run_folder_is_left_by_a_mistake(pieces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained(monkeypatch, fail=UserError("`units` is wrong."))
    assert called("train", "--data", pieces)[0] == 2
    assert not list((tmp_path / "runs").iterdir())


@pytest.fixture
def songs(tmp_path):
    """A folder of MIDI files as it was unpacked, one of them corrupt."""
    random = np.random.default_rng(0)
    (tmp_path / "my songs v1.2" / "__MACOSX").mkdir(parents=True)
    for i in range(5):
        track = b"".join(
            bytes([0, 0x90, pitch, 80, 4, 0x80, pitch, 0]) for pitch in random.integers(50, 80, 6)
        )
        content = b"MThd\0\0\0\6\0\0\0\1\0\4MTrk" + len(track).to_bytes(4, "big") + track
        (tmp_path / "my songs v1.2" / f"{i}.mid").write_bytes(content)
    (tmp_path / "my songs v1.2" / "__MACOSX" / "._0.mid").touch()
    (tmp_path / "my songs v1.2" / "empty.mid").touch()
    return tmp_path / "my songs v1.2"


@pytest.mark.slow
def test_a_run_in_the_folder_of_its_data_is_no_data(songs, monkeypatch):
    """`--data .` is what a user types who has just unpacked a folder of music."""
    monkeypatch.chdir(songs)
    arguments = ["train", "--data", ".", "--network", "rnn", "--units", 3, "--epochs", 1]
    code, _, errors = called(*arguments)
    assert code == 2
    assert errors.splitlines() == [
        f"Error: Cannot read 1 of the MIDI files in {songs}: empty.mid, it is empty, a MIDI file "
        "begins with b'MThd'. Mend or remove them, or pass `skip_unreadable` (--skip-unreadable) "
        "to go on without them."
    ]
    assert not list((songs / "runs").iterdir())
    code, output, _ = called(*arguments, "--skip-unreadable")
    assert code == 0
    run = pathlib.Path("runs/my songs v1.2-rnn")
    split, passed_over, *_ = output.splitlines()
    assert split == (
        "Splits: by checksum, as no folders are named so, 3 + 1 + 1 pieces (train + validation + "
        "test)."
    )
    assert passed_over == (
        "Passed over: in __MACOSX (1), unreadable (1: empty.mid, it is empty, a MIDI file begins "
        "with b'MThd')."
    )
    assert called("generate", run, "--length", 8)[0] == 0
    assert called("generate", run, "--length", 8, "--out", "new.mid")[0] == 0
    assert called("evaluate", run)[0] == 0
    code, output, _ = called("data", "prepare", ".", "--skip-unreadable", "--json")
    found = json.loads(output)
    assert found["checksum"] == json.loads((run / "config.json").read_text())["data"]["checksum"]
    assert found["remarks"][1].startswith(
        "Passed over: generated by deep-rnn (1), in __MACOSX (1), in folders of runs (1), unread"
    )
    assert "Splits: by checksum" in called("data", "prepare", ".", "--skip-unreadable")[1]


@pytest.mark.slow
def test_json_alone_is_on_stdout(run, tmp_path):
    code, output, _ = called("evaluate", run, "--streaming", "--json")
    assert code == 0
    assert json.loads(output) == json.loads((run / "metrics.json").read_text())
    code, output, _ = called("data", "list", "--json", "--data-dir", tmp_path)
    found = {entry["name"]: entry for entry in json.loads(output)}
    assert found["ptb_word"]["sizes"] == {"train": 929_589, "validation": 73_760, "test": 82_430}
    assert found["jsb_chorales"]["folder"].startswith(str(tmp_path))
    assert found["jsb_chorales"]["prepared"] is False
    root = pathlib.Path(__file__).parents[2]
    arguments = ["reproduce", "words", "--list", "--json", "--results", root / "results"]
    code, output, _ = called(*arguments, "--network", "dots_rnn")
    (paper, modern) = json.loads(output)
    assert paper["experiment"] == "ptb_word/dots_rnn-paper"
    assert (paper["published"], paper["record"]) == (107.5, None)
    kept = root / "results" / "ptb_word" / "dots_rnn-modern.json"
    assert modern["record"] == json.loads(kept.read_text())


def test_data_prepare_gives_its_numbers_as_numbers(pieces):
    code, output, _ = called("data", "prepare", pieces, "--json")
    assert code == 0
    found = json.loads(output)
    assert (found["kind"], found["splits"]["train"]) == (
        "piano_roll",
        {"sequences": 6, "steps": 48},
    )


def test_data_list_says_size_licence_and_place(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # stands for a terminal
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "some where" / ("long_" * 15) / "nottingham" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").touch()
    code, output, _ = called("data", "list", "--data-dir", folder.parents[1])
    assert code == 0
    place = f"~/some where/{'long_' * 15}/nottingham/1.0.0"
    text = " ".join(output.split())
    assert "694 + 173 + 170 pieces (train + validation + test), time step: eighth note" in text
    assert f"prepared in {place} musedata" in text
    assert text.count("licence: ") == 7
    assert text.count("not prepared; needs") == 6
    long = [line for line in output.splitlines() if len(line) > 80]
    assert [line.strip() for line in long] == [place.partition(" ")[2]]


@pytest.mark.process
@pytest.mark.parametrize("words", ["list", "prepare"])
def test_data_commands_need_no_keras(words, pieces):
    arguments = ["data", "list"] if words == "list" else ["data", "prepare", str(pieces)]
    code = (
        f"import sys; sys.argv = ['deep-rnn', *{arguments!r}]\n"
        "from keras_deep_rnn.__main__ import main\n"
        "try: main()\n"
        "finally: print(sorted({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("[]\n")


@pytest.mark.slow
def test_existing_run_is_refused(run, pieces):
    code, _, errors = called("train", "--data", pieces, "--out", run, *TINY)
    assert code == 2
    assert "pass --resume to continue it or --overwrite to replace it" in errors


@pytest.mark.slow
def test_evaluate_of_several_runs(run, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    before = (run / "metrics.json").read_bytes()
    code, output, _ = called("evaluate", run, other)
    assert code == 0
    assert "ensemble of 2" in output
    assert (run / "metrics.json").read_bytes() == before
    code, _, error = called("evaluate", run, other, "--streaming")
    assert (code, error) == (2, "Error: --streaming must be left out for several runs, got True.\n")


def test_evaluate_adds_a_split(run):
    code, output, _ = called("evaluate", run, "--split", "train")
    assert code == 0
    assert "train split, 48 frames" in output
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["splits"]) == {"validation", "test", "train"}


@pytest.mark.slow
def test_data_that_has_moved(pieces, tmp_path):
    """Music is generated without it."""
    old, new, run = tmp_path / "old.npz", tmp_path / "new.npz", tmp_path / "run"
    shutil.copy(pieces, old)
    assert called("train", "--data", old, "--out", run, "--epochs", 1, *TINY)[0] == 0
    old.rename(new)
    code, _, error = called("evaluate", run)
    assert (code, error) == (
        2,
        f"Error: The data of '{run}' is no longer at '{old}': pass where it is now as `data` "
        "(--data).\n",
    )
    assert called("evaluate", run, "--data", new)[::2] == (0, "")
    code, _, error = called("evaluate", run, "--data", "ptb")
    assert (code, error.startswith("Error: --data must be a data set")) == (2, True)
    assert called("generate", run, "--length", 2)[::2] == (0, "")
    (run / "metrics.json").unlink()
    (run / "model.keras").unlink()
    assert called("train", "--resume", "--out", run, "--data", new)[::2] == (0, "")
    assert json.loads((run / "config.json").read_text())["settings"]["data"] == str(new)


@pytest.mark.slow
def test_generate_writes_music_and_picture(run, tmp_path):
    code, output, _ = called("generate", run, "--out", tmp_path / "a.mid", "--length", 8)
    assert code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.mid", "a.png"}
    assert output.count("Wrote") == 2
    more = ["--primer", tmp_path / "a.mid", "--primer-length", 2, "--length", 3]
    assert called("generate", run, "--out", tmp_path / "b.mid", *more)[0] == 0
    code, _, errors = called("generate", run, "--out", tmp_path / "c.mp3")
    assert (code, "--out must end with .mid or .html or .wav" in errors) == (2, True)
    code, _, errors = called("generate", run, "--primer", tmp_path / "no.mid")
    assert (code, "--primer must be a MIDI file" in errors) == (2, True)


@pytest.mark.slow
def test_generate_continues_a_primer_on_a_page_and_as_sound(run, tmp_path):
    """A primer of another tempo, shorter than it may be."""
    frames = np.zeros((5, 88), "uint8")
    frames[:3, 40] = frames[1:, 44] = 1
    primer = tmp_path / "primer.mid"
    write_midi(frames, primer, quarter_length=0.5, tempo=137.0)
    for ending in ("html", "wav"):
        out = tmp_path / f"a.{ending}"
        more = ["--primer", primer, "--length", 3]
        code, output, _ = called("generate", run, "--out", out, *more)
        assert (code, output) == (0, f"Wrote {out}\n")
    assert {path.name for path in tmp_path.iterdir()} == {"primer.mid", "a.html", "a.wav"}
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<title>dots_rnn on pieces.npz, seed 0, temperature 1</title>" in page
    assert '"frames":8,"primer":5,' in page


@pytest.mark.parametrize("tempo", [3, 1001, "nan"])
def test_generate_refuses_a_tempo_that_midi_cannot_hold(tempo, run, tmp_path):
    code, _, errors = called("generate", run, "--out", tmp_path / "a.mid", "--tempo", tempo)
    assert (code, errors.startswith("Error: --tempo must be ")) == (2, True)
    assert not list(tmp_path.iterdir())


def test_picture_names_the_data_without_its_folders(run, tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(plots, "piano_roll", lambda *_, title, **more: titles.append(title))
    assert called("generate", run, "--out", tmp_path / "a.mid", "--length", 2)[0] == 0
    assert titles == ["dots_rnn on pieces.npz, seed 0, temperature 1"]


needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="export needs TensorFlow"
)


@pytest.mark.slow
@needs_tensorflow
def test_export_writes_a_served_model_and_checks_it_again(run, quick_checks, tmp_path):
    (tmp_path / "file").touch()
    code, _, errors = called("export", run, "--out", tmp_path / "file")
    assert (code, "--out must be a folder" in errors) == (2, True)
    code, _, errors = called("export", run, "--out", tmp_path / "served", "--max-steps", 50)
    assert (code, errors) == (0, "")
    version = tmp_path / "served" / "1"
    assert json.loads((version / "export.json").read_text())["max_steps"] == 50
    code, output, errors = called("export", "--check", version)
    assert (code, errors) == (0, "")
    assert "C API, step by step" in output
    code, output, errors = called("export", "--check", version, "--json")
    assert (code, errors) == (0, "")
    checked = json.loads(output)
    assert checked["difference"] == 0.0
    assert checked["found"]["C API, step by step"] == "7 steps as the whole sequence"
    (version / "saved_model.pb").write_bytes(b"")
    code, _, errors = called("export", "--check", version)
    assert (code, "check 'files' failed: saved_model.pb is not the file" in errors) == (2, True)


@needs_tensorflow
def test_export_of_a_keras_file_says_how_it_is_loaded(tmp_path):
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.GRU(3, return_sequences=True)])
    model.save(tmp_path / "mine.keras")
    arguments = ["export", tmp_path / "mine.keras", "--out", tmp_path / "served", "--no-check"]
    code, output, _ = called(*arguments, "--probabilities", "sigmoid", "--signatures", "step")
    assert (code, "mine.keras with safe_mode=True" in output) == (0, True)
    record = json.loads((tmp_path / "served" / "1" / "export.json").read_text())
    assert list(record["signatures"]) == ["serving_default", "step"]


@pytest.mark.slow
@needs_tensorflow
@pytest.mark.parametrize(("target", "ending"), [("litert", "tflite"), ("onnx", "onnx")])
def test_export_to_other_formats(target, ending, run, tmp_path):
    code, _, errors = called("export", run, "--out", tmp_path / "out", "--target", target)
    assert (code, errors) == (0, "")
    assert (tmp_path / "out" / "1" / f"step.{ending}").is_file()


@needs_tensorflow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either MODEL"),
        (["{run}", "--check", "served/1"], "give either MODEL"),
        (["{run}", "--json"], "--json is only supported with --check."),
        (["--check", "none"], "--check must be the folder of an exported version"),
        (["none"], "`run` must be a run folder with config.json, got 'none'"),
        (["{run}", "--probabilities", "sigmoid"], "--probabilities must be left out for a run"),
        (["{run}", "--target", "tflite"], "--target must be one of 'saved_model', 'litert'"),
        (["{run}", "--signatures", "stop"], "--signatures must be out of"),
        (["a.keras"], "--out must be the folder of the versions"),
        (["a.keras", "--out", "x"], "MODEL must be a run folder or a .keras file"),
        (["{run}", "--quantize", "int4", "--target", "litert"], "--quantize must be one of 'int8'"),
        (["{run}", "--quantize", "int8"], "--quantize is only supported with --target litert."),
        (["{run}", "--target", "onnx", "--max-steps", "9"], "--max-steps is only supported with"),
        (["{run}", "--max-steps", "0"], "--max-steps must be a positive integer"),
    ],
)
def test_export_of_nothing_sensible(arguments, message, run):
    code, _, errors = called("export", *[str(a).format(run=run) for a in arguments])
    assert (code, message in errors) == (2, True), errors
    assert len(errors.splitlines()) == 1


@pytest.mark.slow
def test_evaluate_step_by_step_gives_the_same_numbers(run):
    code, output, errors = called("evaluate", run, "--streaming")
    assert (code, errors) == (0, "")
    assert "step by step" in output
    metrics = json.loads((pathlib.Path(run) / "metrics.json").read_text())
    whole, stepped = metrics["splits"]["test"], metrics["streaming"]["test"]
    assert whole.keys() == stepped.keys()
    for name, value in whole.items():
        assert stepped[name] == pytest.approx(value, abs=1e-5)


@pytest.mark.process
def test_killed_at_any_time_and_resumed(pieces, tmp_path):
    """SIGKILL, again and again at other moments, ends in the numbers of the run left in peace."""
    start = ["train", "--data", pieces, "--epochs", 12, "--recurrent-dropout", 0.3, *TINY]
    assert called(*start, "--out", tmp_path / "whole")[0] == 0
    out = tmp_path / "killed"
    arguments = [*start, "--out", out]
    for wait in (0.0, 0.15):
        process = subprocess.Popen([COMMAND, *map(str, arguments)], stdout=subprocess.PIPE)
        while not (out / "backup.npz").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        arguments = ["train", "--resume", "--out", out]
        json.loads((out / "config.json").read_text())
        with np.load(out / "backup.npz") as backup:
            assert json.loads(str(backup["state"]))["epochs"] >= 1
    assert called(*arguments)[0] == 0
    ended = [
        json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "whole", out)
    ]
    for split in ("validation", "test"):
        numbers = [metrics["splits"][split] for metrics in ended]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-5)
    whole = {path.name for path in (tmp_path / "whole").iterdir()}
    assert {path.name for path in out.iterdir()} == whole


@pytest.mark.process
def test_full_disk_is_one_line_and_the_run_goes_on_after_it(pieces, tmp_path):
    """A limit on the size of files stands for the disk: the first backup does not fit."""
    out = tmp_path / "run"
    arguments = ["train", "--data", pieces, "--out", out, "--epochs", 2, *TINY]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    result = deep_rnn(*arguments, preexec_fn=limit)
    assert result.returncode == 2
    assert result.stderr.startswith("Error: Cannot write ")
    assert result.stderr.endswith("File too large.\n")
    assert result.stderr.count("\n") == 1
    assert not list(out.rglob(".partial"))
    assert called("train", "--resume", "--out", out)[0] == 0
    assert (out / "metrics.json").is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_unwritable_folder(pieces, tmp_path):
    tmp_path.chmod(0o500)
    code, _, errors = called("train", "--data", pieces, "--out", tmp_path / "run", *TINY)
    assert code == 2
    assert errors == f"Error: Cannot write '{tmp_path}/run': Permission denied.\n"


def test_folder_that_cannot_be_made(pieces):
    code, _, errors = called("train", "--data", pieces, "--out", "/proc/run", *TINY)
    assert code == 2
    assert errors == "Error: Cannot write '/proc/run': No such file or directory.\n"


@pytest.mark.process
@pytest.mark.parametrize("interrupted", [False, True])
def test_training_in_a_terminal_of_80_columns(interrupted, pieces, tmp_path):
    """A bar within each epoch, of which nothing stays, also after Ctrl-C; no log of a backend."""
    arguments = [COMMAND, "train", "--data", pieces, "--epochs", 500 if interrupted else 3, *TINY]
    terminal = Process([*map(str, arguments), "--out", str(tmp_path / "run")])
    assert terminal.read_until("epoch   3/500" if interrupted else "epoch 3/3")
    if interrupted:
        terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == (130 if interrupted else 0)
    assert "0/3" in re.sub(ESCAPE, "", terminal.written)  # two batches to train, one to validate
    lines = screen(terminal.written)
    assert all(len(line) <= 80 for line in lines)
    assert not any("━" in line for line in lines)
    epochs = [line for line in lines if line.startswith("epoch")]
    if interrupted:
        assert any(line.startswith("Error: interrupted; ") for line in lines[-2:])
        assert len(epochs) >= 2
    else:
        assert [line.split()[1] for line in epochs] == ["1/3", "2/3", "3/3"]
        starts = ("Splits: ", "dots_rnn, ", "val: frame_nll ", *["epoch"] * 3, "pieces.npz, test")
        assert all(map(str.startswith, lines, starts))
        assert any(line.startswith("Run folder:") for line in lines[-2:])
