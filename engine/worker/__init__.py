"""The process that holds one model: commands in on stdin, events out on stdout, as frames of ``engine.wire``.

Start it with ``python -m engine.worker``. It ends with its model, with its parent, and never takes anybody with it.
"""
