"""The standings as one table of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.bench.contest import Contest
from tests.bench.standing import Spread, Standing, standings

_HEAD = ("", "n", "seconds", "times ours", "CPU s", "MiB", "sent", "packets/s", "open", "wrong", "lost")

_NOTES = (
    "seconds: the whole process, median (least–most); of a million SYNs, while they leave; records: writing.",
    "sent, packets/s: by the interface's counter, while the first half leaves; else of captures and records.",
    "times ours: its time in ghostport's, of the same round. ≥: killed at its deadline.",
    "open: open ports found. wrong: addresses with another verdict than the true one, or none.",
    "lost: the same where the lab drops or limits replies. Of tools that name open ports only, those.",
)


def table(contests: Iterable[Contest]) -> str:
    """All contests, each under its title, ours first."""
    rows: list[tuple[str, ...]] = []
    for contest in contests:
        rows.append((contest.case.title,))
        rows += [_row(standing) for standing in standings(contest)]
    widths = [max(len(row[column]) for row in [_HEAD, *rows] if len(row) > 1) for column in range(len(_HEAD))]
    lines = [_aligned(row, widths) if len(row) > 1 else f"\n{row[0]}" for row in [_HEAD, *rows]]
    return "\n".join([*lines, "", *_NOTES])


def _row(standing: Standing) -> tuple[str, ...]:
    if standing.seconds is None:
        return (f"  {standing.name}", "0", f"failed: {standing.failed}", *[""] * (len(_HEAD) - 3))
    bound = "" if standing.ended else "≥ "
    return (
        f"  {standing.name}",
        str(standing.runs),
        bound + _seconds(standing.seconds),
        "" if standing.ratio is None else bound + _times(standing.ratio),
        f"{standing.cpu:.2f}",
        f"{(standing.rss or 0) / 1024:.0f}",
        "" if standing.sent is None else f"{standing.sent:,.0f}".replace(",", " "),
        "" if standing.rate is None else f"{standing.rate:,.0f}".replace(",", " "),
        "" if standing.open_found is None else f"{_counts(standing.open_found)}/{standing.open_there}",
        "" if standing.wrong is None else _counts(standing.wrong),
        "" if standing.lost is None else _counts(standing.lost),
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def _seconds(spread: Spread) -> str:
    digits = 3 if spread.median < 1 else 2
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f}–{spread.most:.{digits}f})"


def _times(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.least:.2f}–{spread.most:.2f})"


def _counts(spread: Spread) -> str:
    if spread.least == spread.most:
        return f"{spread.least:.0f}"
    return f"{spread.median:.0f} ({spread.least:.0f}–{spread.most:.0f})"
