"""Shape functions of recurrent layers.

Counting semantics
------------------
At each time step, in each layer and direction, every gate multiplies the layer's input and its own last output by a
weight matrix: gates * hidden * (inputs + outputs) MACs, with 4 gates in an LSTM, 3 in a GRU and 1 in a plain RNN; a
projection (`proj_size`) adds hidden * outputs. Biases are no MACs. A packed sequence counts its real steps only.

`elementwise` per hidden unit and step: 13 in an LSTM (4 sums of the two products, 4 gate activations, 3 products, a sum
and a tanh for the state), 11 in a GRU (3 sums, 3 activations, 3 products, a difference and a sum), 2 in a plain RNN.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from archlab.tracing.quick.results import check_same_type, check_tensors, new
from archlab.tracing.quick.shape_function import Result, for_modules

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_ELEMENTWISE = {4: 13, 3: 11, 1: 2}


def recurrent_macs(inputs: int, hidden: int, gates: int, projection: int = 0) -> int:
    """MACs of one time step of one layer in one direction, for one sample.

    >>> recurrent_macs(32, 64, 4) * 10  # an LSTM over ten steps: 4 * 64 * (32 + 64) * 10
    245760
    """
    outputs = projection or hidden
    return gates * hidden * (inputs + outputs) + (hidden * outputs if projection else 0)


@for_modules(nn.RNN, nn.LSTM, nn.GRU)
def _recurrent(module: Any, input: Tensor | PackedSequence, hx: Any = None) -> Result | None:
    packed = isinstance(input, PackedSequence)
    data: Tensor = input.data if isinstance(input, PackedSequence) else input
    shape = tuple(data.shape)
    if not shape or shape[-1] != module.input_size or (not packed and len(shape) not in (2, 3)):
        return None
    check_same_type(data, module._parameters["weight_ih_l0"])
    directions = 2 if module.bidirectional else 1
    hidden, projection = module.hidden_size, module.proj_size
    outputs = projection or hidden
    gates = _GATES[module.mode]
    batch: tuple[int, ...]
    if isinstance(input, PackedSequence):
        steps, batch = shape[0], (int(input.batch_sizes[0]),)
    elif len(shape) == 2:
        steps, batch = shape[0], ()
    else:
        steps, batch = shape[0] * shape[1], (shape[0 if module.batch_first else 1],)
    macs = 0
    for layer in range(module.num_layers):
        inputs = module.input_size if layer == 0 else outputs * directions
        macs += directions * steps * recurrent_macs(inputs, hidden, gates, projection)
    elementwise = module.num_layers * directions * steps * hidden * _ELEMENTWISE[gates]
    out: Any = new((*shape[:-1], outputs * directions), data.dtype)
    if isinstance(input, PackedSequence):
        out = PackedSequence(out, input.batch_sizes, input.sorted_indices, input.unsorted_indices)
    state = new((module.num_layers * directions, *batch, outputs), data.dtype)
    if gates == 4:
        return (out, (state, new((module.num_layers * directions, *batch, hidden), data.dtype))), macs, elementwise
    return (out, state), macs, elementwise


@for_modules(nn.RNNCell, nn.LSTMCell, nn.GRUCell)
def _cell(module: Any, input: Tensor, hx: Any = None) -> Result | None:
    check_tensors(input)
    if input.dim() not in (1, 2) or input.shape[-1] != module.input_size:
        return None
    gates = {nn.LSTMCell: 4, nn.GRUCell: 3, nn.RNNCell: 1}[type(module)]
    batch = input.shape[0] if input.dim() == 2 else 1
    macs = batch * recurrent_macs(module.input_size, module.hidden_size, gates)
    state = new((*input.shape[:-1], module.hidden_size), input.dtype)
    out = (state, new(tuple(state.shape), input.dtype)) if gates == 4 else state
    return out, macs, batch * module.hidden_size * _ELEMENTWISE[gates]
