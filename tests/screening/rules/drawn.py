"""Rules and rows that hypothesis draws: every kind of part, rows with blanks, and odd texts and numbers."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from screening.rules.language.tree import Fact, Type
from screening.rules.language.vocabulary import Vocabulary

NUMBERS = ("amount", "probability", "count(device, 1d)", "age")
SPANS = ("since(signup_time)",)
TEXTS = ("country", "shipping country", "device", "browser")
FLAGS = ("new(device)",)
LISTS = {"bad_devices": "device", "safe_countries": "country"}
ENTRIES = {"bad_devices": frozenset({"d1", "d7", "münchen", "σ"}), "safe_countries": frozenset({"de", "fr"})}
WORDS = (
    "DE",
    "de",
    "FR",
    "d1",
    "D7",
    "München",
    "MÜNCHEN",
    "Σ",
    "ς",
    "İ",
    "i",
    "ẞ",
    'a"b',
    "a'b",
    "x; DROP TABLE",
)
AMOUNTS = (0.0, -0.0, 0.1, 0.3, 1.0, 2.0, 59.99, 60.0, 1e-300, 1e15, -5.0, 1 / 3)
FACTS = (
    *(Fact(name, Type.NUMBER, f"n:{name}") for name in NUMBERS),
    *(Fact(name, Type.SECONDS, f"n:{name}") for name in SPANS),
    *(Fact(name, Type.TEXT, f"t:{name}", entity=name) for name in TEXTS),
    *(Fact(name, Type.FLAG, f"n:{name}") for name in FLAGS),
)
VOCABULARY = Vocabulary.of(FACTS, LISTS)


def rows() -> st.SearchStrategy[dict[str, Any]]:
    """One transaction, of which anything may be missing."""
    numbers = st.one_of(st.none(), st.sampled_from(AMOUNTS), st.floats(-1e6, 1e6, allow_nan=False))
    flags = st.sampled_from([None, 0.0, 1.0])
    texts = st.one_of(
        st.none(), st.sampled_from(WORDS), st.text(max_size=4).filter(lambda text: "\x00" not in text)
    )
    kept = {Type.NUMBER: numbers, Type.SECONDS: numbers, Type.FLAG: flags, Type.TEXT: texts}
    return st.fixed_dictionaries({fact.key: kept[fact.type] for fact in FACTS})


def table(some: list[dict[str, Any]]) -> pa.Table:
    """The same rows as a segment would have them."""
    kinds = {fact.key: pa.string() if fact.type is Type.TEXT else pa.float64() for fact in FACTS}
    return pa.table({key: pa.array([row[key] for row in some], kind) for key, kind in kinds.items()})


def _called(name: str) -> str:
    return f"`{name}`" if " " in name and "(" not in name else name


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _number(value: float) -> str:
    return f"{value!r}" if value >= 0 else f"(-{-value!r})"


def _values() -> st.SearchStrategy[str]:
    leaves = st.one_of(
        st.sampled_from([_called(name) for name in (*NUMBERS, *SPANS)]),
        st.sampled_from([_number(abs(value)) for value in AMOUNTS]),
        st.sampled_from(["15min", "2h", "1d"]),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
            st.builds("-{}".format, inner),
        ),
        max_leaves=4,
    )


def _tests() -> st.SearchStrategy[str]:
    texts = st.sampled_from([_called(name) for name in TEXTS])
    words = st.sampled_from([_quoted(word) for word in WORDS])
    equal = st.sampled_from(["==", "!=", "="])
    return st.one_of(
        st.builds(
            "{} {} {}".format, _values(), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _values()
        ),
        st.builds("{} {} {}".format, texts, equal, st.one_of(words, texts)),
        st.builds(
            "{} {} [{}]".format,
            texts,
            st.sampled_from(["in", "not in"]),
            st.lists(words, min_size=1, max_size=4).map(", ".join),
        ),
        st.builds(
            "{} in [{}]".format,
            st.sampled_from([_called(name) for name in NUMBERS]),
            st.lists(st.sampled_from([_number(each) for each in AMOUNTS if each >= 0]), min_size=1).map(
                ", ".join
            ),
        ),
        st.sampled_from(
            ["device in list bad_devices", "device not in list bad_devices", "country in list safe_countries"]
        ),
        st.builds(
            "{} {}".format,
            st.sampled_from([_called(fact.name) for fact in FACTS]),
            st.sampled_from(["is missing", "is not missing"]),
        ),
        st.sampled_from([*FLAGS, "true", "false"]),
    )


def rules() -> st.SearchStrategy[str]:
    """The text of a rule."""
    return st.recursive(
        _tests(),
        lambda inner: st.one_of(
            st.builds("({} and {})".format, inner, inner),
            st.builds("({} or {})".format, inner, inner),
            st.builds("not {}".format, inner.map(lambda text: f"({text})")),
        ),
        max_leaves=6,
    )
