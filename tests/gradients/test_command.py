"""The command's body: exit codes, sentences, files; and people's own tests."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from assay.gradients import assert_gradients, check_gradient
from assay.gradients.command import Request, checked, gradcheck_command
from assay.gradients.page import heat_map
from assay.gradients.records import Entry, Finding, InputEntries
from assay.gradients.report import GradientReport

SOURCE = '''
import torch

class LayerNorm(torch.autograd.Function):
    """Forgets the term of the variance."""

    @staticmethod
    def forward(ctx, x):
        s = (x.var(-1, keepdim=True, correction=0) + 1e-5).rsqrt()
        y = (x - x.mean(-1, keepdim=True)) * s
        ctx.save_for_backward(y, s)
        return y

    @staticmethod
    def backward(ctx, dy):
        y, s = ctx.saved_tensors
        return s * (dy - dy.mean(-1, keepdim=True))

class Right(LayerNorm):
    @staticmethod
    def backward(ctx, dy):
        y, s = ctx.saved_tensors
        return s * (dy - dy.mean(-1, keepdim=True) - y * (dy * y).mean(-1, keepdim=True))

class Pair:
    @staticmethod
    def forward(x, w):
        return x * w, (x, w)

    @staticmethod
    def backward(saved, dy):
        x, w = saved
        return dy * w, dy * x

def Pair_inputs():
    return {"x": torch.ones(3, dtype=torch.float64), "w": torch.full((3,), 2.0, dtype=torch.float64)}

def net():
    return torch.nn.Linear(3, 2).double()

def relu(x):
    return x.relu()

def relu_inputs():
    return {"x": torch.tensor([0.0, 1.0], dtype=torch.float64)}

def integer(x):
    return (x > 0).long()

def two(x, w):
    return x * w

class Swapped(torch.autograd.Function):
    """The gradient of w is transposed, which autograd refuses where w is not square."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        return dy @ w.T, dy.T @ x

class needy(torch.nn.Module):
    def __init__(self, size):
        super().__init__()

def raises(x):
    raise ValueError("two\\nlines")

def number(x):
    return 3.0

CALLS = iter(range(10**6))

def flips(x):
    return x * next(CALLS)

def nan(x):
    return x * float("nan")

def broken(x):
    return x

def broken_inputs():
    raise RuntimeError("nothing here")
'''


@pytest.fixture(name="source")
def written_source(tmp_path: Path) -> str:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE, encoding="utf-8")
    return str(path)


def test_the_same_seed_makes_the_same_module_and_another_one_another(source: str):
    def worst(seed: int, before: int) -> list[float]:
        torch.manual_seed(before)
        report = checked(Request(f"{source}:net", inputs=("input=float64[2,3]",), entries="all", seed=seed))
        return [record.worst.analytic for record in report.entries if record.worst is not None]

    assert worst(0, before=17) == worst(0, before=18)
    assert worst(0, before=17) != worst(1, before=17)


def test_a_check_leaves_the_generators_where_they_were(source: str):
    before = torch.get_rng_state(), random.getstate()
    checked(Request(f"{source}:net", inputs=("input=float64[2,3]",)))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


@pytest.mark.parametrize(
    ("name", "inputs", "code"),
    [
        ("LayerNorm", ["x=float64[3,4]"], 1),
        ("Right", ["x=float64[3,4]"], 0),
        ("Right", ["x=float32[3,4]"], 0),
        ("Pair", None, 0),
        ("net", ["input=float64[4,3]"], 0),
        ("relu", None, 3),
        ("integer", ["x=float64[3]"], 2),
        ("Swapped", ["w=float64[4,3]", "x=float64[3,4]"], 1),
        ("two", ["w=float64[3]", "x=float64[3]"], 0),
        ("two", ["x=float64[3]"], 2),
        ("two", ["x=float64[3]", "v=float64[3]"], 2),
        ("two", ["x=int64[3]", "w=int64[3]"], 2),
        ("two", ["x=float64[3]", "w=float64[4]"], 2),
        ("raises", ["x=float64[3]"], 2),
        ("number", ["x=float64[3]"], 2),
        ("flips", ["x=float64[3]"], 2),
        ("nan", ["x=float64[3]"], 2),
        ("broken", None, 2),
        ("needy", ["x=float64[3]"], 2),
        ("two", None, 2),
        ("Right", ["x=nonsense"], 2),
        ("absent", None, 2),
    ],
)
def test_exit_codes(source: str, name: str, inputs: list[str] | None, code: int, capsys: pytest.CaptureFixture[str]):
    assert gradcheck_command(f"{source}:{name}", input=inputs) == code
    shown = capsys.readouterr()
    if code == 2:
        assert shown.out == ""
        assert len(shown.err.strip().splitlines()) == 1
        assert "expected" in shown.err


def test_a_wrong_layer_norm_is_explained(source: str, capsys: pytest.CaptureFixture[str]):
    assert gradcheck_command(f"{source}:LayerNorm", input=["x=float64[3,4]"]) == 1
    shown = capsys.readouterr().out
    for words in ("differs", "d y[", "measured", "±", "term", "smallest failing input", "reproduce"):
        assert words in shown
    assert len(shown.splitlines()) <= 24


def test_the_command_that_repeats_it_is_printed(source: str, capsys: pytest.CaptureFixture[str]):
    assert gradcheck_command(f"{source}:LayerNorm", input=["x=float64[3,4]"], order=2, seed=7) == 1
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.strip() == f"reproduce: assay gradcheck {source}:LayerNorm --input 'x=float64[3,4]' --order 2 --seed 7"


def test_a_gradient_of_the_wrong_shape_is_a_finding(source: str, capsys: pytest.CaptureFixture[str]):
    assert gradcheck_command(f"{source}:Swapped", input=["w=float64[4,3]", "x=float64[3,4]"]) == 1
    assert "the gradient of w has the wrong shape: [3, 4], expected [4, 3]" in capsys.readouterr().out


def test_a_file_that_fails_when_it_is_run_is_bad_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "failing.py"
    path.write_text("x = 1 / 0\n", encoding="utf-8")
    assert gradcheck_command(f"{path}:x") == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_the_page_is_for_light_and_dark_and_colours_what_stands_out(source: str, tmp_path: Path):
    page = tmp_path / "report.html"
    gradcheck_command(f"{source}:LayerNorm", input=["x=float64[3,4]"], html=page)
    text = page.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert text.count('class="within"') == 144 - 48
    assert text.count("<rect") == 144
    map_ = heat_map([[0.0, 3.0, 10.0], [1e3, 1e5, 2.0]])
    colours = [cell["fill"] for cell in map_["cells"]]
    assert [bool(colour) for colour in colours] == [False, False, True, True, True, False]
    assert len(set(colours) - {""}) == 3


def test_json_and_html_are_written(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    page = tmp_path / "report.html"
    assert gradcheck_command(f"{source}:LayerNorm", input=["x=float64[3,4]"], json=True, html=page) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "differs"
    text = page.read_text(encoding="utf-8")
    assert "<svg" in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_an_unreadable_target_and_a_missing_file_are_bad_use(capsys: pytest.CaptureFixture[str]):
    assert gradcheck_command("nonsense") == 2
    assert gradcheck_command("absent.py:f") == 2
    assert gradcheck_command("no_such_package_at_all:f") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 3


def test_assert_gradients_fails_with_one_screen():
    x = {"x": torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4)}
    assert assert_gradients(torch.sin, {"input": x["x"]}).verdict == "agrees"

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.square()

        @staticmethod
        def backward(ctx, dy):
            return dy

    with pytest.raises(AssertionError, match="what to do") as caught:
        assert_gradients(Wrong.apply, x)
    assert fits(str(caught.value))


def fits(message: str) -> bool:
    """Whether a message fits a screen of 80 columns and 24 lines."""
    return sum(max(1, -(-len(line) // 80)) for line in message.splitlines()) <= 24


def crowded(count: int) -> GradientReport:
    """A report on `count` inputs with long names and wrong entries, findings of every status, a long guess and example."""
    name = "parameter a.rather.long.name.of.a.layer.number.{}.weight"
    entry = Entry(name.format(0), "[17, 3]", "y[4, 5, 6]", 1.23456789, -2.5, 1e-12)
    records = [
        InputEntries(
            name.format(k), (128, 64), "float64", 8192, "entries", 1e-9, wrong=(replace(entry, input=name.format(k)),) * 3,
            wrong_count=77 if k % 4 else 0, kinks=k % 2, unresolved=k % 3, reason="the slope does not settle " * 6,
        )
        for k in range(count)
    ]  # fmt: skip
    findings = [
        Finding("kind", status, "a sentence of some length " * 12) for status in ("note", "wrong", "unresolved")
    ]
    return GradientReport(
        "Target", "differs", tuple(records), tuple(findings) * 3, "a guess of many words " * 20, 0,
        "check_gradient(Target, inputs)", 1, 0.1, example="x" * 300,
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_a_report_of_much_that_is_wrong_fits_one_screen(count: int):
    text = crowded(count).summary("mend it")
    assert fits(text)
    assert "what to do: mend it" in text
    assert text.splitlines()[-1] == "  reproduce: check_gradient(Target, inputs)"
    assert "differs" in text.splitlines()[0]
    assert not fits(text + 24 * "\n")


def test_kinks_have_to_be_accepted():
    x = {"input": torch.zeros(2, dtype=torch.float64)}
    with pytest.raises(AssertionError, match="kink"):
        assert_gradients(torch.relu, x)
    assert assert_gradients(torch.relu, x, kinks=True).verdict == "kink"


def test_two_numbers_that_differ_never_print_alike():
    class Near(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 3.0 * x

        @staticmethod
        def backward(ctx, dy):
            return dy * (3.0 + 3e-9)

    report = check_gradient(Near.apply, {"x": torch.ones(2, dtype=torch.float64)})
    entry = report.entries[0].wrong[0]
    text = str(entry)
    assert text.split("gradient ")[1].split(",")[0] != text.split("measured ")[1].split(" ")[0]
