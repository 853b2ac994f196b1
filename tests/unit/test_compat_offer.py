"""Which headers apt offers, by what its programs print; dpkg itself compares the versions."""

import pytest

from compat import offer
from compat.offer import Headers, Offer, newest_of_each, parse_needs, parse_offers
from kernel.apt_lists import Lists

MADISON = """\
linux-headers-7.3.4+deb13-amd64 | 7.3.4-1~bpo13+1 | http://m.invalid/d trixie-backports/main amd64 Packages
linux-headers-7.3-amd64 | 7.3~rc7-1~exp1 | http://m.invalid/d experimental/main amd64 Packages
linux-headers-6.12.9+deb13-amd64 |  6.12.9-1 | http://m.invalid/d trixie/main amd64 Packages
linux-headers-6.12.9+deb13-amd64 |  6.12.9-1 | http://m.invalid/s trixie-security/main amd64 Packages
linux-headers-6.12.10+deb13-amd64 | 6.12.10-1 | http://m.invalid/s trixie-security/main amd64 Packages
linux-headers-6.12.10+deb13-rt-amd64 | 6.12.10-1 | http://m.invalid/s trixie-security/main amd64 Packages
"""  # noqa: E501


def test_offers_are_read() -> None:
    offers = parse_offers(MADISON)

    assert len(offers) == 6
    assert offers[0] == Offer(
        "linux-headers-7.3.4+deb13-amd64", "7.3.4-1~bpo13+1", "trixie-backports"
    )


def test_newest_of_each_suite_series_and_flavour() -> None:
    suites = ("trixie", "trixie-security", "trixie-backports")

    found = newest_of_each(parse_offers(MADISON), suites)

    assert [(it.package.removeprefix("linux-headers-"), it.suite) for it in found] == [
        ("6.12.9+deb13-amd64", "trixie"),
        ("6.12.10+deb13-amd64", "trixie-security"),
        ("6.12.10+deb13-rt-amd64", "trixie-security"),
        ("7.3.4+deb13-amd64", "trixie-backports"),
    ]


def test_package_of_two_suites_is_listed_once() -> None:
    same = [Offer("linux-headers-7.2-amd64", "7.2-1", suite) for suite in ("b", "a")]

    assert newest_of_each(same, ("a", "b")) == [same[1]]


def test_release_candidate_is_older_than_the_release() -> None:
    both = [
        Offer("linux-headers-7.3-amd64", "7.3~rc7-1", "sid"),
        Offer("linux-headers-7.3.1-amd64", "7.3.1-1", "sid"),
    ]

    assert newest_of_each(both, ("sid",)) == [both[1]]
    assert newest_of_each(reversed(both), ("sid",)) == [both[1]]


def test_what_is_needed_to_compile() -> None:
    """Neither the kernel's image nor what installs it; exact versions stay exact."""
    text = (
        "linux-headers-6.12.9-common (= 6.12.9-1), linux-image-6.12.9-amd64 (= 6.12.9-1) | "
        "linux-image-6.12.9-amd64-unsigned (= 6.12.9-1), linux-kbuild-6.12.9, gcc-14 (>= 14.2), "
        "linux-base-6.12.9 (= 6.12.9-1)"
    )

    assert parse_needs(text) == (
        "linux-headers-6.12.9-common=6.12.9-1",
        "linux-kbuild-6.12.9",
        "gcc-14",
    )


def test_packages_that_only_lead_to_another_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real, meta = "linux-headers-6.12.9+deb12-amd64", "linux-headers-6.12-amd64"
    answers = {
        "pkgnames": f"{meta}\n{real}\nlinux-headers-6.12.9+deb12-common\n",
        "madison": "".join(
            f"{name} | 6.12.9-1 | http://m.invalid/d old/main amd64 Packages\n"
            for name in (meta, real)
        ),
        "show": f"Package: {meta}\nDepends: {real} (= 6.12.9-1)\n\n"
        f"Package: {real}\nDepends: {real.replace('amd64', 'common')}, gcc-12\n",
    }
    monkeypatch.setattr(
        offer,
        "output_of",
        lambda argv: answers[argv[1]] if argv[0] == "apt-cache" else "",
    )

    found = offer.headers(Lists(), ["old"])

    needs = ("linux-headers-6.12.9+deb12-common", "gcc-12")
    assert found == [Headers(real, "6.12.9-1", "old", (6, 12), needs)]
    assert found[0].release == "6.12.9+deb12-amd64"
