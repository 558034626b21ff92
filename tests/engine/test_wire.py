"""Frames: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

import io
import pickle
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commands import (
    Cancel,
    Command,
    DropConversation,
    Load,
    PinConversation,
    ReadAhead,
    SetCacheBudgets,
    Shutdown,
    Submit,
)
from engine.config import EngineConfig, LoadSpec
from engine.errors import ErrorInfo
from engine.events import (
    CacheChanged,
    EngineFailed,
    Event,
    Heartbeat,
    LoadFailed,
    ModelLoaded,
    ModelLoading,
    ModelUnloaded,
    PrefillProgressed,
    PromptMeasured,
    RequestFailed,
    RequestFinished,
    RequestStarted,
    TokensEmitted,
)
from engine.reuse import ConversationCache, KvUsage, Reason, ReuseReport
from engine.types import (
    ChatMessage,
    FinishReason,
    GenerationRequest,
    Overflow,
    RequestId,
    Role,
    SamplingParams,
    Timings,
    TokenLogprob,
    Usage,
)
from engine.wire import FrameWriter, WireError, command_reader, event_reader
from tests.doubles.engine import make_model_info

REQUEST = GenerationRequest(
    RequestId("message-1"),
    (ChatMessage(Role.SYSTEM, "Be brief."), ChatMessage(Role.USER, "Grüße 👋 \x00")),
    SamplingParams(temperature=0.0, seed=7),
    max_tokens=5,
    stop=("\n\n",),
)
REUSE = ReuseReport(10, 1, 1, 1, 7, 0.1, ((Reason.NEW, 4), (Reason.EVICTED, 3)))
ERROR = ErrorInfo("EngineStopped", "It stopped.", "Try again.", "detail")
COMMANDS: list[Command] = [
    Load(LoadSpec("/models/a.gguf", EngineConfig(n_ctx=512))),
    Submit(REQUEST),
    Cancel(RequestId("message-1")),
    ReadAhead("7", REQUEST.messages, Overflow.ROLL),
    PinConversation("7", is_pinned=True),
    DropConversation("7"),
    SetCacheBudgets(1 << 30, 1 << 40),
    Shutdown(),
]
EVENTS: list[Event] = [
    ModelLoading("/models/a.gguf", 0.5),
    ModelLoaded(make_model_info()),
    LoadFailed("/models/a.gguf", ERROR),
    ModelUnloaded("/models/a.gguf"),
    EngineFailed("/models/a.gguf", ERROR, restarting=True),
    RequestStarted(RequestId("r"), 10, 3),
    PrefillProgressed(RequestId("r"), 5, 10),
    TokensEmitted(RequestId("r"), "ä", 1, (TokenLogprob(b"\xc3", -0.5, ((b"\xc3", -0.5), (b"a", -1.5))),)),
    RequestFinished(RequestId("r"), FinishReason.STOP_STRING, Usage(10, 3, 4, 512), Timings(0.0, 0.1, 0.2), REUSE),
    PromptMeasured("7", 100, 512, 2),
    CacheChanged(
        (ConversationCache("7", 10, 5, 3, 2, 0, 50, 30, 20, is_pinned=True),),
        KvUsage(5, 512, 30, 100, 20, 100, 3, ERROR),
    ),
    RequestFailed(RequestId("r"), ERROR),
    Heartbeat(7, busy=True),
]


def test_every_command_and_event_survives_the_trip() -> None:
    pipe = io.BytesIO()
    writer = FrameWriter(pipe)
    for message in [*COMMANDS, *EVENTS]:
        writer.write(message)
    pipe.seek(0)

    commands, events = command_reader(pipe), event_reader(pipe)

    assert [commands.read() for _ in COMMANDS] == COMMANDS
    assert [events.read() for _ in EVENTS] == EVENTS
    assert events.read() is None


@pytest.mark.parametrize("cut", [1, 3, 4, 5, -1])
def test_a_pipe_that_ends_inside_a_frame_is_simply_over(cut: int) -> None:
    pipe = io.BytesIO()
    FrameWriter(pipe).write(Submit(REQUEST))

    assert command_reader(io.BytesIO(pipe.getvalue()[:cut])).read() is None


def test_a_pickle_is_refused_and_not_run() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("a pickle was loaded",))

    body = pickle.dumps(Bomb())

    with pytest.raises(WireError):
        event_reader(io.BytesIO(struct.pack("<I", len(body)) + body)).read()


def test_an_event_is_no_command() -> None:
    pipe = io.BytesIO()
    FrameWriter(pipe).write(Heartbeat(1, busy=False))
    pipe.seek(0)

    with pytest.raises(WireError):
        command_reader(pipe).read()


def test_a_frame_that_claims_gigabytes_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError):
        event_reader(io.BytesIO(struct.pack("<I", 2**32 - 1))).read()


@given(st.binary(max_size=200))
def test_random_bytes_never_escape_as_anything_but_a_wire_error(noise: bytes) -> None:
    reader = event_reader(io.BytesIO(noise))
    try:
        while reader.read() is not None:
            pass
    except WireError:
        pass


def test_usage_refuses_more_cached_tokens_than_there_are() -> None:
    with pytest.raises(ValueError, match="part of the prompt"):
        Usage(n_prompt=3, n_cached=4, n_output=0, n_ctx=10)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([3, 4, 0, 10]), type=Usage)
