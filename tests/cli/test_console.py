"""Lines, tables, JSON and bars in the columns that there are."""

import io
import json
import math
import pathlib
import re

import pytest
from terminal import screen

from keras_deep_rnn.cli import console

pytest.importorskip("rich")

COLUMNS = ["id", "status", "network", "parameters", "seed"]
ROWS = [
    ["0003*", "completed", "dots_rnn transition 2, units 40, lr 0.0012", "76,412", "1329133825"],
    ["0001", "running", "rnn units 91, clip 10", "1,076,412", "107714713"],
    ["0002", "failed", "gru\nThe loss is nan in epoch 1.", "612", "5"],
]


@pytest.fixture
def shown(capsys, monkeypatch):
    """What a function prints where there are so many columns; None: where nothing says how many."""

    def show(columns, function, *arguments, **options):
        monkeypatch.delenv("COLUMNS", raising=False)
        if columns is not None:
            monkeypatch.setenv("COLUMNS", str(columns))
        function(*arguments, **options)
        return capsys.readouterr().out

    return show


def words(text):
    """The words of a text, without rules."""
    return sorted(re.sub("─+", " ", text).split())


@pytest.mark.parametrize("columns", [None, 200, 80, 60, 45])
def test_no_line_is_too_long_and_no_word_is_broken(columns, shown):
    output = shown(columns, console.show_table, "Title", COLUMNS, ROWS, drop=("seed", "parameters"))
    assert all(len(line) <= (columns or 10_000) for line in output.splitlines())
    table, _, note = output.partition("left out for want of room: ")
    dropped = note.strip().split(", ") if note else []
    kept = [i for i, column in enumerate(COLUMNS) if column not in dropped]
    given = ["Title", *(str(row[i]) for row in (COLUMNS, *ROWS) for i in kept)]
    assert words(table) == words(" ".join(given))
    expected = {None: [], 200: [], 80: [], 60: ["seed"], 45: ["seed", "parameters"]}
    assert dropped == expected[columns]


def test_texts_are_shortened_before_numbers(shown):
    rows = [["1,234,567", "a_word_that_needs_most_of_the_room"]]
    output = shown(20, console.show_table, "", ["weights", "name"], rows)
    assert output.splitlines()[2] == "1,234,567  a_word_t…"


def test_numbers_are_right_and_texts_left(shown):
    output = shown(None, console.show_table, "", ["run", "score"], [["1a", "9.5"], ["b", "10.25"]])
    assert output.splitlines() == ["run  score", "──────────", "1a     9.5", "b    10.25", ""]


def test_a_table_without_rows_has_its_titles(shown):
    assert shown(80, console.show_table, "", ["run", "score"], []).split()[:2] == ["run", "score"]


def test_what_looks_like_markup_is_text(shown):
    rows = [["[red]a[/red] :smile:"]]
    assert "[red]a[/red] :smile:" in shown(80, console.show_table, "", ["x"], rows)


def test_no_line_steers_the_terminal(shown):
    """Such as the name of a file that another has made."""
    assert (
        shown(80, console.say, "\x1b]0;mine\x07 \x1b[31mrun") == r"\x1b]0;mine\x07 \x1b[31mrun" "\n"
    )


def test_lines_break_between_words_on_a_terminal_alone(shown, monkeypatch):
    path = "/a/very/long/path/" + "x" * 80
    line = f"    a run-folder of this name: {path} and more"
    assert shown(None, console.say, line) == shown(40, console.say, line) == line + "\n"
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # stands for a terminal
    assert shown(40, console.say, line) == (
        f"    a run-folder of this name:\n    {path}\n    and more\n"
    )
    assert shown(40, console.say, "") == "\n"


def test_json_is_strict(shown):
    def refuse(constant):
        raise AssertionError(constant)

    content = {"loss": [1.5, math.nan], "path": pathlib.Path("a/b"), "count": 3}
    output = shown(20, console.show_json, content)
    found = json.loads(output, parse_constant=refuse)
    assert found == {"loss": [1.5, None], "path": "a/b", "count": 3}


def test_no_bar_where_there_is_no_terminal(capsys):
    assert list(console.progress(range(3), "epoch 1/2")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("steps", [0, 1, 3, 6])
def test_nothing_of_a_bar_stays_on_the_terminal(steps, monkeypatch):
    """Ended after all steps, or closed before that, as Ctrl-C does."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80")):
        monkeypatch.setenv(name, value)
    bar = console.progress(range(5), "epoch 1/2")
    for _ in range(steps):
        next(bar, None)
    bar.close()
    written = terminal.getvalue()
    assert ("epoch 1/2 " in written) == ("0/5" in written) == bool(steps)
    assert screen(written) == []
    # The cursor is there again.
    assert written.count("\x1b[?25h") == written.count("\x1b[?25l") == bool(steps)
