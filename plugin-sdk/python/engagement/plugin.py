"""Views, likes and completions of content, with the time watched and the share of views that were completed."""

from refrain import dataclass, export_fold


def wrap(number):
    """64-bit arithmetic: a sum that leaves the range of i64 comes back at its other end."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


class Engagement:
    """How much a piece of content was viewed, liked, watched and completed."""

    @dataclass
    class Input:
        kind: str
        watch_ms: int

    @dataclass
    class State:
        views: int = 0
        likes: int = 0
        completes: int = 0
        watch_ms: int = 0

    @dataclass
    class Output:
        views: int
        likes: int
        completes: int
        watch_ms: int
        completion_rate: float

    @staticmethod
    def update(totals, event):
        if event.kind == "view":
            totals.views += 1
        elif event.kind == "like":
            totals.likes += 1
        elif event.kind == "complete":
            totals.completes += 1
        totals.watch_ms = wrap(totals.watch_ms + event.watch_ms)

    @staticmethod
    def evaluate(totals):
        rate = totals.completes / totals.views if totals.views else 0.0
        return Engagement.Output(totals.views, totals.likes, totals.completes, totals.watch_ms, rate)


About, Fold = export_fold(Engagement, "engagement")
