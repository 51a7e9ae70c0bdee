"""A document held against everything: its form and what it names. For the API and for pages."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings

from accounts.actor import Actor
from runs.starting.services import terms_violations
from web.errors import Invalid, PayloadTooLarge
from web.json_values import Detail
from workflows.definition.documents import MAX_BYTES, Form, Reading, check_document, unreadable
from workflows.definition.estimate import EstimateObject, estimate
from workflows.references import unknown_secrets, wrong_names
from workflows.schemas import StartBody, read_terms


@dataclass(frozen=True)
class Examined:
    """`estimate` is that of a valid document, else null."""

    errors: list[Detail]
    warnings: list[Detail]
    estimate: EstimateObject | None

    @property
    def valid(self) -> bool:
        return not self.errors


def accept(actor: Actor, body: Any, form: Form) -> dict[str, Any]:
    """The values of a document that is in order (documents.Reading). Raises Invalid with every violation, PayloadTooLarge."""
    reading = check_with_references(actor, body, form)
    if reading.violations:
        raise Invalid(*reading.violations)
    return reading.values


def check_with_references(actor: Actor, body: Any, form: Form, others: Collection[str] = ()) -> Reading:
    """As check_document, with what the document names looked up. Raises PayloadTooLarge."""
    reading = check_document(body, form, others)
    if reading.too_large:
        raise PayloadTooLarge(max_bytes=MAX_BYTES)
    definition = reading.values.get("definition")
    if definition is None:
        return reading
    at = ("body", "steps") if body.get("definition") is None else ("body", "definition", "steps")
    steps = definition.get("steps")
    return replace(
        reading,
        violations=merge_violations(reading.violations, wrong_names(actor, steps, at)),
        warnings=[*reading.warnings, *unknown_secrets(actor, steps, at)],
    )


def merge_violations(details: list[Detail], more: Iterable[Detail]) -> list[Detail]:
    """One complaint about a place is enough."""
    places = {loc for loc, *_ in details}
    return [*details, *(each for each in more if each[0] not in places)]


def examine(actor: Actor, body: Any) -> Examined:
    """What is wrong with a document and with fields of a start beside it; else what it may cost. Raises PayloadTooLarge."""
    if wrong := unreadable(body):
        return Examined([wrong], [], None)
    reading = check_with_references(actor, body, "validate", StartBody.model_fields)
    start, wrong_start = _read_start(actor, body)
    errors = merge_violations(reading.violations, wrong_start)
    if errors:
        return Examined(errors, reading.warnings, None)
    worst = estimate(reading.values["definition"], start, settings.PRICE_STEP_CENTS, settings.MAX_STEPS_CEILING)
    return Examined([], reading.warnings, worst)


def _read_start(actor: Actor, body: dict[str, Any]) -> tuple[dict[str, Any], list[Detail]]:
    """The given fields of a start, and what is wrong with them."""
    fields = {name: body[name] for name in StartBody.model_fields if name in body}
    terms, wrong = read_terms(StartBody, fields)
    wrong = merge_violations(wrong, terms_violations(actor, fields))
    return (terms.model_dump(exclude_unset=True) if terms else {}), wrong
