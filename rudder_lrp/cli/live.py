"""A table of runs that go on side by side."""

from __future__ import annotations

import time
from types import TracebackType

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from rudder_lrp.cli.progress import console
from rudder_lrp.cli.workers import Job, News


class LiveTable:
    """What each running job is at, and how long the rest may take; a line for each that ends where nobody watches.

    Args:
        total: environment steps of all jobs.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._done = 0
        self._running: dict[Job, News] = {}
        self._start = time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._table)

    def __enter__(self) -> LiveTable:
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, news: News) -> None:
        """Take in how far a job is."""
        self._running[news.job] = news
        if news.record is not None or news.died:
            del self._running[news.job]
            self._done += news.job.timesteps
            end = "died" if news.record is None else f"return {news.record.final_return:.2f}"
            seconds = "" if news.record is None else f", {news.record.seconds:.0f} s"
            console.print(f"  {news.job.label}: {end}{seconds}", highlight=False)

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 1))
        for name in ("running", "steps", "", "return"):
            table.add_column(name, justify="right" if name in ("steps", "return") else "left")
        for job, news in self._running.items():
            bar = ProgressBar(job.timesteps, news.steps, width=30)
            table.add_row(job.label, f"{news.steps:,}", bar, f"{news.recent_return:.2f}")
        done = self._done + sum(news.steps for news in self._running.values())
        table.add_row("all", f"{done:,}", ProgressBar(self.total, done, width=30), self._left(done))
        return table

    def _left(self, done: int) -> str:
        passed = time.monotonic() - self._start
        return f"{passed:.0f} s, {passed * (self.total / done - 1):.0f} s to go" if done else ""
