"""Read the options of a training that the database keeps: check that pages and trainer can use them."""

from __future__ import annotations

import math
from typing import Any

from screening.training.column_choices import ColumnChoice

TEXTS, SWITCHES = ("label", "time_unit", "description"), ("keep_leaks", "quick", "remember", "agreed")


def are_sound(options: dict[str, Any]) -> bool:
    """Return whether options of a training are as they were written: what is missing isn't said yet."""
    delay, values = options.get("label_delay", 0), options.get("fraud_values", [])
    return (
        isinstance(options.get("label"), str)
        and all(isinstance(options.get(name), (str, type(None))) for name in TEXTS)
        and all(isinstance(options.get(name, False), bool) for name in SWITCHES)
        and isinstance(delay, (int, float))
        and math.isfinite(delay)
        and delay >= 0
        and isinstance(values, list)
        and all(isinstance(each, str) for each in values)
        and is_object_of_texts(options.get("answers", {}))
        and is_object_of_texts(options.get("tokens", {}))
        and _columns(options.get("columns", []))
    )


def is_object_of_texts(found: Any) -> bool:
    """Return whether it is an object of texts."""
    return isinstance(found, dict) and all(isinstance(each, (str, type(None))) for each in found.values())


def _columns(found: Any) -> bool:
    if not isinstance(found, list):
        return False
    try:
        choices = [ColumnChoice.from_dict(each) for each in found]
        again = [choice.as_dict() for choice in choices]
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    names = ("name", "reason", "remark")
    return all(
        all(isinstance(each[name], str) for name in names)
        and isinstance(each["optional"], bool)
        and all(isinstance(example, str) for example in each["examples"])
        for each in again
    )
