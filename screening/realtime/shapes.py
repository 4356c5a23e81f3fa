"""Reads plain transactions straight from JSON, by types that are made of the names that senders use.

A sender's transactions mostly have the same names. Once the general reader (:mod:`screening.realtime.entries`) has met
them, they become a type, and what comes next is decoded into it: names, kinds of values and ranges are checked as it is
decoded. What it doesn't take (other names, a name twice, a value that needs care or is wrong) is left to the general
reader, which alone words a fault. What both take they read as the same numbers.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from operator import attrgetter
from struct import Struct as Packing
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from screening.cards.finding import LEAST, candidates
from screening.cards.issuers import SHORTEST
from screening.intake import numbers
from screening.realtime.entries import MOST_NAMES, ReadTransactions, label_of, places_of, text_of
from screening.transactions.json_records import header_of, read_cell
from screening.transactions.schema import CellKind, Column, ColumnContract, normalise

# Numbers with fewer digits than a card number need no check for one, and lie in the range of every column.
SMALL: Any = Annotated[int, Meta(gt=-LEAST, lt=LEAST)] | Annotated[float, Meta(gt=-LEAST, lt=LEAST)]
CELL: Any = SMALL | str
ANY: Any = CELL | bool | None
# Per detector and process. Clients choose the shapes and must not fill the memory; others go through the
# general reader.
MOST_SHAPES = 8
MOST_TEXTS = 4096
"""Of a column, that are remembered."""
MARK, FEW_BYTES = b'"', 8192
TEXT_MARKS = 2
"""Quotation marks around a name or text without backslashes."""
PLAIN_LABELS = {numbers.ZERO, numbers.ONE}
_tuple = msgspec.structs.astuple


class UnreadBody(Struct, forbid_unknown_fields=True):
    """The body of a request, whose transactions aren't read yet."""

    transaction: Raw = Raw(b"")
    transactions: Raw = Raw(b"")
    detector: str | UnsetType = UNSET

    @property
    def single(self) -> bool:
        """Return whether it asks about a single transaction."""
        return bool(self.transaction)

    @property
    def marks(self) -> int:
        """Number of quotation marks around its own names and texts."""
        texts = bool(self.transaction) + bool(self.transactions) + 2 * (self.detector is not UNSET)
        return TEXT_MARKS * texts


_body = msgspec.json.Decoder(UnreadBody).decode
_raw_list = msgspec.json.Decoder(list[Raw]).decode


def body_of(data: bytes) -> UnreadBody | None:
    """Return a request's body, ``None`` where the general reader has to look at it."""
    if b"\\" in data:
        return None
    try:
        found = _body(data)
    except (ValueError, RecursionError):
        return None
    return None if bool(found.transaction) == bool(found.transactions) else found


def marks_of(data: bytes) -> int:
    """Return how many quotation marks a body has."""
    if len(data) <= FEW_BYTES:
        return data.count(MARK)
    # a tenth of the time where there are many
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == MARK[0]))


class Shapes:
    """Shapes of the transactions that one detector is sent; thread-safe.

    Args:
        contract: the detector's.
        shadowed: columns that the ledger keeps beside the detector's.
    """

    def __init__(self, contract: ColumnContract, shadowed: tuple[str, ...]) -> None:
        self._contract, self._shadowed = contract, shadowed
        self._lock = threading.Lock()
        self._met: set[tuple[str, ...]] = set()
        self._shapes: tuple[_Shape, ...] = ()

    def read(self, body: UnreadBody, marks: int, most: int) -> ReadTransactions | None:
        """Return the transactions of a request, ``None`` where the general reader has to look at them.

        Args:
            body: of the request.
            marks: how many quotation marks the whole of it has: with a name twice it has more than are expected.
            most: so many transactions it may have.
        """
        marks -= body.marks
        for place, shape in enumerate(self._shapes):
            try:
                given = shape.decode(body)
            except (ValueError, RecursionError):
                continue
            if place:
                with self._lock:
                    self._shapes = (shape, *(each for each in self._shapes if each is not shape))
            if not 0 < len(given) <= most:
                return None
            return shape.read(given, body, marks)
        return None

    def meet(self, names: tuple[str, ...]) -> None:
        """Learn the names of a transaction that the general reader is given."""
        if names in self._met or len(self._met) >= MOST_SHAPES:
            return
        with self._lock:
            if names in self._met or len(self._met) >= MOST_SHAPES:
                return
            self._met.add(names)
            shape = shape_of(names, self._contract, self._shadowed)
            if shape is not None:
                self._shapes = (shape, *self._shapes)


@lru_cache(maxsize=64)
def shapes_of(contract: ColumnContract, shadowed: tuple[str, ...]) -> Shapes:
    """Return what a detector's transactions look like, as far as this process has met any."""
    return Shapes(contract, shadowed)


class _Shape:
    """Transactions with certain names.

    Args:
        names: all of them, as they are sent.
        columns: those of the contract, each with its name among them, if it is there.
        kept: names that the ledger keeps, columns or not.
        label: the name of the label, if it is there.
        fields: the fields of the ledger with their names.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        columns: Sequence[tuple[Column, str | None]],
        kept: Sequence[str],
        label: str | None,
        fields: Sequence[tuple[str, str]],
    ) -> None:
        called = {name: column for column, name in columns if name is not None}
        beside = [name for name in names if name in kept and name not in called]
        left = [name for name in names if name not in kept]
        order = [*called, *beside, *left]
        place = {name: number for number, name in enumerate(order)}
        types: list[Any] = [
            *((f"f{place[name]}", _type(column)) for name, column in called.items()),
            *((f"f{place[name]}", ANY) for name in beside),
            *((f"f{place[name]}", ANY | UnsetType, UNSET) for name in left),
        ]
        form: Any = msgspec.defstruct(
            "Transaction",
            types,
            rename={f"f{number}": name for name, number in place.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decode: Callable[[Raw], Any] = msgspec.json.Decoder(form).decode
        self._decode_list: Callable[[Raw], Sequence[Any]] = msgspec.json.Decoder(list[form]).decode
        self._count = len(order)
        self._left = [f"f{place[name]}" for name in left]
        self._all_kept = not left
        self._texts = [
            attrgetter(f"f{place[name]}")
            for name in order
            if name not in called or called[name].kind is not CellKind.NUMBER
        ]
        self._label = None if label is None else attrgetter(f"f{place[label]}")
        self._fields = [(field, attrgetter(f"f{place[name]}")) for field, name in fields]
        self._columns = [
            (_reading(column), None if name is None else place[name]) for column, name in columns
        ]
        self._text_of = lru_cache(maxsize=MOST_TEXTS, typed=True)(text_of)
        width = len(columns)
        plain = all(
            column.kind is CellKind.NUMBER and column.scale == 1.0 and not column.optional
            for column, _ in columns
        )
        self._pack = Packing(f"{width}d").pack
        self._width = width if plain else None
        self._may_say_nothing = all(column.optional for column, _ in columns)

    def decode(self, body: UnreadBody) -> Sequence[Any]:
        """Return the transactions of a request.

        Raises:
            ValueError, RecursionError: one isn't of this shape.
        """
        return [self._decode(body.transaction)] if body.single else self._decode_list(body.transactions)

    def read(self, given: Sequence[Any], body: UnreadBody, marks: int) -> ReadTransactions | None:
        """Return decoded transactions; ``None`` where one has to be looked at by the general reader.

        Args:
            given: decoded.
            body: of which they are.
            marks: how many quotation marks they have together.
        """
        texts = 0
        for text in self._texts:
            for value in map(text, given):
                if type(value) is str:
                    texts += 1
                    if len(value) >= SHORTEST and next(candidates(value), None) is not None:
                        return None
                elif value is UNSET:
                    return None
        if marks != TEXT_MARKS * (texts + self._count * len(given)):
            return None
        cells = self._cells(given)
        labels = self._labels(given)
        if cells is None or labels is False:
            return None
        fields = {}
        for field, value_of in self._fields:
            found = list(map(self._text_of, map(value_of, given)))
            if found.count(None) < len(found):
                fields[field] = found
        return ReadTransactions(len(given), cells, labels, fields, self._kept(given, body))

    def _cells(self, given: Sequence[Any]) -> bytes | None:
        pack, width = self._pack, self._width
        if width is not None:
            return b"".join([pack(*_tuple(one)[:width]) for one in given])
        packed = []
        for row in map(_tuple, given):
            cells = []
            for read, place in self._columns:
                cell, problem = (math.nan, None) if place is None else read(row[place])
                if problem is not None:
                    return None
                cells.append(cell)
            if self._may_say_nothing and all(map(math.isnan, cells)):
                return None
            packed.append(pack(*cells))
        return b"".join(packed)

    def _labels(self, given: Sequence[Any]) -> list[int] | Literal[False] | None:
        """Return the labels, ``None`` where there is no column of them, and ``False`` where one is none."""
        if self._label is None:
            return None
        said = list(map(self._label, given))
        if set(said) <= PLAIN_LABELS:  # nearly always
            return list(map(int, said))
        found = []
        for one in said:
            label = label_of(one)
            if label is None:
                return False
            found.append(label)
        return found

    def _kept(self, given: Sequence[Any], body: UnreadBody) -> Sequence[Any]:
        # as they came: cutting them out takes a quarter of writing them again
        if self._all_kept:
            return (body.transaction,) if body.single else _raw_list(body.transactions)
        for name in self._left:
            for one in given:
                setattr(one, name, UNSET)  # so it isn't written
        return given


def shape_of(names: tuple[str, ...], contract: ColumnContract, shadowed: tuple[str, ...]) -> _Shape | None:
    """Return the shape of transactions with some names; ``None`` for those that need the general reader."""
    if contract.composed or len(names) > MOST_NAMES * len(contract.columns):
        return None
    header, places = header_of(names, contract), places_of(names, contract, shadowed)
    columns = [
        (column, None if place is None else names[place])
        for column, place in zip(contract.parts(), header.places, strict=True)
    ]
    if header.repeated or any(name is None and not column.optional for column, name in columns):
        return None
    if len({normalise(name) for name in names}) < len(names):
        return None
    return _Shape(names, columns, places.needed, places.label, places.fields)


def _reading(column: Column) -> Callable[[Any], tuple[float, str | None]]:
    """Return what reads a column's values. Who comes back, as cards and addresses do, is read once."""
    read = partial(read_cell, column=column)
    if column.kind in (CellKind.TEXT, CellKind.ADDRESS, CellKind.DOMAIN):
        return lru_cache(maxsize=MOST_TEXTS, typed=True)(read)
    return read


def _type(column: Column) -> Any:
    found = SMALL if column.kind is CellKind.NUMBER else CELL
    return found | None if column.optional else found
