"""What a deployment may not say."""

import pytest

from services.core.errors import Invalid
from services.specs.deployments import OnlineDeployment
from services.specs.problems import checked


@pytest.mark.parametrize("path", ["/models", "/var/azureml-app/m", "/", "/var//x/./y", "/process"])
def test_a_model_is_put_anywhere_of_the_containers_own(path: str) -> None:
    assert checked(OnlineDeployment, {"model_mount_path": path}).model_mount_path == path


@pytest.mark.parametrize(
    "path",
    [
        *("models", "", "/a/../../studio", "/..", "/a\nb", "/a\0", "/" + "x" * 200),
        *("/proc", "//proc/x", "/./sys", "/dev/shm", "/studio/serve"),
    ],
)
def test_no_model_is_put_over_what_is_the_systems_or_ours(path: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked(OnlineDeployment, {"model_mount_path": path})
    assert refused.value.where == "model_mount_path"
