"""Options of a command from the parameters of its step: each is said once, where the step is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from darts_assets.commands.targets import UsageError
from darts_assets.terminal import teaching


def with_parameters(model: type[BaseModel], **helps: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one option for each field of a parameters model.

    Args:
        model: frozen parameters of a step; the description of a field is the help of its option.
        helps: help in place of a field's description.

    Returns:
        A decorator of a command whose keyword `parameters` is such a model; it is made of the options that were
        given, so that the model's own defaults and limits hold.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != "parameters"]
        options = [_option(name, field, helps.get(name)) for name, field in model.model_fields.items()]

        @wraps(command)
        def run(*args: Any, **given: Any) -> None:
            fields = {name: given.pop(name) for name in model.model_fields}
            with teaching():
                parameters = _made(model, fields)
            command(*args, **given, parameters=parameters)

        del run.__wrapped__  # typer would look behind it
        run.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *options)}
        return run

    return decorate


def _option(name: str, field: FieldInfo, help: str | None) -> inspect.Parameter:
    default = field.get_default(call_default_factory=True)
    said = help or field.description or ""
    if _is_mapping(field.annotation):
        said = f"{said}; NAME=VALUE, may be given more than once"
    if default not in (None, (), [], {}) and not isinstance(default, bool):
        said = f"{said} (default: {default})"
    if isinstance(default, bool):
        flag = f"--{name}/--no-{name}".replace("_", "-")
        option, annotation = typer.Option(flag, help=f"{said} (default: {'on' if default else 'off'})"), bool | None
    else:
        option, annotation = typer.Option(help=said), _typed(field.annotation)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[annotation, option]
    )


def _typed(annotation: Any) -> Any:
    """What typer takes for a field: lists for tuples, texts NAME=VALUE for mappings, and None for what is not given."""
    if get_origin(annotation) in (tuple, list):
        return list[get_args(annotation)[0]] | None  # type: ignore[misc]
    return list[str] | None if _is_mapping(annotation) else annotation | None


def _is_mapping(annotation: Any) -> bool:
    return get_origin(annotation) in (dict, Mapping)


def _made(model: type[BaseModel], given: dict[str, Any]) -> BaseModel:
    """The parameters; what was not given is as ever.

    Raises:
        UsageError: naming each option that does not fit.
    """
    given = {name: value for name, value in given.items() if value not in (None, [])}
    for name in given:
        if _is_mapping(model.model_fields[name].annotation):
            given[name] = dict(_pair(_flag((name,)), text) for text in given[name])
    try:
        return model(**given)
    except ValidationError as error:
        faults = [f"{_flag(fault['loc'])}: {fault['msg']}, received {fault['input']!r}" for fault in error.errors()]
        raise UsageError("; ".join(faults)) from error


def _pair(flag: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{flag}: expected NAME=VALUE, received {text!r}")
    return name, value


def _flag(place: tuple[int | str, ...]) -> str:
    """The option that a fault lies in; a fault of several together lies in none."""
    return f"--{place[0]}".replace("_", "-") if place else "These options"
