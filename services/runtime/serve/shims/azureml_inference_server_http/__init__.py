"""Stands in for the part of azureml-inference-server-http that scripts import, where it is not installed."""
