"""Keyed state over several inputs, with timers in event time and rows out: the class Process of a plugin."""

from typing import NamedTuple

from .about import about_class
from .rows import Reject, bitmap, fields_of, read_rows, wit, write_rows
from .states import States
from .times import GREATEST, LEAST
from .voice import voiced

try:
    from wit_world.exports import about as _about
    from wit_world.exports import process as _wit
except ImportError:  # another world, or a native test
    _about = _wit = None


class Moment(NamedTuple):
    """When a row or a timer comes, in microseconds since 1970."""

    time: int = LEAST
    """Event time of the row; the time that the timer was set for."""
    watermark: int = LEAST
    """The node's watermark before it, rounded down to a step of its timers; LEAST before there is one."""


class Context:
    """What a row or a timer of one key leads to: rows, rows of a view taken back, timers. In a test without Wasm, see what
    it got in `rows`, `deleted`, and `timers`, pairs of a time and whether it was cleared."""

    def __init__(self, time=LEAST, watermark=LEAST):
        self.now = Moment(time, watermark)
        self.rows = []
        self.deleted = []
        self.timers = []
        self._origins = []
        self._slots = []
        self._timed = True
        self._place = self._slot = 0

    @property
    def time(self):
        """Event time of the row; the time that the timer was set for."""
        return self.now.time

    @property
    def watermark(self):
        """The node's watermark before it."""
        return self.now.watermark

    def emit(self, row):
        """Gives a row: the next one of a topic, or the view's row of its key."""
        self._push(row, False)

    def delete(self, row):
        """Takes the view's row of this key away; only the fields of `view_key` matter. A node that writes a topic cannot."""
        self._push(row, True)

    def set_timer(self, at):
        """Asks for `fire` when the watermark reaches this time; when it is beyond already, with its next step."""
        self._timer(at, False)

    def clear_timer(self, at):
        """Forgets the timer of this time. Nothing changes when there is none."""
        self._timer(at, True)

    def _push(self, row, deleted):
        self.rows.append(row)
        self.deleted.append(deleted)
        self._origins.append(self._place)

    def _timer(self, at, cleared):
        if not self._timed:
            raise RuntimeError("a process with `timed = False` has no timers")
        # A sum of a time and a length of time ends at the end of time.
        self.timers.append((min(max(at, LEAST), GREATEST), cleared))
        self._slots.append(self._slot)

    def _begin(self, place, slot, time):
        self._place, self._slot = place, slot
        self.now = Moment(time, self.now.watermark)

    def _finish(self, outputs, rejects):
        cleared = [cleared for _, cleared in self.timers]
        timers = _wit.Timers(self._slots, [at for at, _ in self.timers], bitmap(cleared) if any(cleared) else b"")
        deleted = bitmap(self.deleted) if any(self.deleted) else b""
        return _wit.Processed(write_rows(outputs, self.rows), self._origins, deleted, rejects, timers)


def export_process(plugin, name, version="0.1.0", state_version=1):
    """The classes About and Process of a plugin: a class with

    - `inputs`, a dict of dataclasses by name; for each input NAME a function `process_NAME(state, row, context)` and, if it
      refuses rows, `check_NAME(state, row, now)`, which raises Reject and changes nothing;
    - dataclasses State and Output, and a function `fire(state, context)` if it sets timers;
    - `view_key`, names of output fields that are, behind the node's key, the key of a view's row; and `timed = False` if
      times do not matter to it.

    Name the results so:

        About, Process = export_process(Priced, "priced")
    """
    inputs = {name: fields_of(row) for name, row in plugin.inputs.items()}
    outputs = fields_of(plugin.Output)
    makers = list(plugin.inputs.values())
    takers = [_function(plugin, f"process_{name}") for name in inputs]
    checks = [getattr(plugin, f"check_{name}", None) for name in inputs]
    fire = getattr(plugin, "fire", None)
    view_key, timed = list(getattr(plugin, "view_key", ())), getattr(plugin, "timed", True)
    for field in view_key:
        if field not in [output.name for output in outputs]:
            raise TypeError(f"{plugin.__name__}.view_key: {field} is no field of Output")
    states = States(plugin.State, forgets=True)

    def context_of(watermark):
        context = Context(watermark=watermark)
        context._timed = timed
        return context

    @voiced
    class Process:
        def declare(self):
            fields = [[_about.Field(f.name, f.kind, f.nullable) for f in fields] for fields in inputs.values()]
            said = [_wit.Input(name, _doc(row), fields) for (name, row), fields in zip(plugin.inputs.items(), fields)]
            return _wit.Declaration(said, view_key, timed)

        def process(self, parts, order, watermark):
            rows = [_rows_of(make, fields, part) for make, fields, part in zip(makers, inputs.values(), parts)]
            context, rejects = context_of(watermark), []
            for place, part in enumerate(order or [0] * parts[0].rows.count):
                row, slot, time = next(rows[part])
                context._begin(place, slot, time)
                state = states.at(slot)
                try:
                    if checks[part]:
                        checks[part](state, row, context.now)
                except Reject as why:
                    rejects.append(wit.Reject(place, str(why)))
                else:
                    takers[part](state, row, context)
            return context._finish(outputs, rejects)

        def fire(self, slots, times, watermark):
            context = context_of(watermark)
            for place, (slot, time) in enumerate(zip(slots, times)):
                context._begin(place, slot, time)
                if fire:
                    fire(states.at(slot), context)
            return context._finish(outputs, [])

        def save(self, slots):
            return states.save(slots)

        def restore(self, slots, saved):
            states.restore(slots, saved)

        def release(self, slots):
            states.release(slots)

    return about_class(plugin, name, version, [], outputs, state_version), Process


def _function(plugin, name):
    function = getattr(plugin, name, None)
    if function is None:
        raise TypeError(f"{plugin.__name__} has no function {name}(state, row, context) for one of its inputs")
    return function


def _doc(row):
    """What is said of an input; a dataclass without words has its signature there."""
    doc = row.__doc__ or ""
    return "" if doc.startswith(f"{row.__name__}(") else doc.strip()


def _rows_of(make, fields, part):
    """The rows of a part, each with its slot and its time."""
    times = part.times or [LEAST] * part.rows.count
    return zip(read_rows(make, fields, part.rows), part.slots, times)
