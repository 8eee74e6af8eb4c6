"""The command line `atelier`: the cloud's grammar, `noun verb --flags`, over REST to the running studio."""

import io
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.core import TyperGroup

from app.cli import common, printing
from services.core.errors import AtelierError

INTERRUPTED = 130


def tree() -> TyperGroup:
    """The whole tree. Nouns are imported here, their slow parts when a command runs."""
    from app.cli import (
        batch_deployments,
        batch_endpoints,
        components,
        config,
        data,
        datastores,
        environments,
        jobs,
        keys,
        lineage,
        metrics,
        mlflow_import,
        models,
        online_deployments,
        online_endpoints,
        runs,
        schemas,
        secrets,
        studio,
        validate,
        workspaces,
    )

    app = typer.Typer(
        name="atelier",
        help="A machine-learning studio that a team hosts on its own machines.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def everywhere(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Says which release this is.")
        ] = False,
    ) -> None:
        """A machine-learning studio that a team hosts on its own machines."""

    studio.add_to(app)
    validate.add_to(app)
    for noun, part in (
        ("workspace", workspaces),
        ("job", jobs),
        ("data", data),
        ("datastore", datastores),
        ("component", components),
        ("environment", environments),
        ("model", models),
        ("batch-endpoint", batch_endpoints),
        ("batch-deployment", batch_deployments),
        ("online-endpoint", online_endpoints),
        ("online-deployment", online_deployments),
        ("lineage", lineage),
        ("run", runs),
        ("metrics", metrics),
        ("secret", secrets),
        ("keys", keys),
        ("schema", schemas),
        ("config", config),
    ):
        app.add_typer(part.app, name=noun)
    app.add_typer(mlflow_import.importing, name="import")
    app.add_typer(mlflow_import.exporting, name="export")
    made = typer.main.get_command(app)
    assert isinstance(made, TyperGroup)  # noqa: S101 (it has nouns)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit codes: 0 done, 1 failed, 2 invalid, 3 not found, 4 denied, 5 conflict, 6 no answer, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _speakable()
    try:
        nouns = tree()
        given = common.taken(nouns, words)
        code = nouns.main(args=given, prog_name="atelier", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it leaves
        sys.exit(1)
    except typer.Abort:
        sys.exit(INTERRUPTED)
    except typer.TyperException as wrong:
        _explained(wrong)
        sys.exit(wrong.exit_code)
    except AtelierError as error:
        printing.fail(error.message, code=error.code, where=error.where, hint=error.hint, details=error.details)
        _debugged()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as bug:  # noqa: BLE001 (the outermost place: never a traceback unless asked for)
        printing.fail(
            f"This is a fault of ours: {type(bug).__name__}: {bug}", code="InternalError", hint="--debug says more."
        )
        _debugged()
        sys.exit(1)


def _explained(wrong: typer.TyperException) -> None:
    """A noun without a verb shows what there is; everything else is said with the way to find out."""
    context = getattr(wrong, "ctx", None)
    if type(wrong).__name__ == "NoArgsIsHelpError":
        print(context.get_help() if context is not None else wrong.format_message())
        return
    usage = f"'{context.command_path} --help' shows what there is." if context is not None else ""
    said = re.sub(r" \(Possible options: ([^,)]+).*\)", r". Did you mean '\1'?", wrong.format_message()).rstrip()
    printing.fail(said if said.endswith((".", "?")) else f"{said}.", code="Invalid", hint=usage)


def _speakable() -> None:
    """A terminal that is not UTF-8 gets what it can show, and no error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("atelier-studio"))
        raise typer.Exit


def _debugged() -> None:
    if common.chosen.debug or os.environ.get("ATELIER_DEBUG"):
        import traceback

        traceback.print_exc()
