"""The images of deployments made ready: the environment's, and a thin layer on it with what our server needs."""

from collections.abc import Sequence
from typing import Any

from services import environments
from services.core.errors import NotFound
from services.engines.containers import Engine, Image
from services.environments import Layer
from services.reconcile import builds
from services.specs import servers
from services.store.rows import Asset, Build, Event
from services.store.serving import Deployment, Endpoint
from services.studio import SYSTEM, Studio

BUILDING = "Building the environment"
_MLFLOW = frozenset({"mlflow", "mlflow-skinny"})


class Images:
    """What replicas of a generation are started from is kept in the deployment's row once it is here."""

    def __init__(self, studio: Studio, engine: Engine, token: str) -> None:
        self.studio, self.engine, self.token = studio, engine, token

    def prepared(self, deployment: Deployment, generation: int) -> bool:
        """False while something is being built. Raises what a failed build said."""
        kept = dict(deployment.launches.get(str(generation)) or _new(deployment))
        with self.studio.scope(SYSTEM) as scope:
            environment = scope.session.get(Asset, kept["environment_id"])
        if environment is None:
            raise NotFound("The deployment's environment is not there any more.")
        kept["inference"] = environment.spec.get("inference_config") or {}
        image, build = self._made(deployment, generation, kept, environment, None)
        if image is None:
            return False
        base, extra = image, self._extra(kept, environment, build)
        if extra:
            layer = Layer(image.reference, image.digest, extra)
            image, build = self._made(deployment, generation, kept, environment, layer)
            if image is None:
                return False
        kept |= {"image": image.reference, "digest": image.digest, "base": base.reference}
        return self._keep(deployment, generation, kept, build, f"Image '{image.reference}' is here")

    def lost(self, deployment: Deployment, generation: int) -> None:
        """Somebody took the image away: it is made ready again."""
        kept = {key: value for key, value in deployment.launches[str(generation)].items() if key != "image"}
        self._keep(deployment, generation, {**kept, "builds": []}, None)

    def fetched(self, deployment: Deployment, generation: int) -> None:
        """The model was brought here once: a store that does not answer later holds up no restart."""
        kept = {**deployment.launches[str(generation)], "fetched": True}
        if self._keep(deployment, generation, kept, None):
            deployment.launches = {**deployment.launches, str(generation): kept}

    def _made(
        self, deployment: Deployment, generation: int, kept: dict[str, Any], environment: Asset, layer: Layer | None
    ) -> tuple[Image | None, Build]:
        wish = (
            environments.layered(self.studio, environment, layer)
            if layer is not None
            else environments.wish(self.studio, environment)
        )
        image = self.engine.image(wish)
        with self.studio.scope(SYSTEM, write=True) as scope:
            if image is not None:
                build = builds.there(self.studio, scope.session, environment, self.engine.kind, image, layer)
            else:
                waited = kept.get("builds", [])
                build = builds.asked(scope.session, environment, self.engine.kind, waited=waited, layer=layer)
            scope.session.expunge(build)
        if image is None and build.status in {"Failed", "Canceled"}:
            raise builds.failure(build)
        if image is None and build.id not in kept.get("builds", []):
            kept["builds"] = [*kept.get("builds", []), build.id]
            self._keep(deployment, generation, kept, build)
        return image, build

    def _extra(self, kept: dict[str, Any], environment: Asset, build: Build) -> tuple[str, ...]:
        """What the environment lacks of what the server needs."""
        server = str(kept["resolved"].get("server") or "script")
        if server not in {"script", "mlflow"}:
            return ()
        listed = build.packages or environments.wish(self.studio, environment).requirements
        names = {servers.package_name(each) for each in listed}
        return tuple(each for each in _needed(server, names) if servers.package_name(each) not in names)

    def _keep(
        self, deployment: Deployment, generation: int, kept: dict[str, Any], build: Build | None, said: str = ""
    ) -> bool:
        """False when the deployment is another's by now, or wants another generation."""
        with self.studio.scope(SYSTEM, write=True) as scope:
            row = scope.session.get(Deployment, deployment.id)
            if (
                row is None
                or row.lock_token != self.token
                or generation not in {row.generation, row.serving_generation}
            ):
                return False
            wanted = {str(row.generation), str(row.serving_generation)}
            launches = {key: each for key, each in row.launches.items() if key in wanted}
            row.launches = {**launches, str(generation): kept}
            if build is not None:
                row.build_id = build.id
            if generation == row.generation:
                row.message = "" if kept.get("image") else BUILDING
                row.image, row.digest = str(kept.get("image") or ""), str(kept.get("digest") or "")
            endpoint = scope.session.get(Endpoint, row.endpoint_id)
            if said and endpoint is not None:
                scope.session.add(
                    Event(
                        principal=SYSTEM.name,
                        workspace_id=row.workspace_id,
                        kind="deployment",
                        name=f"{endpoint.name}/{row.name}",
                        message=said,
                        reason="Pulled",
                    )
                )
            scope.session.add(row)
        return True


def _new(deployment: Deployment) -> dict[str, Any]:
    return {
        "spec": deployment.spec,
        "resolved": deployment.resolved,
        "environment_id": deployment.environment_id,
        "snapshot_id": deployment.snapshot_id,
        "builds": [],
    }


def _needed(server: str, names: set[str]) -> Sequence[str]:
    is_lacking = server == "mlflow" and names.isdisjoint(_MLFLOW)
    return (*servers.REQUIREMENTS, *(("mlflow",) if is_lacking else ()))
