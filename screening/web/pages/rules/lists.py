"""Lists that rules look into: made, filled and emptied by managers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from screening.rules.lists import KINDS
from screening.rules.tables import Purpose
from screening.web.http import request_audit
from screening.web.http.sessions import require, user
from screening.web.views import approvals
from screening.web.views.formatting import plural
from screening.web.views.rules import lists_of, store_of

blueprint = Blueprint("rule_lists", __name__, url_prefix="/rules/lists")
SHOWN_ENTRIES = 200
NAMED_ENTRIES = 3
BACK = HTTPStatus.SEE_OTHER


@blueprint.get("")
@require("see")
def index() -> str:
    """Show the lists, and the form that makes one."""
    return render_template("rule_lists.html", lists=lists_of().all(), kinds=KINDS, purposes=list(Purpose))


@blueprint.post("")
@require("decide")
def make() -> Any:
    """Make a list."""
    form = request.form
    made = lists_of().make(
        form.get("name", ""),
        form.get("kind", ""),
        form.get("purpose", ""),
        form.get("note", "").strip(),
        user().username,
    )
    request_audit.record("rule_list_made", list=made.name, kind=made.kind, purpose=made.purpose)
    return redirect(url_for("rule_lists.show", name=made.name), BACK)


@blueprint.get("/<name>")
@require("see")
def show(name: str) -> str:
    """Show one list with its latest entries."""
    kept = lists_of().get(name)
    count = next(count for each, count in lists_of().all() if each.name == kept.name)
    return render_template(
        "rule_list.html", list=kept, entries=lists_of().entries(kept.name, SHOWN_ENTRIES), count=count
    )


@blueprint.post("/<name>/entries")
@require("decide")
def add_entries(name: str) -> Any:
    """Add entries to a list, one a line."""
    kept = lists_of().get(name)
    note = request.form.get("note", "").strip()
    lists_of().check_note(note)
    # as they are kept, so that no card's number waits for an approval
    entries = list(dict.fromkeys(lists_of().read(kept.kind, request.form.get("entries", "").splitlines())))
    words = (
        f"{len(entries):,} {plural(len(entries), 'entry', 'entries')} more in {kept.name}: {_named(entries)}"
    )
    approvals.carry_out(
        "rule_list_add", kept.name, words, {"list": kept.name, "entries": entries, "note": note}
    )
    return redirect(url_for("rule_lists.show", name=kept.name), BACK)


@approvals.action("rule_list_add", "Entries of a list", alone=False)
def _add(given: Mapping[str, Any], by: str) -> str:
    added = lists_of().add(given["list"], given["entries"], by, given["note"])
    request_audit.record("rule_list_entries_added", list=given["list"], new=added.new)
    return f"{added.new} added" + (f", {added.known} there already." if added.known else ".")


def _named(entries: Sequence[str]) -> str:
    """Return the first entries, for a line."""
    first = ", ".join(entries[:NAMED_ENTRIES])
    return first + (f" and {len(entries) - NAMED_ENTRIES:,} more." if len(entries) > NAMED_ENTRIES else ".")


@blueprint.post("/<name>/remove")
@require("decide")
def remove_entry(name: str) -> Any:
    """Take an entry off a list."""
    kept, entry = lists_of().get(name), request.form.get("entry", "")
    lists_of().require_entry(kept.name, entry)
    words = f"{entry} is taken off {kept.name}."
    approvals.carry_out("rule_list_remove", kept.name, words, {"list": kept.name, "entry": entry})
    return redirect(url_for("rule_lists.show", name=kept.name), BACK)


@approvals.action("rule_list_remove", "Entries of a list", alone=False)
def _remove(given: Mapping[str, Any], by: str) -> str:
    # an entry that is gone is nobody's
    del by
    lists_of().remove(given["list"], given["entry"])
    request_audit.record("rule_list_entry_removed", list=given["list"], entry=given["entry"])
    return f"{given['entry']} was taken off {given['list']}."


@blueprint.post("/<name>/delete")
@require("decide")
def delete(name: str) -> Any:
    """Remove a list that no rule looks into."""
    kept = lists_of().get(name)
    lists_of().require_unused(kept.name, store_of())
    approvals.carry_out("rule_list_drop", kept.name, f"The list {kept.name} is removed.", {"list": kept.name})
    return redirect(url_for("rule_lists.index"), BACK)


@approvals.action("rule_list_drop", "Removal of a list")
def _drop(given: Mapping[str, Any], by: str) -> str:
    del by
    lists_of().drop(given["list"], store_of())
    request_audit.record("rule_list_removed", list=given["list"])
    return f"The list {given['list']} is removed."
