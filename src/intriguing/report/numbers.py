"""How values, intervals and shares are printed."""

import math

from intriguing.results.measured import Measurement, Unit


def number(value: float, unit: Unit) -> str:
    """A value as the tables print it, with its unit where the column does not say it.

    >>> number(7.4, "%"), number(100.0, "%"), number(0.0616, "distortion"), number(1284.2, "passes")
    ('7.4 %', '100 %', '0.0616', '1,284')
    >>> number(0.00312, "l2 more"), number(-0.41, "% more"), number(3.1e-7, "gap")
    ('+0.0031', '−0.41 %', '3.1e−7')
    >>> number(2.75, "norm"), number(2.528e7, "norm"), number(math.inf, "norm")
    ('2.750', '2.53e7', '∞')
    >>> number(0.87, "ratio"), number(1460.2, "ratio"), number(0, "images")
    ('0.870', '1,460', '0')
    """
    return _plain(value, unit) + (" %" if unit in ("%", "% more") else "")


def paper_number(value: float, unit: Unit) -> str:
    """A published value with no more digits than the paper gave.

    >>> paper_number(1.64, "%"), paper_number(0.1, "distortion"), paper_number(792792, "norm")
    ('1.64 %', '0.1', '792,792')
    """
    return f"{value:g} %" if unit == "%" else f"{value:,g}"


def interval(low: float | None, high: float | None, unit: Unit) -> str:
    """ "7.2–7.6", without the unit; empty when there is none.

    >>> interval(7.21, 7.6, "%"), interval(99.97, 100.0, "%"), interval(None, None, "%")
    ('7.2–7.6', '99.97–100', '')
    >>> interval(1.2, math.inf, "l2"), interval(-0.01, 0.02, "l2 more")
    ('1.2000–∞', '−0.0100 to +0.0200')
    """
    if low is None or high is None:
        return ""
    if unit == "%":
        digits = max(_digits(low), _digits(high))
        return "–".join(
            f"{end:.0f}" if end in (0, 100) else f"{end:.{digits}f}" for end in (low, high)
        )
    return (" to " if "more" in unit else "–").join(_plain(end, unit) for end in (low, high))


def percent(count: int, total: int) -> str:
    """A share of counts; "none" of nothing."""
    return number(100 * count / total, "%") if total else "none"


NEXT_TO_NOTHING = 1e-4
"""A share of the distance found below which a certificate says nothing of where examples begin."""


def share(ratio: float) -> str:
    """A share that may be tiny.

    >>> share(0.31), share(0.0123), share(2e-5)
    ('31 %', '1.23 %', '< 0.01 %')
    """
    percent = 100 * ratio
    if 0 < percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{short(percent)} %"


def proved_share(ratio: float) -> str:
    """What a certificate is worth beside the example found, in words where that is next to nothing.

    >>> proved_share(0.31)
    'which is 31 % of the distance found'
    >>> proved_share(2e-14)[:60]
    'and an example was found 5.0e13 times as far away: the bound'
    """
    if not 0 < ratio < NEXT_TO_NOTHING:
        return f"which is {share(ratio)} of the distance found"
    return (
        f"and an example was found {short(1 / ratio)} times as far away: the bound is true, but "
        "only the search says how near examples are"
    )


def short(value: float) -> str:
    """Three digits, in powers of ten where it is very small or large.

    >>> short(0.1234), short(3.1e-7)
    ('0.123', '3.1e−7')
    """
    if value == 0 or 1e-3 <= value < 1e4:
        return f"{value:.3g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def greys(distortion: float) -> str:
    """A change of a pixel as people see it."""
    return f"{255 * distortion:.2g} of 255 grey levels"


def sentence(text: str) -> str:
    """Words with a capital in front and a full stop behind."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _plain(value: float, unit: Unit) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if unit == "passes":
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    elif unit == "ms":
        shown = f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"
    elif unit == "gap":
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        shown = f"{mantissa}e{int(exponent)}" if value else "0"
    elif unit in ("norm", "ratio"):
        shown = _significant(value, 4 if unit == "norm" else 3)
    elif unit in ("share", "cosine", "bits"):
        shown = f"{value:.3f}"
    elif unit == "images":
        shown = f"{value:,.0f}"
    else:
        decimals = {"%": _digits(value), "% more": 2}.get(unit, 4)
        shown = f"{value:{'+' if 'more' in unit else ''}.{decimals}f}"
    return shown.replace("-", "−")


def _significant(value: float, digits: int) -> str:
    if value >= 1e6 or 0 < value < 1e-3:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:#.{digits}g}".rstrip(".")


def _digits(percent: float) -> int:
    """Two decimals near 0 and 100, where one would hide the interval; none where it is exact."""
    if percent in (0.0, 100.0):
        return 0
    return 2 if percent < 2 or percent > 99 else 1


def points_more(row: Measurement) -> str:
    """A difference in percentage points, with its interval.

    >>> from intriguing.results.measured import Metric
    >>> points_more(Measurement("transfer-net", Metric.ERROR_DIFFERENCE, "% more", 2.0, 1.0, 3.0))
    '+2.0 [+1.0, +3.0] percentage points'
    """
    span = "" if row.low is None else f" [{row.low:+.1f}, {row.high:+.1f}]"
    return f"{row.value:+.1f}{span} percentage points".replace("-", "−")
