"""Keyed state over one input: the class Fold of a plugin."""

from .about import about_class
from .rows import Reject, bitmap, fields_of, nothing_of, read_rows, wit, write_rows
from .states import States
from .voice import voiced

try:
    from wit_world.exports import fold as _wit
except ImportError:  # another world, or a native test
    _wit = None


def export_fold(plugin, name, version="0.1.0", state_version=1):
    """The classes About and Fold of a plugin: a class with dataclasses Input, State and Output and the functions
    `update(state, row)`, `evaluate(state)` and, if it refuses rows, `check(state, row)`. Name the results so:

        About, Fold = export_fold(Engagement, "engagement")
    """
    inputs, outputs = fields_of(plugin.Input), fields_of(plugin.Output)
    nothing = nothing_of(plugin.Output, outputs)
    check = getattr(plugin, "check", None)
    states = States(plugin.State)

    @voiced
    class Fold:
        def update(self, rows, entries):
            events = list(read_rows(plugin.Input, inputs, rows))
            if check is not None:
                return _update_checked(events, entries, states.at, check, plugin.update)
            update, at = plugin.update, states.at
            pairs = zip(entries.rows, entries.slots) if entries.rows else enumerate(entries.slots)
            for row, slot in pairs:
                update(at(slot), events[row])
            return []

        def evaluate(self, slots, keys):
            shown = [plugin.evaluate(states.at(slot)) for slot in slots]
            present = b""
            if None in shown:
                present = bitmap([row is not None for row in shown])
                shown = [nothing if row is None else row for row in shown]
            return _wit.Evaluated(write_rows(outputs, shown), present)

        def save(self, slots):
            return states.save(slots)

        def restore(self, slots, saved):
            states.restore(slots, saved)

        def release(self, slots):
            states.release(slots)

    return about_class(plugin, name, version, inputs, outputs, state_version), Fold


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
            rejects.append(wit.Reject(rows[at], str(why)))
        else:
            for state in group:
                update(state, event)
        at = end
    return rejects
