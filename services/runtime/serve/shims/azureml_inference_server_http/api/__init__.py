"""What scripts import: `rawhttp`, `AMLRequest` and `AMLResponse`."""
