"""The playbook agent: explicit instructions in plain English, carried out on a real machine without any model."""

from runs.agents.playbook.agent import PlaybookAgent
from runs.agents.playbook.language.plan import Plan, parse

__all__ = ["Plan", "PlaybookAgent", "parse"]
