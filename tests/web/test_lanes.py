"""Requests of programs that wait at a time are answered together; who comes alone waits for nobody."""

from __future__ import annotations

import asyncio
import threading

import pytest

from screening.web.api import lean_path
from screening.web.http.front import Reply

FOR_EVER = 600.0
PROMPTLY = 30.0
"""Seconds: far below for ever, and more than any machine needs."""


class Answers:
    """What a lane's thread answers with, and how many requests it was given at a time."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def __call__(self, requests: list[lean_path._Request]) -> list[Reply]:
        self.sizes.append(len(requests))
        self.begun.set()
        assert self.go_on.wait(PROMPTLY)
        return [(200, [], request.body) for request in requests]


def request(number: int) -> lean_path._Request:
    return lean_path._Request(str(number).encode(), None, None, "", False, "")


async def ask(lane: lean_path._Lane, *numbers: int) -> None:
    """Send requests at a time, and see that each gets its own answer."""
    waiting = [lane.submit(request(number)) for number in numbers]
    replies = await asyncio.wait_for(asyncio.gather(*waiting), PROMPTLY)
    assert [body for _, _, body in replies] == [str(number).encode() for number in numbers]


def test_after_a_company_as_many_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_path, "COMPANY_SECONDS", FOR_EVER)
    answers = Answers()

    async def scenario() -> None:
        lane = lean_path._Lane("lane", answers)
        answers.go_on.clear()
        first = lane.submit(request(0))
        assert await asyncio.to_thread(answers.begun.wait, PROMPTLY)
        company = [lane.submit(request(number)) for number in range(4)]
        answers.go_on.set()
        await asyncio.wait_for(asyncio.gather(first, *company), PROMPTLY)
        before = len(answers.sizes)
        for number in range(5):
            await ask(lane, *range(10 * number, 10 * number + answers.sizes[-1]))
        assert answers.sizes[before:] == [answers.sizes[before - 1]] * 5

    asyncio.run(scenario())


def test_it_is_waited_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_path, "COMPANY_SECONDS", 0.001)
    answers = Answers()

    async def scenario() -> None:
        lane = lean_path._Lane("lane", answers)
        for number in range(50):
            await ask(lane, *range(8))
            await ask(lane, number)  # fewer than there were

    asyncio.run(scenario())
    assert sum(answers.sizes) == 50 * 9


def test_who_comes_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_path, "COMPANY_SECONDS", FOR_EVER)
    answers = Answers()

    async def scenario() -> None:
        lane = lean_path._Lane("lane", answers)
        for number in range(20):
            await ask(lane, number)

    asyncio.run(scenario())
    assert answers.sizes == [1] * 20
