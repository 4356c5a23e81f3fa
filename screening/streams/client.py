"""Kafka's clients: how they are made, and what the operator is told when the brokers don't take them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from screening.errors import BadSetting, NotReady, ScreeningError
from screening.streams.options import StreamOptions

log = logging.getLogger("screening.stream")
START_SECONDS, ASK_SECONDS = 30.0, 5.0
"""Seconds in which a broker must have answered at the start, and within which each question must be."""
QUIET_SECONDS = 30.0
"""Seconds between two lines about the same error: one of the connection is repeated with each attempt."""
# Errors of the client itself have Kafka's names with an underscore.
END_OF_PARTITION, ALL_DOWN, NO_TRUST = (
    getattr(KafkaError, f"_{name}") for name in ("PARTITION_EOF", "ALL_BROKERS_DOWN", "SSL")
)
NO_ENTRY, NO_TOPIC = (
    (getattr(KafkaError, f"_{name}"), by_broker)
    for name, by_broker in (
        ("AUTHENTICATION", KafkaError.SASL_AUTHENTICATION_FAILED),
        ("UNKNOWN_TOPIC", KafkaError.UNKNOWN_TOPIC_OR_PART),
    )
)
NOT_ALLOWED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
HIDDEN = "…"
Partition = tuple[str, int]
"""Topic and number."""


def new_client(
    kind: Callable[[dict[str, Any]], Any], given: Mapping[str, Any], secrets: Collection[str]
) -> Any:
    """Return a client of Kafka's.

    Args:
        kind: its class.
        given: what it is told.
        secrets: values among these that no message may have.

    Raises:
        NotReady: it can't be made of what it is told.
    """
    try:
        return kind({**given, "logger": log})
    except KafkaException as problem:
        said = str(problem.args[0].str())
        for secret in sorted(secrets, key=len, reverse=True):
            said = said.replace(secret, HIDDEN)
        raise NotReady(
            f"Kafka's client can't be made: {said.rstrip('.')}.",
            remedy="Look at STREAM_SECURITY, the settings of its certificates, and STREAM_OPTIONS.",
        ) from None


class ErrorLog:
    """Errors of the clients, as they tell them by themselves: each kind is logged now and then."""

    def __init__(self) -> None:
        self._told: dict[int, float] = {}
        self.last: Any = None
        """Error that was told last, but for the one that only says that no broker is left."""

    @property
    def words(self) -> str:
        """The last error in words."""
        return "nothing" if self.last is None else str(self.last.str()).rstrip(".")

    def tell(self, error: Any) -> None:
        """Log an error.

        Raises:
            NotReady: the client can't be used any more.
        """
        if error.code() != ALL_DOWN:
            self.last = error
        now = time.monotonic()
        if now - self._told.get(error.code(), -QUIET_SECONDS) >= QUIET_SECONDS:
            self._told[error.code()] = now
            log.warning("Kafka says %s: %s", error.name(), error.str())
        if error.fatal():
            raise NotReady(f"Kafka's client gave up: {error.str()}.", remedy="Start the stream again.")


def require_topics(consumer: Consumer, options: StreamOptions, errors: ErrorLog) -> None:
    """Check at the start that the brokers let us in, and have the three topics.

    Later a stream waits for whatever is missing; a setting that was wrong from the beginning would wait for ever.

    Args:
        consumer: it needn't have subscribed to anything yet.
        options: of the stream.
        errors: what the consumer tells by itself.

    Raises:
        BadSetting: they don't, or one is missing.
        NotReady: no broker answers.
    """
    deadline = time.monotonic() + START_SECONDS
    for name, topic in options.topics().items():
        while (found := _asked(consumer, topic)) is None:
            consumer.poll(0)  # the reasons come with it
            if errors.last is not None and (is_of_trust(errors.last) or errors.last.code() in NO_ENTRY):
                raise refusal(errors.last, options)
            if time.monotonic() >= deadline:
                raise NotReady(
                    f"No broker of STREAM_BROKERS ({options.brokers}) answers; Kafka's client says: {errors.words}.",
                    remedy="See that they run, that this machine reaches them, and that STREAM_SECURITY is what the "
                    "port speaks; then start the stream again.",
                )
        if found.error is not None:
            raise refusal(found.error, options, name, topic)
        if not found.partitions:
            raise _no_topic(name, topic)
    committed(consumer, [(options.topic, 0)], ASK_SECONDS, refused=lambda error: refusal(error, options))


def _asked(consumer: Consumer, topic: str) -> Any:
    """Return what the brokers say of a topic; ``None`` where they don't answer."""
    try:
        return consumer.list_topics(topic, timeout=ASK_SECONDS).topics[topic]
    except KafkaException:
        return None


def is_of_trust(error: Any) -> bool:
    """Return whether certificates are what is wrong; that brokers want ours comes as a closed connection."""
    return error.code() == NO_TRUST or "SSL alert" in error.str()


def refusal(error: Any, options: StreamOptions, name: str = "", topic: str = "") -> ScreeningError:
    """Return what an operator is told of an error that doesn't pass by itself.

    Args:
        error: of Kafka's client.
        options: of the stream.
        name: the setting that names the topic that was asked for.
        topic: that topic.
    """
    said = f"Kafka says: {error.str().rstrip('.')}."
    if is_of_trust(error):
        return BadSetting(
            f"No encrypted connection to the brokers. {said}",
            where="STREAM_CA_FILE, STREAM_CERTIFICATE, STREAM_CERTIFICATE_KEY",
            remedy="STREAM_CA_FILE must have the certificate of the authority that signed the brokers' (PEM), "
            "STREAM_BROKERS the names that are in theirs; brokers that know clients by certificates need ours, too.",
        )
    if error.code() in NO_ENTRY:
        return BadSetting(
            f"The brokers don't let the stream in. {said}",
            where="STREAM_USER, STREAM_PASSWORD, STREAM_MECHANISM",
            remedy="Set the name, password and mechanism that the brokers know.",
        )
    if error.code() in NO_TOPIC:
        return _no_topic(name, topic)
    if error.code() in NOT_ALLOWED:
        return BadSetting(
            f"The brokers don't allow it. {said}",
            where=f"{name} ({topic})" if name else f"STREAM_GROUP ({options.group})",
            remedy="Allow this user to read STREAM_TOPIC as a member of STREAM_GROUP, and to describe and write to "
            "STREAM_DECISIONS and STREAM_REJECTED.",
        )
    return NotReady(f"{said}", where=f"{name} ({topic})" if name else None, remedy="Start the stream again.")


def _no_topic(name: str, topic: str) -> BadSetting:
    return BadSetting(
        f"The brokers have no topic {topic}.",
        where=name,
        remedy="Make it, or name another: streams make no topics, because the number of partitions is your choice.",
    )


def committed(
    consumer: Consumer,
    keys: Collection[Partition],
    seconds: float,
    refused: Callable[[Any], ScreeningError] | None = None,
) -> dict[Partition, int]:
    """Return the positions that the brokers have, of those partitions of which they have one.

    Args:
        consumer: a member of the group, or one that may become it.
        keys: the partitions.
        seconds: so long an answer is waited for.
        refused: returns what is raised for what the brokers refuse.

    Raises:
        NotReady: they don't answer, where ``refused`` says nothing else.
    """
    if not keys:
        return {}
    word = refused or (lambda error: NotReady(f"Kafka says: {error.str()}."))
    try:
        found = consumer.committed([TopicPartition(*key) for key in keys], timeout=seconds)
    except KafkaException as problem:
        raise word(problem.args[0]) from None
    for each in found:
        if each.error is not None:
            raise word(each.error)
    return {(each.topic, each.partition): each.offset for each in found if each.offset >= 0}
