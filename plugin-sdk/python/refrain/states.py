"""States by slot, and their bytes: JSON with sorted keys, the same for equal states."""

import dataclasses
import functools
import json
import types as _types
import typing

from .rows import packed, split, wit
from .voice import Err


def _fields(value):
    return [getattr(value, field.name) for field in dataclasses.fields(value)]


def _freeze(value):
    if isinstance(value, bytes):
        return {"$bytes": value.decode("latin-1")}
    if dataclasses.is_dataclass(value):
        return _fields(value)
    raise TypeError(f"a state holds bool, int, float, str, bytes, None, lists, tuples, dataclasses and dicts with text keys, not {type(value).__name__}")


def _thaw(value):
    return value["$bytes"].encode("latin-1") if "$bytes" in value else value


@functools.cache
def _builder(hint):
    """What makes a value of JSON what `hint` says; none: it is that already."""
    arguments = typing.get_args(hint)
    inner = [_builder(argument) for argument in arguments if argument is not Ellipsis]
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        fields = [_builder(hints[field.name]) for field in dataclasses.fields(hint)]
        return lambda value: hint(*map(_built, fields, value))
    origin = typing.get_origin(hint)
    if origin is tuple and Ellipsis in arguments:
        return lambda value: tuple(_built(inner[0], part) for part in value)
    if origin is tuple:
        return lambda value: tuple(map(_built, inner, value))
    if origin is list and inner[0]:
        return lambda value: [inner[0](part) for part in value]
    if origin is dict and inner[1]:
        return lambda value: {key: inner[1](part) for key, part in value.items()}
    if origin in (typing.Union, _types.UnionType):
        build = next(filter(None, inner), None)
        return build and (lambda value: None if value is None else build(value))
    return None


def _built(build, value):
    return build(value) if build else value


def save_state(state):
    """A state as bytes, the same for equal states: its fields as a JSON list."""
    return json.dumps(_fields(state), separators=(",", ":"), sort_keys=True, default=_freeze).encode()


def restore_state(kind, saved):
    """The state that `save_state` wrote."""
    return _builder(kind)(json.loads(saved, object_hook=_thaw))


class States:
    """The states of one instance. A slot that was never written holds the initial state."""

    def __init__(self, initial, forgets=False):
        """`forgets`: the initial state is saved as no bytes, so that the host can forget its key."""
        self.initial = initial
        self.slots = {}
        self.unsaved = save_state(initial()) if forgets else None

    def at(self, slot):
        state = self.slots.get(slot)
        if state is None:
            state = self.slots[slot] = self.initial()
        return state

    def _save(self, slot):
        saved = save_state(self.at(slot))
        return b"" if saved == self.unsaved else saved

    def save(self, slots):
        return packed([self._save(slot) for slot in slots])

    def restore(self, slots, saved):
        for slot, state in zip(slots, split(saved)):
            try:
                self.slots[slot] = restore_state(self.initial, state)
            except (ValueError, TypeError) as why:
                raise Err(wit.Failure_Fatal(f"a saved state cannot be read ({why}): raise state_version")) from None

    def release(self, slots):
        for slot in slots:
            self.slots.pop(slot, None)
