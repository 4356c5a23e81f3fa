"""Settings of a stream: what is read, and what is refused with the name of the setting."""

from __future__ import annotations

import pytest

from screening.errors import BadSetting
from screening.settings import ROOT
from screening.streams.options import StreamOptions

GOOD = {"STREAM_BROKERS": "one:9092, two:9092", "STREAM_TOPIC": "payments", "STREAM_ACCOUNT": "mia"}


def test_settings_are_read() -> None:
    found = StreamOptions.from_environ(GOOD)
    assert (found.brokers, found.decisions, found.rejected, found.most) == (
        "one:9092,two:9092",
        "payments.decisions",
        "payments.rejected",
        500,
    )
    sasl = {"STREAM_SECURITY": "SASL_SSL", "STREAM_USER": "fraud", "STREAM_PASSWORD": "s3cret-s3cret"}
    closed = StreamOptions.from_environ({**GOOD, **sasl, "STREAM_MECHANISM": "SCRAM-SHA-256"})
    told = closed.consumer()
    assert (told["security.protocol"], told["sasl.mechanism"]) == ("sasl_ssl", "SCRAM-SHA-256")
    assert told["enable.auto.commit"] is False
    assert closed.producer()["acks"] == "all"
    assert "s3cret" not in repr(closed)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"STREAM_BROKERS": ""}, "STREAM_BROKERS isn't set"),
        ({"STREAM_BROKERS": "kafka"}, "STREAM_BROKERS is 'kafka'"),
        ({"STREAM_TOPIC": "a b"}, "name of a topic"),
        ({"STREAM_DECISIONS": "payments"}, "three topics"),
        ({"STREAM_ACCOUNT": ""}, "STREAM_ACCOUNT isn't set"),
        ({"STREAM_ID": "name"}, "STREAM_ID is 'name'"),
        ({"STREAM_BATCH": "0"}, "STREAM_BATCH is '0'"),
        ({"STREAM_START": "now"}, "STREAM_START is 'now'"),
        ({"STREAM_CA_FILE": "/nowhere"}, "must be a file"),
        ({"STREAM_SECURITY": "sasl_ssl"}, "STREAM_USER, STREAM_PASSWORD or STREAM_MECHANISM isn't set"),
        (
            {"STREAM_SECURITY": "sasl_ssl", "STREAM_USER": "fraud", "STREAM_PASSWORD": "s3cret-s3cret"},
            "STREAM_MECHANISM isn't set",
        ),
        ({"STREAM_CA_FILE": str(ROOT / "README.md")}, "nothing would be encrypted"),
        (
            {"STREAM_SECURITY": "ssl", "STREAM_CERTIFICATE": str(ROOT / "README.md")},
            "STREAM_CERTIFICATE_KEY one is set",
        ),
        ({"STREAM_USER": "fraud"}, "wouldn't be used"),
        ({"STREAM_OPTIONS": "acks=0"}, "STREAM_OPTIONS must not have acks"),
        ({"STREAM_OPTIONS": "metadata.broker.list=x:1"}, "must not have metadata.broker.list"),
        ({"STREAM_OPTIONS": "enable.partition.eof=false"}, "must not have enable.partition.eof"),
        ({"STREAM_OPTIONS": "s3cret"}, "STREAM_OPTIONS must be options"),
    ],
)
def test_settings_that_cant_be_used_are_named(given: dict[str, str], words: str) -> None:
    with pytest.raises(BadSetting) as caught:
        StreamOptions.from_environ({**GOOD, **given})
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)
