"""Reads the text of a rule: a recursive descent over its tokens, which gives a typed tree or says what is wrong where.

::

    rule    = all {"or" all}
    all     = one {"and" one}
    one     = "not" one | test
    test    = value [sign value | ["not"] "in" set | "is" ["not"] "missing"]
    set     = "list" name | "[" literal {"," literal} "]"
    value   = product {("+" | "-") product}
    product = factor {("*" | "/") factor}
    factor  = number | text | name ["(" argument {"," argument} ")"] | "(" rule ")" | "-" factor
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from screening.rules.language.problems import BadRule, excerpt, problem
from screening.rules.language.texts import plain
from screening.rules.language.tokens import WORDS, Token, TokenKind, tokens
from screening.rules.language.tree import (
    All,
    Always,
    Among,
    Arithmetic,
    Compare,
    Condition,
    Equal,
    Fact,
    Flag,
    InList,
    Missing,
    Negative,
    Not,
    Number,
    Some,
    Type,
    Value,
)
from screening.rules.language.vocabulary import Vocabulary

DEEPEST = 20
"""Depth to which brackets, ``not`` and minus may be nested."""
MOST_NODES = 300
MOST_LITERALS = 100
"""In one pair of brackets; longer ones are lists."""
ANY = "text"
"""The kind of a list in which any text can be looked for."""
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class _Text:
    """A text of the rule's own, which is no value by itself."""

    text: str


@dataclass(frozen=True, slots=True)
class _Typed:
    """A part of the rule, and what it is; a condition has no type."""

    part: Value | Condition | _Text
    type: Type | None
    at: int


Side: TypeAlias = Value | _Text


def parse(text: str, vocabulary: Vocabulary) -> Condition:
    """Return what a rule means.

    Args:
        text: of the rule.
        vocabulary: the names that it may use.

    Raises:
        BadRule: it can't be understood; says where and, for a misspelt name, what it may have been.
    """
    return _Parser(text, vocabulary).rule()


class _Parser:
    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._text, self._vocabulary = text, vocabulary
        self._tokens = list(tokens(text))
        self._place = 0
        self._depth = 0
        self._nodes = 0

    def rule(self) -> Condition:
        if len(self._tokens) == 1:
            raise self._problem(0, "The rule is empty.", "Write a condition, such as amount > 1000.")
        found = self._condition(self._any())
        token = self._next
        if token.kind is not TokenKind.END:
            if token.text in COMPARISONS:
                raise self._problem(
                    token.at, "Two comparisons follow each other.", "Write amount > 1 and amount < 5."
                )
            raise self._problem(
                token.at, f"{token.said} comes unexpected.", "Put and, or, or a comparison before it."
            )
        return found

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._tokens[self._place]
        self._place += token.kind is not TokenKind.END
        return token

    def _is(self, text: str, ahead: int = 0) -> bool:
        """Return whether the next token is this sign or word."""
        token = self._tokens[min(self._place + ahead, len(self._tokens) - 1)]
        return token.text == text and token.kind in (TokenKind.SIGN, TokenKind.WORD)

    def _must(self, text: str, after: str) -> None:
        if not self._is(text):
            raise self._problem(self._next.at, f"{after} needs “{text}”, and {self._next.said} follows.")
        self._take()

    def _problem(self, at: int, what: str, remedy: str | None = None) -> BadRule:
        return problem(self._text, at, what, remedy)

    def _deeper(self, at: int, read: Callable[[], _Typed]) -> _Typed:
        if self._depth >= DEEPEST:
            raise self._problem(at, f"The rule is nested deeper than {DEEPEST} levels.", "Split it.")
        self._depth += 1
        found = read()
        self._depth -= 1
        return found

    def _made(self, part: Value | Condition | _Text, kind: Type | None, at: int) -> _Typed:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise self._problem(at, f"The rule has more than {MOST_NODES} parts.", "Split it.")
        return _Typed(part, kind, at)

    def _any(self) -> _Typed:
        return self._joined("or", self._all, Some)

    def _all(self) -> _Typed:
        return self._joined("and", self._one, All)

    def _joined(self, word: str, read: Callable[[], _Typed], made: type[All | Some]) -> _Typed:
        first = read()
        if not self._is(word):
            return first
        parts = [self._condition(first)]
        while self._is(word):
            self._take()
            parts.append(self._condition(read()))
        return self._made(made(tuple(parts)), None, first.at)

    def _one(self) -> _Typed:
        if not self._is("not"):
            return self._test()
        at = self._take().at
        return self._made(Not(self._condition(self._deeper(at, self._one))), None, at)

    def _condition(self, found: _Typed) -> Condition:
        """See that a part can be true."""
        if found.type is None:
            return found.part  # type: ignore[return-value]  # what has no type is a condition
        if found.type is Type.FLAG and isinstance(found.part, Fact):
            return Flag(found.part)
        name = f"{found.part.name} is" if isinstance(found.part, Fact) else "This is"
        raise self._problem(
            found.at, f"{name} {found.type.value}, and no condition.", "Compare it, as in amount > 1000."
        )

    def _test(self) -> _Typed:
        left = self._value()
        token = self._next
        if token.kind is TokenKind.SIGN and token.text in COMPARISONS:
            self._take()
            return self._compared(left, token, self._value())
        if self._is("in"):
            self._take()
            return self._made(self._among(left), None, left.at)
        if self._is("not") and self._is("in", ahead=1):
            self._take()
            self._take()
            return self._made(Not(self._among(left)), None, left.at)
        if self._is("is"):
            return self._made(self._missing(left), None, left.at)
        return left

    def _missing(self, left: _Typed) -> Condition:
        self._take()
        negative = self._is("not")
        if negative:
            self._take()
        self._must("missing", "“is”")
        if not isinstance(left.part, Fact):
            raise self._problem(left.at, "Only a column or a feature can be missing.")
        found = Missing(left.part)
        return Not(found) if negative else found

    def _compared(self, left: _Typed, sign: Token, right: _Typed) -> _Typed:
        for side in (left, right):
            if side.type is None:
                raise self._problem(
                    side.at, "A condition can't be compared.", "Join conditions by and, or, not."
                )
        one, other = left.type, right.type
        if one is Type.TEXT and other is Type.TEXT:
            return self._made(self._equal(left, sign, right), None, left.at)
        if one is not None and other is not None and one.is_number and other.is_number:
            part = Compare(sign.text, left.part, right.part)  # type: ignore[arg-type]  # numbers are values
            return self._made(part, None, left.at)
        raise self._problem(sign.at, self._differ(left, right), self._differ_advice(left, right))

    def _differ(self, left: _Typed, right: _Typed) -> str:
        if Type.FLAG in (left.type, right.type):
            side = left if left.type is Type.FLAG else right
            name = side.part.name if isinstance(side.part, Fact) else "It"
            return f"{name} is yes or no by itself."
        told = []
        for side in (left, right):
            assert side.type is not None
            told.append(f"{_named(side.part)} is {side.type.value}")
        return f"{told[0]}, and {told[1]}."

    def _differ_advice(self, left: _Typed, right: _Typed) -> str | None:
        if Type.FLAG in (left.type, right.type):
            return "Write the name alone, or not and the name."
        for side in (left, right):
            if isinstance(side.part, Number):
                return f'Write a text in ", as in "{side.part.value:g}".'
            if isinstance(side.part, _Text):
                return 'Write a number without ".'
        return None

    def _equal(self, left: _Typed, sign: Token, right: _Typed) -> Condition:
        if sign.text not in ("==", "!="):
            raise self._problem(
                sign.at, f"Texts have no order, so “{sign.text}” means nothing.", "Write == or !=."
            )
        one, other = left.part, right.part
        if isinstance(one, _Text) and isinstance(other, Fact):
            one, other = other, one
        if not isinstance(one, Fact):
            raise self._problem(left.at, "Two texts of the rule itself are compared.", "Name a column.")
        found = Equal(one, other.text if isinstance(other, _Text) else other)  # type: ignore[arg-type]
        return Not(found) if sign.text == "!=" else found

    def _among(self, left: _Typed) -> Condition:
        fact = left.part
        if not isinstance(fact, Fact) or fact.type is Type.FLAG:
            raise self._problem(left.at, "Only a column or a feature can be in a list.")
        if self._is("list"):
            self._take()
            return self._listed(fact, left.at)
        self._must("[", "“in”")
        literals = [self._literal(fact)]
        while self._is(","):
            self._take()
            literals.append(self._literal(fact))
            if len(literals) > MOST_LITERALS:
                raise self._problem(
                    self._next.at,
                    f"More than {MOST_LITERALS} values appear in brackets.",
                    "Make a list of them.",
                )
        self._must("]", "The list")
        if fact.type is Type.TEXT:
            return Among(fact, texts=tuple(dict.fromkeys(each for each in literals if isinstance(each, str))))
        return Among(fact, numbers=tuple(dict.fromkeys(each for each in literals if isinstance(each, float))))

    def _literal(self, fact: Fact) -> str | float:
        negative = self._is("-")
        if negative:
            self._take()
        token = self._take()
        if token.kind is TokenKind.TEXT and fact.type is Type.TEXT and not negative:
            return self._plain(token)
        if token.kind is TokenKind.NUMBER and fact.type.is_number:
            return -token.number if negative else token.number
        raise self._problem(
            token.at,
            f"{fact.name} is {fact.type.value}, and {token.said} isn't.",
            self._literal_advice(fact, token),
        )

    def _literal_advice(self, fact: Fact, token: Token) -> str | None:
        if fact.type is Type.TEXT and token.kind in (TokenKind.NUMBER, TokenKind.NAME):
            return f'Write "{excerpt(token.text)}".'
        return None

    def _listed(self, fact: Fact, at: int) -> Condition:
        token = self._take()
        if token.kind is not TokenKind.NAME:
            raise self._problem(token.at, f"“list” needs the name of a list, and {token.said} follows.")
        name = token.text.casefold()
        kind = self._vocabulary.lists.get(name)
        if kind is None:
            raise self._problem(
                token.at, f"There is no list {excerpt(token.text)}.", self._vocabulary.list_advice(token.text)
            )
        if fact.type is not Type.TEXT or kind not in (ANY, fact.entity):
            raise self._problem(
                at, f"{fact.name} can't be in {name}, which is a list of {kind}.", f"Look for {kind} in it."
            )
        return InList(fact, name)

    def _plain(self, token: Token) -> str:
        found = plain(token.text)
        if found is None:
            raise self._problem(
                token.at, f"A cell with {token.said} counts as missing.", "Write is missing instead."
            )
        return found

    def _value(self) -> _Typed:
        return self._reckoned(("+", "-"), lambda: self._reckoned(("*", "/"), self._factor))

    def _reckoned(self, signs: tuple[str, ...], read: Callable[[], _Typed]) -> _Typed:
        left = read()
        while self._next.kind is TokenKind.SIGN and self._next.text in signs:
            sign = self._take()
            right = read()
            one, other = self._number(left, sign), self._number(right, sign)
            kind = Type.SECONDS if Type.SECONDS in (left.type, right.type) else Type.NUMBER
            left = self._made(Arithmetic(sign.text, one, other), kind, left.at)
        return left

    def _number(self, side: _Typed, sign: Token) -> Value:
        if side.type is None or not side.type.is_number:
            what = "A condition" if side.type is None else _named(side.part)
            raise self._problem(sign.at, f"{what} isn't a number, so “{sign.text}” means nothing.")
        return side.part  # type: ignore[return-value]  # numbers are values

    def _factor(self) -> _Typed:
        token = self._take()
        if token.kind is TokenKind.NUMBER:
            return self._made(Number(token.number), Type.SECONDS if token.unit else Type.NUMBER, token.at)
        if token.kind is TokenKind.TEXT:
            return self._made(_Text(self._plain(token)), Type.TEXT, token.at)
        if token.kind is TokenKind.NAME:
            return self._named(token)
        if token.kind is TokenKind.WORD and token.text in ("true", "false"):
            return self._made(Always(token.text == "true"), None, token.at)
        if token.kind is TokenKind.SIGN and token.text == "(":
            found = self._deeper(token.at, self._any)
            self._must(")", "“(”")
            return found
        if token.kind is TokenKind.SIGN and token.text == "-":
            side = self._deeper(token.at, self._factor)
            return self._made(Negative(self._number(side, token)), side.type, token.at)
        raise self._problem(
            token.at, f"{token.said} comes where a column or a value should.", _word_advice(token)
        )

    def _named(self, token: Token) -> _Typed:
        name = token.text
        if self._is("(") and token.at < self._next.at:
            name = self._call(name)
        fact = self._vocabulary.get(name)
        if fact is None:
            raise self._problem(
                token.at,
                f"{excerpt(name)} is nothing that is known of {self._vocabulary.whose}.",
                self._vocabulary.advice(name),
            )
        return self._made(fact, fact.type, token.at)

    def _call(self, name: str) -> str:
        """Return the name of a feature in its one spelling, as in ``count(device, 1d)``."""
        self._take()
        arguments: list[str] = []
        while True:
            token = self._take()
            if token.kind not in (TokenKind.NAME, TokenKind.NUMBER, TokenKind.WORD):
                raise self._problem(token.at, f"{token.said} comes where a column or a time span should.")
            arguments.append(token.text)
            if len(arguments) > 4:
                raise self._problem(token.at, "No feature is made of so much.")
            if self._is(","):
                self._take()
                continue
            self._must(")", name)
            return f"{name}({', '.join(arguments)})"


def _named(part: object) -> str:
    if isinstance(part, Fact):
        return part.name
    if isinstance(part, _Text):
        return f"“{excerpt(part.text)}”"
    return f"{part.value:g}" if isinstance(part, Number) else "This"


def _word_advice(token: Token) -> str | None:
    if token.kind is TokenKind.WORD and token.text in WORDS:
        return f"A column of this name is written `{token.text}`."
    return None
