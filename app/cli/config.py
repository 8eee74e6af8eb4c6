"""atelier config …"""

import difflib
import json
import os
from typing import Annotated

import typer

from app.cli import common, printing
from services.core.errors import Invalid

app = typer.Typer(help="Defaults for this home, such as the workspace.", no_args_is_help=True)
KEYS = {
    "workspace": "the workspace of commands that name none",
    "endpoint": "the studio's address, when it is not on this home",
    "host": "where the studio listens",
    "port": "on which port",
    "engine": "auto, docker or process",
    "profile": "compat, standard or strict: how containers are hardened",
    "public_url": "the address by which people reach the studio",
    "behind_proxy": "whether a proxy with TLS stands in front",
    "allowed_hosts": "further names by which the studio may be called",
    "allowed_url_hosts": "hosts inside of the network that jobs' URLs may name",
    "data_roots": "folders, by comma, below which datastores may be registered",
    "parallel_jobs": "how many jobs run at once",
    "parallel_starts": "how many containers start at once",
    "job_memory": "the memory limit of jobs that name none, such as 4g",
    "stop_grace": "seconds between TERM and KILL",
    "gateway_host": "where the gateway listens for scoring requests; on loopback when left out",
    "gateway_port": "on which port; 0 is 8510, or a free one where that is taken",
    "gateway_public_url": "the address by which callers reach the gateway",
    "smtp_url": "the mail server for alerts, such as smtps://user:password@host:465",
    "smtp_from": "who alerts by mail come from",
    "native_metrics": "whether many points at once are written into MLflow's own database, not through its door; off",
    "thin_archived_after_days": "days after which what was archived keeps 2,000 points a line; 0 is never",
    "log_level": "how much the studio logs",
}


@app.command("set")
def set_(values: Annotated[list[str], typer.Argument(help="key=value …")]) -> None:
    """Sets defaults: atelier config set workspace=NAME"""
    config = common.configured()
    for word in values:
        key, equals, value = word.partition("=")
        if not equals:
            raise Invalid(f"'{word}' is not key=value.", hint="Write: atelier config set workspace=NAME")
        if key not in KEYS:
            close = difflib.get_close_matches(key, KEYS, n=1)
            meant = f"Did you mean '{close[0]}'?" if close else f"Known: {', '.join(KEYS)}."
            raise Invalid(f"'{key}' is not a setting.", hint=meant)
        if value:
            config[key] = value
        else:
            config.pop(key, None)
    path = common.home() / "config.toml"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in sorted(config.items()))
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)  # noqa: PTH105 (atomic)


@app.command("list")
def listed() -> None:
    """Lists what was set."""
    config = common.configured()
    rows = [{"key": key, "value": config[key], "meaning": KEYS.get(key, "")} for key in sorted(config)]
    printing.show(rows, ("key", "value", "meaning"))
