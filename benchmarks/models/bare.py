"""The barest loop over a vendor's SDK: ask, act, look, ask again. Nothing is written down, nobody is asked, nothing is checked."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from machines.drivers.base import Action, Session

MODEL, TASK = "bench-1", "Click on the button until it says enough."
_POINT = {"x": {"type": "integer"}, "y": {"type": "integer"}}
_OPEN = {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}
_CLICK = {"type": "object", "properties": _POINT, "required": ["x", "y"]}
_COMPUTER = {"type": "computer_toolset_20260801", "configs": {"cursor_position": {"enabled": False}}}
_UNSHRUNK = {"oversized_image": "error"}


class Anthropic:
    """`say` asks once and returns what is to be done: (name, parameters), or None at the end."""

    def __init__(self, address: str) -> None:
        import anthropic

        self.client = anthropic.AsyncAnthropic(api_key="sk-bench", base_url=f"{address}/anthropic", max_retries=0)
        self.messages: list[Any] = []
        self.use: Any = None

    async def say(self, png: bytes) -> tuple[str, dict[str, Any]] | None:
        source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png).decode()}
        content: list[Any] = [{"type": "image", "source": source, "transformations": _UNSHRUNK}]
        if self.use is None:
            content.insert(0, {"type": "text", "text": TASK})
        else:
            result = {"type": "tool_result", "tool_use_id": self.use.id, "is_error": False, "content": content}
            named = {"toolset_name": self.use.toolset_name} if getattr(self.use, "toolset_name", None) else {}
            content = [result | named]
        self.messages.append({"role": "user", "content": content})
        tools: list[Any] = [_COMPUTER, {"name": "open_url", "description": "Open a page.", "input_schema": _OPEN}]
        thinking: Any = {"type": "adaptive"}
        async with self.client.beta.messages.stream(
            model=MODEL, max_tokens=16_000, messages=self.messages, tools=tools, thinking=thinking
        ) as stream:
            message = await stream.get_final_message()
        blocks = [block.to_dict(mode="json", exclude_unset=True) for block in message.content]
        self.messages.append({"role": "assistant", "content": blocks})
        self.use = next(block for block in message.content if block.type == "tool_use")
        if self.use.name == "left_click":
            x, y = self.use.input["coordinate"]
            return "click", {"x": x, "y": y}
        return None if self.use.name == "finish" else (self.use.name, self.use.input)


class Compatible:
    def __init__(self, address: str) -> None:
        import openai

        self.client = openai.AsyncOpenAI(api_key="sk-bench", base_url=f"{address}/compatible/v1", max_retries=0)
        self.messages: list[Any] = []

    async def say(self, png: bytes) -> tuple[str, dict[str, Any]] | None:
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(png).decode()}"}}
        self.messages.append({"role": "user", "content": [{"type": "text", "text": TASK}, picture]})
        tools: list[Any] = [_function("click", _CLICK), _function("open_url", _OPEN)]
        stream = await self.client.chat.completions.create(
            model=MODEL, max_tokens=4096, messages=self.messages, tools=tools, stream=True
        )
        text, call_id, name, arguments = "", "", "", ""
        async for chunk in stream:
            for choice in chunk.choices:
                text += choice.delta.content or ""
                for part in choice.delta.tool_calls or ():
                    call_id, name = call_id or part.id or "", name or (part.function and part.function.name) or ""
                    arguments += (part.function and part.function.arguments) or ""
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        self.messages.append({"role": "assistant", "content": text, "tool_calls": [call]})
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": "Done."})
        return None if name == "finish" else (name, json.loads(arguments))


def _function(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}


LOOPS = {"anthropic": Anthropic, "compatible": Compatible}


@asynccontextmanager
async def asking(wire: str, address: str) -> AsyncIterator[Anthropic | Compatible]:
    loop = LOOPS[wire](address)
    async with loop.client:
        yield loop


async def drive(wire: str, address: str, session: Session) -> None:
    """Until the model says that it is done."""
    async with asking(wire, address) as loop:
        while (wants := await loop.say((await session.screenshot()).png)) is not None:
            name, params = wants
            usual = {"button": "left", "count": 1} if name == "click" else {}
            result = await session.act(Action(name, usual | params))
            if not result.success:
                raise RuntimeError(f"{name} failed: {result.error}")
