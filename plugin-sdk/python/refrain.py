"""Refrain plugins in Python: rows and states are dataclasses, columns and bitmaps stay in here.

`export_fold` and `export_transform` give the two classes that the component exports; see engagement/plugin.py for a
whole fold. Works under a plain Python too, so that a plugin's functions can be tested without Wasm.
"""

import dataclasses
import json
import types as _types
import typing
from dataclasses import dataclass

# Each world has its own bindings, and a native test has none.
try:
    from wit_world.exports import about as _about
except ImportError:
    _about = None
try:
    from wit_world.exports import fold as _fold
except ImportError:
    _fold = None
try:
    from wit_world.exports import transform as _transform
except ImportError:
    _transform = None
try:
    from componentize_py_types import Err
    from wit_world.imports import types as _wit
except ImportError:  # a native test
    Err = _wit = None

__all__ = ["Timestamp", "Reject", "dataclass", "export_fold", "export_transform", "option"]

Timestamp = typing.NewType("Timestamp", int)
Timestamp.__doc__ = "Microseconds since 1970, UTC: the type of a timestamp field."


class Reject(Exception):
    """Raised in `check` of a fold or in `process` of a transform: the row goes to `<node>.rejected` with this text."""


_KINDS = {bool: "bool", int: "i64", float: "f64", str: "text", bytes: "bytes", Timestamp: "timestamp"}
_PARSERS = {"bool": lambda text: text == "true", "i64": int, "f64": float, "text": str, "bytes": str.encode, "timestamp": str}


def option(default, doc=""):
    """A field of an options class, with its default and what it is for."""
    return dataclasses.field(default=default, metadata={"doc": doc})


@dataclass(frozen=True)
class _Field:
    name: str
    kind: str
    nullable: bool


def _fields(row):
    """The fields of a dataclass; `int | None` is a nullable one."""
    hints = typing.get_type_hints(row)
    fields = []
    for field in dataclasses.fields(row):
        hint, nullable = hints[field.name], False
        if typing.get_origin(hint) in (typing.Union, _types.UnionType):
            inner = [part for part in typing.get_args(hint) if part is not type(None)]
            hint, nullable = inner[0] if len(inner) == 1 else hint, True
        if hint not in _KINDS:
            raise TypeError(f"{row.__name__}.{field.name}: a field is bool, int, float, str, bytes or Timestamp, or one of them | None")
        fields.append(_Field(field.name, _KINDS[hint], nullable))
    return fields


# ---- columns --------------------------------------------------------------------------------------


def _spans(spans):
    data, start = spans.bytes, 0
    for end in spans.ends:
        yield data[start:end]
        start = end


def _read(field, column):
    """The values of a column as a list."""
    values = column.values.value
    if field.kind == "text":
        values = [str(value, "utf-8") for value in _spans(values)]
    elif field.kind == "bytes":
        values = list(_spans(values))
    if field.nullable and column.valid:
        valid = column.valid
        values = [value if valid[i >> 3] >> (i & 7) & 1 else None for i, value in enumerate(values)]
    return values


def _bitmap(flags):
    bits = bytearray((len(flags) + 7) // 8)
    for i, flag in enumerate(flags):
        if flag:
            bits[i >> 3] |= 1 << (i & 7)
    return bytes(bits)


_NOTHING = {"bool": False, "i64": 0, "f64": 0.0, "text": "", "bytes": b"", "timestamp": 0}


def _packed(parts):
    ends, end = [], 0
    for part in parts:
        end += len(part)
        ends.append(end)
    return _wit.Spans(ends, b"".join(parts))


def _write(field, values):
    """A list of values as a column."""
    valid = b""
    if None in values:
        valid = _bitmap([value is not None for value in values])
        nothing = _NOTHING[field.kind]
        values = [nothing if value is None else value for value in values]
    if field.kind == "bool":
        cells = _wit.Values_Bools(values)
    elif field.kind == "f64":
        cells = _wit.Values_Floats([float(value) for value in values])
    elif field.kind == "text":
        cells = _wit.Values_Spans(_packed([value.encode() for value in values]))
    elif field.kind == "bytes":
        cells = _wit.Values_Spans(_packed(values))
    else:
        cells = _wit.Values_Ints(values)
    return _wit.Column(cells, valid)


def _rows(fields, rows):
    columns = [_write(field, [getattr(row, field.name) for row in rows]) for field in fields]
    return _wit.Rows(len(rows), columns)


# ---- the description ------------------------------------------------------------------------------


def _about_class(plugin, name, version, inputs, outputs, state_version):
    options = getattr(plugin, "Options", None)

    def settings():
        for field in dataclasses.fields(options) if options else ():
            default = None
            if field.default is not dataclasses.MISSING:
                default = {True: "true", False: "false"}.get(field.default) if isinstance(field.default, bool) else str(field.default)
            kind = _KINDS[typing.get_type_hints(options)[field.name]]
            yield _about.Setting(field.name, kind, default, field.metadata.get("doc", ""))

    class About:
        def describe(self):
            said = [[_about.Field(f.name, f.kind, f.nullable) for f in fields] for fields in (inputs, outputs)]
            doc = (plugin.__doc__ or "").strip()
            return _about.Description(name, version, doc, *said, False, state_version, list(settings()))

        def configure(self, given):
            if options is None:
                return
            kinds = {field.name: _KINDS[hint] for field, hint in zip(dataclasses.fields(options), typing.get_type_hints(options).values())}
            try:
                plugin.options = options(**{name: _PARSERS[kinds[name]](text) for name, text in given})
            except ValueError as why:
                raise Err(str(why)) from None

    return About


# ---- fold -----------------------------------------------------------------------------------------


def _thaw(value):
    if "$bytes" in value:
        return value["$bytes"].encode("latin-1")
    return value


def _freeze(value):
    if isinstance(value, bytes):
        return {"$bytes": value.decode("latin-1")}
    raise TypeError(f"a state holds bool, int, float, str, bytes, None, lists and dicts with text keys, not {type(value).__name__}")


def save_state(state):
    """A state as bytes, the same for equal states: its fields as a JSON list."""
    return json.dumps(list(vars(state).values()), separators=(",", ":"), sort_keys=True, default=_freeze).encode()


def restore_state(kind, saved):
    """The state that `save_state` wrote."""
    return kind(*json.loads(saved, object_hook=_thaw))


def export_fold(plugin, name, version="0.1.0", state_version=1):
    """The classes About and Fold of a plugin: a class with dataclasses Input, State and Output and the functions
    `update(state, row)`, `evaluate(state)` and, if it refuses rows, `check(state, row)`. Name the results so:

        About, Fold = export_fold(Engagement, "engagement")
    """
    inputs, outputs = _fields(plugin.Input), _fields(plugin.Output)
    make, initial = plugin.Input, plugin.State
    nothing = plugin.Output(*(_NOTHING[field.kind] for field in outputs))
    check = getattr(plugin, "check", None)
    states = {}

    def state_of(slot):
        state = states.get(slot)
        if state is None:
            state = states[slot] = initial()
        return state

    class Fold:
        def update(self, rows, entries):
            columns = [_read(field, column) for field, column in zip(inputs, rows.columns)]
            events = list(map(make, *columns)) if columns else [make()] * rows.count
            update = plugin.update
            if check is not None:
                return _update_checked(events, entries, state_of, check, update)
            pairs = zip(entries.rows, entries.slots) if entries.rows else enumerate(entries.slots)
            for row, slot in pairs:
                state = states.get(slot)
                if state is None:
                    state = states[slot] = initial()
                update(state, events[row])
            return []

        def evaluate(self, slots, keys):
            evaluate = plugin.evaluate
            shown = [evaluate(state_of(slot)) for slot in slots]
            present = b""
            if None in shown:
                present = _bitmap([row is not None for row in shown])
                shown = [nothing if row is None else row for row in shown]
            return _fold.Evaluated(_rows(outputs, shown), present)

        def save(self, slots):
            return _packed([save_state(state_of(slot)) for slot in slots])

        def restore(self, slots, saved):
            for slot, state in zip(slots, _spans(saved)):
                try:
                    states[slot] = restore_state(initial, state)
                except (ValueError, TypeError) as why:
                    raise Err(_wit.Failure_Fatal(f"a saved state cannot be read ({why}): raise state_version")) from None

        def release(self, slots):
            for slot in slots:
                states.pop(slot, None)

    return _about_class(plugin, name, version, inputs, outputs, state_version), Fold


def _update_checked(events, entries, state_of, check, update):
    """Rows whose every state is asked before any is touched: the entries of a row stand together."""
    rows, slots = entries.rows or range(len(entries.slots)), entries.slots
    rejects, at = [], 0
    while at < len(slots):
        end = at + 1
        while end < len(slots) and rows[end] == rows[at]:
            end += 1
        group, event = [state_of(slot) for slot in slots[at:end]], events[rows[at]]
        try:
            for state in group:
                check(state, event)
        except Reject as why:
            rejects.append(_wit.Reject(rows[at], str(why)))
        else:
            for state in group:
                update(state, event)
        at = end
    return rejects


# ---- transform ------------------------------------------------------------------------------------


def export_transform(plugin, name, version="0.1.0"):
    """The classes About and Transform of a plugin: a class with dataclasses Input and Output and a function
    `process(row)` that gives rows (a list, or by `yield`) or raises Reject. Name the results so:

        About, Transform = export_transform(Clean, "clean")
    """
    inputs, outputs = _fields(plugin.Input), _fields(plugin.Output)

    class Transform:
        def process(self, rows):
            columns = [_read(field, column) for field, column in zip(inputs, rows.columns)]
            events = map(plugin.Input, *columns) if columns else (plugin.Input() for _ in range(rows.count))
            out, origins, rejects = [], [], []
            for row, event in enumerate(events):
                try:
                    given = list(plugin.process(event) or ())
                except Reject as why:
                    rejects.append(_wit.Reject(row, str(why)))
                    continue
                out.extend(given)
                origins.extend([row] * len(given))
            return _transform.Transformed(_rows(outputs, out), origins, rejects)

    return _about_class(plugin, name, version, inputs, outputs, 0), Transform
