"""What the engine is asked, made from a path of messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.chats.types import Message, request_id_of
from app.settings import Settings
from engine.types import AdapterUse, ChatMessage, GenerationRequest, Overflow, Role, SamplingParams


def build_request(
    answer: Message,
    path: Iterable[Message],
    settings: Settings,
    overflow: Overflow | None = None,
    adapters: tuple[AdapterUse, ...] = (),
) -> GenerationRequest:
    """``overflow`` None is what the settings say."""
    return GenerationRequest(
        request_id_of(answer.id),
        build_messages(path, settings),
        SamplingParams(temperature=settings.temperature),
        conversation=str(answer.conversation_id),
        overflow=overflow or settings.overflow,
        adapters=adapters,
    )


def build_messages(path: Iterable[Message], settings: Settings, draft: str = "") -> tuple[ChatMessage, ...]:
    """``draft`` is what the user would say next."""
    said = [_said(message) for message in path]
    return (*_system(settings.system_prompt), *_alternating([*said, ChatMessage(Role.USER, draft)]))


def n_rows_dropped(path: Sequence[Message], n_dropped: int) -> int:
    """How many messages of ``path``, from its beginning, the first ``n_dropped`` of its request are made of.

    That request has messages from one side in a row as one, and none for those that say nothing.
    """
    if n_dropped <= 0:
        return 0
    n_started = 0
    previous: Role | None = None
    for row, message in enumerate(path):
        if message.content.strip() and message.role is not previous:
            if n_started == n_dropped:
                return row
            n_started += 1
            previous = message.role
    return len(path)


def _system(prompt: str) -> tuple[ChatMessage, ...]:
    return (ChatMessage(Role.SYSTEM, prompt),) if prompt.strip() else ()


def _said(message: Message) -> ChatMessage:
    """With what the model thought: whether that is read again is up to its chat template."""
    return ChatMessage(message.role, message.content, message.reasoning.text if message.reasoning else "")


def _alternating(said: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Messages that say something, those in a row from one side as one: many chat templates refuse anything else.

    A question whose answer failed before its first word is followed by another question.
    """
    messages: list[ChatMessage] = []
    for message in said:
        if not message.content.strip():
            continue
        if messages and messages[-1].role is message.role:
            messages.append(_joined(messages.pop(), message))
        else:
            messages.append(message)
    return messages


def _joined(first: ChatMessage, second: ChatMessage) -> ChatMessage:
    reasoning = "\n\n".join(part for part in (first.reasoning, second.reasoning) if part)
    return ChatMessage(first.role, f"{first.content}\n\n{second.content}", reasoning)
