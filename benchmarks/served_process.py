"""`deep-rnn serve` in a process of its own, which can be killed and started again."""

import os
import re
import subprocess
import sys
import threading


class ServedProcess:
    """A server on loopback.

    Args:
        path: Folder of the export.
        options: More options of the command.

    Attributes:
        address: "HOST:PORT" of gRPC; a server that is started again has the same.
        rest_address: That of REST.
    """

    def __init__(self, path, *options):
        self._command = [sys.executable, "-m", "keras_deep_rnn", "serve", str(path), *options]
        self.address = self.rest_address = "127.0.0.1:0"
        self.start()

    def start(self):
        """Starts it and waits until it listens."""
        ports = (address.rpartition(":")[2] for address in (self.address, self.rest_address))
        places = [x for pair in zip(("--port", "--rest-port"), ports) for x in pair]
        self.process = subprocess.Popen(
            [*self._command, *places],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said = []
        for line in self.process.stdout:
            self._said.append(line)
            found = re.search(r"gRPC at (\S+), REST at http://([^/]+)/", line)
            if found:
                self.address, self.rest_address = found.groups()
                break
        else:
            raise RuntimeError(f"the server has not started: {''.join(self._said)}")
        # Read all the time: a full pipe would make the server wait.
        self._listener = threading.Thread(target=self._said.extend, args=(self.process.stdout,))
        self._listener.start()

    def kill(self):
        """Ends it as an operator or the system does, without a word."""
        self.process.kill()
        self.ended()

    def stop(self):
        """Asks it to end, and gives what it has said."""
        self.process.terminate()
        return self.ended()

    def ended(self):
        """Waits for its end, and gives what it has said since its start."""
        self.process.wait(timeout=60)
        self._listener.join()
        self.process.stdout.close()
        return "".join(self._said)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.kill()
