import io

from rich.console import Console

from intriguing.cli.progress import _lines, shown
from intriguing.measures import Progress


def test_lines_are_few_and_the_last_step_is_always_told():
    file = io.StringIO()
    now = [0.0]
    update = _lines(Console(file=file, width=20), clock=lambda: now[0])
    for step in range(1001):
        update(Progress("attacking a network with a long name", step, 1000))
        now[0] += 0.05
    lines = file.getvalue().splitlines()
    assert 4 <= len(lines) <= 8
    assert lines[-1] == "attacking a network with a long name: 1,000 of 1,000"


def test_brackets_in_a_stages_name_are_text():
    file = io.StringIO()
    _lines(Console(file=file))(Progress("mnist[P1]", 1, 1, "objective [red]"))
    assert "mnist[P1]: 1 of 1  objective [red]" in file.getvalue()


def test_bars_show_every_stage_in_a_terminal():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120)
    with shown(console) as progress:
        progress(Progress("train", 5, 10, "objective 0.3"))
        progress(Progress("attack", 1, 3))
        progress(Progress("train", 10, 10))
    assert "train" in file.getvalue()
    assert "10/10" in file.getvalue()
    assert "1/3" in file.getvalue()
