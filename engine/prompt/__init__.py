"""From messages to the tokens of a prompt.

A chat template is a program by a stranger that came with the model. It runs in a sandbox with a budget of time, memory
and output, and what people wrote in their messages never becomes a control token, whatever they wrote:
``engine.prompt.inert`` tells how. jinja2 is imported when the first template is made.
"""

from __future__ import annotations

from engine.prompt.fallback import fallback_template
from engine.prompt.guard import Budget
from engine.prompt.inert import PromptPart
from engine.prompt.template import ChatTemplate, tokenize_prompt
from engine.prompt.variables import PromptOptions

__all__ = ["Budget", "ChatTemplate", "PromptOptions", "PromptPart", "fallback_template", "tokenize_prompt"]
