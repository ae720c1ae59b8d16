"""Rows to rows, without state: the class Transform of a plugin."""

from .about import about_class
from .rows import Reject, fields_of, read_rows, wit, write_rows
from .voice import voiced

try:
    from wit_world.exports import transform as _wit
except ImportError:  # another world, or a native test
    _wit = None


def export_transform(plugin, name, version="0.1.0"):
    """The classes About and Transform of a plugin: a class with dataclasses Input and Output and a function
    `process(row)` that gives rows (a list, or by `yield`) or raises Reject. Name the results so:

        About, Transform = export_transform(Clean, "clean")
    """
    inputs, outputs = fields_of(plugin.Input), fields_of(plugin.Output)

    @voiced
    class Transform:
        def process(self, rows):
            out, origins, rejects = [], [], []
            for row, event in enumerate(read_rows(plugin.Input, inputs, rows)):
                try:
                    given = list(plugin.process(event) or ())
                except Reject as why:
                    rejects.append(wit.Reject(row, str(why)))
                    continue
                out.extend(given)
                origins.extend([row] * len(given))
            return _wit.Transformed(write_rows(outputs, out), origins, rejects)

    return about_class(plugin, name, version, inputs, outputs, 0), Transform
