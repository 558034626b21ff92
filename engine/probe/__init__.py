"""Reads strangers' model files in a short-lived process, so that whatever they do, they do it there.

``HeaderProbe`` is the near side. The child has limits of memory and time, sees no graphics card and no token, and is
ended when it does not answer; every file that it dies over gets one sentence.
"""

from engine.probe.parent import HeaderProbe, examine_here

__all__ = ["HeaderProbe", "examine_here"]
