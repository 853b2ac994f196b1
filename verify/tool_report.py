"""What the tool in the guest says of a copy, among other lines that it and the kernel print."""

import json
from collections.abc import Iterator


def json_objects(output: str) -> Iterator[dict[str, object]]:
    """Yield the JSON objects that fill a line each; an empty one for a line that is damaged."""
    for line in output.splitlines():
        if not line.startswith("{"):
            continue
        try:
            yield json.loads(line)
        except ValueError:
            yield {}
