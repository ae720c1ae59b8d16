"""Counts the rows of each key and sums one of their fields."""

from refrain import dataclass, export_fold


class Plugin:
    """How many rows there were and the mean of their value."""

    @dataclass
    class Input:
        """The input fields that are wanted, with the names and types that they have in the topic."""

        value: int

    @dataclass
    class State:
        """What is kept for each key and window."""

        rows: int = 0
        value_sum: int = 0

    @dataclass
    class Output:
        """The fields of the view, beside the key and the window."""

        rows: int
        value_mean: float

    @staticmethod
    def update(totals, event):
        totals.rows += 1
        totals.value_sum += event.value

    @staticmethod
    def evaluate(totals):
        mean = totals.value_sum / totals.rows if totals.rows else 0.0
        return Plugin.Output(totals.rows, mean)


About, Fold = export_fold(Plugin, "NAME")
