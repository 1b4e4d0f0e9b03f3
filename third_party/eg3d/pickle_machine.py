"""A pickle interpreter that cannot run anything.

A pickle is a program for a small stack machine; Python's own machine imports modules and calls
whatever the program names. This one knows the data opcodes only. A global is a pair of strings
looked up in an exact table given by the caller; what is "called" or "instantiated" is a function of
that table, never something found by import or attribute look-up. Byte strings come back as views of
the input, so reading a large file copies nothing. Every declared length is checked against the
bytes that are there, and stack, memo and number of operations are bounded.

Supported: what Python 3 writes with protocols 2 to 5 for dicts, lists, tuples, sets, strings,
bytes, numbers, None, reduced objects and plain instances. Anything else is refused by name.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# A full snapshot (G, D and G_ema) takes about 60,000 operations.
MAX_OPERATIONS = 1_000_000
MAX_STACK = 100_000
MAX_MEMO = 500_000
MAX_MARKS = 200
MAX_INTEGER_BYTES = 16
MAX_NAME = 200
HIGHEST_PROTOCOL = 5

_REFUSED = {
    ord("i"): "INST",
    ord("o"): "OBJ",
    ord("P"): "PERSID",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    0x92: "NEWOBJ_EX",
    0x96: "BYTEARRAY8",
    0x97: "NEXT_BUFFER",
}


class PickleError(ValueError):
    """The byte stream is not a pickle this reader accepts."""


@dataclass(frozen=True)
class GlobalName:
    """A global the stream named: two strings, nothing imported."""

    module: str
    name: str

    def __str__(self) -> str:
        """Return the dotted name."""
        return f"{self.module}.{self.name}"


@dataclass
class Record:
    """An instance of a listed class, reduced to its class name and its stored attributes."""

    class_name: str
    state: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Vocabulary:
    """All a stream may name.

    Attributes:
        calls: (module, name) -> function of the argument tuple, for objects stored as a call.
        classes: (module, name) -> function without arguments giving an empty instance (a `Record`
            or a dict), for objects stored as an instance and its attributes.
        constants: (module, name) -> plain value standing for a global used as a value.
        persistent: function of a persistent id, or None where the format has none.
    """

    calls: Mapping[tuple[str, str], Callable[[tuple], object]] = field(default_factory=dict)
    classes: Mapping[tuple[str, str], Callable[[], object]] = field(default_factory=dict)
    constants: Mapping[tuple[str, str], object] = field(default_factory=dict)
    persistent: Callable[[object], object] | None = None


class PickleMachine:
    """Reads one pickle from a buffer; `position` is then the first byte behind it."""

    def __init__(
        self,
        data: memoryview,
        vocabulary: Vocabulary,
        *,
        position: int = 0,
        operations: int = MAX_OPERATIONS,
    ) -> None:
        """Prepare to read.

        Args:
            data: the bytes, as a one-dimensional view of unsigned bytes.
            vocabulary: the globals that may be named.
            position: where the pickle starts.
            operations: how many it may take at most.
        """
        self.data = data
        self.position = position
        self._words = vocabulary
        self._operations = operations
        self._decoded = 0
        self._stack: list = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def load(self) -> object:
        """Run the stream up to its STOP and return the object it describes.

        Raises:
            PickleError: truncated, malformed, over a limit, or naming anything not listed.
        """
        for _ in range(self._operations):
            offset = self.position
            code = self._take(1)[0]
            if code == ord("."):
                return self._finish()
            operation = _OPERATIONS.get(code)
            if operation is None:
                name = _REFUSED.get(code, f"0x{code:02x}")
                raise PickleError(f"pickle operation {name} at byte {offset} is not accepted")
            operation(self)
            if len(self._stack) > MAX_STACK or len(self._memo) > MAX_MEMO:
                raise PickleError(f"more than {MAX_STACK} open or {MAX_MEMO} remembered objects")
            if len(self._marks) > MAX_MARKS:
                raise PickleError(f"nested more than {MAX_MARKS} deep at byte {offset}")
        raise PickleError(f"more than {self._operations} pickle operations")

    def _finish(self) -> object:
        if len(self._stack) != 1 or self._marks:
            raise PickleError(f"malformed pickle: it ends with {len(self._stack)} objects open")
        return self._stack.pop()

    # Reading bytes

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if end > len(self.data):
            raise PickleError(
                f"truncated: {count} bytes are announced at byte {self.position}, "
                f"{len(self.data) - self.position} are left"
            )
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def _number(self, layout: str) -> int:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _line(self) -> str:
        window = bytes(self.data[self.position : self.position + MAX_NAME + 1])
        length = window.find(b"\n")
        if length < 0:
            raise PickleError(f"no name of at most {MAX_NAME} bytes at byte {self.position}")
        self.position += length + 1
        return _text(memoryview(window)[:length])

    # Stack

    def _pop(self) -> object:
        floor = self._marks[-1] if self._marks else 0
        if len(self._stack) <= floor:
            raise PickleError(f"malformed pickle: an object is missing at byte {self.position}")
        return self._stack.pop()

    def _top(self, kind: type) -> object:
        """The object on top, which must be exactly of `kind`; it stays there."""
        if not self._stack or type(self._stack[-1]) is not kind:
            raise PickleError(f"malformed pickle: no {kind.__name__} to fill at {self.position}")
        return self._stack[-1]

    def _pop_to_mark(self) -> list:
        if not self._marks:
            raise PickleError(f"malformed pickle: no mark at byte {self.position}")
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _push_integer(self, length: int) -> None:
        if length > MAX_INTEGER_BYTES:
            raise PickleError(f"an integer of {length} bytes at byte {self.position}")
        self._stack.append(int.from_bytes(self._take(length), "little", signed=True))

    def _push_tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._stack.append(tuple(reversed(items)))

    def _remember(self, index: int) -> None:
        if not self._stack:
            raise PickleError(f"malformed pickle: nothing to remember at byte {self.position}")
        self._memo[index] = self._stack[-1]

    def _recall(self, index: int) -> None:
        if index not in self._memo:
            raise PickleError(f"malformed pickle: object {index} was never stored")
        self._stack.append(self._memo[index])

    # Containers

    def _set_items(self, items: list) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise PickleError(f"malformed pickle: a key without a value at byte {self.position}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Only types whose hash takes constant time: a nested tuple can take forever.
            if type(key) not in (str, int, bool):
                raise PickleError(f"a dict key of type {type(key).__name__} is not accepted")
            target[key] = value

    def _add_items(self) -> None:
        items = self._pop_to_mark()
        target = self._top(set)
        if any(type(item) is not str for item in items):
            raise PickleError("a set of anything but strings is not accepted")
        target.update(items)

    def _append(self, items: list) -> None:
        self._top(list).extend(items)

    # Globals and objects

    def _push_global(self, module: object, name: object) -> None:
        if type(module) is not str or type(name) is not str:
            raise PickleError(f"malformed pickle: a global without a name at {self.position}")
        key = (module, name)
        words = self._words
        if key in words.constants:
            self._stack.append(words.constants[key])
        elif key in words.calls or key in words.classes:
            self._stack.append(GlobalName(module, name))
        else:
            shown = f"{module}.{name}"[:MAX_NAME]
            raise PickleError(f"it names {shown!r}, which is not on the list of accepted globals")

    def _stack_global(self) -> None:
        name = self._pop()
        self._push_global(self._pop(), name)

    def _reduce(self) -> None:
        arguments = self._pop()
        target = self._pop()
        if type(target) is not GlobalName or type(arguments) is not tuple:
            raise PickleError(f"malformed pickle: a call of no function at byte {self.position}")
        call = self._words.calls.get((target.module, target.name))
        if call is None:
            raise PickleError(f"{target} is accepted as a class only, but is called")
        made = call(arguments)
        if type(made) is memoryview:
            # Bytes a call decoded from text of the stream: decoding one text again and again would
            # exhaust the memory.
            self._decoded += len(made)
            if self._decoded > len(self.data):
                raise PickleError("its texts stand for more bytes than the file has")
        self._stack.append(made)

    def _new_object(self) -> None:
        arguments = self._pop()
        target = self._pop()
        if type(target) is not GlobalName or arguments != ():
            raise PickleError(f"malformed pickle: a new object of no class at {self.position}")
        make = self._words.classes.get((target.module, target.name))
        if make is None:
            raise PickleError(f"{target} is accepted as a function only, but is instantiated")
        self._stack.append(make())

    def _build(self) -> None:
        state = self._pop()
        target = self._top(Record)
        target.state.update(state if type(state) is dict else {"state": state})

    def _persistent(self) -> None:
        if self._words.persistent is None:
            raise PickleError("it refers to data outside the file (a persistent id)")
        self._stack.append(self._words.persistent(self._pop()))

    def _protocol(self) -> None:
        protocol = self._number("<B")
        if protocol > HIGHEST_PROTOCOL:
            raise PickleError(f"pickle protocol {protocol}; at most {HIGHEST_PROTOCOL} is known")


def _text(data: memoryview) -> str:
    try:
        return str(data, "utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise PickleError(f"malformed pickle: a string is not UTF-8 ({error.reason})") from error


def _text_of(layout: str) -> Callable[[PickleMachine], None]:
    return lambda m: m._stack.append(_text(m._take(m._number(layout))))


def _bytes_of(layout: str) -> Callable[[PickleMachine], None]:
    return lambda m: m._stack.append(m._take(m._number(layout)))


def _set_one(m: PickleMachine) -> None:
    value = m._pop()
    m._set_items([m._pop(), value])


_OPERATIONS: dict[int, Callable[[PickleMachine], None]] = {
    0x80: PickleMachine._protocol,
    0x95: lambda m: m._number("<Q"),  # FRAME: a hint about buffering, without meaning here
    ord("("): lambda m: m._marks.append(len(m._stack)),
    ord("0"): lambda m: m._pop(),
    ord("1"): lambda m: m._pop_to_mark(),
    ord("N"): lambda m: m._stack.append(None),
    0x88: lambda m: m._stack.append(True),
    0x89: lambda m: m._stack.append(False),
    ord("J"): lambda m: m._stack.append(m._number("<i")),
    ord("K"): lambda m: m._stack.append(m._number("<B")),
    ord("M"): lambda m: m._stack.append(m._number("<H")),
    0x8A: lambda m: m._push_integer(m._number("<B")),
    0x8B: lambda m: m._push_integer(m._number("<I")),
    ord("G"): lambda m: m._stack.append(m._number(">d")),
    ord("X"): _text_of("<I"),
    0x8C: _text_of("<B"),
    0x8D: _text_of("<Q"),
    ord("B"): _bytes_of("<I"),
    ord("C"): _bytes_of("<B"),
    0x8E: _bytes_of("<Q"),
    ord("]"): lambda m: m._stack.append([]),
    ord("a"): lambda m: m._append([m._pop()]),
    ord("e"): lambda m: m._append(m._pop_to_mark()),
    ord(")"): lambda m: m._stack.append(()),
    ord("t"): lambda m: m._stack.append(tuple(m._pop_to_mark())),
    0x85: lambda m: m._push_tuple(1),
    0x86: lambda m: m._push_tuple(2),
    0x87: lambda m: m._push_tuple(3),
    ord("}"): lambda m: m._stack.append({}),
    ord("s"): _set_one,
    ord("u"): lambda m: m._set_items(m._pop_to_mark()),
    0x8F: lambda m: m._stack.append(set()),
    0x90: PickleMachine._add_items,
    ord("h"): lambda m: m._recall(m._number("<B")),
    ord("j"): lambda m: m._recall(m._number("<I")),
    ord("q"): lambda m: m._remember(m._number("<B")),
    ord("r"): lambda m: m._remember(m._number("<I")),
    0x94: lambda m: m._remember(len(m._memo)),
    ord("c"): lambda m: m._push_global(m._line(), m._line()),
    0x93: PickleMachine._stack_global,
    ord("R"): PickleMachine._reduce,
    0x81: PickleMachine._new_object,
    ord("b"): PickleMachine._build,
    ord("Q"): PickleMachine._persistent,
}
