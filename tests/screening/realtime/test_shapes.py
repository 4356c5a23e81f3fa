"""What is decoded into types is read as the general reader reads it, to the last bit; all else is left to that one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from screening.detectors.registry import Detectors
from screening.errors import ScreeningError
from screening.realtime.entries import ReadTransactions, read_mappings
from screening.realtime.shapes import MOST_SHAPES, Shapes, body_of, marks_of
from screening.settings import Settings
from screening.transactions.json_cards import with_tokens
from screening.transactions.schema import CellKind, ColumnContract
from screening.web.api import json_body

MOST = 5
NUMBERS = ["0", "-0", "-0.0", "1", "12.5", "-3e2", "1E5", "99999999999", "0.1234567890123456789", "5e-324"]
TEXTS = ['"6"', '"Visa"', '"192.0.2.1"', '"2026-01-31 17:04:22"', '"2026-01-31T17:04:22Z"', '"1.0"', '"ä"']
ODD = [
    *(
        "1e39",
        "1e999",
        "-1e400",
        f"1{'0' * 45}",
        "1000000000000",
        "4111111111111111",
        "NaN",
        "Infinity",
        "01",
    ),
    *(
        "true",
        "false",
        "null",
        "[]",
        "{}",
        '[1, "a"]',
        '""',
        '"  "',
        '"NA"',
        '"1,5"',
        '"4111 1111 1111 1111"',
    ),
    *(r'"a\u0041"', r'"\ud800"', '"1.1E+15"', '"yesterday"', '"fraud"', '"legit"', '"maybe"', "2", "0.5"),
    *('"DE89370400440532013000"', '"6011-1111-1111-1117 12/27"', '"2026-13-45"'),
]
BESIDE = ["country", "Device ID", "note", "shadow", "card number", "fraud_type", "currency", "channel", "é"]


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ColumnContract]:
    folder = tmp_path_factory.mktemp("shapes")
    made = Detectors(Settings.from_environ({"INSTANCE_PATH": str(folder), "USERS_FILE": str(folder / "u")}))
    return {name: made.get(name).contract for name in ("card", "payments", "ecommerce")}


def generally(data: bytes, contract: ColumnContract, shadowed: tuple[str, ...]) -> ReadTransactions:
    """What the general reader makes of a body."""
    body = json_body.parse(data)
    several = body.get("transactions")
    rows = with_tokens(several if several is not None else [body["transaction"]], (), pytest.fail)
    return read_mappings(rows, contract, shadowed)


def typed(data: bytes, shapes: Shapes) -> ReadTransactions | None:
    body = body_of(data)
    return None if body is None else shapes.read(body, marks_of(data), MOST)


def content(read: ReadTransactions) -> Any:
    return read.rows, read.cells, read.labels, read.fields, json.loads(msgspec.json.encode(read.values))


def plain(contract: ColumnContract) -> list[tuple[str, str]]:
    """Names and values of a transaction, as JSON has them."""
    of_kind = {
        CellKind.NUMBER: "12.5",
        CellKind.TEXT: '"6"',
        CellKind.TIME: '"2026-01-31 17:04:22"',
        CellKind.ADDRESS: '"192.0.2.1"',
    }
    return [(json.dumps(column.name), of_kind[column.kind]) for column in contract.parts()]


def row_of(pairs: Sequence[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in pairs) + "}"


@st.composite
def rows(draw: st.DrawFn, contract: ColumnContract, *, odd: bool) -> list[tuple[str, str]]:
    """A transaction, mostly a good one."""
    pairs = plain(contract)
    values = [*NUMBERS, *TEXTS, *(ODD if odd else ())]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(pairs) - 1))
        pairs[place] = (pairs[place][0], draw(st.sampled_from(values)))
    if contract.label is not None and draw(st.booleans()):
        pairs.append(
            (json.dumps(contract.label), draw(st.sampled_from(["0", "1", "0.0", "true", "null", *values])))
        )
    for name in draw(st.lists(st.sampled_from(BESIDE), max_size=2)):  # perhaps one twice
        pairs.append((json.dumps(name, ensure_ascii=False), draw(st.sampled_from([*values, "null"]))))
    if odd and draw(st.integers(0, 4)) == 0:
        pairs.pop(draw(st.integers(0, len(pairs) - 1)))
    if odd and draw(st.integers(0, 4)) == 0:
        name, value = draw(st.sampled_from(pairs))
        pairs.append((name.swapcase(), value))
    if odd and draw(st.integers(0, 4)) == 0:
        pairs.append(draw(st.sampled_from(pairs)))
    return draw(st.permutations(pairs)) if draw(st.booleans()) else pairs


@pytest.mark.parametrize("name", ["card", "payments", "ecommerce"])
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_types_read_what_the_general_reader_reads(
    name: str, contracts: dict[str, ColumnContract], data: st.DataObject
) -> None:
    contract = contracts[name]
    several = data.draw(st.booleans())
    some = [
        data.draw(rows(contract, odd=True)) for _ in range(data.draw(st.integers(1, 3)) if several else 1)
    ]
    if several and data.draw(st.booleans()):
        some = [some[0]] * len(some)
    listed = ", ".join(map(row_of, some))
    text = f'{{"transactions": [{listed}]}}' if several else f'{{"transaction": {listed}}}'
    body, shadowed = text.encode(), data.draw(st.sampled_from([(), ("shadow",)]))
    shapes = Shapes(contract, shadowed)
    for pairs in some:
        try:
            shapes.meet(tuple(json.loads(row_of(pairs))))
        except ValueError:
            continue
    found = typed(body, shapes)
    try:
        expected = generally(body, contract, shadowed)
    except ScreeningError:
        assert found is None
        return
    assert found is None or content(found) == content(expected)


@pytest.mark.parametrize("name", ["card", "payments", "ecommerce"])
def test_plain_transactions_are_read_by_types(name: str, contracts: dict[str, ColumnContract]) -> None:
    contract = contracts[name]
    beside = [('"note"', '"hello"'), ('"country"', '"DE"'), ('"n"', "12"), ('"none"', "null")]
    label = [(json.dumps(contract.label), "1")] if contract.label else []
    for pairs in (plain(contract), [*plain(contract), *beside], [*label, *reversed(plain(contract))]):
        shapes = Shapes(contract, ())
        shapes.meet(tuple(json.loads(row_of(pairs))))
        for text in (
            f'{{"transaction": {row_of(pairs)}}}',
            f'{{"transactions": [{row_of(pairs)}, {row_of(pairs)}]}}',
        ):
            found = typed(text.encode(), shapes)
            assert found is not None
            assert content(found) == content(generally(text.encode(), contract, ()))


def test_a_name_twice_is_left_to_who_refuses_it(contracts: dict[str, ColumnContract]) -> None:
    pairs = plain(contracts["card"])
    shapes = Shapes(contracts["card"], ())
    shapes.meet(tuple(json.loads(row_of(pairs))))
    one, twice = row_of(pairs), row_of([*pairs, pairs[3]])
    assert typed(f'{{"transaction": {one}}}'.encode(), shapes) is not None
    for text in (
        f'{{"transaction": {twice}}}',
        f'{{"transactions": [{one}, {twice}]}}',
        f'{{"transaction": {one}, "transaction": {one}}}',
        f'{{"detector": "a", "transaction": {one}, "detector": "a"}}',
        f'{{"transactions": [{one}], "transaction": {one}}}',
        f'{{"transactions": [{", ".join([one] * (MOST + 1))}]}}',
        f'{{"transaction": {one}}} x',
        f'{{"transaction": {one}, "more": 1}}',
    ):
        assert typed(text.encode(), shapes) is None, text


def test_what_is_sent_doesnt_fill_the_memory(contracts: dict[str, ColumnContract]) -> None:
    names = list(contracts["card"].columns)
    shapes = Shapes(contracts["card"], ())
    for number in range(50):
        shapes.meet((*names, f"more {number}"))
    shapes.meet(tuple(names))
    assert len(shapes._shapes) == len(shapes._met) == MOST_SHAPES
    body = f'{{"transaction": {row_of([*plain(contracts["card"]), (chr(34) + "more 3" + chr(34), "1")])}}}'.encode()
    for _ in range(2):
        assert typed(body, shapes) is not None
    assert shapes._shapes[0].read is not None
