"""What a plugin says of itself, and the options that it takes."""

import dataclasses
import typing

from .rows import KINDS
from .times import Span, Timestamp, span
from .voice import Err, voiced

# Each world has its own bindings, and a native test has none.
try:
    from wit_world.exports import about as _wit
except ImportError:
    _wit = None

_OPTION_KINDS = KINDS | {Span: "text"}
_PARSERS = {bool: lambda text: text == "true", bytes: str.encode, Timestamp: int, Span: span}


def option(default, doc=""):
    """A field of an options class, with its default and what it is for."""
    return dataclasses.field(default=default, metadata={"doc": doc})


def _default(field):
    if field.default is dataclasses.MISSING:
        return None
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def about_class(plugin, name, version, inputs, outputs, state_version):
    """The class About of a plugin."""
    options = getattr(plugin, "Options", None)
    hints = typing.get_type_hints(options) if options else {}
    for field, hint in hints.items():
        if hint not in _OPTION_KINDS:
            raise TypeError(f"{options.__name__}.{field}: an option is bool, int, float, str, bytes, Timestamp or Span")

    def settings():
        for field in dataclasses.fields(options) if options else ():
            yield _wit.Setting(field.name, _OPTION_KINDS[hints[field.name]], _default(field), field.metadata.get("doc", ""))

    def parsed(field, text):
        if field not in hints:
            raise ValueError(f"there is no option {field}")
        return _PARSERS.get(hints[field], hints[field])(text)

    @voiced
    class About:
        def describe(self):
            said = [[_wit.Field(f.name, f.kind, f.nullable) for f in fields] for fields in (inputs, outputs)]
            doc = (plugin.__doc__ or "").strip()
            return _wit.Description(name, version, doc, *said, False, state_version, list(settings()))

        def configure(self, given):
            if options is None:
                return
            try:
                plugin.options = options(**{field: parsed(field, text) for field, text in given})
            except (ValueError, TypeError) as why:
                raise Err(str(why)) from None

    return About
