"""YAML file -> dataclass, with every mistake named before the first step."""

import re
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TypeVar, get_origin, get_type_hints

import yaml

T = TypeVar("T")
EXPONENT = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")  # 5e-5, which YAML 1.1 takes for text for want of a point


def load_config(cls: type[T], path: str | Path) -> T:
    """Read a YAML mapping into the dataclass `cls`; keys that are left out keep their defaults.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown key, a value of the wrong type, or no mapping; the message says which.
    """
    with open(path, encoding="utf-8") as file:
        return build(cls, yaml.safe_load(file) or {}, str(path))


def require_at_least_one(config: object, *names: str) -> None:
    """
    Raises:
        ValueError: one of these settings of a dataclass is less than 1.
    """
    for name in names:
        if (value := getattr(config, name)) < 1:
            raise ValueError(f"{name}: expected 1 or more, found {value}")


def build(cls: type[T], values: dict, where: str) -> T:
    """The dataclass `cls` from a mapping, dataclass fields included."""
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a mapping of settings, found {type(values).__name__}")
    hints = get_type_hints(cls)
    known = {field.name for field in fields(cls)}
    for key in values:
        if key not in known:
            raise ValueError(f"{where}: unknown setting '{key}'; known: {', '.join(sorted(known))}")
    needed = (field for field in fields(cls) if field.default is MISSING and field.default_factory is MISSING)
    if missing := [field.name for field in needed if field.name not in values]:
        raise ValueError(f"{where}: missing: {', '.join(missing)}")
    return cls(**{key: _convert(hints[key], value, f"{where}: {key}") for key, value in values.items()})


def _convert(hint: type, value: object, where: str) -> object:
    if is_dataclass(hint):
        return build(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and EXPONENT.fullmatch(value):
        return float(value)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where}: expected a list, found {value!r}")
        return tuple(_convert(hint.__args__[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if hint in (int, float, str, bool) and type(value) is not hint:
        raise ValueError(f"{where}: expected {hint.__name__}, found {value!r}")
    return value
