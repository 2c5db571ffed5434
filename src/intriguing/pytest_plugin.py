"""A pytest plugin: `@pytest.mark.min_distortion` asserts how near adversarial examples may be.

    @pytest.mark.min_distortion(0.02)
    def test_no_nearer_than_before():
        return model, images, labels

What such a test returns is attacked as by `intriguing.testing.assert_min_distortion`, whose other
arguments the mark takes as well. Found by pytest where the package is installed; torch is loaded
when the first such test runs.
"""

from typing import Any

import pytest

MARK = "min_distortion"


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(at_least, **settings): no adversarial example of what the test returns, (model, "
        "images, labels), is found nearer; see intriguing.testing.assert_min_distortion",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Call the test, and assert about what it returns."""
    mark = pyfuncitem.get_closest_marker(MARK)
    if mark is None:
        return None
    if len(mark.args) + ("at_least" in mark.kwargs) != 1:
        pytest.fail(f"give @pytest.mark.{MARK} one distortion, such as 0.02", pytrace=False)
    names = pyfuncitem._fixtureinfo.argnames
    given: Any = pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    if not isinstance(given, tuple) or len(given) != 3:
        pytest.fail(
            f"a test marked {MARK} returns (model, images, labels), not {type(given).__name__}",
            pytrace=False,
        )
    from intriguing.errors import InputError
    from intriguing.testing import assert_min_distortion

    try:
        assert_min_distortion(*given, *mark.args, **mark.kwargs)
    except (AssertionError, InputError) as error:
        pytest.fail(str(error), pytrace=False)
    return True
