"""A name for code: where what a function does may have changed, it has another name.

Followed are the function and, as far as they are of its own top-level package, all functions and classes that its code
names, with their defaults, what they close over, and plain values: numbers, texts, enumerations, tables of those. What
is of another package counts by its name alone; so does what is found only while it runs (`getattr` with a made-up name,
an import inside a function) or held in an object of another package. Bytecode is the interpreter's: another minor
version of Python gives another name.
"""

import dis
import enum
import functools
import hashlib
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any
from uuid import UUID

from msgspec import Struct

_PLAIN = (
    type(None),
    type(...),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    range,
    Decimal,
    Fraction,
    date,
    datetime,
    time,
    timedelta,
    timezone,
    UUID,
)
_UNSHARED = (tuple, frozenset, CodeType)
"""Whether two equal ones are one object depends on how the module was loaded."""
_WRAPPERS = (staticmethod, classmethod, MethodType)


def has_code(value: object) -> bool:
    """Whether the fingerprint of the callable says anything about what it does."""
    if isinstance(value, functools.partial):
        return has_code(value.func)
    if isinstance(value, FunctionType | MethodType) or hasattr(value, "__wrapped__"):
        return True
    return not isinstance(value, BuiltinFunctionType | type) and isinstance(type(value).__call__, FunctionType)


def fingerprint(function: object, *more: object) -> str:
    """64 hexadecimal digits for the function and more values, such as the types that it is about."""
    walk = _Walk(_package(function))
    for value in (function, *more):
        walk.visit(value)
    return walk.digest()


def _package(function: object) -> str:
    if isinstance(function, functools.partial):
        return _package(function.func)
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0]


class _Walk:
    """Describes values in the order in which they are met; one that was met before is described by its number."""

    def __init__(self, package: str, met: Mapping[int, tuple[int, object]] | None = None) -> None:
        self._package = package
        self._met = dict(met or {})
        self._hash = hashlib.sha256()

    def digest(self) -> str:
        return self._hash.hexdigest()

    def visit(self, value: object) -> None:
        if isinstance(value, _PLAIN) and not isinstance(value, enum.Enum):
            self._say(type(value).__name__, repr(value))
        elif isinstance(value, _UNSHARED):
            self._describe(value)
        elif id(value) in self._met:
            self._say("met", str(self._met[id(value)][0]))
        else:
            self._met[id(value)] = (len(self._met), value)
            self._describe(value)

    def _say(self, *words: str) -> None:
        for word in words:
            self._hash.update(f"{len(word)}:".encode() + word.encode("utf-8", "surrogatepass"))

    def _all(self, kind: str, values: Iterable[object]) -> None:
        found = list(values)
        self._say(kind, str(len(found)))
        for value in found:
            self.visit(value)

    def _describe(self, value: object) -> None:
        if isinstance(value, CodeType):
            self._code(value, {})
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, set | frozenset):
            self._say("set", *sorted(self._apart(each) for each in value))
        elif isinstance(value, dict | MappingProxyType):
            self._all("mapping", (each for pair in value.items() for each in pair))
        elif isinstance(value, tuple | list):
            self._all(type(value).__name__, value)
        else:
            self._other(value)

    def _apart(self, value: object) -> str:
        walk = _Walk(self._package, self._met)
        walk.visit(value)
        return walk.digest()

    def _other(self, value: object) -> None:
        if isinstance(value, functools.partial):
            self._all("partial", (value.func, value.args, value.keywords))
        elif isinstance(value, _WRAPPERS):
            self._all("method", (value.__func__, getattr(value, "__self__", None)))
        elif isinstance(value, property | functools.cached_property):
            self._all("property", (value.fget, value.fset) if isinstance(value, property) else (value.func,))
        elif isinstance(value, enum.Enum):
            self._all("member", (type(value), value.name))
        elif isinstance(value, re.Pattern):
            self._all("pattern", (value.pattern, value.flags))
        elif hasattr(value, "__wrapped__"):
            self._all("wrapper", (value.__wrapped__,))
        else:
            self._object(value)

    def _object(self, value: object) -> None:
        """One of the package's own counts with all that it holds."""
        kind = type(value)
        self._say("object", kind.__module__, kind.__qualname__, str(getattr(value, "__qualname__", "")))
        if not self._own(kind.__module__) or isinstance(value, ModuleType):
            return
        names = value.__struct_fields__ if isinstance(value, Struct) else sorted(getattr(value, "__dict__", ()))
        self._all("holds", (kind, *(each for name in names for each in (name, getattr(value, name)))))

    def _own(self, module: str | None) -> bool:
        return (module or "").partition(".")[0] == self._package

    def _function(self, function: FunctionType) -> None:
        self._say("function", function.__qualname__)
        if not self._own(function.__module__):
            self._say(function.__module__ or "")
            if "__wrapped__" not in vars(function) and not function.__closure__:
                return
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        written = _names(function.__code__, "STORE_DEREF")
        self._all("closure", (each for name, cell in cells if name not in written for each in (name, *_content(cell))))
        self._all("defaults", (function.__defaults__, function.__kwdefaults__, vars(function).get("__wrapped__")))
        self._code(function.__code__, function.__globals__)

    def _code(self, code: CodeType, known: Mapping[str, Any]) -> None:
        self._say("code", code.co_code.hex(), code.co_exceptiontable.hex())
        self._all("names", (code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_flags))
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._code(constant, known)
            else:
                self.visit(constant)
        attributes = _names(code, "LOAD_ATTR", "LOAD_METHOD")
        for name in sorted(_names(code, "LOAD_GLOBAL", "LOAD_NAME") - _names(code, "STORE_GLOBAL")):
            value = known.get(name)
            if isinstance(value, ModuleType):
                self._say("module", value.__name__)
                named = sorted(attributes & set(vars(value))) if self._own(value.__name__) else ()
                self._all(name, (getattr(value, each) for each in named))
            else:
                self._all(name, (value,))

    def _class(self, kind: type) -> None:
        self._say("class", kind.__module__, kind.__qualname__)
        if not self._own(kind.__module__):
            return
        self._all("bases", kind.__bases__)
        self._all("fields", getattr(kind, "__struct_fields__", ()))
        if issubclass(kind, enum.Enum):
            self._all("members", (each for member in kind.__members__.values() for each in (member.name, member.value)))
        for name, value in sorted(vars(kind).items()):
            function = isinstance(
                value, FunctionType | staticmethod | classmethod | property | functools.cached_property
            )
            if function or (not name.startswith("__") and isinstance(value, (*_PLAIN, tuple, list, dict, frozenset))):
                self._all(name, (value,))
        self._all("types", _types_of_fields(kind))


def _content(cell: Any) -> tuple[object, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _names(code: CodeType, *operations: str) -> set[str]:
    found = {str(each.argval) for each in dis.get_instructions(code) if each.opname in operations}
    return found.union(*(_names(each, *operations) for each in code.co_consts if isinstance(each, CodeType)))


def _types_of_fields(kind: type) -> Iterator[type]:
    """The classes that the annotations of a class name, as far as they can be looked up."""
    try:
        hints = typing.get_type_hints(kind)
    except (NameError, TypeError, AttributeError):
        return
    waiting = list(hints.values())
    while waiting:
        hint = waiting.pop(0)
        if isinstance(hint, type) and not typing.get_args(hint):
            yield hint
        waiting.extend(typing.get_args(hint))
