"""Runs for other tools: CSV and Parquet tables, TensorBoard's event files, an MLflow database."""

from archlab.exporting.export import FORMS, export

__all__ = ["FORMS", "export"]
