"""The command line: countersign approve | ask | queue | runs.

Exit codes: 0 approved or answered, 1 rejected, 2 nobody answered in time or it was withdrawn, 3 anything else (the server, the
key, the command itself).
"""

import argparse
import json
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, cast

from countersign import plans
from countersign.client import Client
from countersign.errors import CountersignError, Unreachable
from countersign.verdict import Verdict

APPROVED, REJECTED, UNDECIDED, TROUBLE = 0, 1, 2, 3
CODES = {"approved": APPROVED, "answered": APPROVED, "rejected": REJECTED}


class _Parser(argparse.ArgumentParser):
    """argparse ends with 2 for a mistake in the command, which here says that nobody answered."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(TROUBLE, f"{self.prog}: {message}\n")


def entry() -> NoReturn:
    sys.exit(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code. Answers go to standard output, words about them to standard error."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(Client(), options))
    except Unreachable as error:
        _say(f"{error}" + (f" {error.approval_id} is still open." if error.approval_id else ""))
    except (CountersignError, ValueError) as error:
        _say(str(error))
    except KeyboardInterrupt:
        _say("Interrupted.")
    return TROUBLE


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="countersign", description="Ask people before a program acts.", epilog=__doc__)
    commands = parser.add_subparsers(required=True, metavar="approve | ask | queue | runs")
    approve = commands.add_parser("approve", help="may this action run?")
    approve.add_argument("name", help="of the action, such as deploy or mail.send")
    approve.add_argument("params", nargs="*", metavar="name=value", help="its parameters; name:=3 for JSON")
    approve.add_argument("--title", help="what people read first")
    approve.add_argument("--risk", choices=["read", "write", "spend", "access", "destroy"])
    approve.add_argument("--host", help="where the action goes to")
    _asking(approve, _approve)
    ask = commands.add_parser("ask", help="which answer?")
    ask.add_argument("question")
    ask.add_argument("options", nargs="*", metavar="option")
    _asking(ask, _ask)
    queue = commands.add_parser("queue", help="what waits for people")
    queue.add_argument("--status", help="pending, all, or a list with commas")
    _listing(queue, _queue)
    _run_commands(commands.add_parser("runs", help="runs of agents: list, start, show, cancel"))
    return parser


def _asking(parser: argparse.ArgumentParser, command: Any) -> None:
    parser.add_argument("--message", help="why; more words for people")
    parser.add_argument(
        "--external-id", help="your name for it: asked again under the same name it is the same request"
    )
    parser.add_argument("--timeout", type=int, metavar="SECONDS", help="how long people have")
    parser.add_argument("--assignee", help="a person or group to tell")
    parser.add_argument("--priority", type=int)
    parser.add_argument("--source", help="the program that asks")
    parser.add_argument("--json", action="store_true", help="print the request as the server shows it")
    parser.set_defaults(command=command)


def _listing(parser: argparse.ArgumentParser, command: Any) -> None:
    parser.add_argument("--limit", type=int, default=20, help="1 to 200")
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(command=command)


def _run_commands(runs: argparse.ArgumentParser) -> None:
    runs.add_argument("--status", help="such as running,awaiting_human")
    _listing(runs, _runs)
    commands = runs.add_subparsers(metavar="start | show | cancel")
    start = commands.add_parser("start", help="start one")
    start.add_argument("task")
    start.add_argument("--machine", help="id of a machine")
    start.add_argument("--agent", help="an agent profile")
    start.set_defaults(command=_start_run)
    for name, command, words in (("show", _show_run, "one of them"), ("cancel", _cancel_run, "end one")):
        parser = commands.add_parser(name, help=words)
        parser.add_argument("run_id")
        parser.set_defaults(command=command)


def _approve(client: Client, options: argparse.Namespace) -> int:
    about = plans.About()
    if options.risk:
        about["risk"] = options.risk
    if options.host:
        about["host"] = options.host
    params = dict(_param(text) for text in options.params)
    return _wait(client, options, plans.action_body(options.name, params, options.title, about, _fields(options)))


def _param(text: str) -> tuple[str, Any]:
    """amount:=3 is a number, amount=3 the text."""
    name, sign, value = text.partition("=")
    if not sign or not name.rstrip(":"):
        raise ValueError(f"{text!r} is no name=value.")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except ValueError:
        raise ValueError(f"{value!r} is no JSON; {name[:-1]}={value} is the text.") from None


def _ask(client: Client, options: argparse.Namespace) -> int:
    return _wait(client, options, plans.question_body(options.question, options.options, _fields(options)))


def _fields(options: argparse.Namespace) -> plans.Fields:
    given = {
        "message": options.message,
        "external_id": options.external_id,
        "timeout_seconds": options.timeout,
        "assignee": options.assignee,
        "priority": options.priority,
        "source": {"name": options.source} if options.source else None,
    }
    return cast(plans.Fields, {name: value for name, value in given.items() if value is not None})


def _wait(client: Client, options: argparse.Namespace, body: Mapping[str, Any]) -> int:
    approval = client.open(body)
    _say(f"Waiting for people: {approval['id']}") if approval["status"] == "pending" else None
    try:
        verdict = client.decided(approval)
    except KeyboardInterrupt:
        if not options.external_id:  # nobody will come back for the answer
            client.cancel(approval["id"], "The program that asked was interrupted.")
        raise
    _print(verdict, options.json)
    return CODES.get(verdict.status, UNDECIDED)


def _print(verdict: Verdict, as_json: bool) -> None:
    by = f" by {verdict.decided_by}" if verdict.decided_by else ""
    _say(f"{verdict.status}{by}" + (f": {verdict.note}" if verdict.note else ""))
    if as_json:
        _out(json.dumps(verdict.approval))
    elif verdict.answer is not None:
        _out(verdict.answer if isinstance(verdict.answer, str) else json.dumps(verdict.answer, ensure_ascii=False))
    elif verdict.is_edited:
        _out(json.dumps(verdict.params))


def _queue(client: Client, options: argparse.Namespace) -> int:
    rows = client.queue(status=options.status, limit=options.limit)
    _say("Nothing waits.") if not rows and options.status in {None, "pending"} else None
    return _list(rows, options.json, "status", "title")


def _runs(client: Client, options: argparse.Namespace) -> int:
    rows = client.runs(status=options.status, limit=options.limit)
    return _list(rows, options.json, "status", "task")


def _list(rows: list[dict[str, Any]], as_json: bool, *columns: str) -> int:
    if as_json:
        _out(json.dumps(rows))
    else:
        for row in rows:
            _out("\t".join(printable(str(row.get(name) or "")) for name in ("id", "created_at", *columns)))
    return 0


def _start_run(client: Client, options: argparse.Namespace) -> int:
    fields = {"machine_id": options.machine, "agent": options.agent}
    return _one(client.start_run(options.task, **{name: value for name, value in fields.items() if value}))


def _show_run(client: Client, options: argparse.Namespace) -> int:
    return _one(client.get_run(options.run_id))


def _cancel_run(client: Client, options: argparse.Namespace) -> int:
    return _one(client.cancel_run(options.run_id))


def _one(row: Mapping[str, Any]) -> int:
    _out(json.dumps(row, indent=2))
    return 0


def printable(text: str) -> str:
    """One line without what moves a terminal's cursor, hides letters or turns their order round: others wrote it."""
    visible = (" " if letter.isspace() else letter for letter in text)
    return "".join(letter for letter in visible if unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Co", "Cn"})


def _out(text: str) -> None:
    print(text)


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr)
