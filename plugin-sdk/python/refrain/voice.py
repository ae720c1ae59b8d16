"""What a plugin says: lines for the log of the host, where it is built with a voice (`refrain plugin build --talk`).

In a component `print` and what is written to `sys.stderr` go there; without a voice they go nowhere, where the interpreter
would fall for want of a console. A plain Python is left alone.
"""

import functools
import io
import os
import sys
import traceback

try:
    from componentize_py_types import Err

    IS_COMPONENT = True
except ImportError:  # a native test
    Err, IS_COMPONENT = (), False
try:
    from wit_world.imports import logging as _logging
except ImportError:
    _logging = None

_SDK = os.path.dirname(__file__)


class _Lines(io.TextIOBase):
    """A text file whose lines are said at one level."""

    def __init__(self, level):
        self.level, self.begun = level, ""

    def writable(self):
        return True

    def write(self, text):
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            _say(self.level, line)
        return len(text)


_OUT, _ERR = _Lines("INFO"), _Lines("WARN")


def _say(level, line):
    if _logging is not None:
        _logging.log(_logging.Level[level], line)


def _told(why):
    """An exception as text: where in the plugin, and what it was."""
    # Without the text of the lines, for which files would be read.
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(why.__traceback__)]
    places = [f"{os.path.basename(file)}:{line}" for file, line in reversed(frames) if not file.startswith(_SDK)]
    callers = f" (called from {', '.join(places[1:])})" if len(places) > 1 else ""
    return ": ".join([*places[:1], f"{type(why).__name__}: {why}"]) + callers


def voiced(interface):
    """A class of an interface whose functions say what they say, and what exception ends them."""
    for name, function in list(vars(interface).items()):
        if not name.startswith("_"):
            setattr(interface, name, _voiced(function))
    return interface


def _voiced(function):
    @functools.wraps(function)
    def call(*arguments):
        if IS_COMPONENT:
            # Not earlier: what is wrong while the component is made belongs to its author's terminal.
            sys.stdout, sys.stderr = _OUT, _ERR
        try:
            return function(*arguments)
        except Err:
            raise
        except Exception as why:
            _say("ERROR", _told(why))
            raise

    return call
