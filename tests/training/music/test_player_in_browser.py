"""The page of a piece in a browser: it plays, and sounds as the WAV file does."""

import numpy as np
import pytest
from browser import browse

from keras_deep_rnn.training.music import wav
from keras_deep_rnn.training.music.piece import Piece
from keras_deep_rnn.training.music.player import write_page

pytestmark = [pytest.mark.slow, pytest.mark.process]


def piece(length=40, **more):
    frames = np.zeros((length, 88), "uint8")
    for key, start, stop in ((39, 0, 8), (43, 2, 5), (46, 5, length), (51, 9, 10)):
        frames[start:stop, key] = 1
    return Piece(frames, "test", **more)


def test_it_plays_pauses_and_moves(tmp_path):
    write_page(piece(primer=4), tmp_path / "piece.html")

    async def visit(page):
        state = "document.documentElement.dataset.state"
        place = "Number(document.getElementById('position').value)"
        label = "document.getElementById('play').getAttribute('aria-label')"
        assert await page.evaluate(f"[{state}, {place}, {label}]") == ["paused", 0, "Play"]
        box = await page.evaluate(
            "(({x, y, width, height}) => [x, y, width, height])"
            "(document.getElementById('play').getBoundingClientRect())"
        )
        await page.click(box[0] + box[2] / 2, box[1] + box[3] / 2)
        await page.until(f"{state} === 'playing' && {place} > 0.3")
        assert await page.evaluate(label) == "Pause"
        # What leaves the player is no silence.
        await page.evaluate("window.ear = audio.createAnalyser(); output.connect(ear)")
        await page.until(
            "(() => { const wave = new Float32Array(ear.fftSize); "
            "ear.getFloatTimeDomainData(wave); return Math.max(...wave) > 0.01; })()"
        )
        await page.evaluate("document.activeElement.blur()")
        await page.press(" ", "Space")
        await page.until(f"{state} === 'paused'")
        stopped = await page.evaluate(place)
        await page.press("ArrowRight", "ArrowRight")
        assert await page.evaluate(place) == pytest.approx(stopped + 3)  # a bar
        await page.press("Home", "Home")
        assert await page.evaluate(place) == 0
        # A click in the middle of the piano-roll is in the middle of the piece.
        x, y, width = await page.evaluate(
            "(({x, y, width}) => [x, y, width])(canvas.getBoundingClientRect())"
        )
        await page.click(x + 34 + (width - 34 - 8) / 2, y + 40)
        assert await page.evaluate(place) == pytest.approx(15, abs=0.3)
        # The end is the end, and one begins again from there.
        await page.evaluate("seek(TOTAL - 0.2); play()")
        await page.until(f"{state} === 'paused'")
        assert await page.evaluate(f"{place} === TOTAL")
        methods = {event["method"] for event in page.events}
        assert not methods & {"Runtime.exceptionThrown", "Runtime.consoleAPICalled"}

    browse(tmp_path / "piece.html", tmp_path, visit)


def test_a_narrow_page_turns_with_the_cursor(tmp_path):
    write_page(piece(400), tmp_path / "piece.html")

    async def visit(page):
        await page.call(
            "Emulation.setDeviceMetricsOverride",
            width=400,
            height=800,
            deviceScaleFactor=2,
            mobile=True,
        )
        await page.until("canvas.clientWidth < 400 && canvas.width === 2 * canvas.clientWidth")
        assert await page.evaluate("document.documentElement.scrollWidth") == 400
        assert await page.evaluate("left") == 0
        await page.evaluate("seek(100)")
        begin, end = await page.evaluate("[left, left + (canvas.clientWidth - 42) / scale()]")
        assert 0 < begin < 100 < end < 300

    browse(tmp_path / "piece.html", tmp_path, visit)


@pytest.mark.parametrize("instrument", ["organ", "piano", "choir"])
def test_it_sounds_as_the_wav_file_does(instrument, tmp_path):
    short = piece(11, tempo=600.0, instrument=instrument)
    write_page(short, tmp_path / "piece.html")
    expected = wav.sound(short)
    script = f"""(async () => {{
        audio = new OfflineAudioContext(1, {len(expected)}, {wav.RATE});
        bus = audio.createGain();
        bus.connect(audio.destination);
        for (const note of notes) sound(note, note.start, note.stop - note.start);
        const heard = await audio.startRendering();
        return Array.from(heard.getChannelData(0));
    }})()"""
    heard = []

    async def visit(page):
        heard.extend(await page.evaluate(script))

    browse(tmp_path / "piece.html", tmp_path, visit)
    heard = np.array(heard) / np.abs(heard).max() * wav.PEAK
    np.testing.assert_allclose(heard, expected, atol=0.02)
