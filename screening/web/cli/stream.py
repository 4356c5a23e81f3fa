"""``flask --app app stream``: transactions of a Kafka topic, decided as ``POST /detect_fraud`` decides them."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Sequence
from typing import Protocol

import click
from flask.cli import with_appcontext

from screening.accounts.users_text import Account
from screening.errors import BadSetting, NotFound, NotReady
from screening.infra.instance_secret import InstanceSecret
from screening.infra.log_setup import begin_logging
from screening.monitoring import stream_lag
from screening.streams.messages import PURPOSE, MessageRequest
from screening.streams.options import StreamOptions, require_kafka
from screening.web.cli.commands import plainly
from screening.web.services import Services, services
from screening.web.views.formatting import plural

log = logging.getLogger("screening.stream")


class StreamDecider(Protocol):
    """Part of the API that decides: :class:`screening.web.api.streaming.StreamDesk`."""

    def require_account(self) -> Account:
        """Return the account in whose name it decides."""

    def decide(self, asked: Sequence[MessageRequest]) -> Sequence[bytes | Exception]:
        """Return the answer to each message, or why it has none."""

    def word(self, error: Exception, asked: MessageRequest) -> bytes:
        """Return an error as the API words it."""


def command(desk_of: Callable[[Services, str, str | None], StreamDecider]) -> click.Command:
    """Return the command.

    Args:
        desk_of: returns what decides, of the app, the name of an account, and the detector of messages that name none.
    """

    @click.group("stream", invoke_without_command=True)
    @click.option("--until-end", is_flag=True, help="Stop once everything that was sent is answered.")
    @click.pass_context
    @with_appcontext
    @plainly
    def stream(context: click.Context, *, until_end: bool) -> None:
        """Decide on transactions of a Kafka topic, and answer in another, until told to stop (docs/streams.md)."""
        if context.invoked_subcommand is None:
            run(desk_of, until_end=until_end)

    stream.add_command(forget)
    stream.add_command(rejected)
    return stream


@click.command("rejected")
@click.option("--again", is_flag=True, help="Send them to their topic again, each under its key.")
@plainly
def rejected(*, again: bool) -> None:
    """Say why messages were rejected since that was run with --again last, by reason."""
    require_kafka()
    from screening.streams.rejections import RejectedMessages

    found = RejectedMessages(StreamOptions.from_environ())
    try:
        if not again:
            reasons = found.reasons()
            for each in reasons:
                click.echo(f"{each.count:>9,}  {each.status}  {each.what}  (as {each.last.path})")
            total = sum(each.count for each in reasons)
            click.echo(f"{total:>9,}  {plural(total, 'message')} in all")
            return
        done = found.send_again()
    finally:
        found.close()
    click.echo(f"{done.sent:,} {plural(done.sent, 'message')} sent again")
    if done.decided:
        click.echo(f"{done.decided:,} weren't: they were decided on, and only their answers were too large")
    unsent = {
        "the topic has them no more": done.gone,
        "they are larger than message.max.bytes, or have headers that can't be read": done.unsendable,
    }
    left = [f"{count:,} ({why})" for why, count in unsent.items() if count]
    if left:
        raise NotFound(
            f"Not all messages can be sent again: {', '.join(left)}.",
            remedy="Have their senders send them again.",
        )


@click.command("forget")
@click.option("--group", required=True, help="The consumer group.")
@click.option("--topic", required=True, help="The topic that it reads no more.")
@with_appcontext
@plainly
def forget(group: str, topic: str) -> None:
    """Forget a topic that is read no more: its metrics and its alert end."""
    found = stream_lag.forget(services().database, group, topic)
    if not found:
        known = {
            f"--group {each.group} --topic {each.topic}" for each in stream_lag.standing(services().database)
        }
        raise NotFound(
            f"Nothing is known of the group {group} in the topic {topic}.",
            remedy=f"These are known: {'; '.join(sorted(known)) or 'none'}.",
        )
    click.echo(f"{found} {plural(found, 'partition')} of {topic} forgotten")


def run(desk_of: Callable[[Services, str, str | None], StreamDecider], *, until_end: bool) -> None:
    """Run the stream of the environment's settings.

    Raises:
        BadSetting: a setting can't be used.
        NotReady: Kafka's client is missing, or can't be used.
    """
    require_kafka()
    from screening.streams.stream import Stream, StreamServices

    mine = services()
    options = StreamOptions.from_environ()
    desk = desk_of(mine, options.account, options.detector)
    try:
        desk.require_account()
    except NotReady as problem:
        raise BadSetting(problem.what, remedy=problem.remedy) from None
    begin_logging(mine.settings.log_format)
    mine.detectors.default.prepare()
    work = StreamServices(
        decide=desk.decide,
        word=desk.word,
        database=mine.database,
        secret=InstanceSecret(mine.settings.instance).derive(PURPOSE),
    )
    running = Stream(options, work)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: running.stop())
    log.info(
        "reading %s as %s of %s; answers go to %s, what can't be decided to %s",
        options.topic, options.group, options.brokers, options.decisions, options.rejected,
    )  # fmt: skip
    running.run(until_end=until_end)
    words = plural(running.consumed, "message")
    click.echo(f"{running.consumed:,} {words} answered, {running.rejected:,} of them rejected")
