"""From the text of a setting to its value, or to one SettingError that names the choices."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from host.errors import SettingError
from settings.paths import expanded

YES = ("1", "yes", "true", "on")
NO = ("0", "no", "false", "off")
BASE = "p2pdma"  # the fragment that every kernel is built with; nobody has to name it


@dataclass(frozen=True)
class Root:
    """Where names are looked up.

    Attributes:
        configs: the project's ``configs`` folder.
        invoked_from: the user's current directory; relative paths start here.
    """

    configs: Path
    invoked_from: Path


def unknown(what: str, given: str, known: Iterable[str]) -> SettingError:
    """Return the error for a name that is not among ``known``, with the nearest ones suggested."""
    import difflib  # not at every start of doit

    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    return SettingError(
        f"unknown {what} {given!r}.{guess}", hint=f"there are: {', '.join(names) or 'none'}"
    )


def choice(*values: str) -> Callable[[str, Root], str]:
    """Return a parser that accepts just these words."""

    def parse(text: str, _root: Root) -> str:
        if text not in values:
            raise unknown("value", text, values)
        return text

    return parse


def stem_of(folder: str, *others: str) -> Callable[[str, Root], str]:
    """Return a parser for the name of a TOML file in ``configs/<folder>``, or another word."""

    def parse(text: str, root: Root) -> str:
        known = [*others, *(path.stem for path in (root.configs / folder).glob("*.toml"))]
        if text not in known:
            raise unknown("value", text, known)
        return text

    return parse


def kernel(text: str, root: Root) -> str:
    """Return a kernel's name as it is, or a path to a kernel tree made absolute."""
    if "/" in text or text in (".", ".."):
        return str(_path(text, root).resolve())
    if not text:
        raise SettingError("the value is empty", hint="give auto, a kernel's name or a path")
    return text


def fragments(text: str, root: Root) -> tuple[Path, ...]:
    """Return the absolute paths of existing Kconfig fragments.

    Each word is the name of a fragment in ``configs`` (without ``.config``) or a path.
    """
    shipped = {path.stem: path for path in root.configs.glob("*.config")}
    shipped.pop(BASE, None)
    return tuple(_fragment(word, shipped, root) for word in text.split(",") if word)


def _fragment(word: str, shipped: Mapping[str, Path], root: Root) -> Path:
    if word in shipped:
        return shipped[word].resolve()
    path = _path(word, root)
    if path.is_file():
        return path.resolve()
    if "/" in word or "." in word:
        raise SettingError(
            f"no such file: {path}",
            hint=f"give paths of Kconfig fragments, or names: {', '.join(sorted(shipped))}",
        )
    raise unknown("fragment", word, shipped)


def trees(text: str, root: Root) -> tuple[Path, ...]:
    """Return the absolute paths of existing directories, each once."""
    paths = [_path(word, root) for word in text.split(",") if word]
    for path in paths:
        if not path.is_dir():
            raise SettingError(f"no such directory: {path}", hint="give paths of kernel trees")
    return tuple(dict.fromkeys(path.resolve() for path in paths))


def existing(text: str, root: Root) -> Path | None:
    """Return the absolute path of a file or folder that is there; None for an empty text."""
    if not text:
        return None
    path = _path(text, root)
    if not path.exists():
        raise SettingError(f"there is no {path}", hint="relative paths start where you are")
    return path.resolve()


def existing_file(what: str) -> Callable[[str, Root], Path | None]:
    """Return a parser for a file that is there; None for an empty text."""

    def parse(text: str, root: Root) -> Path | None:
        path = existing(text, root)
        if path is not None and not path.is_file():
            raise SettingError(f"{path} is no file", hint=f"give {what}")
        return path

    return parse


def source_folder(*makefiles: str) -> Callable[[str, Root], Path | None]:
    """Return a parser for a folder with at least one of these files; None for an empty text."""

    def parse(text: str, root: Root) -> Path | None:
        path = existing(text, root)
        if path is None:
            return None
        if not path.is_dir():
            raise SettingError(f"{path} is no folder", hint="give the folder of the sources")
        if not any((path / name).is_file() for name in makefiles):
            raise SettingError(
                f"{path} has no {' and no '.join(makefiles)}",
                hint="give the folder in which `make` is called",
            )
        return path

    return parse


def _path(text: str, root: Root) -> Path:
    return root.invoked_from / expanded(text)


def one_word(text: str, _root: Root) -> str:
    """Return a word that can stand on QEMU's command line."""
    if text and not all(sign.isalnum() or sign in "-_.,+=" for sign in text):
        raise SettingError(
            f"{text!r} is not a name that QEMU can take",
            hint="qemu-system-x86_64 -cpu help lists them",
        )
    return text


def positive(text: str, _root: Root) -> int:
    """Return a whole number of at least 1."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise SettingError(
            f"{text!r} is not a whole number of at least 1", hint="write it in digits: 1, 2, 3 ..."
        )
    return int(text)


def patterns(text: str, _root: Root) -> tuple[str, ...]:
    """Return the patterns of a list that is separated by commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def whole(text: str, _root: Root) -> int:
    """Return a whole number, perhaps 0."""
    if not (text.isascii() and text.isdigit()):
        raise SettingError(
            f"{text!r} is not a whole number", hint="write it in digits: 0, 1, 2 ..."
        )
    return int(text)


def flag(text: str, _root: Root) -> bool:
    """Return the truth of yes/no, 1/0, true/false, on/off."""
    if text.lower() in YES:
        return True
    if text.lower() in NO:
        return False
    raise unknown("value", text, (*YES, *NO))
