"""Files that wait until their owner says how they are meant, and the page on which that is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from screening.errors import Conflict
from screening.uploads.screenings import FAILED, Screening
from screening.web.http.sessions import user
from screening.web.services import services

CARDS, QUESTIONS, COLUMNS = "card_columns", "questions", "columns_missing"
"""Keys of a refusal's extra fields, in the order in which it is dealt with."""
_PAGES = {CARDS: "cards.show", QUESTIONS: "questions.show", COLUMNS: "mapping.show"}
_WORDS = {CARDS: "a word about card numbers", QUESTIONS: "an answer", COLUMNS: "a mapping of its columns"}


def page_for(problem: Mapping[str, Any] | None) -> str | None:
    """Return the endpoint where the owner of a refused file says how it can be screened, if there is one."""
    return next((page for sign, page in _PAGES.items() if (problem or {}).get(sign)), None)


def waiting(screening_id: str, sign: str) -> Screening:
    """Return a file of this user that waits for what ``sign`` says.

    Raises:
        NotFound: there is none of this user.
        Conflict: it is screened already, or failed for another reason.
    """
    screening = services().screenings.owned(screening_id, user().username)
    if screening.state != FAILED or not (screening.error or {}).get(sign):
        raise Conflict(f"This file doesn't wait for {_WORDS[sign]}.", remedy="Look at its result.")
    return screening
