"""`Here`: an executor in this process."""

import functools


class Here:
    """Runs a task as it is submitted.

    Attributes:
        tasks: The functions and arguments that were submitted.
    """

    def __init__(self, count=1):
        self.tasks, self.stopped, self._count, self._done = [], False, count, {}

    def slots(self):
        return self._count

    def submit(self, function, *arguments):
        self.tasks.append((function, arguments))
        try:
            result = functools.partial(lambda value: value, function(*arguments))
        except Exception as error:
            result = functools.partial(_raise, error)
        self._done[len(self.tasks)] = result
        return len(self.tasks)

    def ended(self, timeout):
        done, self._done = self._done, {}
        return done

    def stop(self):
        self.stopped = True


def _raise(error):
    raise error
