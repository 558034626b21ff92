"""The local API: what other programs ask over HTTP, answered by the same engine as everything else.

``build_app`` makes an ASGI application over an ``EngineClient``; ``app.api.server`` puts it on a socket. Nothing that
comes in over HTTP touches a file.
"""
