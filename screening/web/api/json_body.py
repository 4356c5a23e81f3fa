"""The JSON object that a program sends, read strictly.

There is a fast reader and a careful one, which finds the words for what is wrong. What the fast one took is compared
with what was sent by the number of its quotation marks: of two keys that are the same it keeps the last, without a
word.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from screening.errors import BadTransaction

# Digits of a whole number: larger ones are beyond float32 anyway, and int() takes quadratic time.
MOST_DIGITS = 40
# Whole numbers beyond these have too many digits (a minus counts as one), which is cheaper to compare than to
# count.
LEAST, MOST = -(10 ** (MOST_DIGITS - 1)), 10**MOST_DIGITS
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def parse(data: bytes, refusal: type[BadTransaction] = BadTransaction) -> dict[str, Any]:
    """Return the object that some bytes are: no NaN, no key twice, no nesting that ends the parser.

    Args:
        data: JSON in UTF-8.
        refusal: what is raised if it isn't one; its title says of what.
    """
    if b"\\" not in data:
        try:
            body = _decode(data)
            if 2 * count_texts(body) == data.count(b'"'):
                return body
        except (ValueError, RecursionError, msgspec.MsgspecError):
            # the careful reader says what is wrong
            pass
    return _parse_carefully(data, refusal)


def count_texts(value: dict[str, Any] | list[Any]) -> int:
    """Return how many keys and texts a value has, which had two quotation marks each.

    Raises:
        ValueError: it has a number that isn't taken.
    """
    each, count = (list(value.values()), len(value)) if isinstance(value, dict) else (value, 0)
    kinds = list(map(type, each))
    count += kinds.count(str)
    if kinds.count(float) + kinds.count(str) == len(each):
        return count  # nearly every transaction
    for one, kind in zip(each, kinds, strict=True):
        if kind is dict or kind is list:
            count += count_texts(one)
        elif kind is int and not LEAST < one < MOST:
            raise ValueError("too many digits")
    return count


def _parse_carefully(data: bytes, refusal: type[BadTransaction] = BadTransaction) -> dict[str, Any]:
    try:
        body = json.loads(data, parse_constant=refuse_constant, object_pairs_hook=_once, parse_int=_short_int)
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise refusal(
            "The body has a text with half of a character (a lone surrogate, as \\ud800).",
            remedy="Send texts in UTF-8.",
        ) from None
    except (ValueError, RecursionError) as problem:
        raise refusal(f"The body is not usable JSON: {str(problem)[:100]}.") from None
    if not isinstance(body, dict):
        raise refusal("The body must be a JSON object.")
    return body


def refuse_constant(name: str) -> float:
    """Raise ``ValueError`` for NaN and the infinities, which JSON hasn't."""
    raise ValueError(f"{name} is not a number")


def _short_int(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number has more than {MOST_DIGITS} digits")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found
