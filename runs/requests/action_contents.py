"""What an action works with, as requests keep it: files that its command names, values of the form that it sends.

Kept are hashes under a key of the installation, and what people may read; of secrets neither the value nor a plain hash.
"""

from dataclasses import dataclass
from typing import Any

from database.sealing import keyed_hash
from machines.actions.risks import of_field
from machines.drivers.base import Content, Contents, Target
from runs.models import Run
from runs.secrets.services import cleared, kept_secrets

_LONGEST = 300  # characters of a name or value that people are shown
_MASK = "•••"
NEW, GONE = "not there", "not there any more"


@dataclass(frozen=True)
class KeptContents:
    """`items`: for comparing, in the request's context. `shown`: what was looked at, for people; `uncovered`: what was not."""

    items: list[dict[str, Any]]
    shown: list[dict[str, str]]
    uncovered: list[str]

    def evidence(self, previous: list[dict[str, Any]] | None) -> dict[str, Any]:
        """What a request tells; `previous`: the items of the one that it replaces."""
        changes = differences(previous, self.items) if previous is not None else []
        facts: dict[str, Any] = {"contents": self.shown, "uncovered": self.uncovered, "changes": changes}
        return {name: value for name, value in facts.items() if value}


def kept_contents(run: Run, contents: Contents | None) -> KeptContents | None:
    """The contents as they may be written down."""
    if contents is None:
        return None
    items = [_kept(run, item) for item in contents.items]
    shown = [{name: item[name] for name in ("kind", "name", "says")} for item in items if item["says"]]
    return KeptContents(
        items, shown, [str(cleared(words, kept_secrets(run)))[:_LONGEST] for words in contents.uncovered]
    )


def _kept(run: Run, item: Content) -> dict[str, Any]:
    secrets = kept_secrets(run)
    hidden = item.secret or (item.kind == "field" and bool(of_field(Target("textbox", item.name))))
    says = _MASK if hidden else str(cleared(item.says, secrets))[:_LONGEST]
    name = str(cleared(item.name, secrets))
    return {
        "kind": item.kind,
        "name": name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…",
        "says": says,
        "hash": keyed_hash(f"{item.kind}\0{item.name}\0{item.value}"),
    }


def differences(
    before: list[dict[str, Any]], after: list[dict[str, Any]], *, of_both: bool = False
) -> list[dict[str, str]]:
    """What is another than it was: kind, name, and how it was and is, as people may read it. What is only looked at now is
    no difference; `of_both`: neither what was only looked at then."""
    now = {(item["kind"], item["name"]): item for item in after}
    changes = []
    for item in before:
        other = now.get((item["kind"], item["name"]))
        if (other is None and not of_both) or (other is not None and other["hash"] != item["hash"]):
            is_now = (other["says"] or NEW) if other else GONE
            changes.append({"kind": item["kind"], "name": item["name"], "before": item["says"] or NEW, "after": is_now})
    return changes


def in_words(changes: list[dict[str, str]]) -> str:
    """For example: `Not the same as when the action was approved: “deploy.sh”.`"""
    names = ", ".join(f"“{change['name']}”" for change in changes[:5])
    more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
    return f"Not the same as when the action was approved: {names}{more}."
