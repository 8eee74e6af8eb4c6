"""The map of screens: names, icons, sections, and the only place where addresses are made."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Screen:
    """`section` is where the side bar shows it; a screen without one is reached from `parent`."""

    name: str
    title: str
    icon: str
    section: str = ""
    parent: str = ""
    in_workspace: bool = True

    @property
    def path(self) -> Path:
        return ROOT / "pages" / f"{self.name}.py"


SCREENS = {
    screen.name: screen
    for screen in (
        Screen("home", "Home", "home", section="top"),
        Screen("jobs", "Jobs", "play_circle", section="Assets"),
        Screen("new_job", "New job", "add", parent="jobs"),
        Screen("job", "Job", "play_circle", parent="jobs"),
        Screen("data", "Data", "database", section="Assets"),
        Screen("new_data", "New data asset", "add", parent="data"),
        Screen("data_asset", "Data asset", "database", parent="data"),
        Screen("datastores", "Datastores", "storage", section="Assets"),
        Screen("datastore", "Datastore", "storage", parent="datastores"),
        Screen("experiments", "Experiments", "science", section="Assets"),
        Screen("experiment", "Experiment", "science", parent="experiments"),
        Screen("runs", "Runs", "query_stats", section="Assets"),
        Screen("run", "Run", "query_stats", parent="runs"),
        Screen("components", "Components", "widgets", section="Assets"),
        Screen("component", "Component", "widgets", parent="components"),
        Screen("environments", "Environments", "deployed_code", section="Assets"),
        Screen("environment", "Environment", "deployed_code", parent="environments"),
        Screen("models", "Models", "model_training", section="Assets"),
        Screen("new_model", "Register model", "add", parent="models"),
        Screen("model", "Model", "model_training", parent="models"),
        Screen("endpoints", "Endpoints", "api", section="Assets"),
        Screen("new_endpoint", "New endpoint", "add", parent="endpoints"),
        Screen("endpoint", "Endpoint", "api", parent="endpoints"),
        Screen("batch_endpoint", "Batch endpoint", "dataset", parent="endpoints"),
        Screen("lineage", "Lineage", "account_tree", section="Assets"),
        Screen("compare", "Compare runs", "compare_arrows", parent="runs"),
        Screen("compute", "Compute", "memory", section="Manage"),
        Screen("workspaces", "Workspaces", "layers", section="Manage", in_workspace=False),
    )
}
SECTIONS = ("top", "Assets", "Manage")


def href(screen: str, **parameters: object) -> str:
    """Address of a screen; parameters that are empty or None are left out."""
    path = "/" if screen == "home" else f"/{screen}"
    kept = {key: str(value) for key, value in parameters.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(kept)}" if kept else path


def shown_as(screen: str) -> str:
    """The side bar's line that is marked while `screen` is open."""
    return SCREENS[screen].parent or screen
