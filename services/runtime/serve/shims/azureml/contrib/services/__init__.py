"""Stands in for azureml-contrib-services where it is not installed."""
