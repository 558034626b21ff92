"""A Jinja environment for programs by strangers. Importing this imports jinja2, so import it late.

jinja2's own sandbox keeps a template from reaching Python's insides. What it leaves open is cost: one call in C, such
as ``'a' * 10**9`` or ``|center(10**9)``, takes seconds or gigabytes, and nothing can stop it half way. Here every value
has a weight, about its size in bytes; no operator, call, filter, display or macro may make a heavier one than allowed,
and lists count what they hold as often as they hold it. What remains is made of short steps, which
``engine.prompt.guard`` can interrupt.

Otherwise templates see what Hugging Face's ``apply_chat_template`` gives them.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from datetime import datetime
from functools import wraps
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, TemplateReference
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Cycler, Joiner, Namespace

MAX_SOURCE_CHARS = 262_144
MAX_INT_BITS = 4096
MAX_RANGE = 100_000
MAX_FIELD_WIDTH = 999
"""Of one field in a format string."""
ITEM_WEIGHT = 32
"""What a place in a list weighs beside its content."""

_ESCAPABLE = re.compile("[\x7f-\U000effff]")
"""Private use characters stay what they are: ``engine.prompt.inert`` has to find them again."""

_WIDE_SPEC = re.compile(r"\d{4,}")
_WIDE_PERCENT_FIELD = re.compile(r"%(?:\([^)%]*\))?[-#0 +]*(?:\*|\d{4,}|\d*\.(?:\*|\d{4,}))")

_PLAIN_FILTERS = frozenset(
    {"abs", "attr", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "groupby"}
    | {"int", "items", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse"}
    | {"safe", "select", "selectattr", "slice", "sort", "string", "title", "trim", "truncate", "unique", "upper"}
    | {"wordcount"}
)
"""Taken over from jinja2. Their results are at most some times as heavy as what they are given."""

_STR_METHODS = frozenset(
    {"capitalize", "casefold", "count", "endswith", "find", "format", "index", "isalnum", "isalpha", "isascii"}
    | {"isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper", "join", "lower", "lstrip"}
    | {"partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rpartition", "rsplit", "rstrip"}
    | {"split", "splitlines", "startswith", "strip", "swapcase", "title", "upper"}
)
_METHODS: tuple[tuple[type, frozenset[str]], ...] = (
    (str, _STR_METHODS),
    (dict, frozenset({"get", "items", "keys", "values"})),
    (list, frozenset({"count", "index"})),
    (tuple, frozenset({"count", "index"})),
)
_RUNTIME_TYPES = (BlockReference, Cycler, Joiner, LoopContext, Macro, Namespace, TemplateReference)


class TemplateRefusal(TemplateError):
    """The template itself said no, with ``raise_exception``."""


class TooHeavy(SecurityError):
    """A value would be larger than a template may make it."""


class GenerationTags(Extension):
    """``{% generation %}`` marks what training learns from. For a prompt it means nothing."""

    tags = {"generation"}  # noqa: RUF012 - declared like this by the base class

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class BoundedCode(CodeGenerator):
    """Lets displays (``[a, a]``) and ``~`` go through the environment's weights, as jinja2 does for operators."""

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.join_values((")
        for operand in node.nodes:
            self.visit(operand, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        self.write("environment.bounded(")
        super().visit_List(node, frame)
        self.write(")")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("environment.bounded(")
        super().visit_Dict(node, frame)
        self.write(")")

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        if node.ctx != "load":  # a target, as in {% for key, value in ... %}
            super().visit_Tuple(node, frame)
            return
        self.write("environment.bounded(")
        super().visit_Tuple(node, frame)
        self.write(")")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """``max_chars`` bounds every text and, in weight, every other value. One thread."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    code_generator_class = BoundedCode

    def __init__(self, max_chars: int) -> None:
        self.max_chars = max_chars
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[LoopControlExtension, GenerationTags],
            finalize=self.bounded,
        )
        self.globals = {
            "cycler": Cycler,
            "dict": lambda *args, **kwargs: dict(*args, **kwargs),
            "joiner": Joiner,
            "namespace": Namespace,
            "raise_exception": _raise_exception,
            "range": _range,
            "strftime_now": _strftime_now,
        }
        filters = {name: FILTERS[name] for name in _PLAIN_FILTERS} | self._bounded_filters()
        self.filters = {name: self._guard(function) for name, function in filters.items()}

    def bounded(self, value: Any) -> Any:
        """The value itself. Raises TooHeavy."""
        if isinstance(value, str):
            self.require(len(value))
        else:
            self.weigh(value)
        return value

    def weigh(self, value: Any) -> int:
        """The value's weight; what is in it twice counts twice. Raises TooHeavy as soon as it is too much."""
        weight, waiting = 0, [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                weight += len(item)
            elif isinstance(item, int):
                weight += item.bit_length() // 8
            else:
                children = _children(item)
                weight += ITEM_WEIGHT * (1 + len(children))
                self.require(weight)
                waiting += children
            self.require(weight)
        return weight

    def require(self, weight: int) -> None:
        if weight > self.max_chars:
            raise TooHeavy(f"it made a text or list larger than {self.max_chars:,}")

    def concat(self, parts: Iterable[str]) -> str:
        """Join what a block or macro wrote."""
        written = list(parts)
        self.require(sum(map(len, written)))
        return "".join(written)

    def join_values(self, values: Iterable[Any]) -> str:
        return self.concat(str(self.bounded(value)) for value in values)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        for operand in (left, right):
            if isinstance(operand, int) and operand.bit_length() > MAX_INT_BITS:
                raise TooHeavy("it calculated with a number of too many digits")
        if operator == "*":
            self._check_repetition(left, right)
            self._check_repetition(right, left)
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * right > MAX_INT_BITS:
                raise TooHeavy("it calculated with a number of too many digits")
        elif operator == "%" and isinstance(left, str):
            self._check_percent_format(left, right)
        return self.bounded(super().call_binop(context, operator, left, right))

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        receiver, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(receiver, str) and name == "replace":
            return self._replace(receiver, *args)
        if isinstance(receiver, str) and name == "join":
            return self._join(receiver, *args)
        return self.bounded(super().call(context, obj, *args, **kwargs))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        for kind, names in _METHODS:
            if isinstance(obj, kind):
                return attr in names
        return isinstance(obj, _RUNTIME_TYPES) and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Called for every attribute that a template gets; replaces ``format`` of a text."""
        if not isinstance(value, types.BuiltinMethodType | types.MethodType) or value.__name__ != "format":
            return None
        receiver = value.__self__
        if not isinstance(receiver, str):
            return None
        return lambda *args, **kwargs: BoundedFormatter(self).vformat(receiver, args, kwargs)

    def _guard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The filter, with all that goes in and comes out weighed."""

        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            for value in (*args, *kwargs.values()):
                self.bounded(value)
            return self.bounded(function(*args, **kwargs))

        return guarded

    def _bounded_filters(self) -> dict[str, Callable[..., Any]]:
        """Filters whose result may be far heavier than what they are given."""
        limits = {"batch": ("linecount", MAX_RANGE), "center": ("width", self.max_chars), "round": ("precision", 100)}
        limited = {name: _limit_number(FILTERS[name], *limit) for name, limit in limits.items()}
        return limited | {
            "format": self._format_filter,
            "indent": self._indent_filter,
            "join": self._join_filter,
            "replace": self._replace_filter,
            "sum": _sum_filter,
            "tojson": _tojson_filter,
        }

    def _check_repetition(self, sequence: Any, count: Any) -> None:
        if isinstance(count, int) and isinstance(sequence, str | list | tuple) and count > 0:
            self.require(self.weigh(sequence) * count)

    def _check_percent_format(self, text: str, values: Any) -> None:
        if _WIDE_PERCENT_FIELD.search(text):
            raise TooHeavy("it formatted a field of too great a width")
        self.require(len(text) + text.count("%") * (self.weigh(values) + MAX_FIELD_WIDTH))

    def _replace(self, text: str, old: str, new: str, count: int = -1, /) -> str:
        self.require(len(text) + text.count(old) * max(len(new) - len(old), 0))
        return text.replace(old, new, count)

    def _join(self, separator: str, items: Iterable[str], /) -> str:
        pieces = list(items)
        self.require(sum(map(len, pieces)) + len(separator) * len(pieces))
        return separator.join(pieces)

    def _format_filter(self, text: Any, *args: Any, **kwargs: Any) -> str:
        if args and kwargs:
            raise TypeError("can't handle positional and keyword arguments at the same time")
        self._check_percent_format(str(text), kwargs or args)
        return str(str(text) % (kwargs or args))

    def _indent_filter(self, text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> str:
        n_columns = len(width) if isinstance(width, str) else width
        self.require(len(str(text)) + (str(text).count("\n") + 1) * n_columns)
        return str(FILTERS["indent"](text, width, first, blank))

    def _join_filter(self, value: Iterable[Any], d: Any = "", attribute: str | int | None = None) -> str:
        items = list(value)
        if attribute is not None:
            items = [self.getitem(item, attribute) for item in items]
        return self._join(str(d), [str(self.bounded(item)) for item in items])

    def _replace_filter(self, value: Any, old: Any, new: Any, count: int | None = None) -> str:
        return self._replace(str(value), str(old), str(new), -1 if count is None else count)


class BoundedFormatter(SandboxedFormatter):
    """``str.format`` whose fields together weigh no more than one value may."""

    def __init__(self, environment: BoundedEnvironment) -> None:
        super().__init__(environment)
        self._environment = environment
        self._weight = 0

    def format_field(self, value: Any, format_spec: str) -> str:
        if _WIDE_SPEC.search(format_spec):
            raise TooHeavy("it formatted a field of too great a width")
        field = str(super().format_field(self._environment.bounded(value), format_spec))
        self._weight += len(field)
        self._environment.require(self._weight)
        return field

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return super().convert_field(self._environment.bounded(value), conversion)


def _children(item: Any) -> list[Any]:
    """What is inside of a value and would be written out with it."""
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    if isinstance(item, Namespace):
        return _children(object.__getattribute__(item, "_Namespace__attrs"))
    if isinstance(item, list | tuple | set | frozenset | KeysView | ValuesView | ItemsView):
        return list(item)
    return []


def _limit_number(function: Callable[..., Any], name: str, limit: int) -> Callable[..., Any]:
    """The filter, whose first argument ``name`` may not exceed ``limit``."""

    @wraps(function)
    def limited(value: Any, *args: Any, **kwargs: Any) -> Any:
        number = args[0] if args else kwargs.get(name, 0)
        if isinstance(number, int) and abs(number) > limit:
            raise TooHeavy(f"it used a filter with the number {name} above {limit:,}")
        return function(value, *args, **kwargs)

    return limited


def _sum_filter(iterable: Iterable[Any], attribute: str | int | None = None, start: float = 0) -> Any:
    if not isinstance(start, int | float):
        raise TypeError("sum adds numbers only")
    values = iterable if attribute is None else (item[attribute] for item in iterable)
    return sum(values, start)


def _tojson_filter(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As Hugging Face does it: no HTML escapes, and letters stay letters."""
    if (indent or 0) > 16 or any(len(separator) > 16 for separator in separators or ()):
        raise TooHeavy("it wrote JSON with too wide an indent")
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys)
    return _ESCAPABLE.sub(lambda letter: json.dumps(letter[0])[1:-1], text) if ensure_ascii else text


def _raise_exception(message: object) -> NoReturn:
    raise TemplateRefusal(str(message)[:1000])


def _strftime_now(format: str) -> str:  # the name by which templates may pass it
    return datetime.now().strftime(str(format)[:200])


def _range(*args: int) -> range:
    numbers = range(*args)
    if len(numbers) > MAX_RANGE:
        raise TooHeavy(f"it counted through more than {MAX_RANGE:,} numbers")
    return numbers


def compile_template(source: str, max_chars: int) -> Callable[[Mapping[str, Any]], Iterator[str]]:
    """The template as a function from its variables to pieces of output. Both steps may raise anything."""
    if len(source) > MAX_SOURCE_CHARS:
        raise TooHeavy(f"it is longer than {MAX_SOURCE_CHARS:,} characters")
    environment = BoundedEnvironment(max_chars)
    template = environment.from_string(source)

    def render(variables: Mapping[str, Any]) -> Iterator[str]:
        n_chars = 0
        for piece in template.generate(variables):
            n_chars += len(piece)
            environment.require(n_chars)
            yield piece

    return render
