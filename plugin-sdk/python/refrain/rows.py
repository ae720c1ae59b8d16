"""Rows as dataclasses, and the columns that cross the boundary: each is made of the other here."""

import dataclasses
import types as _types
import typing
from dataclasses import dataclass

from .times import Timestamp

try:
    from wit_world.imports import types as wit
except ImportError:  # a native test
    wit = None


class Reject(Exception):
    """Raised in a check, or in `process` of a transform: the row goes to `<node>.rejected` with this text."""


KINDS = {bool: "bool", int: "i64", float: "f64", str: "text", bytes: "bytes", Timestamp: "timestamp"}
NOTHING = {"bool": False, "i64": 0, "f64": 0.0, "text": "", "bytes": b"", "timestamp": 0}


@dataclass(frozen=True)
class Field:
    """A field of a row, as the contract names it."""

    name: str
    kind: str
    nullable: bool


def fields_of(row):
    """The fields of a dataclass; `int | None` is a nullable one."""
    hints = typing.get_type_hints(row)
    fields = []
    for field in dataclasses.fields(row):
        hint, nullable = hints[field.name], False
        if typing.get_origin(hint) in (typing.Union, _types.UnionType):
            inner = [part for part in typing.get_args(hint) if part is not type(None)]
            hint, nullable = inner[0] if len(inner) == 1 else hint, True
        if hint not in KINDS:
            raise TypeError(f"{row.__name__}.{field.name}: a field is bool, int, float, str, bytes or Timestamp, or one of them | None")
        fields.append(Field(field.name, KINDS[hint], nullable))
    return fields


def nothing_of(row, fields):
    """A row that stands where there is none."""
    return row(*(NOTHING[field.kind] for field in fields))


def split(spans):
    """The values of spans."""
    data, start = spans.bytes, 0
    for end in spans.ends:
        yield data[start:end]
        start = end


def packed(parts):
    """Values as spans."""
    ends, end = [], 0
    for part in parts:
        end += len(part)
        ends.append(end)
    return wit.Spans(ends, b"".join(parts))


def bitmap(flags):
    """Flags as bits."""
    bits = bytearray((len(flags) + 7) // 8)
    for i, flag in enumerate(flags):
        if flag:
            bits[i >> 3] |= 1 << (i & 7)
    return bytes(bits)


def _read(field, column):
    """The values of a column as a list."""
    values = column.values.value
    if field.kind == "text":
        values = [str(value, "utf-8") for value in split(values)]
    elif field.kind == "bytes":
        values = list(split(values))
    if field.nullable and column.valid:
        valid = column.valid
        values = [value if valid[i >> 3] >> (i & 7) & 1 else None for i, value in enumerate(values)]
    return values


def read_rows(make, fields, rows):
    """Rows one after another, as `make` makes them of their fields."""
    columns = [_read(field, column) for field, column in zip(fields, rows.columns)]
    return map(make, *columns) if columns else (make() for _ in range(rows.count))


def _write(field, values):
    """A list of values as a column."""
    valid = b""
    if None in values:
        valid = bitmap([value is not None for value in values])
        nothing = NOTHING[field.kind]
        values = [nothing if value is None else value for value in values]
    if field.kind == "bool":
        cells = wit.Values_Bools(values)
    elif field.kind == "f64":
        cells = wit.Values_Floats([float(value) for value in values])
    elif field.kind == "text":
        cells = wit.Values_Spans(packed([value.encode() for value in values]))
    elif field.kind == "bytes":
        cells = wit.Values_Spans(packed(values))
    else:
        cells = wit.Values_Ints(values)
    return wit.Column(cells, valid)


def write_rows(fields, rows):
    """Rows as columns."""
    columns = [_write(field, [getattr(row, field.name) for row in rows]) for field in fields]
    return wit.Rows(len(rows), columns)
