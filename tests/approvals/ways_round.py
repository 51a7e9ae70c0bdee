"""Every call that changes anything, as the starter of a run may make it: by two keys, by session, on the pages.

Routes and pages come from the routers, so a new one is tried as soon as it is there. What is sent is one of a few bodies for
each route of the API, and one form with every field that any page reads.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from approvals.mail.signed_links import link
from approvals.models import Approval, Policy
from runs.models import Run
from tests.cast import Api, Cast
from tests.conventions.routes import ROUTES
from workflows.models import Workflow

MODES = ("autonomous", "approval", "plan")
TOOLS = ("*", "click", "type_text", "key_press", "scroll")
EFFECTS = ("allow", "ask", "deny")
MUTATING = [(method, path) for method, path, _ in ROUTES if method != "GET"]
# These lead to runs, requests and policies; the others are tried now and then.
NEAR = ("/runs", "/approvals", "/permissions", "/workflows", "/keys", "/team")
# They would end or change the session itself.
NOT_PAGES = ("sign-in", "sign-out", "switch", "profile/password")
CLICK = {"name": "click", "params": {"x": 5, "y": 6}}
FAR = "2090-01-01T00:00:00Z"


def pages() -> list[str]:
    """The address of each page, as its pattern; /v1 and the files are no pages."""
    found = [
        path
        for path in _patterns(get_resolver().url_patterns)
        if not path.startswith(("v1", "healthz", "readyz", "metrics"))
    ]
    return sorted({path for path in found if path not in NOT_PAGES and not path.endswith((".png", ".csv", ".json"))})


def _patterns(under: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for each in under:
        path = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _patterns(each.url_patterns, path)
        else:
            yield path


class Starter:
    """Tries whatever comes to the mind of `chance`; remembers what it did, so that a breach tells how it came about."""

    def __init__(self, cast: Cast, keys: list[Api], browser: Client, chance: random.Random) -> None:
        self.cast, self.keys, self.browser, self.chance = cast, keys, browser, chance
        self.pages, self.done = pages(), []  # type: tuple[list[str], list[str]]
        self.near = [route for route in MUTATING if route[1].startswith(NEAR)]
        self.due: list[tuple[str, str]] = [*MUTATING, *(("page", path) for path in self.pages)]
        chance.shuffle(self.due)  # what is still to be tried once
        self.tried: set[str] = set()

    def move(self) -> None:
        """One call."""
        if self.due and self.chance.random() < 0.4:
            method, path = self.due.pop()
            if method == "page":
                self._post(path)
            else:
                self._call(method, path, self._body(method, path))
            return
        if self.chance.random() < 0.3:
            self._page()
            return
        method, path = self.chance.choice(self.near if self.chance.random() < 0.85 else MUTATING)
        self._call(method, path, self._body(method, path))

    def _call(self, method: str, path: str, body: Any) -> None:
        address = self._filled(path, "{", "}")
        if self.chance.random() < 0.25:
            sent = self.browser.generic(
                method,
                f"/v1{address}",
                json.dumps(body),
                content_type="application/json",
                headers={"X-Team-Mode": "test"},
            )
        else:
            api = self.chance.choice(self.keys)
            sent = api.request(method, address, body)
            if path == "/keys" and sent.status_code == 200:
                self.keys.append(Api(sent.json()["key"], api.client))
        self._note(f"{method} {path}", address, body, sent.status_code)

    def _page(self) -> None:
        path = self.chance.choice(self.pages)
        near = [
            each
            for each in self.pages
            if each.startswith(("policies", "approvals", "runs", "workflows", "d/", "together"))
        ]
        self._post(self.chance.choice(near) if self.chance.random() < 0.8 else path)

    def _post(self, path: str) -> None:
        address, form = self._filled(path, "<", ">"), self._form()
        self._note(f"page {path}", address, form, self.browser.post(f"/{address}", form).status_code)

    def _note(self, route: str, address: str, body: Any, status: int) -> None:
        self.tried.add(route)
        self.done.append(f"{route} [{address}] {json.dumps(body, default=str)} -> {status}")
        assert status < 500, self.done[-1]

    # --- what is named

    def _filled(self, path: str, opens: str, closes: str) -> str:
        while opens in path:
            before, _, rest = path.partition(opens)
            name, _, after = rest.partition(closes)
            path = before + self._named(name.split(":")[-1], path) + after
        return path

    def _named(self, name: str, path: str) -> str:
        rows: Any = {
            "approval_id": Approval.objects.order_by("-created_at"),
            "policy_id": Policy.objects.order_by("-created_at"),
            "workflow_id": Workflow.objects.filter(test=True),
            "run_id": Run.objects.filter(finished_at=None).order_by("-created_at"),
        }.get(name)
        if name == "token":
            request = self._one(Approval.objects.filter(status="pending").order_by("-created_at"))
            return link(request, self.cast.people["alice"].id).rsplit("/d/", 1)[1] if request else "none"
        if name in ("number", "index"):
            return "1"
        if rows is not None and "workflow_run" in path:
            rows = rows.filter(kind="workflow")
        row = self._one(rows) if rows is not None else None
        return str(row.id) if row else {"user_id": self.cast.people["alice"].id}.get(name, f"{name}_none")

    def _one(self, rows: Any) -> Any:
        few = list(rows[:8])
        return self.chance.choice(few) if few else None

    # --- what is sent

    def _body(self, method: str, path: str) -> Any:
        tail = path.rsplit("/", 1)[-1]
        bodies = self._of_runs() | self._of_policies() | self._of_others()
        name = f"{method} {path}"
        return self.chance.choice(bodies.get(name) or bodies.get(tail) or [{}])

    def _of_runs(self) -> dict[str, list[Any]]:
        c = self.chance
        request = self._named("approval_id", "")
        step = {"id": "a", "type": "task", "task": "x [steps:3]"}
        return {
            "POST /runs": [self._run(), self._run(), {"task": "x [steps:2]"}],
            "POST /workflows/runs": [{"definition": {"steps": [step]}, **self._terms()}],
            "POST /workflows": [{"name": "w", "slug": f"w{c.randint(1, 3)}", "definition": {"steps": [step]}}],
            "POST /workflows/{workflow_id}/runs": [self._terms()],
            "runs": [self._terms()],
            "resume": [{}, {"approved": True}, {"approved": False}, {"approved": True, "approval_id": request}],
            "signal": [{"action": a, "payload": p} for a in ("approve", "reject", "submit_input")
                       for p in ({}, {"feedback": "approve"}, {"answer": "approve"})],
            "approve": [{"request_id": request, "decision": d, "remember": r} for d in ("allow", "deny") for r in (True, False)],
            "answer": [{"answers": {"Plan Approval": "approve"}}, {"answers": {"q1": "x"}, "request_id": request}],
            "decide": [*self._verdicts()],
            "permission-mode": [{"permission_mode": mode} for mode in MODES],
            "extend": [{"seconds": 60}], "comment": [{"text": "approve"}],
            "assign": [{"assignee": self.cast.people["alice"].id}, {"assignee": None}],
            "claim": [{}, {"take_over": True}], "cancel": [{}, {"reason": "again"}],
        }  # fmt: skip

    def _verdicts(self) -> Iterator[dict[str, Any]]:
        for remember in (False, True, "run"):
            yield {"verdict": "approve", "remember": remember}
        yield {"verdict": "approve", "edited_action": CLICK, "remember": self.chance.choice((False, True))}
        yield from (
            {"verdict": "reject"},
            {"verdict": "revise", "note": "approve"},
            {"verdict": "answer", "answers": {"a": "b"}},
        )

    def _run(self) -> dict[str, Any]:
        mark = self.chance.choice(("", "[pause]", "[spend]", "[question:rec]", "[takeover]"))
        timed = {"awaiting_human_timeout_seconds": 1, "on_timeout": "default_answer"}
        return {"task": f"x [steps:4] {mark}", **self._terms(), **self.chance.choice(({}, {}, timed))}

    def _terms(self) -> dict[str, Any]:
        mode = self.chance.choice(MODES)
        people = {"human_in_the_loop": True} if mode != "autonomous" else {}
        return people | {"permission_mode": mode} | self.chance.choice(({}, {}, {"end_user": "A"}))

    def _of_policies(self) -> dict[str, list[Any]]:
        c, quorum = self.chance, [{"group": "anyone", "count": 1}]
        of: dict[str, Any] = {"tool": c.choice(TOOLS), "effect": c.choice(("allow", "allow", *EFFECTS))}
        return {
            "POST /permissions": [of, of | {"end_user": "A"}, of | {"include_end_users": True}, of | {"host": "shop.test"}],
            "PATCH /permissions/{policy_id}": [
                {"effect": c.choice(EFFECTS)}, {"expires_at": FAR}, {"four_eyes": False}, {"quorum": quorum}, {"note": "n"},
                {"effect": "allow", "four_eyes": False}, {"expires_at": None}, {"quorum": []},
            ],
        }  # fmt: skip

    def _of_others(self) -> dict[str, list[Any]]:
        settings = [
            {"forbid_self_approval": "never"},
            {"risk_floor": []},
            {"risk_floor_modes": []},
            {"undo_window_seconds": 0},
        ]
        return {
            "POST /keys": [
                {"name": "n"},
                {"name": "n", "scopes": ["policies:write"]},
                {"name": "n", "scopes": ["approvals:decide"]},
            ],
            "PATCH /team": settings,
        }

    def _form(self) -> dict[str, Any]:
        """Every field that some page reads."""
        c = self.chance
        request = self._one(Approval.objects.filter(status="pending").order_by("-created_at"))
        verdict = c.choice(("approve", "approve", "reject", "answer", "submit", "revise"))
        given = {
            "verdict": verdict, "remember": c.choice(("", "run", "always")), "note": "because", "id": request.id if request else "",
            "effect": c.choice(EFFECTS), "tool": c.choice(TOOLS), "task": "x [steps:2]", "permission_mode": c.choice(MODES),
            "agent": "scripted", "cua_version": "v3", "max_steps": "9", "roles": c.choice(("admin", "owner")), "seen": "operator,approver",
            "name": "n", "scopes": c.choice(("policies:write", "approvals:decide")), "user": self.cast.people["alice"].id,
            "user_id": self.cast.people["alice"].id, "email": "x@acme.test", "status": "active", "reason": "r", "text": "t",
            "action_hash": (request.action_hash or "") if request else "", "minutes": "5", "assignee": self.cast.people["alice"].id,
        }  # fmt: skip
        dropped = c.sample(sorted(given), c.randint(0, 4))
        return {name: value for name, value in given.items() if name not in dropped}
