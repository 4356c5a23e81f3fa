"""Settings of a stream, from the environment, and what Kafka's client is told of them.

They are read by the process that runs the stream only: a server without Kafka knows nothing of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from screening.errors import BadSetting, NotReady
from screening.setting_values import one_of, path_of, read_settings, refuse_all, setting, whole

NO_KAFKA = NotReady(
    "confluent-kafka isn't installed.",
    remedy="Install it: .venv/bin/python -m pip install -r requirements/stream.txt",
)
TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)
KEY, OFFSET, FIELD = "key", "offset", "field:"
"""Sources of the key under which a message counts once."""
# What the order of work rests on: nothing is committed by itself, the end of a partition is told, and an answer is
# there once all replicas have it.
FIXED: Mapping[str, Any] = MappingProxyType(
    {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "acks": "all",
        "partition.assignment.strategy": "cooperative-sticky",
    }
)
OURS = frozenset(
    {
        *FIXED,
        *(
            "bootstrap.servers",
            "metadata.broker.list",
            "group.id",
            "auto.offset.reset",
            "request.required.acks",
        ),
    }
)
"""Options that have a setting of their own, or that nobody may change."""
USUAL: Mapping[str, Any] = MappingProxyType(
    {
        # a stop mustn't hang on a broker that is gone for longer than a service manager waits
        "socket.timeout.ms": 10_000,
        "socket.keepalive.enable": True,
        "client.id": "fraud-screening",
        "log_level": 4,
    }
)
CONSUMING: Mapping[str, Any] = MappingProxyType(
    {
        # what is fetched ahead of the decisions, in all partitions together
        "queued.max.messages.kbytes": 16 * 1024,
        "fetch.wait.max.ms": 100,
        "fetch.error.backoff.ms": 200,
    }
)
PRODUCING: Mapping[str, Any] = MappingProxyType({"linger.ms": 2, "compression.type": "lz4"})
# Options that only one of the two clients knows: the other would warn of them.
OF_CONSUMER = re.compile(r"^(session|heartbeat|max\.poll|fetch|queued|group|check|isolation|partition)\b")
OF_PRODUCER = re.compile(
    r"^(linger|batch|compression|queue\.buffering|message\.(timeout|send)|delivery|retries)"
)


def topic_of(raw: str) -> str:
    """Read the name of a topic. Raises ``ValueError`` for any other text."""
    if not TOPIC.fullmatch(raw) or raw in {".", ".."}:
        raise ValueError("must be the name of a topic: letters, digits, “.”, “_” and “-”, up to 249")
    return raw


def group_of(raw: str) -> str:
    """Read the name of a consumer group. Raises ``ValueError`` for one that is too long."""
    if len(raw) > 249:
        raise ValueError("must be the name of a consumer group, up to 249 characters")
    return raw


def brokers_of(raw: str) -> str:
    """Read addresses of brokers, separated by commas. Raises ``ValueError`` for any other text."""
    found = [part.strip() for part in raw.split(",")]
    for part in found:
        host, colon, port = part.rpartition(":")
        if not host or not colon or not port.isascii() or not port.isdigit() or "/" in host or "@" in host:
            raise ValueError(
                "must be hosts with their ports, separated by commas, as broker1:9092,broker2:9092"
            )
    return ",".join(found)


def counted_by(raw: str) -> str:
    """Read the source of a message's key. Raises ``ValueError`` for any other text."""
    if raw.lower() in (KEY, OFFSET):
        return raw.lower()
    if not raw.startswith(FIELD) or not raw.removeprefix(FIELD).strip():
        raise ValueError("must be key, offset, or field: and the name of a field of the transaction")
    return FIELD + raw.removeprefix(FIELD).strip()


def file_of(raw: str) -> Path:
    """Read the path of a file that is there. Raises ``ValueError`` where it isn't, or can't be read."""
    path = path_of(raw)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError("must be a file that can be read")
    return path


def more_of(raw: str) -> Mapping[str, str]:
    """Read further options of librdkafka, as ``session.timeout.ms=10000, fetch.min.bytes=1000``."""
    found = {}
    for part in raw.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals or not re.fullmatch(r"[a-z0-9_.]+", name):
            raise ValueError("must be options of librdkafka as NAME=VALUE, separated by commas")
        if name in OURS:
            raise ValueError(
                f"must not have {name}, which is the stream's own business or has its own setting"
            )
        found[name] = value
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """All that the operator can set of a stream."""

    brokers: str = setting("STREAM_BROKERS", brokers_of, "")
    topic: str = setting("STREAM_TOPIC", topic_of, "")
    """Topic of the transactions."""
    decisions: str = setting("STREAM_DECISIONS", topic_of, "")
    """Topic of the answers."""
    rejected: str = setting("STREAM_REJECTED", topic_of, "")
    """Topic of what can't be decided."""
    account: str = setting("STREAM_ACCOUNT", str, "")
    """Account in whose name transactions are decided."""
    group: str = setting("STREAM_GROUP", group_of, "fraud-screening")
    detector: str | None = setting("STREAM_DETECTOR", str, None)
    """Detector of transactions that name none; ``None``: the server's default."""
    counts_by: str = setting("STREAM_ID", counted_by, KEY)
    """Source of the key under which a message counts once: :data:`KEY`, :data:`OFFSET`, or :data:`FIELD` and a name."""
    start: Literal["earliest", "latest"] = setting("STREAM_START", one_of("earliest", "latest"), "earliest")
    """Where a group begins that has no position yet."""
    most: int = setting("STREAM_BATCH", whole(1, 10_000), 500)
    """Messages that are decided together."""
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = setting(
        "STREAM_SECURITY", one_of("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"), "plaintext"
    )
    ca_file: Path | None = setting("STREAM_CA_FILE", file_of, None)
    certificate: Path | None = setting("STREAM_CERTIFICATE", file_of, None)
    certificate_key: Path | None = setting("STREAM_CERTIFICATE_KEY", file_of, None)
    certificate_password: str | None = setting("STREAM_CERTIFICATE_PASSWORD", str, None, secret=True)
    mechanism: Literal["plain", "scram-sha-256", "scram-sha-512"] | None = setting(
        "STREAM_MECHANISM", one_of("plain", "scram-sha-256", "scram-sha-512"), None
    )
    user: str | None = setting("STREAM_USER", str, None)
    password: str | None = setting("STREAM_PASSWORD", str, None, secret=True)
    more: Mapping[str, str] = setting("STREAM_OPTIONS", more_of, {}, secret=True)
    """Further options of librdkafka. May hold secrets."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> StreamOptions:
        """Read the environment.

        Raises:
            BadSetting: variables are missing, hold something else than their kinds, or don't go together; the message
                names all.
        """
        found = read_settings(cls, environ)
        topic = found.get("topic", "")
        options = cls(**{"decisions": f"{topic}.decisions", "rejected": f"{topic}.rejected"} | found)
        refuse_all(options.contradictions())
        return options

    def contradictions(self) -> Iterator[BadSetting]:
        """Yield what is missing, and what is wrong with settings that are each right."""
        needed = {
            "STREAM_BROKERS": (self.brokers, "the brokers, as broker1:9092,broker2:9092"),
            "STREAM_TOPIC": (self.topic, "the topic of the transactions"),
            "STREAM_ACCOUNT": (self.account, "the account in whose name transactions are decided"),
        }
        for name, (value, words) in needed.items():
            if not value:
                yield BadSetting(f"{name} isn't set.", remedy=f"Set {name} to {words}.")
        if len({self.topic, self.decisions, self.rejected}) < 3:
            yield BadSetting(
                "STREAM_TOPIC, STREAM_DECISIONS and STREAM_REJECTED must be three topics: answers would be read as "
                "transactions otherwise.",
                remedy="Give each another name.",
            )
        sasl = self.security.startswith("sasl")
        other = self.more.keys() & {"sasl.mechanism", "sasl.mechanisms"}
        if sasl and not other and not (self.user and self.password and self.mechanism):
            yield BadSetting(
                f"STREAM_SECURITY is {self.security}, and STREAM_USER, STREAM_PASSWORD or STREAM_MECHANISM isn't set.",
                remedy="Set all three.",
            )
        if not sasl and (self.user or self.password or self.mechanism):
            yield BadSetting(
                f"STREAM_USER, STREAM_PASSWORD or STREAM_MECHANISM is set, and STREAM_SECURITY is {self.security}: "
                "they wouldn't be used.",
                remedy="Set STREAM_SECURITY to sasl_ssl, or unset them.",
            )
        if not self.security.endswith("ssl") and (self.ca_file or self.certificate or self.certificate_key):
            yield BadSetting(
                f"STREAM_CA_FILE or STREAM_CERTIFICATE is set, and STREAM_SECURITY is {self.security}: nothing would "
                "be encrypted.",
                remedy="Set STREAM_SECURITY to ssl or sasl_ssl, or unset them.",
            )
        if (self.certificate is None) != (self.certificate_key is None):
            yield BadSetting(
                "Of STREAM_CERTIFICATE and STREAM_CERTIFICATE_KEY one is set.",
                remedy="Set both, which may be the same file, or none.",
            )

    def topics(self) -> dict[str, str]:
        """Return the three topics by their settings."""
        return {
            "STREAM_TOPIC": self.topic,
            "STREAM_DECISIONS": self.decisions,
            "STREAM_REJECTED": self.rejected,
        }

    def secrets(self) -> list[str]:
        """Return all values that no message may have."""
        found = (self.password, self.certificate_password, *self.more.values())
        return [value for value in found if value]

    def consumer(self) -> dict[str, Any]:
        """Return what the consumer is told."""
        more = {name: value for name, value in self.more.items() if not OF_PRODUCER.match(name)}
        fixed = {name: value for name, value in FIXED.items() if name != "acks"}
        start = {"group.id": self.group, "auto.offset.reset": self.start}
        return {**USUAL, **CONSUMING, **self._connection(), **more, **fixed, **start}

    def producer(self) -> dict[str, Any]:
        """Return what the producer is told."""
        more = {name: value for name, value in self.more.items() if not OF_CONSUMER.match(name)}
        return {**USUAL, **PRODUCING, **self._connection(), **more, "acks": FIXED["acks"]}

    def _connection(self) -> dict[str, Any]:
        given = {
            "bootstrap.servers": self.brokers,
            "security.protocol": self.security,
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.certificate,
            "ssl.key.location": self.certificate_key,
            "ssl.key.password": self.certificate_password,
            "sasl.mechanism": self.mechanism and self.mechanism.upper(),
            "sasl.username": self.user,
            "sasl.password": self.password,
        }
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in given.items()
            if value is not None
        }


def require_kafka() -> None:
    """Check that Kafka's client is installed.

    Raises:
        NotReady: it isn't.
    """
    if find_spec("confluent_kafka") is None:
        raise NO_KAFKA
