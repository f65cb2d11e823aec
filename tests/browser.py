"""A browser without a window that a test drives over the DevTools protocol."""

import asyncio
import contextlib
import itertools
import shutil
import subprocess
import time

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
    "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """A page that is open.

    Attributes:
        events: Messages of the browser that are no answers, such as errors of the page.
    """

    def __init__(self, socket):
        self._socket, self._numbers, self.events = socket, itertools.count(1), []

    async def call(self, method, **parameters):
        """Calls a method of the protocol; its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=60)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    async def evaluate(self, script):
        """The value of a script in the page."""
        result = await self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, script, seconds=20):
        """Waits until a script is true."""
        limit = time.monotonic() + seconds
        while not await self.evaluate(script):
            assert time.monotonic() < limit, f"still not {script}"
            await asyncio.sleep(0.05)

    async def press(self, key, code):
        """Presses a key: its character or name, and its code."""
        text = {"text": key} if len(key) == 1 else {}
        names = {"key": key, "code": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **names, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **names)

    async def click(self, x, y):
        """Clicks at a place in the window."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )


def browse(path, folder, visit, *, width=1280):
    """Opens a file, and runs a coroutine function with its `Page`.

    Args:
        path: The file.
        folder: Where the browser may keep its profile.
        visit: Coroutine function of a `Page`.
        width: Of the window in pixels.
    """
    aiohttp = pytest.importorskip("aiohttp")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs Chromium")
    profile = folder / "profile"
    options = (*OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},900")
    process = subprocess.Popen([program, *options, path.as_uri()], stderr=subprocess.DEVNULL)

    async def run():
        port = await _port(profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                (page,) = [page for page in await answer.json() if page["type"] == "page"]
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                await page.call("Runtime.enable")
                opened = "location.protocol === 'file:' && document.readyState === 'complete'"
                await page.until(opened)
                await visit(page)

    try:
        asyncio.run(run())
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


async def _port(file):
    """The port that the browser has written to a file."""
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        if file.is_file() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.05)
    pytest.skip("the browser does not start")
