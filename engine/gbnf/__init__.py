"""Answers that follow a grammar: GBNF, read and followed within a budget, so that no grammar can hold up the engine.

llama.cpp has a matcher for it, too. Its check for left recursion takes twice as long for each rule that two rules lead
to, its stacks multiply with each optional part, nothing can interrupt it, and where no token fits it ends the process.
"""

from engine.gbnf.machine import MAX_FRAMES, Machine
from engine.gbnf.parser import MAX_BYTES, MAX_REPETITION, parse
from engine.gbnf.vocabulary import Follower, Vocabulary

__all__ = ["MAX_BYTES", "MAX_FRAMES", "MAX_REPETITION", "Follower", "Machine", "Vocabulary", "parse"]
