"""What the demo shows: three bars and a pulse while it works, a result, what to try next.

On a terminal it is drawn by rich and moves; into a pipe it is plain lines, one per step.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

LEVELS = " ▁▂▃▄▅▆▇█"
PULSE_WIDTH = 40


def pulse(percents: Sequence[float]) -> str:
    """Percentages as a line of little bars."""
    steps = len(LEVELS) - 1
    return "".join(LEVELS[min(steps, max(1, round(value / 100 * steps)))] for value in percents)


class Screen:
    """The demo's output."""

    def __init__(self, console: Console | None = None) -> None:
        """`console` for tests."""
        self.console = console or Console(highlight=False)
        self._progress = Progress(
            TextColumn("  {task.description:<24}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[told]}"),
            console=self.console,
        )
        self._host: deque[float] = deque(maxlen=PULSE_WIDTH)
        self._server: deque[float] = deque(maxlen=PULSE_WIDTH)
        self._told: dict[TaskID, str] = {}

    def title(self, name: str, lines: Sequence[str]) -> None:
        """The head: what is about to happen."""
        self.console.print()
        self.console.print(f"  [bold]{name}[/bold]")
        for line in lines:
            self.console.print(f"  {line}", style="dim")
        self.console.print()

    @contextmanager
    def live(self) -> Iterator[None]:
        """The part that moves."""
        if not self.console.is_terminal:
            yield
            return
        with Live(self, console=self.console, refresh_per_second=10):
            yield

    def __rich__(self) -> Group:
        """Bars, and the CPU of host and server as it goes."""
        rows = [self._progress.get_renderable()]
        if self._host:
            text = Text("\n  host cpu     ", style="dim")
            text.append(f"{pulse(self._host):<{PULSE_WIDTH}}", style="cyan")
            text.append(f" {self._host[-1]:3.0f} % of all")
            text.append("\n  server cpu   ", style="dim")
            text.append(f"{pulse(self._server):<{PULSE_WIDTH}}", style="green")
            text.append(f" {self._server[-1]:3.0f} % of one\n")
            rows.append(text)
        return Group(*rows)

    def beat(self, host_percent: float, server_percent: float) -> None:
        """One more point of the pulse."""
        self._host.append(host_percent)
        self._server.append(server_percent)

    def step(self, name: str, total: float) -> TaskID:
        """A new bar."""
        return self._progress.add_task(name, total=total, told="")

    def advance(self, step: TaskID, done: float, told: str) -> None:
        """Move a bar."""
        self._progress.update(step, completed=done, told=told)
        self._told[step] = told

    def finish(self, step: TaskID, told: str) -> None:
        """A full bar; in a pipe the line that stands for it."""
        task = self._progress.tasks[step]
        self._progress.update(step, completed=task.total, told=f"[green]{told}[/green]")
        if not self.console.is_terminal:
            self.console.print(f"  {task.description:<24} {told}")

    def facts(self, facts: Mapping[str, str]) -> None:
        """Name and value, line by line."""
        table = Table.grid(padding=(0, 2))
        for name, value in facts.items():
            table.add_row(f"  [dim]{name}[/dim]", value)
        self.console.print(table)
        self.console.print()

    def commands(self, title: str, commands: Mapping[str, str]) -> None:
        """Things to type, each below what it does; never wrapped, so that they can be copied."""
        self.console.print(f"  [bold]{title}[/bold]")
        for what, command in commands.items():
            self.console.print(f"    [dim]{what}[/dim]")
            self.console.print(f"      {command}", style="cyan", soft_wrap=True)
        self.console.print()

    def failure(self, lines: Sequence[str]) -> None:
        """What went wrong."""
        for line in lines:
            self.console.print(f"  {line}", style="bold red", markup=False)
