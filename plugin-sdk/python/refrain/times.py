"""Times and lengths of time, in whole microseconds."""

import re
import typing

Timestamp = typing.NewType("Timestamp", int)
Timestamp.__doc__ = "Microseconds since 1970, UTC: the type of a timestamp field."

Span = typing.NewType("Span", int)
Span.__doc__ = 'A length of time in microseconds: as an option a number and a unit, as in `patience: Span = option("10m")`.'

LEAST = Timestamp(-(1 << 63))
"""Before every time: the watermark before there is one."""
GREATEST = Timestamp((1 << 63) - 1)
"""After every time."""

_UNITS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}


def span(text):
    """A length of time from text: a number and one of us, ms, s, m, h, d."""
    parts = re.fullmatch(r"([+-]?[0-9]+)\s*([a-z]+)", text)
    if parts is None or parts[2] not in _UNITS:
        raise ValueError(f'"{text}" is no length of time, as in "90s"')
    return Span(int(parts[1]) * _UNITS[parts[2]])


def show_span(length):
    """A length of time as text, in the largest unit that fits."""
    if length == 0:
        return "0s"
    return next(f"{length // unit}{name}" for name, unit in _UNITS.items() if length % unit == 0)
