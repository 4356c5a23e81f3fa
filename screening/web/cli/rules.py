"""``flask --app app rules …``: rules from the command line."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask.cli import AppGroup

from screening.errors import Conflict
from screening.ledger.filters import DecisionFilter
from screening.rules import rules_file
from screening.rules.rules_file import RulesFile
from screening.rules.tables import RuleState
from screening.rules.taking import take
from screening.web.cli.commands import operator, plainly, require_one_is_enough
from screening.web.http import request_audit
from screening.web.services import services
from screening.web.views.formatting import plural
from screening.web.views.rules import lists_of, record_change, store_of

if TYPE_CHECKING:
    from screening.monitoring.quality import Estimate
    from screening.rules.backtest import BacktestOutcome, RowTally
    from screening.rules.trying import Trials

rules = AppGroup("rules", help="Rules beside the net.")
FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
DATE = click.DateTime(["%Y-%m-%d"])


@rules.command("check")
@FILE
@plainly
def check(file: Path) -> None:
    """Say what is wrong with the rules of FILE; exit status 1 if one can't be used."""
    if not say_problems(rules_file.read_path(file)):
        sys.exit(1)


@rules.command("backtest")
@FILE
@click.option("--from", "start", type=DATE, help="From this day on (UTC).")
@click.option("--to", "end", type=DATE, help="Up to this day, included (UTC).")
@plainly
def backtest(file: Path, start: datetime | None, end: datetime | None) -> None:
    """Say what the rules of FILE would have done to the transactions of the ledger."""
    found = rules_file.read_path(file)
    if not say_problems(found):
        sys.exit(1)
    chosen = DecisionFilter(
        start=None if start is None else start.replace(tzinfo=UTC),
        end=None if end is None else end.replace(tzinfo=UTC) + timedelta(days=1),
    )
    for outcome in _trials().of_file(found, lists_of(), chosen=chosen, now=datetime.now(UTC)):
        say_outcome(outcome)


@rules.command("list")
@plainly
def list_rules() -> None:
    """Show one line for each rule: number, state, effect, detector, name; what is wrong below it."""
    store = store_of()
    for rule in store.all():
        click.echo(
            f"{rule.id}\t{rule.state}\t{rule.effect}\t{rule.detector or 'every detector'}\t{rule.name}"
        )
        problem = store.problem(rule)
        if problem is not None:
            click.echo(f"\tcan't be used: {problem}", err=True)


@rules.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
@click.option("--shipped", is_flag=True, help="Those that come with the shipped detectors.")
@plainly
def import_rules(file: Path | None, *, shipped: bool) -> None:
    """Keep the rules of FILE as drafts, and its lists. What is there under the same name stays as it is."""
    if (file is None) is not shipped:
        raise click.UsageError("Give a file, or --shipped.")
    found = rules_file.shipped() if file is None else rules_file.read_path(file)
    if not say_problems(found):
        sys.exit(1)
    made = take(found, store_of(), lists_of(), operator())
    for rule in made.rules:
        record_change("rule_added", rule, user=operator())
    for name in made.lists:
        request_audit.record("rule_list_made", user=operator(), list=name)
    click.echo(
        f"{len(made.rules)} {plural(len(made.rules), 'rule')} added as drafts, {made.known} there already; "
        f"{len(made.lists)} {plural(len(made.lists), 'list')} made"
    )


@rules.command("export")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@plainly
def export(file: Path | None) -> None:
    """Write all rules and lists, without the entries of lists, to FILE or to the terminal."""
    text = rules_file.written(store_of().all(), [each for each, _ in lists_of().all()])
    if file is None:
        click.echo(text, nl=False)
        return
    if file.exists():
        raise Conflict(f"{file} is there already.", remedy="Give another name.")
    file.write_text(text, encoding="utf-8")
    click.echo(f"Written to {file}")


@rules.command("state")
@click.argument("name")
@click.argument("state", type=click.Choice([each.value for each in RuleState]))
@plainly
def set_state(name: str, state: str) -> None:
    """Let the rule NAME be a draft, in the shadow, active, or off."""
    require_one_is_enough("Rules")
    store = store_of()
    rule = store.set_state(store.named(name).id, RuleState(state), operator())
    record_change("rule_state_changed", rule, user=operator())
    click.echo(f"{rule.name}: {rule.state}")


def say_problems(found: RulesFile) -> bool:
    """Say what is wrong with each rule of a file, and how many there are; whether none is wrong."""
    problems = _trials().problems(found)
    for each in problems:
        click.echo(f"{each.rule.called}: {each.problem}", err=True)
    count = len(found.rules)
    right = count - len(problems)
    click.echo(f"{count} {plural(count, 'rule')}, {right} can be used", err=bool(problems))
    return not problems


def say_outcome(outcome: BacktestOutcome) -> None:
    """Say what one rule would have done."""
    rule = outcome.rule
    click.echo(f"\n{rule.name} ({rule.effect}, {rule.detector or 'every detector'})")
    click.echo(
        f"  asked of {outcome.rows:,} {plural(outcome.rows, 'row')}; fulfilled by {_part(outcome.fired)}"
    )
    if outcome.unknown:
        click.echo(
            f"  not known of {outcome.unknown:,}: something is missing there, and it counts as not fulfilled"
        )
    click.echo(f"  fraud: {_part(outcome.caught)}; {outcome.gained.rows:,} of them the net didn't flag")
    click.echo(f"  legitimate: {_part(outcome.false_alarms)}; no label: {outcome.unlabelled.rows:,}")
    click.echo(f"  precision {_share(outcome.precision)}, of all known frauds {_share(outcome.recall)}")
    click.echo(
        f"  of {outcome.recent:,} decisions of the last 30 days {outcome.changed.rows:,} would have been others"
    )
    still = sum(day.open for day in outcome.days)
    if still:
        click.echo(f"  {still} {plural(still, 'day')} may still get labels: these figures aren't final")


def _part(part: RowTally) -> str:
    money = " + ".join(f"{amount:,.2f}{f' {code}' if code else ''}" for amount, code in part.sums)
    return f"{part.rows:,}" + (f" ({money})" if money else "")


def _share(estimate: Estimate) -> str:
    interval = estimate.interval
    if estimate.share is None or interval is None:
        return f"unknown ({estimate.of} labelled)"
    return f"{estimate.share:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"


def _trials() -> Trials:
    from screening.rules.trying import Trials

    return Trials(store_of(), services().ledger.questions, services().settings.label_delay_days)
