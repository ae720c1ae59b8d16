"""Keeps the rows whose value is not negative."""

from refrain import Reject, dataclass, export_transform


class Plugin:
    """Rows with a value of at least 0."""

    @dataclass
    class Input:
        """The input fields that are wanted, with the names and types that they have in the topic."""

        name: str
        value: int

    @dataclass
    class Output:
        """The fields of the rows that are given."""

        name: str
        value: int

    @staticmethod
    def process(event):
        if not event.name:
            raise Reject("the name is empty")
        if event.value >= 0:
            yield Plugin.Output(event.name, event.value)


About, Transform = export_transform(Plugin, "NAME")
