"""Stands in for dpkg-query(1): -S with literal patterns, -W with a form, on dpkg's own files."""

import os
import re
import sys
from pathlib import Path

ADMIN = Path(os.environ["DPKG_ADMINDIR"])


def stanzas() -> dict[str, dict[str, str]]:
    """Return the fields of every package, by its name (with the architecture if that is needed)."""
    found = {}
    for text in (ADMIN / "status").read_text().split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", text, re.M))
        if fields:
            same = fields.get("Multi-Arch") == "same"
            arch = f":{fields['Architecture']}" if same else ""
            found[fields["Package"] + arch] = fields
    return found


def diversions() -> list[tuple[str, str, str]]:
    """Return (from, to, by)."""
    path = ADMIN / "diversions"
    lines = path.read_text().splitlines() if path.exists() else []
    return list(zip(lines[::3], lines[1::3], lines[2::3], strict=True))


def search(patterns: list[str]) -> int:
    """Print who owns each path."""
    code = 0
    for pattern in patterns:
        wanted = re.sub(r"\\(.)", r"\1", pattern)
        lines = []
        for origin, target, by in diversions():
            if wanted in (origin, target):
                who = "local diversion" if by == ":" else f"diversion by {by}"
                lines += [f"{who} from: {origin}", f"{who} to: {target}"]
        files = {name: (ADMIN / f"info/{name}.list").read_text().split("\n") for name in stanzas()}
        names = [name for name in files if wanted in files[name]]
        # No order is promised, and the real one's is not the alphabet's.
        lines += [f"{', '.join(sorted(names, reverse=True))}: {wanted}"] if names else []
        if not lines:
            print(f"dpkg-query: no path found matching pattern {pattern}", file=sys.stderr)
            code = 1
        print(*lines, sep="\n", end="\n" if lines else "")
    return code


def show(form: str, names: list[str]) -> int:
    """Print the fields of packages."""
    code = 0
    known = stanzas()
    for name in names:
        found = [key for key in known if name in (key, key.partition(":")[0])]
        if not found:
            print(f"dpkg-query: no packages found matching {name}", file=sys.stderr)
            code = 1
        for key in found:
            print(filled(form, key, known[key]), end="")
    return code


def filled(form: str, key: str, fields: dict[str, str]) -> str:
    """Return the form with the fields of one package."""
    source = re.fullmatch(r"(\S+)(?: \((.+)\))?", fields.get("Source", fields["Package"]))
    assert source
    values = {
        **fields,
        "binary:Package": key,
        "db:Status-Status": fields["Status"].split()[-1],
        "source:Package": source[1],
        "source:Version": source[2] or fields["Version"],
    }
    text = re.sub(r"\$\{([^}]+)\}", lambda match: values.get(match[1], ""), form)
    return text.replace("\\t", "\t").replace("\\n", "\n")


if __name__ == "__main__":
    if os.environ.get("LC_ALL") != "C":
        sys.exit("the words of dpkg-query are translated")
    with (ADMIN / "calls").open("a") as calls:
        calls.write(f"{sys.argv[1]}\n")
    if sys.argv[1] == "-S":
        sys.exit(search(sys.argv[2:]))
    sys.exit(show(sys.argv[2].removeprefix("--showformat="), sys.argv[3:]))
