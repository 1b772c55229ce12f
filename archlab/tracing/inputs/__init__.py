"""What a network is called with: from texts, shapes, tensors and values to arguments."""

from archlab.tracing.inputs.arguments import Arguments, arguments, parameters_text
from archlab.tracing.inputs.filling import with_assumed_values, with_known_values, with_values, without_values
from archlab.tracing.inputs.shorthand import shape_text
from archlab.tracing.inputs.texts import AsIs, Input, parse_input

__all__ = [
    "Arguments",
    "AsIs",
    "Input",
    "arguments",
    "parameters_text",
    "parse_input",
    "shape_text",
    "with_assumed_values",
    "with_known_values",
    "with_values",
    "without_values",
]
