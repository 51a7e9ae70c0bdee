"""What a reader of the audit can ask for."""

from dataclasses import dataclass
from datetime import datetime

KINDS: dict[str, tuple[str, ...]] = {  # what a reader can ask for; of audit entries with the kinds they are written with
    "decision": (), "request": (), "policy": ("policy",), "key": ("key",), "team": ("team",),
    "member": ("member", "group", "invitation", "profile"), "machine": ("machine",), "wallet": ("wallet",), "webhook": ("webhook",),
    "secret": ("secret",), "workflow": ("workflow",), "model": ("model",), "stop": ("stop",),
}  # fmt: skip
LOST = "lost"  # asked for as a verdict: the attempts that changed nothing


@dataclass(frozen=True)
class Query:
    """What the reader asks for; an empty field asks for everything."""

    who: str = ""
    kind: str = ""
    verdict: str = ""
    run: str = ""
    subject: str = ""
    start: datetime | None = None
    end: datetime | None = None  # the first moment that is left out

    def is_about(self, prefix: str) -> bool:
        """Whether entries about things with such ids are asked for."""
        return not self.subject or self.subject.startswith(f"{prefix}_")
