from runs.agents.model.agent import ModelAgent

__all__ = ["ModelAgent"]
