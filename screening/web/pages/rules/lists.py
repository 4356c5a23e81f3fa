"""Lists that rules look into: made, filled and emptied by managers."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from screening.rules.lists import KINDS
from screening.rules.tables import Purpose
from screening.web.http import request_audit
from screening.web.http.sessions import require, user
from screening.web.views.rules import lists_of, store_of

blueprint = Blueprint("rule_lists", __name__, url_prefix="/rules/lists")
SHOWN_ENTRIES = 200
BACK = HTTPStatus.SEE_OTHER


@blueprint.get("")
@require("see")
def index() -> str:
    """The lists, and the form that makes one."""
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
    """One list with its latest entries."""
    kept = lists_of().get(name)
    count = next(count for each, count in lists_of().all() if each.name == kept.name)
    return render_template(
        "rule_list.html", list=kept, entries=lists_of().entries(kept.name, SHOWN_ENTRIES), count=count
    )


@blueprint.post("/<name>/entries")
@require("decide")
def add_entries(name: str) -> Any:
    """Add entries to a list, one a line."""
    added = lists_of().add(
        name,
        request.form.get("entries", "").splitlines(),
        user().username,
        request.form.get("note", "").strip(),
    )
    request_audit.record("rule_list_entries_added", list=name, new=added.new)
    flash(f"{added.new} added" + (f", {added.known} there already." if added.known else "."))
    return redirect(url_for("rule_lists.show", name=name), BACK)


@blueprint.post("/<name>/remove")
@require("decide")
def remove_entry(name: str) -> Any:
    """Take an entry off a list."""
    entry = request.form.get("entry", "")
    lists_of().remove(name, entry)
    request_audit.record("rule_list_entry_removed", list=name, entry=entry)
    return redirect(url_for("rule_lists.show", name=name), BACK)


@blueprint.post("/<name>/delete")
@require("decide")
def delete(name: str) -> Any:
    """Remove a list that no rule looks into."""
    lists_of().drop(name, store_of())
    request_audit.record("rule_list_removed", list=name)
    flash(f"The list {name} is removed.")
    return redirect(url_for("rule_lists.index"), BACK)
