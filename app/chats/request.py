"""What the engine is asked, made from a path of messages."""

from __future__ import annotations

from collections.abc import Iterable

from app.chats.types import Message, request_id_of
from app.settings import Settings
from engine.types import ChatMessage, GenerationRequest, Role, SamplingParams


def build_request(answer: Message, path: Iterable[Message], settings: Settings) -> GenerationRequest:
    return GenerationRequest(
        request_id_of(answer.id),
        build_messages(path, settings),
        SamplingParams(temperature=settings.temperature),
        conversation=str(answer.conversation_id),
        overflow=settings.overflow,
    )


def build_messages(path: Iterable[Message], settings: Settings) -> tuple[ChatMessage, ...]:
    return (*_system(settings.system_prompt), *_alternating(path))


def _system(prompt: str) -> tuple[ChatMessage, ...]:
    return (ChatMessage(Role.SYSTEM, prompt),) if prompt.strip() else ()


def _alternating(path: Iterable[Message]) -> list[ChatMessage]:
    """Messages that say something, those in a row from one side as one: many chat templates refuse anything else.

    A question whose answer failed before its first word is followed by another question.
    """
    messages: list[ChatMessage] = []
    for message in path:
        if not message.content.strip():
            continue
        if messages and messages[-1].role is message.role:
            previous = messages.pop()
            messages.append(ChatMessage(message.role, f"{previous.content}\n\n{message.content}"))
        else:
            messages.append(ChatMessage(message.role, message.content))
    return messages
