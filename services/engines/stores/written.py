"""From a datastore as people write it to the place that is meant and what opens it there."""

import base64
import binascii
import hashlib

from services.core.errors import EngineError, Invalid
from services.engines.stores import specs as places
from services.engines.stores.specs import Credentials, StoreSpec
from services.specs import datastores as written
from services.specs.datastores import Datastore


def place(spec: Datastore, name: str) -> StoreSpec:
    """Raises Invalid for a host key that is none."""
    match spec:
        case written.Folder():
            return places.Folder(name, spec.path)
        case written.S3():
            return places.S3(
                name, spec.bucket, prefix=spec.prefix, endpoint=spec.endpoint or "", region=spec.region or "us-east-1"
            )
        case written.Gcs():
            return places.GoogleStorage(name, spec.bucket, prefix=spec.prefix, endpoint=spec.endpoint or "")
        case written.AzureBlob():
            return places.AzureBlob(name, spec.account_name, spec.container_name, endpoint=_account_url(spec))
        case written.AzureDataLakeGen2():
            return places.AzureBlob(name, spec.account_name, spec.filesystem, endpoint=_account_url(spec))
        case written.AzureFile():
            return places.AzureFile(name, spec.account_name, spec.file_share_name)
        case written.AzureDataLakeGen1():
            return places.DataLakeGen1(name, spec.store_name)
        case written.Sftp():
            user = getattr(spec.credentials, "username", None) or spec.username or ""
            shown = fingerprint(spec.host_key) if spec.host_key else ""
            return places.Sftp(name, spec.host, user, root=spec.path, port=spec.port, fingerprint=shown)
        case written.Http():
            return places.Web(name, spec.url)


def credentials(spec: Datastore, name: str) -> Credentials | None:
    """Raises EngineError for a way to sign in that nothing here speaks."""
    match getattr(spec, "credentials", None):
        case written.AccountKey() as key:
            return places.AccountKey(key.account_key.get_secret_value())
        case written.SasToken() as sas:
            return places.SasToken(sas.sas_token.get_secret_value())
        case written.ServicePrincipal() as app:
            return places.ServicePrincipal(app.tenant_id, app.client_id, app.client_secret.get_secret_value())
        case written.AccessKey() as pair:
            token = pair.session_token.get_secret_value() if pair.session_token else ""
            return places.AccessKey(pair.access_key_id, pair.secret_access_key.get_secret_value(), token)
        case written.ServiceAccount() as account:
            return places.ServiceAccount(account.service_account_key.get_secret_value())
        case written.Password() as password:
            return places.Password(password.password.get_secret_value(), password.username or "")
        case written.PrivateKey() as private:
            phrase = private.passphrase.get_secret_value() if private.passphrase else ""
            return places.PrivateKey(private.private_key.get_secret_value(), phrase)
        case None:
            return None
        case other:
            raise EngineError(
                f"Datastore '{name}' signs in by {kind(other)}, which is not spoken from here.",
                hint="Update its authentication to another kind.",
            )


def kind(found: object) -> str:
    """How somebody signs in, in a word of ours."""
    return _KINDS[type(found)]


def fingerprint(host_key: str) -> str:
    """Of a public key as `ssh-keyscan` or a `.pub` file writes it; a fingerprint stays what it is. Raises Invalid."""
    if host_key.startswith("SHA256:"):
        return host_key
    words = [word for word in host_key.split() if word.startswith("AAAA")]
    try:
        key = base64.b64decode(words[0], validate=True)
    except (IndexError, binascii.Error) as cause:
        raise Invalid(
            "This is no public key of a host.",
            where="host_key",
            hint="Write what 'ssh-keyscan HOST' prints, or SHA256:… as 'ssh-keygen -lf' does.",
        ) from cause
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _account_url(spec: written.AzureBlob | written.AzureDataLakeGen2) -> str:
    """Empty for the cloud that everybody means; an emulator has a whole URL."""
    if spec.endpoint.startswith(("http://", "https://")):
        return spec.endpoint
    plain = "http" if spec.protocol in {"http", "wasb"} else "https"
    return f"{plain}://{spec.account_name}.blob.{spec.endpoint}"


_KINDS: dict[type, str] = {
    written.AccountKey: "account_key",
    written.SasToken: "sas_token",
    written.ServicePrincipal: "service_principal",
    written.Certificate: "certificate",
    written.AccessKey: "access_key",
    written.ServiceAccount: "service_account",
    written.Password: "password",
    written.PrivateKey: "private_key",
    written.BearerToken: "token",
    type(None): "none",
}
