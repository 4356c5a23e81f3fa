"""Messages of a stream, decided by the function that decides requests of the API, and refused in its words."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from screening.accounts.roles import allows
from screening.accounts.users_text import Account
from screening.errors import NotReady, ScreeningError
from screening.infra import log_context
from screening.ledger.tables import STREAM
from screening.streams.messages import MessageRequest
from screening.web.api.deciding import Decider, ScoringRequest
from screening.web.http import failures, problems
from screening.web.services import Services

log = logging.getLogger("screening.stream")


class StreamDesk:
    """Decides on messages as on requests of the API.

    Args:
        mine: the app.
        account: name of the account in whose name it decides.
        detector: of messages that name none; ``None``: the server's default.
    """

    def __init__(self, mine: Services, account: str, detector: str | None) -> None:
        self._mine, self._account, self._detector = mine, account, detector
        self._decider = Decider(mine)

    def require_account(self) -> Account:
        """Return the account in whose name it decides, as it is now.

        Raises:
            NotReady: it isn't there, isn't active, or may not have transactions scored, or not by the stream's
                detector.
        """
        found = self._mine.users.get(self._account)
        if found is None or not found.active or not allows(found.role, "screen"):
            raise NotReady(
                f"The account “{self._account}” of STREAM_ACCOUNT is missing, isn't active, or may not have "
                "transactions scored.",
                remedy="Add or enable it (flask --app app users), or name another.",
            )
        if self._detector is not None:
            detectors = self._mine.detectors
            try:
                detectors.known_to(self._detector, found.username, decides=allows(found.role, "decide"))
                detectors.require_in_use(self._detector)
            except ScreeningError as problem:
                raise NotReady(
                    f"The detector of STREAM_DETECTOR can't decide: {problem.what}", remedy=problem.remedy
                ) from None
        return found

    def decide(self, asked: Sequence[MessageRequest]) -> Sequence[bytes | Exception]:
        """Return the answer to each message, or why it has none; decisions are kept when this returns."""
        try:
            # looked at each time: somebody may have disabled it
            account = self.require_account()
        except (NotReady, OSError) as problem:
            return [problem] * len(asked)
        sent = [
            ScoringRequest(
                body=each.body,
                account=account,
                key=None,
                request=each.place.number,
                idempotency_key=each.idempotency_key,
                source=STREAM,
            )
            for each in asked
            if isinstance(each.body, bytes)
        ]
        with log_context.bound(user=account.username):
            answers = iter(self._decider.answer(sent))
        return [next(answers) if isinstance(each.body, bytes) else each.body for each in asked]

    def word(self, error: Exception, asked: MessageRequest) -> bytes:
        """Return an error as the API words it."""
        number = asked.place.number
        failure = failures.told(
            error, request_id=number, instance=self._mine.settings.instance, on_damage=log.error
        )
        return problems.encoded(failure.problem, path=asked.place.path, request_id=number)
