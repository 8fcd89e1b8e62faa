"""Read a pickle as data: what it would make is described; nothing is imported, made or called."""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

MAX_OPCODES = 10**6
IGNORED = ("PROTO", "FRAME")
# Opcodes whose argument is the value.
VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
NEW: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
FROM_MARK: dict[str, Callable[[list[Any]], Any]] = {
    "TUPLE": tuple,
    "LIST": list,
    "DICT": lambda items: dict(_pairs(items)),
    "FROZENSET": lambda items: tuple(items),
}
PUTS, GETS = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")
MARK = object()


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Described:
    """An object that a pickle would make.

    Args:
        maker: what would be called.
        arguments: with what.
        state: what the object would be given then.
    """

    maker: Any
    arguments: Any
    state: Any = None


def describe(data: bytes) -> Any:
    """Describe the object in a pickle; plain values and containers are themselves.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: it is no such pickle, or uses what only
            unusual ones do.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in islice(pickletools.genops(data), MAX_OPCODES):
        if opcode.name == "STOP":
            return stack.pop()
        _step(opcode.name, argument, stack, memo)
    raise ValueError(f"it is a pickle of more than {MAX_OPCODES} opcodes")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    if name in IGNORED:
        return
    if name in VALUES:
        stack.append(argument)
    elif name in NEW:
        stack.append(NEW[name]())
    elif name in TUPLES:
        stack[-TUPLES[name] :] = [tuple(_last(stack, TUPLES[name]))]
    elif name in FROM_MARK:
        stack.append(FROM_MARK[name](_to_mark(stack)))
    elif name in PUTS or name == "MEMOIZE":
        memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
    elif name in GETS:
        stack.append(memo[argument])
    elif name in OTHERS:
        OTHERS[name](stack, argument)
    else:
        raise ValueError(f"it is a pickle with the opcode {name}")


def _last(stack: list[Any], count: int) -> list[Any]:
    if len(stack) < count:
        raise ValueError("it is a pickle that takes more than it has")
    return stack[-count:]


def _to_mark(stack: list[Any]) -> list[Any]:
    """Remove what was pushed since the last mark, and the mark."""
    items: list[Any] = []
    while (item := stack.pop()) is not MARK:
        items.append(item)
    return items[::-1]


def _pairs(items: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(items[::2], items[1::2], strict=True))


def _global(stack: list[Any], argument: str) -> None:
    module, _, name = argument.partition(" ")
    stack.append(Name(module, name))


def _stack_global(stack: list[Any], _: Any) -> None:
    name, module = stack.pop(), stack.pop()
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ValueError("it is a pickle that names something by other than text")
    stack.append(Name(module, name))


def _call(stack: list[Any], _: Any) -> None:
    arguments, maker = stack.pop(), stack.pop()
    stack.append(Described(maker, arguments))


def _build(stack: list[Any], _: Any) -> None:
    state = stack.pop()
    stack[-1].state = state


def _extend(stack: list[Any], items: list[Any]) -> None:
    """Add to a list; what would be added to a described object is left out, as to sets."""
    if isinstance(stack[-1], list):
        stack[-1].extend(items)


def _set_items(stack: list[Any], items: list[Any]) -> None:
    if isinstance(stack[-1], dict):
        stack[-1].update(_pairs(items))


def _set_item(stack: list[Any], _: Any) -> None:
    value, key = stack.pop(), stack.pop()
    _set_items(stack, [key, value])


OTHERS: dict[str, Callable[[list[Any], Any], Any]] = {
    "MARK": lambda stack, _: stack.append(MARK),
    "POP": lambda stack, _: stack.pop(),
    "POP_MARK": lambda stack, _: _to_mark(stack),
    "DUP": lambda stack, _: stack.append(stack[-1]),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _call,
    "NEWOBJ": _call,
    "BUILD": _build,
    "APPEND": lambda stack, _: _extend(stack, [stack.pop()]),
    "APPENDS": lambda stack, _: _extend(stack, _to_mark(stack)),
    "ADDITEMS": lambda stack, _: _extend(stack, _to_mark(stack)),
    "SETITEM": _set_item,
    "SETITEMS": lambda stack, _: _set_items(stack, _to_mark(stack)),
}
