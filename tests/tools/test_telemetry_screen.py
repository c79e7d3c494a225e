"""The demo's screen tells the same into a pipe as on a terminal."""

import io

from rich.console import Console

from tools.telemetry.screen import PULSE_WIDTH, Screen, pulse


def screen(*, terminal: bool) -> tuple[Screen, io.StringIO]:
    """A screen and what it writes."""
    out = io.StringIO()
    return Screen(Console(file=out, force_terminal=terminal, width=100, highlight=False)), out


def test_a_pulse_rises_with_the_load_and_never_leaves_its_scale() -> None:
    """0 % is still visible, more than 100 % is full."""
    assert pulse([0, 50, 100, 180]) == "▁▄██"


def test_a_finished_step_is_one_line_in_a_pipe() -> None:
    """No escape codes, no bars."""
    view, out = screen(terminal=False)
    with view.live():
        step = view.step("1  stream", 10)
        view.advance(step, 5, "5 records")
        view.beat(20, 30)
        view.finish(step, "10 records acknowledged")
    assert out.getvalue().split() == ["1", "stream", "10", "records", "acknowledged"]


def test_a_terminal_sees_bars_and_the_pulse_of_both() -> None:
    """The last frame stays."""
    view, out = screen(terminal=True)
    with view.live():
        step = view.step("1  stream", 10)
        for _ in range(PULSE_WIDTH + 5):
            view.beat(20, 30)
        view.finish(step, "10 records acknowledged")
    shown = out.getvalue()
    assert "10 records acknowledged" in shown
    assert "host cpu" in shown
    assert pulse([20] * PULSE_WIDTH) in shown


def test_commands_stay_on_one_line_so_that_they_can_be_copied() -> None:
    """Whatever the width of the terminal."""
    view, out = screen(terminal=False)
    command = "logserver consume telemetry " + "--option value " * 20
    view.commands("Next", {"what it does": command.strip()})
    assert command.strip() in out.getvalue()
