"""Every feature once more, row by row in plain Python: slow, and with nothing of the engine in it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from screening.features import Definition

DAY = 86_400.0


@dataclass(frozen=True)
class Row:
    """One transaction; blanks are NaN, a label that isn't known is -1."""

    cells: dict[str, float]
    label: int

    def ticks(self, name: str) -> int:
        return round(self.cells[name] * 1e6)


def rows_of(definition: Definition, values: np.ndarray, labels: np.ndarray) -> list[Row]:
    names = definition.contract.columns
    return [
        Row(dict(zip(names, map(float, cells), strict=True)), int(label))
        for cells, label in zip(values, labels, strict=True)
    ]


def slog(value: float) -> float:
    return math.copysign(math.log1p(abs(value)), value)


class Reference:
    """What a feature is for one row, given all rows that there are."""

    def __init__(self, definition: Definition, rows: list[Row]) -> None:
        self.definition = definition
        self.rows = rows
        # a contract without a time or an amount has no features that ask for it
        self.time = definition.contract.time or ""
        self.amount = definition.contract.amount or ""

    def features(self, row: Row) -> list[float]:
        return [self.one(row, *feature.key) for feature in self.definition.features]

    def one(self, row: Row, statistic: str, *names: str) -> float:
        plain = getattr(self, f"of_{statistic.replace(' ', '_')}")
        return float(plain(row, *names))

    # the row by itself

    def of_plain(self, row: Row, name: str) -> float:
        value = row.cells[name]
        return self.definition.fills[name] if math.isnan(value) else value

    def of_missing(self, row: Row, name: str) -> bool:
        return math.isnan(row.cells[name])

    def of_log(self, row: Row, name: str) -> float:
        return slog(self.of_plain(row, name) / self.definition.unit)

    def of_hour(self, row: Row, name: str) -> float:
        value = row.cells[name]
        return 0.0 if math.isnan(value) else value % DAY / 3600

    def of_sine(self, row: Row, name: str) -> float:
        return 0.0 if math.isnan(row.cells[name]) else math.sin(2 * math.pi * self.of_hour(row, name) / 24)

    def of_cosine(self, row: Row, name: str) -> float:
        return 0.0 if math.isnan(row.cells[name]) else math.cos(2 * math.pi * self.of_hour(row, name) / 24)

    def of_night(self, row: Row, name: str) -> bool:
        return not math.isnan(row.cells[name]) and not 6 <= self.of_hour(row, name) < 22

    def of_weekday(self, row: Row, name: str) -> float:
        value = row.cells[name]
        return 0.0 if math.isnan(value) else (value // DAY + 3) % 7

    def of_weekend(self, row: Row, name: str) -> bool:
        return self.of_weekday(row, name) >= 5

    def of_since(self, row: Row, name: str) -> float:
        since = row.cells[self.time] - row.cells[name]
        return 0.0 if math.isnan(since) else slog(since)

    def of_just(self, row: Row, name: str) -> bool:
        return 0 <= row.cells[self.time] - row.cells[name] < 3600

    def _rank(self, row: Row, name: str) -> int | None:
        found = [level for level, _ in self.definition.levels[name]]
        return found.index(row.cells[name]) if row.cells[name] in found else None

    def of_level(self, row: Row, name: str, number: str) -> bool:
        return self._rank(row, name) == int(number)

    def of_other(self, row: Row, name: str) -> bool:
        rank = self._rank(row, name)
        return not math.isnan(row.cells[name]) and (rank is None or rank >= self.definition.shown[name])

    def of_frequency(self, row: Row, name: str) -> float:
        rank = self._rank(row, name)
        share = 0.0 if rank is None else self.definition.levels[name][rank][1]
        return math.log1p(share * 10_000) / math.log1p(10_000)

    # what was before it

    def before(self, row: Row, names: list[str], span: float, delay: float = 0.0) -> list[Row]:
        """Earlier rows of the same entities whose time is within ``span`` of the row's less the delay."""
        if any(math.isnan(row.cells[name]) for name in (*names, self.time)):
            return []
        until = row.ticks(self.time) - round(delay * 1e6)
        since = until - round(span * 1e6)
        return [
            other
            for other in self.rows
            if all(other.cells[name] == row.cells[name] for name in names)
            and not math.isnan(other.cells[self.time])
            and since <= other.ticks(self.time) < until
        ]

    def of_last(self, row: Row, *names: str) -> float:
        memory = self.definition.options.memory
        times = [other.ticks(self.time) for other in self.before(row, list(names), memory)]
        return math.log1p((row.ticks(self.time) - max(times)) / 1e6 if times else memory)

    def of_new(self, row: Row, *names: str) -> bool:
        return not self.before(row, list(names), self.definition.options.memory)

    def of_count(self, row: Row, name: str, span: str) -> float:
        return math.log1p(len(self.before(row, [name], float(span))))

    def of_distinct(self, row: Row, name: str, partner: str, span: str) -> float:
        seen = {other.cells[partner] for other in self.before(row, [name], float(span))}
        return math.log1p(len({value for value in seen if not math.isnan(value)}))

    def units(self, row: Row) -> float:
        return self.of_plain(row, self.amount) / self.definition.unit

    def past_units(self, row: Row, name: str, span: str) -> list[float]:
        return [self.units(other) for other in self.before(row, [name], float(span))]

    def _of(self, summary: Callable[[list[float]], float], row: Row, name: str, span: str) -> float:
        past = self.past_units(row, name, span)
        return slog(summary(past)) if past else 0.0

    def of_sum(self, row: Row, name: str, span: str) -> float:
        return self._of(math.fsum, row, name, span)

    def of_mean(self, row: Row, name: str, span: str) -> float:
        return self._of(statistics.fmean, row, name, span)

    def of_median(self, row: Row, name: str, span: str) -> float:
        return self._of(statistics.median, row, name, span)

    def of_max(self, row: Row, name: str, span: str) -> float:
        return self._of(max, row, name, span)

    def _against(self, summary: Callable[[list[float]], float], row: Row, name: str, span: str) -> float:
        past = self.past_units(row, name, span)
        return slog(self.units(row)) - slog(summary(past)) if past else 0.0

    def of_against_mean(self, row: Row, name: str, span: str) -> float:
        return self._against(statistics.fmean, row, name, span)

    def of_against_median(self, row: Row, name: str, span: str) -> float:
        return self._against(statistics.median, row, name, span)

    def of_against_max(self, row: Row, name: str, span: str) -> float:
        return self._against(max, row, name, span)

    def of_score(self, row: Row, name: str, span: str) -> float:
        past = self.past_units(row, name, span)
        if len(past) < 2:
            return 0.0
        mean = statistics.fmean(past)
        deviation = max(statistics.stdev(past), 1.0 + 0.02 * abs(mean))
        return math.asinh((self.units(row) - mean) / deviation)

    def _known(self, row: Row, name: str, span: str) -> tuple[int, int]:
        past = self.before(row, [name], float(span), self.definition.options.label_delay)
        return sum(other.label == 1 for other in past), sum(other.label >= 0 for other in past)

    def of_frauds(self, row: Row, name: str, span: str) -> float:
        return math.log1p(self._known(row, name, span)[0])

    def of_share(self, row: Row, name: str, span: str) -> float:
        frauds, known = self._known(row, name, span)
        return frauds / (known + self.definition.options.smoothing)

    def _known_frauds(self, row: Row, name: str, span: float) -> list[int]:
        """When the known frauds were that are within a span before the label delay's end."""
        delay = self.definition.options.label_delay
        past = self.before(row, [name], span, delay)
        return [other.ticks(self.time) for other in past if other.label == 1]

    def _since(self, row: Row, times: list[int]) -> float:
        memory = self.definition.options.memory
        return math.log1p((row.ticks(self.time) - times[0]) / 1e6 if times else memory)

    def of_fraud(self, row: Row, name: str) -> float:
        options = self.definition.options
        times = self._known_frauds(row, name, options.memory - options.label_delay)
        return self._since(row, [max(times)] if times else [])

    def of_first_fraud(self, row: Row, name: str) -> float:
        times = self._known_frauds(row, name, self.definition.options.windows[-1])
        return self._since(row, [min(times)] if times else [])

    def of_first_ever(self, row: Row, name: str) -> float:
        options = self.definition.options
        times = self._known_frauds(row, name, options.memory - options.label_delay)
        return self._since(row, [min(times)] if times else [])

    def of_good(self, row: Row, name: str) -> float:
        options = self.definition.options
        span = options.memory - options.label_delay
        times = self._known_frauds(row, name, span)
        past = self.before(row, [name], span, options.label_delay)
        return math.log1p(
            sum(other.label == 0 and other.ticks(self.time) > max(times) for other in past) if times else 0
        )

    def _run(self, row: Row, name: str) -> tuple[list[int], list[int]]:
        """When the rows known to be good were, and the frauds known after the last of them."""
        options = self.definition.options
        past = self.before(row, [name], options.memory - options.label_delay, options.label_delay)
        good = [other.ticks(self.time) for other in past if other.label == 0]
        frauds = [other.ticks(self.time) for other in past if other.label == 1]
        return good, [time for time in frauds if not good or time > max(good)]

    def of_known_good(self, row: Row, name: str) -> float:
        good, _ = self._run(row, name)
        return self._since(row, [max(good)] if good else [])

    def of_run(self, row: Row, name: str) -> float:
        _, run = self._run(row, name)
        return self._since(row, [min(run)] if run else [])

    def of_least_fraud(self, row: Row, name: str, partner: str) -> float:
        options = self.definition.options
        past = self.before(row, [name], options.windows[-1], options.label_delay)
        found = [5.0]
        for other in past:
            above = self._above_usual(other, partner)
            if other.label == 1 and above is not None:
                found.append(above)
        return max(min(found), -5.0)

    def _above_usual(self, row: Row, name: str) -> float | None:
        past = self.past_units(row, name, str(self.definition.options.windows[-1]))
        return slog(self.units(row)) - slog(statistics.median(past)) if len(past) >= 3 else None

    def _high(self, row: Row, name: str, span: float) -> list[int]:
        """When the amounts far above the usual were."""
        past = [(other, self._above_usual(other, name)) for other in self.before(row, [name], span)]
        return [other.ticks(self.time) for other, above in past if above is not None and above > 1]

    def of_high(self, row: Row, name: str, span: str) -> float:
        return math.log1p(len(self._high(row, name, float(span))))

    def of_last_high(self, row: Row, name: str) -> float:
        times = self._high(row, name, self.definition.options.windows[-1])
        return self._since(row, [max(times)] if times else [])

    def of_in_a_row(self, row: Row, name: str) -> float:
        return math.log1p(len(self._run(row, name)[1]))
