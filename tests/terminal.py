"""A terminal for tests: what is on its screen, and a process that runs in one of 80 columns."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

ESCAPE = r"\x1b\[\??[0-9;]*[A-Za-z]"


def screen(written):
    """The lines on the screen after these characters; rich writes these few kinds of them."""
    lines, row, column = [""], 0, 0
    for part in re.findall(rf"{ESCAPE}|[\r\n]|[^\r\n\x1b]+", written):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif part == "\r":
            column = 0
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part == "\x1b[1A":
            row -= 1
        elif not part.startswith("\x1b"):
            line = lines[row].ljust(column)
            lines[row] = line[:column] + part + line[column + len(part) :]
            column += len(part)
    return "\n".join(line.rstrip() for line in lines).rstrip("\n").splitlines()


class Process:
    """A process in a terminal of 80 columns and 24 rows; all that it writes is in `written`."""

    def __init__(self, command, **environment):
        self._here, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        ours = ("COLUMNS", "TF_CPP_MIN_LOG_LEVEL")
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        self.process = subprocess.Popen(
            command,
            stdin=there,
            stdout=there,
            stderr=there,
            env={**kept, "TERM": "xterm", **environment},
            start_new_session=True,
            close_fds=True,
        )
        os.close(there)
        self.written = ""

    def read_until(self, text):
        """Reads until it has written this; True if it has, False if it has ended before."""
        while text not in self.written:
            try:
                self.written += os.read(self._here, 65536).decode(errors="replace")
            except OSError:  # the last process at the other end has gone
                return False
        return True

    def end(self):
        """Reads what it writes until its end; the exit code."""
        self.read_until("\0")
        os.close(self._here)
        return self.process.wait(60)
