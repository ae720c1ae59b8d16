"""Refrain plugins in Python: rows and states are dataclasses, columns and bitmaps stay in here.

`export_fold`, `export_transform` and `export_process` give the two classes that the component exports; see
engagement/plugin.py for a whole fold and priced/plugin.py for a whole process. Works under a plain Python too, so that a
plugin's functions can be tested without Wasm.
"""

from dataclasses import dataclass, field

from .about import option
from .fold import export_fold
from .process import Context, Moment, export_process
from .rows import Reject
from .states import restore_state, save_state
from .times import LEAST, Span, Timestamp, show_span, span
from .transform import export_transform

__all__ = [
    "LEAST",
    "Context",
    "Moment",
    "Reject",
    "Span",
    "Timestamp",
    "dataclass",
    "export_fold",
    "export_process",
    "export_transform",
    "field",
    "option",
    "restore_state",
    "save_state",
    "show_span",
    "span",
]
