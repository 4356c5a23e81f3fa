"""Rules as a file that people read, compare and keep in version control: TOML, one table for each rule and list."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from screening.cards.masking import masked
from screening.rules.language.problems import BadRule, did_you_mean
from screening.rules.store import RuleDraft
from screening.rules.tables import Rule, RuleList, RuleState
from screening.settings import ROOT

MOST_BYTES = 1_000_000
MOST_RULES = 500
TEXTS = {"name", "detector", "when", "effect", "fraud_type", "note", "owner", "state"}
LIST_TEXTS = {"name", "kind", "purpose", "note"}
SHIPPED = ("model", "model/detectors/*")
"""Place of a file ``rules.toml`` beside a detector that ships with the product."""
HEAD = """# Rules of fraud screening. "flask --app app rules check FILE" says what is wrong with one,
# "rules backtest FILE" what its rules would have done, and "rules import FILE" keeps them as drafts.
"""


@dataclass(frozen=True, slots=True)
class FileRule:
    """A rule of a file."""

    draft: RuleDraft
    state: RuleState
    """State of the rule where the file was written."""
    place: int
    """Among the rules of the file, from 1."""

    @property
    def called(self) -> str:
        """Name in messages."""
        return self.draft.name or f"rule {self.place}"


@dataclass(frozen=True, slots=True)
class FileList:
    """A list of a file."""

    name: str
    kind: str
    purpose: str
    note: str = ""
    entries: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RulesFile:
    """Content of a rules file."""

    rules: Sequence[FileRule] = ()
    lists: Sequence[FileList] = field(default_factory=tuple)

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kinds of its lists, by name."""
        return {each.name: each.kind for each in self.lists}


def read(text: str) -> RulesFile:
    """Return the rules and lists of a file; whether they can be used isn't looked at.

    Raises:
        BadRule: it isn't a file of rules; says where.
    """
    if len(text.encode()) > MOST_BYTES:
        raise BadRule("The file is larger than 1 MB.", remedy="Put long lists into the app.")
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise BadRule(
            f"The file isn't TOML: {masked(str(problem))[:200]}.", remedy="See docs/rules.md for an example."
        ) from None
    odd = sorted(found.keys() - {"rule", "list"})
    if odd:
        raise BadRule(
            f"“{masked(odd[0])[:40]}” is nothing that a file of rules has.",
            remedy=did_you_mean(odd[0], ("rule", "list")) or "It has tables [[rule]] and [[list]].",
        )
    rules = _tables(found.get("rule", []), "rule")
    if len(rules) > MOST_RULES:
        raise BadRule(f"The file has more than {MOST_RULES} rules.")
    told = tuple(read_rule(given, place) for place, given in enumerate(rules, start=1))
    names = Counter(one.draft.name.casefold() for one in told)
    twice = next((one for one in told if names[one.draft.name.casefold()] > 1), None)
    if twice is not None:
        raise BadRule(
            f"Two rules are called {masked(twice.draft.name)[:40]}.", remedy="Give each a name of its own."
        )
    return RulesFile(
        told,
        tuple(
            read_list(given, place)
            for place, given in enumerate(_tables(found.get("list", []), "list"), start=1)
        ),
    )


def read_path(path: Path) -> RulesFile:
    """Return what a file on the disk has.

    Raises:
        BadRule: as :func:`read`; or it can't be read.
    """
    try:
        with path.open("rb") as file:
            return read(file.read(MOST_BYTES + 1).decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise BadRule("The file isn't text in UTF-8.", path.name) from None
    except OSError as problem:
        raise BadRule(f"The file can't be read: {problem.strerror}.", path.name) from None


def written(rules: Iterable[Rule], lists: Iterable[RuleList]) -> str:
    """Return rules and lists as a file, which :func:`read` reads. Entries of lists stay in the app."""
    told: list[tuple[str, dict[str, str | None]]] = [
        ("list", {"name": each.name, "kind": each.kind, "purpose": each.purpose, "note": each.note})
        for each in lists
    ]
    told += [
        (
            "rule",
            {
                "name": rule.name,
                "detector": rule.detector,
                "when": rule.condition,
                "effect": rule.effect,
                "fraud_type": rule.fraud_type,
                "note": rule.note,
                "owner": rule.owner,
                "state": rule.state,
            },
        )
        for rule in rules
    ]
    return "\n".join([HEAD, *(written_table(name, each) for name, each in told)])


def shipped() -> RulesFile:
    """Return the rules that come with the shipped detectors."""
    found = [read_path(path) for place in SHIPPED for path in sorted(ROOT.glob(f"{place}/rules.toml"))]
    return RulesFile(
        tuple(rule for each in found for rule in each.rules),
        tuple(one for each in found for one in each.lists),
    )


def _tables(given: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise BadRule(f"“{name}” isn't a table of its own.", remedy=f"Begin each with [[{name}]].")
    return given


def _texts(given: dict[str, Any], known: set[str], where: str) -> dict[str, str]:
    for name, value in given.items():
        if name not in known:
            raise BadRule(
                f"“{masked(name)[:40]}” is nothing that is said there.",
                where,
                did_you_mean(name, known) or f"There may be: {', '.join(sorted(known))}.",
            )
        if not isinstance(value, str):
            raise BadRule(f"{name} isn't a text.", where, 'Put it into ".')
    return given


def read_rule(given: dict[str, Any], place: int) -> FileRule:
    """Read a rule of the file. Raises :class:`BadRule` where it is none."""
    where = f"rule {place}"
    told = _texts(given, TEXTS, where)
    if not told.get("name") or not told.get("when"):
        raise BadRule("A rule needs name and when.", where)
    state = told.get("state", RuleState.DRAFT)
    if state not in list(RuleState):
        raise BadRule(
            f"“{masked(state)[:20]}” is no state.", where, f"Choose one of: {', '.join(RuleState)}."
        )
    draft = RuleDraft(
        name=told["name"],
        condition=told["when"],
        effect=told.get("effect", "flag"),
        detector=told.get("detector"),
        fraud_type=told.get("fraud_type"),
        note=told.get("note", ""),
        owner=told.get("owner", ""),
    )
    return FileRule(draft.stripped(), RuleState(state), place)


def read_list(given: dict[str, Any], place: int) -> FileList:
    """Read a list of the file. Raises :class:`BadRule` where it is none."""
    where = f"list {place}"
    entries = given.get("entries", [])
    if not isinstance(entries, list) or not all(isinstance(each, str) for each in entries):
        raise BadRule("entries aren't texts.", where, 'Write entries = ["one", "other"].')
    told = _texts({name: value for name, value in given.items() if name != "entries"}, LIST_TEXTS, where)
    missing = [name for name in ("name", "kind", "purpose") if not told.get(name)]
    if missing:
        raise BadRule(f"A list needs {missing[0]}.", where)
    return FileList(
        told["name"].casefold(), told["kind"], told["purpose"], told.get("note", ""), tuple(entries)
    )


def written_table(name: str, told: Mapping[str, str | None]) -> str:
    """Return a table as TOML has it."""
    lines = [f"{key} = {toml_text(value)}" for key, value in told.items() if value]
    return "\n".join([f"[[{name}]]", *lines, ""])


def toml_text(text: str) -> str:
    """Return a text as TOML has it; one of several lines as several lines, where that can be."""
    if "\n" in text and "'''" not in text and not any(ord(sign) < 32 and sign not in "\n\t" for sign in text):
        return f"'''\n{text}'''"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
