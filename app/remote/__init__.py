"""Models of servers that speak OpenAI's protocol, beside those of this machine."""

from app.remote.loop import LoopThread
from app.remote.servers import RemoteServers
from app.remote.types import KeyPlace, RemoteModel, RemoteServer, is_remote

__all__ = ["KeyPlace", "LoopThread", "RemoteModel", "RemoteServer", "RemoteServers", "is_remote"]
