"""Read ``name=value`` words the way doit does, and turn all of them into Settings."""

from collections.abc import Mapping, Sequence

from host.errors import SettingError
from settings.model import SETTINGS, Setting, Settings
from settings.parse import Root, unknown


def assignments(argv: Sequence[str]) -> dict[str, str]:
    """Return the ``name=value`` words of a doit command line (doit's own rule for them)."""
    words = (word for word in argv if not word.startswith("-") and "=" in word)
    return dict(word.split("=", 1) for word in words)


def read_settings(given: Mapping[str, str], root: Root) -> Settings:
    """Return all settings, the given ones checked and the others at their defaults.

    Raises:
        SettingError: an unknown name or an unusable value; the message has the valid ones.
    """
    known = {setting.name: setting for setting in SETTINGS}
    for name in given:
        if name not in known:
            raise unknown("setting", name, known)
    values = {
        setting.name: _value(setting, given.get(setting.name, setting.default), root)
        for setting in SETTINGS
    }
    return Settings(**values)  # type: ignore[arg-type]


def _value(setting: Setting, text: str, root: Root) -> object:
    try:
        return setting.parse(text, root)
    except SettingError as error:
        raise SettingError(f"{setting.name}={text}: {error.message}", hint=error.hint) from error


def show(given: Mapping[str, str]) -> None:
    """Print the table of all settings for people, with the values that are in force."""
    import textwrap  # not at every start of doit

    for setting in SETTINGS:
        value = given.get(setting.name, setting.default)
        print(f"{setting.name}={value}")
        if value != setting.default:
            print(f"    (default: {setting.default or 'empty'})")
        print(textwrap.fill(setting.help, 80, initial_indent=" " * 4, subsequent_indent=" " * 4))
