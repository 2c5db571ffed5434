"""The public names exist, are what they say, and cost nothing until they are used."""

import subprocess
import sys

import intriguing


def test_every_public_name_loads():
    for name in intriguing.__all__:
        assert getattr(intriguing, name).__name__ == name
    assert set(intriguing.__all__) <= set(dir(intriguing))


def test_importing_the_package_does_not_import_torch():
    code = "import sys, intriguing; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
