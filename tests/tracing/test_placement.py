"""What keeps its values while the rest of a network has none; and where real arithmetic is the last resort."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from archlab.errors import ForwardError
from archlab.tracing import trace
from archlab.tracing.measurement import prepare


class Calls(nn.Module):
    """A linear layer of 4 x 4, a table of integers and a number, and a `forward` that is given."""

    table: Tensor
    factor: Tensor

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("table", torch.tensor([3, 1]))
        self.register_buffer("factor", torch.tensor(2.5))
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


X = torch.randn(2, 4)
MASK = torch.tensor([[1, 1, 0], [1, 0, 0]], dtype=torch.bool)


def assigned(m: Calls, x: Tensor, mask: Tensor) -> Any:
    y = x.clone()
    y[mask] = 0.0
    return m.linear(y)


def inverted(m: Calls, x: Tensor) -> Any:
    window = torch.hann_window(4)  # of zeros, the inverse refuses it
    transformed = torch.stft(m.linear(x), 4, window=window, return_complex=True, pad_mode="constant")
    return torch.istft(transformed, 4, window=window)


def written(m: Calls, x: Tensor) -> Any:
    m.table[:1] = m.linear(x).argmax()  # what it holds then isn't known any more
    return m.linear(x) * m.table.sum()


def in_a_context(m: Calls, x: Tensor) -> Any:
    with torch.device("cuda"):
        return m.linear(x) + torch.arange(4) + nn.Linear(4, 4)(x)


def waits(m: Calls, x: Tensor) -> Any:
    torch.cuda.synchronize()
    return m.linear(x)


def timed(m: Calls, x: Tensor) -> Any:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    y = m.linear(x)
    end.record()
    end.synchronize()
    return y + start.elapsed_time(end)


def streamed(m: Calls, x: Tensor) -> Any:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        return m.linear(x)


def scanned(m: Calls, x: Tensor) -> Any:
    def step(carried: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        return carried + m.linear.weight @ row, carried.clone()

    return torch._higher_order_ops.scan(step, torch.zeros(4), x)


def loops(m: Calls, x: Tensor) -> Any:
    def step(i: Tensor, y: Tensor) -> Any:
        return i + 1, m.linear(y)

    return torch.while_loop(lambda i, y: i < 3, step, (torch.tensor(0), x))  # type: ignore[no-untyped-call]


WITHOUT_ARITHMETIC = [
    # a row of 4 takes 16
    ("a branch on a mask", lambda m, x, mask: m.linear(x) if mask.any() else x, [X, MASK], 2 * 16),
    ("a mask as an index", lambda m, x, mask: m.linear(x[mask]), [torch.randn(2, 3, 4), MASK], 3 * 16),
    ("a mask and a slice", lambda m, x, mask: m.linear(x[:, mask[0], :]), [torch.randn(2, 3, 4), MASK], 4 * 16),
    ("masked_select", lambda m, x, mask: m.linear(x.masked_select(mask)[:4]), [X, X > -9], 16),
    ("assigned by a mask", assigned, [X, torch.tensor([True, False])], 2 * 16),
    ("repeats", lambda m, x, n: m.linear(x.repeat_interleave(n, 0)), [X, torch.tensor([2, 3])], 5 * 16),
    ("tensor_split", lambda m, x, n: m.linear(x.tensor_split(n)[0]), [torch.randn(5, 4), torch.tensor([3, 4])], 48),
    ("lengths", lambda m, x, n: m.linear(x[:, : n.max()]), [torch.randn(2, 6, 4), torch.tensor([3, 2])], 6 * 16),
    ("length of a mask", lambda m, x, mask: m.linear(x[:, : mask.sum(1).max()]), [torch.randn(2, 3, 4), MASK], 64),
    ("parts", lambda m, x, n: [m.linear(part) for part in x.split(n.tolist())], [X, torch.tensor([1, 1])], 2 * 16),
    (
        "fractions",
        lambda m, x, n: m.linear(x[:, : int((n * 6).max())]),
        [torch.randn(2, 6, 4), torch.tensor([0.5])],
        96,
    ),
    *(
        (
            f"a branch on a mask behind {name}",
            lambda m, x, mask, f=f: m.linear(x) if f(mask).any() else x,
            [X, MASK],
            32,
        )
        for name, f in {
            "reshape": lambda mask: torch.stack([mask, mask], 1).reshape(2, -1),
            "flatten": lambda mask: torch.cat([mask, mask]).flatten(),
            "contiguous": lambda mask: mask.t().contiguous().repeat(2, 1).clone(),
            "gather": lambda mask: mask.gather(1, torch.zeros(2, 1, dtype=torch.long)),
            "index_select": lambda mask: mask.index_select(0, torch.tensor([0])),
            "scatter_add": lambda mask: (
                mask.long().scatter_add(1, torch.zeros(2, 3, dtype=torch.long), mask.long()) > 2
            ),
            "masked_fill": lambda mask: mask.long().masked_fill(mask, 2) == 2,
            "to": lambda mask: mask.to(torch.float64).pow(2).cumsum(0) > 1,
        }.items()
    ),
    ("a branch on an input", lambda m, x: m.linear(x) if x.sum() > -99 else x, [X], 2 * 16),
    ("a buffer's values", lambda m, x: m.linear(x)[:, m.table.tolist()], [X], 2 * 16),
    ("a buffer as an index", lambda m, x: m.linear(x[:, : int(m.table[1])].repeat(1, 4)), [X], 2 * 16),
    ("a number", lambda m, x: m.linear(x) * m.factor.item(), [X], 2 * 16),
    ("one hot", lambda m, x: m.linear(F.one_hot(m.table, 4).float()), [X], 2 * 16),
    ("positions", lambda m, x: m.linear(x)[: int(torch.arange(3, device=x.device).sum())], [X], 2 * 16),
    ("new_tensor", lambda m, x: m.linear(x[:, : int(x.new_tensor([4]))]), [X], 2 * 16),
    ("new_ones", lambda m, x: m.linear(x[: int(x.new_ones(2).sum())]), [X], 2 * 16),
    ("ones_like", lambda m, x: m.linear(x[: int(torch.ones_like(x).sum()) // 4]), [X], 2 * 16),
    ("nonzero", lambda m, x: m.linear(x)[torch.nonzero(torch.tensor([0, 1], device=x.device))], [X], 2 * 16),
    ("written over", written, [X], 4 * 16),
    ("arange on cuda", lambda m, x: m.linear(x) + torch.arange(4, device="cuda"), [X], 2 * 16),
    ("to cuda", lambda m, x: m.linear(x.to("cuda:0", torch.float32)) + m.table.sum().cuda(), [X], 2 * 16),
    ("a layer made on the input's device", lambda m, x: nn.Linear(4, 4).to(x.device)(x), [X], 2 * 16),
    ("a layer made on cuda", lambda m, x: nn.Conv1d(2, 4, 1).cuda()(x), [X], 4 * 2 * 4),
    ("under the device cuda", in_a_context, [X], 2 * 2 * 16),
    ("waiting for cuda", waits, [X], 2 * 16),
    ("an event", timed, [X], 2 * 16),
    ("a stream", streamed, [X], 2 * 16),
    ("a distribution", lambda m, x: torch.distributions.Normal(m.linear(x), 1.0).rsample(), [X], 2 * 16),
    ("map", lambda m, x: torch._higher_order_ops.map(lambda row, w: w @ row, x, m.linear.weight), [X], 2 * 16),
    ("scan", scanned, [X], 2 * 16),
    ("devices agree", lambda m, x: m.linear(x) if m.table.device == x.device else None, [X], 2 * 16),
    ("numbers that an operation wants beside it", lambda m, x: m.linear(x).masked_fill(x > 0, m.factor), [X], 32),
    ("numbers in a stack", lambda m, x: torch.stack([m.linear(x).sum(), torch.tensor(1.0)]), [X], 32),
    ("a choice of constants", lambda m, x: torch.cond(m.table.sum() > 0, m.linear, m.linear, (x,)), [X], 2 * 16),
    (
        "a loop over a count",
        loops,
        [X],
        3 * 2 * 16,
    ),
]


@pytest.mark.parametrize(
    ("function", "inputs", "macs"),
    [case[1:] for case in WITHOUT_ARITHMETIC],
    ids=[case[0] for case in WITHOUT_ARITHMETIC],
)
def test_what_follows_from_numbers_alone_needs_no_arithmetic(function: Any, inputs: list[Tensor], macs: int) -> None:
    network = Calls(function)
    found = trace(network, inputs)
    assert found.totals.macs == macs
    assert not any("arithmetic" in note for note in found.notes)
    assert found.totals.uncounted_operations == {}
    assert (network.table.tolist(), network.factor.item()) == ([3, 1], 2.5)


@pytest.mark.parametrize(
    ("function", "inputs", "macs"),
    [case[1:] for case in WITHOUT_ARITHMETIC],
    ids=[case[0] for case in WITHOUT_ARITHMETIC],
)
def test_every_way_counts_the_same(function: Any, inputs: list[Tensor], macs: int) -> None:
    measurement = prepare(Calls(function), inputs, None, {})
    ways = [measurement.run("assumed", quick=True), measurement.run("assumed"), measurement.run("all")]
    assert [way.totals for way in ways] == [ways[0].totals] * 3
    assert [[layer.path for layer in way.layers] for way in ways] == [[layer.path for layer in ways[0].layers]] * 3


def test_lengths_of_a_packed_sequence() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(16, 16, batch_first=True)

        def forward(self, x: Tensor, lengths: Tensor) -> Any:
            return pad_packed_sequence(self.lstm(pack_padded_sequence(x, lengths, batch_first=True))[0])

    found = trace(Recurrent(), [torch.randn(3, 5, 16), torch.tensor([5, 3, 1])])
    assert found.totals.macs == 9 * 4 * 16 * 32  # 5 + 3 + 1 steps
    assert found.notes == ()


@pytest.mark.parametrize("given", ["src_mask", "src_key_padding_mask", "tgt_mask"])
def test_masks_of_a_transformer(given: str) -> None:
    masks = {
        "src_mask": torch.zeros(5, 5),
        "src_key_padding_mask": torch.tensor([[False] * 5, [False] * 3 + [True] * 2]),
        "tgt_mask": nn.Transformer.generate_square_subsequent_mask(4),
    }
    network = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
    inputs = {"src": torch.randn(2, 5, 16), "tgt": torch.randn(2, 4, 16)}
    found = trace(network, inputs | {given: masks[given]})
    assert found.totals.macs == trace(network, inputs).totals.macs
    assert found.notes == ()


QUERY = torch.randn(1, 2, 128, 16)


def causal(m: Calls, x: Tensor) -> Any:
    mask = create_block_mask(lambda b, h, q, k: q >= k, None, None, 128, 128, device=x.device)
    return flex_attention(x, x, x, block_mask=mask)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: flex_attention(x, x, x),
        lambda m, x: flex_attention(x, x, x, score_mod=lambda score, b, h, q, k: score + (q - k)),
        causal,
        lambda m, x: flex_attention(x, x[:, :1], x[:, :1], enable_gqa=True),
    ],
    ids=["plain", "scores", "mask", "grouped"],
)
def test_flex_attention(function: Any) -> None:
    measurement = prepare(Calls(function), [QUERY], None, {})
    for found in (measurement.trace(), measurement.run("known"), measurement.run("all")):
        assert found.totals.macs == 2 * 128 * 128 * (16 + 16)
        (row,) = (layer for layer in found.layers if layer.macs and layer.depth)
        assert (row.path, row.detail) == ("flex_attention", "counted in full")


@torch.library.custom_op("archlab_tests::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return x * 2


def double(m: Calls, x: Tensor) -> Tensor:
    result: Tensor = twice(m.linear(x))
    return result


def reads_what_is_written(m: Calls, x: Tensor) -> Any:
    m.table[:1] = m.linear(x).argmax()
    return m.linear(x)[:, : int(m.table[1])]


@pytest.mark.parametrize(
    ("function", "macs", "reason"),
    [
        (reads_what_is_written, 64, "reads a tensor's values"),
        (double, 32, "twice fails without values"),
        (inverted, 32, "istft fails without values"),
        (lambda m, x: torch.cond(m.linear(x).sum() > 99, m.linear, lambda y: y, (x,)), 32, "reads a tensor's values"),
        (lambda m, x: m.linear(m.linear(x)) if m.linear(x).sum() > 99 else x, 32, "reads a tensor's values (bool)"),
        (lambda m, x: m.linear(m.linear(x)[m.linear(x) > 99].view(-1, 4)), 64, "getitem fails without values"),
    ],
)
def test_real_arithmetic_is_the_last_resort(function: Any, macs: int, reason: str) -> None:
    found = trace(Calls(function), [X])
    assert found.totals.macs == macs
    (note,) = found.notes
    assert note.startswith("Run with real arithmetic on the CPU, since ")
    assert reason in note


def refuses(m: Calls, x: Tensor) -> Tensor:
    raise ValueError("expected another batch")


def fails_later(m: Calls, x: Tensor) -> Any:
    return m.linear(torch.cat([twice(m.linear(x)), x], 1))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (refuses, "expected another batch"),
        (lambda m, x: m.linear(x) @ x, "matmul"),
        (lambda m, x: m.linear(x[:, :3]), "got 3 features"),
        (fails_later, "got 8 features"),  # not that twice() has no values: with them it works
    ],
)
@pytest.mark.parametrize("columns", [(), ("saved",)])
def test_what_fails_either_way_is_the_networks_mistake(function: Any, message: str, columns: tuple[str, ...]) -> None:
    with pytest.raises(ForwardError, match=message):
        trace(Calls(function), [X], columns=columns)


def test_a_mistake_of_torch_calls_costs_no_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = []
    run = type(prepare(nn.Linear(4, 4), [X], None, {})).run

    def noted(self: Any, values: Any, **kwargs: Any) -> Any:
        ways.append(values)
        return run(self, values, **kwargs)

    monkeypatch.setattr("archlab.tracing.measurement.Measurement.run", noted)
    with pytest.raises(ForwardError):
        trace(Calls(lambda m, x: torch.stack([m.linear(x), x[:1]])), [X])
    assert "all" not in ways


def test_without_the_memory_the_first_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.tracing.forward.available.needed_and_free", lambda network: (2, 1))
    with pytest.raises(ForwardError, match="twice"):
        trace(Calls(double), [X])


@pytest.mark.parametrize(
    "body",
    [
        "torch.cond(torch.tensor(True), self.linear, self.linear, (x,))",
        "torch.compile(self.linear)(x)",
        "torch.compile(dynamic=True)(self.linear)(x)",
    ],
)
def test_what_is_compiled_in_forward_runs_as_it_was_written(body: str) -> None:
    script = f"""
import torch, warnings, archlab
warnings.simplefilter("error")
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
    def forward(self, x):
        return {body}
compile = torch.compile
print(archlab.trace(Network(), [(2, 4)]).totals.macs, torch.compile is compile)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["32", "True"]
