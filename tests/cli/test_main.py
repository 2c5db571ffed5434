import errno
import os
import subprocess
import sys

import pytest

from intriguing.cli import report as report_verb
from intriguing.cli.main import VERBS, main
from intriguing.errors import InputError
from intriguing.files import explained
from tests.report.sample import write_sample


def interpreter(*arguments, **keywords):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, **keywords
    )


def children_seconds():
    """Processor time of finished child processes, whatever else the machine does."""
    times = os.times()
    return times.children_user + times.children_system


def test_help_names_every_verb_in_under_a_second_without_torch():
    before = children_seconds()
    done = interpreter("-X", "importtime", "-m", "intriguing", "--help")
    assert children_seconds() - before < 1.0
    assert done.returncode == 0
    assert all(f"  {verb} " in done.stdout for verb in VERBS)
    assert "torch" not in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_each_verbs_help_has_examples_and_needs_no_torch(verb):
    program = (
        "import sys\nfrom intriguing.cli.main import main\n"
        f"try:\n    main([{verb!r}, '--help'])\nexcept SystemExit as end:\n"
        "    assert not end.code\nassert 'torch' not in sys.modules"
    )
    done = interpreter("-c", program)
    assert done.returncode == 0, done.stderr
    assert f"  intriguing {verb}" in done.stdout


def test_an_unknown_verb_is_answered_with_the_known_ones(capsys):
    assert main(["atack"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("intriguing: unknown verb 'atack'")
    assert all(verb in error for verb in VERBS)


def test_no_arguments_show_the_help(capsys):
    assert main([]) == 0
    assert "intriguing doctor" in capsys.readouterr().out


def test_version_is_the_packages(capsys):
    from intriguing import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"intriguing {__version__}\n"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "run the same command again to continue"),
        (InputError("images lie in [0, 255]; divide by 255"), 2, "divide by 255"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/nowhere"), 1, "/nowhere"),
    ],
)
def test_what_goes_wrong_becomes_one_message_and_an_exit_code(
    monkeypatch, capsys, tmp_path, error, code, words
):
    def fail(folder):
        raise error

    monkeypatch.setattr(report_verb, "finish", fail)
    assert main(["report", str(tmp_path)]) == code
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert complaint.startswith("intriguing: ")
    assert words in complaint


def test_a_disk_that_fills_while_results_are_written_exits_1(monkeypatch, capsys, tmp_path):
    def fail(folder):
        full = OSError(errno.ENOSPC, "No space left on device")
        raise explained(full, tmp_path / "run.json") from full

    monkeypatch.setattr(report_verb, "finish", fail)
    assert main(["report", str(tmp_path)]) == 1
    assert "full" in capsys.readouterr().err


def test_a_mistake_in_the_program_keeps_its_traceback(monkeypatch, tmp_path):
    def fail(folder):
        raise ZeroDivisionError

    monkeypatch.setattr(report_verb, "finish", fail)
    with pytest.raises(ZeroDivisionError):
        main(["report", str(tmp_path)])


def test_wrong_options_exit_2():
    for arguments in (["report"], ["report", "a", "b"], ["reproduce", "--scale", "huge"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2


def test_what_cannot_be_reproduced_is_named_with_what_can(capsys):
    assert main(["reproduce", "table9"]) == 2
    said = capsys.readouterr().err
    assert "table9 cannot be reproduced; choose from table1, table2" in said
    assert "Traceback" not in said


def test_report_draws_and_says_where(tmp_path, capsys):
    write_sample(tmp_path, "transfer")
    assert main(["report", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert str(tmp_path / "report" / "index.html") in shown
    assert "Distorted for FC10(1e-2)" in shown


def test_report_of_another_schema_version_names_it(tmp_path, capsys):
    write_sample(tmp_path, "train")
    path = tmp_path / "run.json"
    path.write_text(path.read_text().replace('"schema_version": 5', '"schema_version": 9'))
    assert main(["report", str(tmp_path)]) == 2
    assert "schema version 9" in capsys.readouterr().err
