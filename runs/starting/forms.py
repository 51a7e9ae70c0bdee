"""The form of a new run."""

import json
from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.datastructures import MultiValueDict

from accounts.access import get_team
from accounts.actor import Actor
from machines.access import machines_of
from machines.models import Machine
from runs.models import Run
from runs.outputs import schema_problem
from runs.schemas import RunCreate
from runs.starting.agent_choices import Agents, AgentSelect
from runs.starting.machine_hints import hint
from web.json_values import DEEPEST, deeper_than, unstorable_at

NEVER_SHOWN = frozenset({"system_prompt"})
KEEP_ON_RERUN = (
    "machine_id", "task", "agent", "cua_version", "max_steps", "permission_mode", "instructions", "deadline_seconds",
    "deadline_clock", "on_awaiting_human", "awaiting_human_timeout_seconds", "on_timeout", "priority", "end_user",
    "on_budget",
)  # fmt: skip
FOR_MODELS = ("instructions", "system_prompt")
NOT_MORE = frozenset({"task", "machine_id", "agent", "permission_mode", "budget", "output_schema", *FOR_MODELS})
EXAMPLE = """{"type": "object",
 "properties": {"total": {"type": "number"}},
 "required": ["total"]}"""
PERMISSIONS = (
    ("autonomous", "Only when the agent asks"),
    ("approval", "Before every action that changes something"),
    ("plan", "For its plan, before it changes anything"),
)
PEOPLE = (("", "As usual"), ("true", "Yes"), ("false", "No: the agent has no way of asking"))
TIMEOUTS = (
    ("cancel", "Cancel the run"), ("fail", "Fail the run"), ("reject", "Count as rejected"),
    ("default_answer", "Take the default answer"),
)  # fmt: skip
WITH_MODELS = (
    "In plain English. A model works out the way by itself; the playbook agent follows instructions word by word."
)


class RunForm(forms.Form):
    """Field names are those of POST /v1/runs, so that its violations find their field."""

    task = forms.CharField(
        max_length=16_000,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "autofocus": True}),
        help_text="One or more instructions in plain English. "
        "The playbook agent follows them word by word and asks when it is in doubt.",
    )
    machine_id = forms.ChoiceField(label="Machine", required=False)
    agent = forms.ChoiceField(required=False, widget=AgentSelect)
    permission_mode = forms.ChoiceField(label="A person is asked", choices=PERMISSIONS, required=False)
    budget = forms.DecimalField(
        label="Budget in dollars",
        required=False,
        min_value=0,
        max_value=100_000,
        decimal_places=2,
        help_text="Empty: no limit.",
    )
    max_steps = forms.IntegerField(label="Most steps", min_value=1, max_value=1000, initial=50, required=False)
    deadline_seconds = forms.IntegerField(
        label="Deadline in seconds", min_value=1, max_value=86_400, required=False, help_text="Empty: none."
    )
    deadline_clock = forms.ChoiceField(
        label="The deadline counts",
        required=False,
        choices=(("active", "all time but waiting for people"), ("wall", "all time")),
    )
    cua_version = forms.ChoiceField(
        label="Engine",
        required=False,
        initial="v3",
        choices=(
            ("v3", "v3: the agent says whether it passed"),
            ("v4", "v4: a verifier checks the result"),
            ("v1", "v1"),
        ),
    )
    human_in_the_loop = forms.ChoiceField(label="May the agent call for a person?", choices=PEOPLE, required=False)
    on_awaiting_human = forms.ChoiceField(
        label="When a person is needed",
        required=False,
        choices=(("", "As usual: wait"), ("pause", "Wait"), ("fail", "Fail the run"), ("cancel", "Cancel the run")),
    )
    awaiting_human_timeout_seconds = forms.IntegerField(
        label="Longest wait for a person, in seconds",
        min_value=1,
        max_value=86_400,
        required=False,
        help_text="Empty: no limit.",
    )
    on_timeout = forms.ChoiceField(label="When nobody answers in time", choices=TIMEOUTS, required=False)
    on_budget = forms.ChoiceField(
        label="When the budget is used up", required=False, choices=(("fail", "Fail the run"), ("ask", "Ask a person"))
    )
    priority = forms.IntegerField(
        min_value=0,
        max_value=9,
        initial=5,
        required=False,
        help_text="0 to 9; higher starts first and stands first in the queue.",
    )
    instructions = forms.CharField(
        label="Further instructions for the agent",
        required=False,
        max_length=16_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="A model reads them after its base prompt. The playbook agent shows them to people only.",
    )
    system_prompt = forms.CharField(
        label="System prompt",
        required=False,
        max_length=32_000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Takes the place of the model’s base prompt. It is not shown again.",
    )
    output_schema = forms.CharField(
        label="JSON Schema of the output",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 6, "class": "code-text", "spellcheck": "false", "placeholder": EXAMPLE}),
        help_text="What the run hands over at its end has to fit it, or the run fails and says what does not.",
    )
    end_user = forms.CharField(
        label="End user", required=False, max_length=128, help_text="A label; it grants no access."
    )

    def __init__(self, actor: Actor, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor
        usable = machines_of(actor).exclude(status__in=("terminated", "terminating")).order_by("created_at")
        named = [(m.id, f"{m.display_name} ({m.kind}, {m.get_status_display().lower()})") for m in usable]
        self.fields["machine_id"].choices = [("", _unnamed(actor, usable)), *named]  # type: ignore[attr-defined]
        agents = Agents(actor)
        self.has_models = bool(agents.models)
        if self.has_models:
            self.fields["task"].help_text = WITH_MODELS
        self.fields["agent"].choices = agents.choices  # type: ignore[attr-defined]
        self.fields["agent"].widget.reads = agents.reads

    def machine_hint(self) -> str:
        """Which machine the run would get as the form stands."""
        task, agent, machine_id = (
            str(self[name].value() or "").replace("\0", "") for name in ("task", "agent", "machine_id")
        )
        return hint(self.actor, task[:16_000], agent, machine_id)

    def clean_output_schema(self) -> dict[str, Any] | None:
        text = self.cleaned_data["output_schema"]
        if not text.strip():
            return None
        try:
            schema = json.loads(text, parse_constant=_no_number)
        except RecursionError:
            raise forms.ValidationError("The schema is nested too deep.") from None
        except json.JSONDecodeError as error:
            where = f"line {error.lineno}, column {error.colno}"
            raise forms.ValidationError(f"This is not JSON: {error.msg} at {where}.") from None
        except ValueError:
            raise forms.ValidationError("This is not JSON: it holds a number that JSON does not have.") from None
        if deeper_than(schema, DEEPEST) or unstorable_at(schema) is not None:
            raise forms.ValidationError("The schema is nested too deep, or holds a NUL character.")
        if problem := schema_problem(schema):
            raise forms.ValidationError(f"The schema {problem}.")
        return dict(schema)

    def is_for_models(self) -> bool:
        """Is there something in what only a model reads?"""
        return any(self[name].value() or self[name].errors for name in FOR_MODELS)

    def more_is_wrong(self) -> bool:
        """Is there something to see in the folded part?"""
        return any(name in self.errors for name in self.more_names())

    def more_names(self) -> list[str]:
        return [n for n in self.fields if n not in NOT_MORE]

    def more(self) -> list[forms.BoundField]:
        return [self[name] for name in self.more_names()]

    def left_out(self, run: Run) -> list[str]:
        """What the form of a run like this one cannot have of it, in words."""
        lost = []
        if run.agent not in dict(self.fields["agent"].choices):  # type: ignore[attr-defined]
            lost.append(f"its agent, {run.agent}, which is not there any more")
        if run.system_prompt:
            lost.append("its system prompt, which is not shown again")
        return lost

    def body(self) -> RunCreate:
        """Raises pydantic's ValidationError for what the form's own checks let through."""
        return RunCreate.model_validate(self.given())

    def given(self) -> dict[str, Any]:
        """The fields that were filled in, under the names of the API."""
        values: dict[str, Any] = {k: v for k, v in self.cleaned_data.items() if v not in (None, "")}
        if budget := values.pop("budget", None):
            values["budget_cents"] = int(budget * 100)
        if (people := values.pop("human_in_the_loop", "")) or values.get("permission_mode") in ("approval", "plan"):
            values["human_in_the_loop"] = people != "false"
        return values

    def refuse(self, problems: list[tuple[str, str]]) -> None:
        for name, message in problems:
            field_name = "budget" if name == "budget_cents" else name
            self.add_error(field_name if field_name in self.fields else None, message)


def _no_number(word: str) -> float:
    """NaN and Infinity, which Python takes for JSON."""
    raise ValueError(word)


def _unnamed(actor: Actor, usable: Iterable[Machine]) -> str:
    """The machine of a run that names none."""
    if actor.test:
        return "A simulated machine of its own"
    default_id = get_team(actor).default_machine_id
    default = next((m for m in usable if m.id == default_id), None)
    if default is None:
        return "Choose one: the team has no default machine"
    return f"By task. The team’s default: {default.display_name}"


def rerun_values(run: Run) -> dict[str, Any]:
    """What a new run like this one would be asked with."""
    values = {name: getattr(run, name) for name in KEEP_ON_RERUN}
    if run.bound:  # values of a workflow would be read as instructions
        values["task"] = ""
    if run.owns_machine:
        values["machine_id"] = ""
    values["output_schema"] = json.dumps(run.output_schema, ensure_ascii=False, indent=2) if run.output_schema else ""
    values["budget"] = run.budget_cents / 100 if run.budget_cents else None
    people = run.human_in_the_loop
    values["human_in_the_loop"] = "" if people is None or run.permission_mode != "autonomous" else str(people).lower()
    return values


def as_api_call(run: Run, origin: str) -> str:
    """The curl command that makes the same run; fields that have their default are left out."""
    body: dict[str, Any] = {"input": run.input} if run.input else {"task": run.task}
    if not run.owns_machine:
        body["machine_id"] = run.machine_id
    body["agent"] = run.agent
    for name, info in RunCreate.model_fields.items():
        value = getattr(run, name, None)
        if name not in {*body, "task", "input", "machine_id", *NEVER_SHOWN} and value not in (None, info.default):
            body[name] = value
    if body.get("on_awaiting_human") == "pause":
        del body["on_awaiting_human"]
    return as_curl(origin, "/v1/runs", body)


def as_curl(origin: str, path: str, body: dict[str, Any]) -> str:
    """The command of a shell that sends this body."""
    quoted = json.dumps(body, ensure_ascii=False, indent=2).replace("'", "'\\''")
    return (
        f'curl -X POST {origin}{path} \\\n  -H "X-API-Key: $COUNTERSIGN_KEY" \\\n'
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{quoted}'"
    )


def initial_from(query: MultiValueDict[str, str]) -> dict[str, Any]:
    """Fields prefilled from the address, so that a form can be bookmarked or linked."""
    return {name: query[name] for name in ("task", "machine_id", "agent") if query.get(name)}
